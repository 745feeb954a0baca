"""Undo in order: steps whose side effects reach several systems, rolled back if one of them fails."""

from .action import Action as Action
from .action import action as action
from .actionqueue import ActionQueue as ActionQueue
from .core.current import current_step as current_step
from .core.required import require_transactions as require_transactions
from .core.states import StepState as StepState
from .core.states import TransactionState as TransactionState
from .core.step import Step as Step
from .errors import ActionQueuesError as ActionQueuesError
from .errors import ActionRetryException as ActionRetryException
from .errors import AsyncActionInSyncBlock as AsyncActionInSyncBlock
from .errors import CommitHookFailed as CommitHookFailed
from .errors import CoroutineNotAwaited as CoroutineNotAwaited
from .errors import IllegalOperation as IllegalOperation
from .errors import NestedTransaction as NestedTransaction
from .errors import NotLanded as NotLanded
from .errors import NoTransaction as NoTransaction
from .errors import RetryError as RetryError
from .errors import RollbackConflict as RollbackConflict
from .errors import RollbackFailed as RollbackFailed
from .errors import TransactionClosed as TransactionClosed
from .errors import TransactionDoomed as TransactionDoomed
from .exceptionfactory import DoublingBackoffExceptionFactory as DoublingBackoffExceptionFactory
from .hooks import on_commit as on_commit
from .report import Report as Report
from .retry import Retry as Retry
from .retry import bounded as bounded
from .signals import SignalHandling as SignalHandling
from .signals import handle_signals as handle_signals
from .transaction import AsyncTransaction as AsyncTransaction
from .transaction import Transaction as Transaction
from .transaction import current_transaction as current_transaction
from .transaction import transaction as transaction

__all__ = [
    "Action",
    "ActionQueue",
    "ActionQueuesError",
    "ActionRetryException",
    "AsyncActionInSyncBlock",
    "AsyncTransaction",
    "CommitHookFailed",
    "CoroutineNotAwaited",
    "DoublingBackoffExceptionFactory",
    "IllegalOperation",
    "NestedTransaction",
    "NoTransaction",
    "NotLanded",
    "Report",
    "Retry",
    "RetryError",
    "RollbackConflict",
    "RollbackFailed",
    "SignalHandling",
    "Step",
    "StepState",
    "Transaction",
    "TransactionClosed",
    "TransactionDoomed",
    "TransactionState",
    "action",
    "bounded",
    "current_step",
    "current_transaction",
    "handle_signals",
    "on_commit",
    "require_transactions",
    "transaction",
]
