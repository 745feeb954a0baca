"""`Report`: what a transaction or a queue did, as data and as text."""

from __future__ import annotations

from typing import Any, NamedTuple

from .definition import Definition
from .step import Step
from .telling import shown

__all__ = ["HookFailure", "Report", "UndoFailure"]


class UndoFailure(NamedTuple):
    """An undo that was tried and did not succeed."""

    step: Step[Any]  #: the step that is still there
    error: BaseException  #: what its rollback handler raised last


class HookFailure(NamedTuple):
    """A commit hook that raised."""

    name: str  #: the name of the hook
    error: BaseException  #: what it raised


class Report:
    """What has happened in a transaction or queue so far; complete once it has ended.

    What happens in a savepoint is in its own report and in those of the transactions around it.

    Attributes:
        name: the transaction's name.
        state: how far it has come, or how it ended.
        failures: undos that raised something, each with its step (`UndoFailure`); a person has to look at them.
        conflicts: undos that raised `RollbackConflict`, likewise.
        skipped: steps whose handler needs a result that they do not have, because they failed.
        not_undone: steps that a rollback had to leave, because they are irreversible or have no handler.
        abandoned: steps whose undo never started, because a third Ctrl-C cut the rollback short.
        dropped: queued steps that were never started.
        hook_failures: commit hooks that raised (`HookFailure`).
        journal_failures: what has kept the journal from recording it; everything else went on from memory.
        hooks_not_run: the names of commit hooks that were not called, because a third Ctrl-C cut that short.
    """

    __module__ = "actionqueues"
    __slots__ = (
        "__weakref__",
        "abandoned",
        "conflicts",
        "dropped",
        "failures",
        "hook_failures",
        "hooks_not_run",
        "journal_failures",
        "name",
        "not_undone",
        "skipped",
        "state",
        "undone_steps",
    )

    def __init__(self, name: str, state: str) -> None:
        self.name = name
        self.state = state
        self.undone_steps: list[Definition] = []
        self.failures: list[UndoFailure] = []
        self.conflicts: list[UndoFailure] = []
        self.skipped: list[Step[Any]] = []
        self.not_undone: list[Step[Any]] = []
        self.abandoned: list[Step[Any]] = []
        self.dropped: list[Step[Any]] = []
        self.hook_failures: list[HookFailure] = []
        self.hooks_not_run: list[str] = []
        self.journal_failures: list[Exception] = []

    @property
    def undone(self) -> list[str]:
        """The names of the steps that have been undone, in the order in which that was done."""
        return [owner.name for owner in self.undone_steps]

    @property
    def clean(self) -> bool:
        """Whether every undo that was due has succeeded."""
        return not (self.failures or self.conflicts or self.abandoned)

    def include(self, inner: Report) -> None:
        """Take over what happened in a savepoint that is now over."""
        for attribute in ("undone_steps", "failures", "conflicts", "skipped", "not_undone", "abandoned", "dropped"):
            getattr(self, attribute).extend(getattr(inner, attribute))

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data, fit for JSON; errors as text."""
        return {
            "name": self.name,
            "state": str(self.state),
            "undone": self.undone,
            "failures": [{"step": step.name, "error": shown(error)} for step, error in self.failures],
            "conflicts": [{"step": step.name, "error": shown(error)} for step, error in self.conflicts],
            "skipped": [step.name for step in self.skipped],
            "not_undone": [step.name for step in self.not_undone],
            "abandoned": [step.name for step in self.abandoned],
            "dropped": [step.name for step in self.dropped],
            "hook_failures": [{"hook": name, "error": shown(error)} for name, error in self.hook_failures],
            "hooks_not_run": list(self.hooks_not_run),
            "journal_failures": [str(error) for error in self.journal_failures],
        }

    @property
    def outcomes(self) -> str:
        """What rollbacks have done so far, in words; empty if there was none."""
        words = [f"{len(self.undone_steps)} undone"] if self.undone_steps else []
        words += [f"undo of {step.name} failed ({shown(error)})" for step, error in self.failures]
        words += [f"conflict in {step.name} ({shown(error)})" for step, error in self.conflicts]
        for label, steps in (
            ("skipped", self.skipped),
            ("not undone", self.not_undone),
            ("abandoned", self.abandoned),
            ("never started", self.dropped),
        ):
            if steps:
                words.append(f"{label}: {', '.join(step.name for step in steps)}")
        words += [f"commit hook {name} failed ({shown(error)})" for name, error in self.hook_failures]
        words += [f"commit hook {name} not run" for name in self.hooks_not_run]
        words += [f"not recorded ({error})" for error in self.journal_failures[:1]]
        return ", ".join(words)

    def __str__(self) -> str:
        outcomes = self.outcomes
        if self.state in ("committed", "released") and self.undone_steps:
            outcomes = f"on the way, {outcomes}"
        return f"{self.name} {self.state}" + (f": {outcomes}" if outcomes else "")

    def __repr__(self) -> str:
        return f"<Report {self}>"
