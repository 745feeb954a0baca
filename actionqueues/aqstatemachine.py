"""`AQStateMachine`: the order in which the operations of a classic queue are allowed, under its original names."""

from __future__ import annotations

from typing import Final

from .core.states import QUEUE_TRANSITIONS, QueueState
from .errors import IllegalOperation

__all__ = [
    "AQStateMachine",
    "AQStateMachine_ADD",
    "AQStateMachine_EXECUTE",
    "AQStateMachine_EXECUTE_COMPLETE",
    "AQStateMachine_INIT",
    "AQStateMachine_ROLLBACK",
    "AQStateMachine_ROLLBACK_COMPLETE",
]

AQStateMachine_INIT: Final = QueueState.INIT
AQStateMachine_ADD: Final = QueueState.ADD
AQStateMachine_EXECUTE: Final = QueueState.EXECUTE
AQStateMachine_ROLLBACK: Final = QueueState.ROLLBACK
AQStateMachine_EXECUTE_COMPLETE: Final = QueueState.EXECUTE_COMPLETE
AQStateMachine_ROLLBACK_COMPLETE: Final = QueueState.ROLLBACK_COMPLETE

_CONDITION: Final = {
    QueueState.INIT: "it is empty",
    QueueState.ADD: "it has not been executed",
    QueueState.EXECUTE: "it is being executed, or an exception has stopped it",
    QueueState.EXECUTE_COMPLETE: "it has been executed",
    QueueState.ROLLBACK: "it is being rolled back",
    QueueState.ROLLBACK_COMPLETE: "it has been rolled back",
}


class AQStateMachine:
    """One or more adds, then one execute, then one rollback (after success or failure).  Anything else is refused.

    Its `state` is one of the constants of this module.
    """

    def __init__(self) -> None:
        self.state = QueueState.INIT

    def transition_to_add(self) -> None:
        """An action is about to be added."""
        self._to(QueueState.ADD, "add to this queue", "add before execute(), or make a new ActionQueue")

    def transition_to_execute(self) -> None:
        """The actions are about to be executed."""
        advice = "add() first" if self.state is QueueState.INIT else "make a new ActionQueue"
        self._to(QueueState.EXECUTE, "execute this queue", f"a queue is executed once: {advice}")

    def transition_to_execute_complete(self) -> None:
        """All actions have been executed."""
        self._to(QueueState.EXECUTE_COMPLETE, "complete the execution of this queue", "call execute() first")

    def transition_to_rollback(self) -> None:
        """The actions are about to be rolled back."""
        unstarted = self.state in (QueueState.INIT, QueueState.ADD)
        advice = "call execute() first: nothing has been done" if unstarted else "a queue is rolled back once"
        self._to(QueueState.ROLLBACK, "roll back this queue", advice)

    def transition_to_rollback_complete(self) -> None:
        """All actions have been rolled back."""
        self._to(QueueState.ROLLBACK_COMPLETE, "complete the rollback of this queue", "call rollback() first")

    def _to(self, state: QueueState, operation: str, advice: str) -> None:
        if state not in QUEUE_TRANSITIONS[self.state]:
            raise IllegalOperation(operation, _CONDITION[self.state], advice)
        self.state = state
