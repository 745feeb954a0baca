"""The states of steps, transactions and classic queues, and every legal transition: nothing else decides what is legal.

Stands on the errors.  Used by steps, blocks and the classic queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from actionqueues.errors import IllegalOperation


class StepState(StrEnum):
    """How far a step has come.  Each member equals its text: ``step.state == "done"``."""

    __module__ = "actionqueues"

    QUEUED = "queued"  #: added, not started
    RUNNING = "running"  #: its body has been started
    DONE = "done"  #: its body has returned
    FAILED = "failed"  #: its body has raised
    UNKNOWN = "unknown"  #: started, and nobody knows how it ended
    UNDONE = "undone"  #: its rollback handler has returned
    UNDO_FAILED = "undo failed"  #: its rollback handler has raised, and was not retried any more
    CONFLICT = "conflict"  #: its rollback handler left alone what somebody else had changed
    SKIPPED = "skipped"  #: its rollback handler needs a result that the step does not have
    NOT_UNDONE = "not undone"  #: it has no rollback handler, or is irreversible
    NOT_LANDED = "not landed"  #: its probe has said that it never happened
    DROPPED = "dropped"  #: never started, because the transaction ended, or its engine did not run it


class TransactionState(StrEnum):
    """How far a transaction has come; the end states say how it ended."""

    __module__ = "actionqueues"

    NEW = "new"  #: made, not entered
    OPEN = "open"  #: takes steps
    ROLLING_BACK = "rolling back"  #: closed to steps, undoing
    COMMITTED = "committed"
    RELEASED = "released"  #: a savepoint that succeeded: its steps belong to the outer transaction
    ROLLED_BACK = "rolled back"
    ROLLED_BACK_WITH_FAILURES = "rolled back with failures"
    UNDONE_LATER = "undone later"  #: it had committed, and `Journal.undo` has taken it back


class QueueState(StrEnum):
    """How far a classic `ActionQueue` has come."""

    INIT = "init"  #: empty
    ADD = "add"  #: has actions
    EXECUTE = "execute"  #: executing, or stopped by an exception
    EXECUTE_COMPLETE = "execute complete"
    ROLLBACK = "rollback"  #: rolling back
    ROLLBACK_COMPLETE = "rollback complete"


_S, _T, _Q = StepState, TransactionState, QueueState

_NOWHERE: frozenset[Any] = frozenset()  # a state that is not listed is an end
_UNDO = frozenset({_S.UNDONE, _S.UNDO_FAILED, _S.CONFLICT, _S.NOT_UNDONE})

STEP_TRANSITIONS: Mapping[StepState, frozenset[StepState]] = dict.fromkeys(_S, _NOWHERE) | {
    _S.QUEUED: frozenset({_S.RUNNING, _S.DROPPED}),
    _S.RUNNING: frozenset({_S.DONE, _S.FAILED, _S.UNKNOWN, _S.DROPPED}),
    _S.DONE: _UNDO,
    _S.FAILED: _UNDO | {_S.SKIPPED},
    _S.UNKNOWN: _UNDO | {_S.SKIPPED, _S.DONE, _S.NOT_LANDED},
}

TRANSACTION_TRANSITIONS: Mapping[TransactionState, frozenset[TransactionState]] = dict.fromkeys(_T, _NOWHERE) | {
    _T.NEW: frozenset({_T.OPEN}),
    _T.OPEN: frozenset({_T.COMMITTED, _T.RELEASED, _T.ROLLING_BACK}),
    _T.ROLLING_BACK: frozenset({_T.ROLLED_BACK, _T.ROLLED_BACK_WITH_FAILURES}),
}

QUEUE_TRANSITIONS: Mapping[QueueState, frozenset[QueueState]] = dict.fromkeys(_Q, _NOWHERE) | {
    _Q.INIT: frozenset({_Q.ADD}),
    _Q.ADD: frozenset({_Q.ADD, _Q.EXECUTE}),
    _Q.EXECUTE: frozenset({_Q.EXECUTE_COMPLETE, _Q.ROLLBACK}),
    _Q.EXECUTE_COMPLETE: frozenset({_Q.ROLLBACK}),
    _Q.ROLLBACK: frozenset({_Q.ROLLBACK_COMPLETE}),
}

#: The states of a step that has been started and whose undo has not ended.
UNDOABLE = frozenset({_S.RUNNING, _S.DONE, _S.FAILED, _S.UNKNOWN})


def check_transition(table: Mapping[Any, frozenset[Any]], state: StrEnum, to: StrEnum, what: str) -> None:
    """Raise `IllegalOperation` unless `table` leads from `state` to `to`; `what` names the object in the message."""
    if to not in table[state]:
        possible = ", ".join(sorted(table[state])) or "nothing: that is an end"
        raise IllegalOperation(f"make {what} {to!s}", f"it is {state!s}", f"from there it can become {possible}")
