"""`Bug` and `Finding`: the kinds of mistake in undo code that a sweep tells apart, and one that it has found.

Stands on faults.  Used by diagnoses, by outcomes, and by users.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .faults import Fault, Trial
from .steps import StepRecord

__all__ = ["HAPPENED", "Bug", "Finding", "circumstances"]


class Bug(StrEnum):
    """A kind of mistake in undo code.  Each member equals its text."""

    NO_UNDO = "no undo"  #: the action has no rollback handler
    IRREVERSIBLE = "irreversible"  #: it is declared so, and what came after it failed, or its own end
    LOST_REPLY = "lost reply"  #: the handler needs what a lost reply does not have
    INCOMPLETE = "incomplete undo"  #: the handler has returned, and something is left
    SWALLOWED = "swallowed"  #: the same, by a handler that swallows exceptions
    TOO_MUCH = "undoes too much"  #: what was there before is gone or changed
    NOT_IDEMPOTENT = "not idempotent"  #: a second call of the handler fails, or does more
    UNDO_FAILED = "undo failed"  #: the handler raises
    NOT_REPEATABLE = "cannot be repeated"  #: the handler fails where it is called after the undos of all others
    NOTHING_TO_UNDO = "nothing to undo"  #: the handler raises where the body has done nothing
    ORDER = "order"  #: the handler needs what a later step made, which is undone before it
    MUTATED = "argument changed"  #: the handler is given an argument that was changed after the call
    REPEATED = "repeated"  #: two attempts had two effects, and one was undone
    OUTSIDE = "outside any action"  #: something was done that no step knows of
    LATE = "after the rollback"  #: something was written once the rollback had ended
    OVERWRITTEN = "overwritten"  #: the handler undid somebody else's change
    NOT_ITS_OWN = "not its own"  #: the handler took back what somebody else had made before the step
    REPLACED = "replaced"  #: the body replaced what somebody else had made, and the handler has not put that back
    TAKEN_ALONG = "taken along"  #: a database has rolled back by itself, and more than the steps had made
    ENDLESS = "endless retry"  #: a policy without a bound meets a fault that lasts
    NOT_RECOVERED = "not recovered"  #: after a crash and the recovery something is left
    RECOVERY_FAILED = "recovery failed"  #: the recovery after a crash has raised
    HOOK_LOST = "hook lost"  #: a crash after the commit costs what its hooks were to do
    HOOK_SPREADS = "hook failure spreads"  #: the failure of a hook costs more than what this hook was to do
    STILL_RUNNING = "still running"  #: a thread has outlived the scenario


@dataclass(frozen=True)
class Finding:
    """What is wrong.

    Attributes:
        bug: the kind of mistake.
        step: the action, hook or transaction that it is in; empty where it is in none.
        advice: what has happened, and what would help.
    """

    bug: Bug
    step: str
    advice: str


HAPPENED = {
    Fault.BEFORE: "it failed before its body had done anything",
    Fault.BEFORE_TWICE: "it failed twice before its body had done anything, and then worked",
    Fault.BEFORE_ALWAYS: "it went on failing before its body had done anything",
    Fault.AFTER: "its body had done its work, and the reply was lost",
    Fault.AFTER_TWICE: "its body had done its work, the reply was lost twice, and then came",
    Fault.AFTER_ALWAYS: "its body had done its work, and every reply was lost",
    Fault.INTERRUPT: "Ctrl-C came when its body had done its work",
    Fault.CANCEL_BEFORE: "its task was cancelled before its body",
    Fault.CANCEL_INSIDE: "its task was cancelled where its body first waited",
    Fault.CANCEL_AFTER: "its task was cancelled when its body had done its work",
    Fault.COMMIT: "everything had succeeded, and the transaction failed at its very end",
    Fault.UNDO: "its handler failed, however often it was called",
    Fault.UNDO_ONCE: "its handler failed once",
    Fault.TWICE: "its handler was called a second time",
    Fault.STALE: "somebody else had changed it before it was undone",
    Fault.TAKEN: "what it makes was there already, made by somebody else",
    Fault.CRASH: "the process was killed",
    Fault.HOOK: "it failed after the commit",
}


def circumstances(trial: Trial, record: StepRecord) -> str:
    """What has happened, told where a finding is about this step."""
    happened = HAPPENED[trial.fault]
    return happened if record.place == trial.place else f"{trial.place}: {happened}"
