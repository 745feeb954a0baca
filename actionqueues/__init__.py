"""Undo in order: steps whose side effects reach several systems, rolled back if one of them fails."""

import sys as _sys

from .action import Action as Action
from .action import action as action
from .actionqueue import ActionQueue as ActionQueue
from .core.current import current_step as current_step
from .core.entries import StepReport as StepReport
from .core.marks import Mark as Mark
from .core.plan import Plan as Plan
from .core.plan import PlannedStep as PlannedStep
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
from .tracing.listening import Listening as Listening
from .tracing.listening import listen as listen
from .tracing.listening import watch as watch
from .transaction import AsyncTransaction as AsyncTransaction
from .transaction import Transaction as Transaction
from .transaction import current_transaction as current_transaction
from .transaction import transaction as transaction
from .views.progress import progress as progress

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
    "Listening",
    "Mark",
    "NestedTransaction",
    "NoTransaction",
    "NotLanded",
    "Plan",
    "PlannedStep",
    "Report",
    "Retry",
    "RetryError",
    "RollbackConflict",
    "RollbackFailed",
    "SignalHandling",
    "Step",
    "StepReport",
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
    "listen",
    "on_commit",
    "progress",
    "require_transactions",
    "transaction",
    "watch",
]

# What pytest leaves out of its tracebacks, so that they end in a line of the user's: what users call.  What is behind
# that is shown, since only a mistake of this package would be raised there.
for _name in (
    *("action", "actionqueue", "aqstatemachine", "decorated", "retry", "transaction"),
    *("core.attempts", "core.block", "core.current", "core.declaring", "core.definition", "core.exits", "core.face"),
    *("core.handler", "core.marks", "core.options", "core.queue", "core.rollbacks", "core.signature", "core.step"),
    "core.text",
):
    vars(_sys.modules[f"{__name__}.{_name}"])["__tracebackhide__"] = True
