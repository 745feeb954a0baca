"""`Outcome`: what one trial of a sweep has shown, as data and as text; and what is raised if it is not good.

Stands on diagnoses.  Used by the sweep, which makes them, and by users.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actionqueues.core.log import get_current

from .bugs import Bug, Finding
from .differences import Change, concerns, render
from .faults import Fault, Trial
from .record import Run

__all__ = ["NotReached", "Outcome", "SweepError", "SweepFailed", "after_hook", "not_reached", "nothing_injected"]


@dataclass(frozen=True)
class Outcome:
    """What one trial has shown.

    Attributes:
        trial: the fault and its place; its text is its id.
        finding: what is wrong, or None.
        changes: what was not as before, or, after a commit, not as it should be.
    """

    trial: Trial
    finding: Finding | None = None
    changes: tuple[Change, ...] = ()

    @property
    def id(self) -> str:
        """The id by which it can be run alone, such as ``after@charge``."""
        return str(self.trial)

    @property
    def fault(self) -> Fault:
        """The kind of the fault."""
        return self.trial.fault

    @property
    def place(self) -> str:
        """The step, hook or transaction where it was injected."""
        return self.trial.place

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.finding is None

    @property
    def bug(self) -> Bug | None:
        """The kind of mistake that was found."""
        return None if self.finding is None else self.finding.bug

    @property
    def message(self) -> str:
        """What was injected where, what is not as it was, and what would help."""
        if self.finding is None:
            return f"{self.id}: ok"
        lines = [f"{self.id}: {self.finding.bug}"]
        if self.changes:
            lines.append("what is not as it was (+ added, - removed, ~ changed):")
            lines += render(self.changes)
        return "\n".join([*lines, self.finding.advice])

    def __str__(self) -> str:
        return self.message


def after_hook(trial: Trial, good: Run, missing: Sequence[Change]) -> Outcome:
    """What it shows if a commit hook fails, and this is missing that a good run had: it may be of this hook alone."""
    mine = good.hook_effects.get(trial.place, ())
    changes = [change for change in missing if not any(concerns(change.path, each.path) for each in mine)]
    if not changes:
        return Outcome(trial)
    advice = (
        f"{trial.place}: when this commit hook failed, more than what it was to do went wrong; the transaction has "
        "committed, so what catches CommitHookFailed must not undo or repeat it"
    )
    return Outcome(trial, Finding(Bug.HOOK_SPREADS, trial.place, advice), tuple(changes))


class SweepError(Exception):
    """A sweep could not be done: the scenario fails by itself, nothing could be injected, or it cannot go on.

    It says nothing about the undos of the scenario: mend the test.  What was found about those is `SweepFailed`.
    """

    __module__ = "actionqueues.testing"


class NotReached(SweepError):
    """Trials that were chosen by their ids are none of this sweep.

    Attributes:
        ids: those ids.
    """

    def __init__(self, text: str, ids: Sequence[str]) -> None:
        super().__init__(text)
        self.ids = list(ids)

    def __reduce__(self) -> tuple[type[NotReached], tuple[str, list[str]]]:
        return type(self), (str(self), self.ids)


def not_reached(trial: Trial, kind: str, places: Sequence[str]) -> NotReached:
    """What is raised for a trial whose place is none of those that there are."""
    text = f"{trial} was not reached; the {kind} of this run were {', '.join(places) or 'none'}"
    return NotReached(text, [str(trial)])


def nothing_injected(run: Run) -> SweepError:
    """What is raised where there is no step that a fault could be injected into."""
    if get_current() is not None:
        advice = "the sweep is itself inside a transaction, whose savepoints are not swept; sweep outside of it"
    else:
        advice = "let the scenario call actions inside `with transaction():`, in this process"
    blocks = f"{run.entered} transaction{'s were' if run.entered != 1 else ' was'} entered"
    return SweepError(f"nothing was injected: no step was made ({blocks}); {advice}")


class SweepFailed(AssertionError):
    """A sweep has found something.

    Attributes:
        outcomes: the trials that did not go well.
    """

    __module__ = "actionqueues.testing"

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        super().__init__("\n\n".join(outcome.message for outcome in outcomes))
        self.outcomes = list(outcomes)

    def __reduce__(self) -> tuple[type[SweepFailed], tuple[list[Outcome]]]:
        return type(self), (self.outcomes,)
