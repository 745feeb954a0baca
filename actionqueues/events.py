"""Events: what a listener is told, each of a class of its own.

Every event is told in the thread, the task and the context in which it happens, directly before or after it.

Stands on reports.  Used by the trace, which makes them, and by listeners.
"""

from __future__ import annotations

from dataclasses import dataclass

from .core.entries import StepReport
from .report import Report

__all__ = [
    "Event",
    "HookCalled",
    "StepDone",
    "StepEvent",
    "StepFailed",
    "StepLeft",
    "StepQueued",
    "StepRetried",
    "StepStarted",
    "StepUndoing",
    "StepUndone",
    "TransactionCommitted",
    "TransactionEnded",
    "TransactionOpened",
    "TransactionRolledBack",
    "TransactionRollingBack",
    "TransactionStuck",
]


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """Something that has happened in a transaction.

    Attributes:
        report: that of the outermost transaction, queue, or recovery: the same object in all of its events.
        at: when, in seconds since the epoch.
    """

    report: Report
    at: float


@dataclass(frozen=True, slots=True, eq=False)
class TransactionOpened(Event):
    """A transaction has been entered, a classic queue is being executed, or a recovery has begun."""


@dataclass(frozen=True, slots=True, eq=False)
class TransactionCommitted(Event):
    """Everything has succeeded; commit hooks are called next."""


@dataclass(frozen=True, slots=True, eq=False)
class TransactionRollingBack(Event):
    """All steps have ended, and are about to be undone because of `error`; None for an explicit rollback."""

    error: BaseException | None


@dataclass(frozen=True, slots=True, eq=False)
class TransactionRolledBack(Event):
    """Everything has been undone that could be; what nothing undoes is in ``report.left``."""

    error: BaseException | None


@dataclass(frozen=True, slots=True, eq=False)
class TransactionStuck(Event):
    """It has been rolled back as far as that was possible, and an undo has failed: a person has to look at it."""

    error: BaseException | None


@dataclass(frozen=True, slots=True, eq=False)
class TransactionEnded(Event):
    """The last event of a transaction: it has been left, and its hooks have been called."""


@dataclass(frozen=True, slots=True, eq=False)
class StepEvent(Event):
    """Something that has happened to a step.

    Attributes:
        step: what is known of it so far: the same object in all of its events.
    """

    step: StepReport


@dataclass(frozen=True, slots=True, eq=False)
class StepQueued(StepEvent):
    """A step was added, to run later."""


@dataclass(frozen=True, slots=True, eq=False)
class StepStarted(StepEvent):
    """Its body is about to be called for the first time."""


@dataclass(frozen=True, slots=True, eq=False)
class StepRetried(StepEvent):
    """Its body is about to be called again, for `attempt`, because the attempt before has raised `error`."""

    error: BaseException | None
    attempt: int


@dataclass(frozen=True, slots=True, eq=False)
class StepDone(StepEvent):
    """Its body has returned."""


@dataclass(frozen=True, slots=True, eq=False)
class StepFailed(StepEvent):
    """Its body has raised `error`, and is not tried again."""

    error: BaseException


@dataclass(frozen=True, slots=True, eq=False)
class StepUndoing(StepEvent):
    """Its rollback handler is about to be called, for `attempt`."""

    attempt: int


@dataclass(frozen=True, slots=True, eq=False)
class StepUndone(StepEvent):
    """It is undone."""


@dataclass(frozen=True, slots=True, eq=False)
class StepLeft(StepEvent):
    """A rollback had to leave it.

    Attributes:
        error: what its rollback handler has raised last, or None if none was called.
        reason: why, in words.
    """

    error: BaseException | None
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class HookCalled(Event):
    """A commit hook has returned, or has raised `error`."""

    name: str
    error: BaseException | None
