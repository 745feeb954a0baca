"""`Report`: what a transaction or a queue did, as data and as text.

Stands on steps.  Used by the engine, which fills it in, and by users.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

from .core.step import Step
from .core.text import listed, shown

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
        never_awaited: the names of async actions that were called, and not awaited by the end of the block, so that
            nothing of them has run.  With a journal, in trio, and in the debug mode of asyncio; otherwise Python's own
            `RuntimeWarning` is all that tells of them, since counting costs each step.
    """

    __module__ = "actionqueues"

    # Lists that most reports never need: made when they are first asked for.
    failures = cached_property[list[UndoFailure]](lambda _self: [])
    conflicts = cached_property[list[UndoFailure]](lambda _self: [])
    skipped = cached_property[list[Step[Any]]](lambda _self: [])
    not_undone = cached_property[list[Step[Any]]](lambda _self: [])
    abandoned = cached_property[list[Step[Any]]](lambda _self: [])
    dropped = cached_property[list[Step[Any]]](lambda _self: [])
    hook_failures = cached_property[list[HookFailure]](lambda _self: [])
    hooks_not_run = cached_property[list[str]](lambda _self: [])
    never_awaited = cached_property[list[str]](lambda _self: [])
    journal_failures = cached_property[list[Exception]](lambda _self: [])

    _included = False  # in that of the transaction around it
    _cut_short = ""  # by what, if steps were abandoned

    def __init__(self, name: str, state: str) -> None:
        self.name = name
        self.state = state
        self._undone: list[Any] = []  # the definitions of the steps, which have names; these would refer to errors

    @property
    def undone(self) -> list[str]:
        """The names of the steps that have been undone, in the order in which that was done."""
        return [owner.name for owner in self._undone]

    @property
    def failed(self) -> bool:
        """Whether an undo that was due has not succeeded."""
        kept = vars(self)
        return bool(kept.get("failures") or kept.get("conflicts") or kept.get("abandoned"))

    @property
    def left(self) -> list[Step[Any]]:
        """All that a rollback had to leave: steps that nothing undoes, skipped ones, and those whose undo failed."""
        failed = [step for step, _ in (*self.failures, *self.conflicts)]
        return [*self.not_undone, *self.skipped, *failed, *self.abandoned]

    @property
    def clean(self) -> bool:
        """Whether nothing was left behind."""
        return not self.left

    def _include(self, inner: Report) -> None:
        """Take over what happened in a savepoint that is now over; called again, it does nothing."""
        if inner._included:
            return
        kept = ("failures", "conflicts", "skipped", "not_undone", "abandoned", "dropped", "never_awaited")
        for attribute in ("_undone", *kept):
            if attribute in vars(inner):
                getattr(self, attribute).extend(getattr(inner, attribute))
        inner._included, self._cut_short = True, inner._cut_short or self._cut_short

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data, fit for JSON; errors as text."""
        told: dict[str, Any] = {"name": self.name, "state": str(self.state), "undone": self.undone}
        for kind in ("failures", "conflicts"):
            told[kind] = [{"step": step.name, "error": shown(error)} for step, error in getattr(self, kind)]
        for kind in ("skipped", "not_undone", "abandoned", "dropped"):
            told[kind] = [step.name for step in getattr(self, kind)]
        told["hook_failures"] = [{"hook": name, "error": shown(error)} for name, error in self.hook_failures]
        told["hooks_not_run"], told["never_awaited"] = list(self.hooks_not_run), list(self.never_awaited)
        told["journal_failures"] = [str(error) for error in self.journal_failures]
        return told

    @property
    def outcomes(self) -> str:
        """What rollbacks have done so far, in words, of very many things the first ones; empty if there was none."""
        words = [f"{len(self._undone)} undone" if self._undone else ""]
        words.append(listed(self.failures, lambda each: f"undo of {each.step.name} failed ({shown(each.error)})"))
        words.append(listed(self.conflicts, lambda each: f"conflict in {each.step.name} ({shown(each.error)})"))
        left = {"skipped": self.skipped, "not undone": self.not_undone, "abandoned": self.abandoned}
        for label, steps in {**left, "never started": self.dropped}.items():
            words += [f"{label}: {listed(steps, lambda step: step.name)}"] if steps else []
        words.append(listed(self.hook_failures, lambda each: f"commit hook {each.name} failed ({shown(each.error)})"))
        words.append(listed(self.hooks_not_run, lambda name: f"commit hook {name} not run"))
        words += [f"never awaited: {listed(self.never_awaited)}"] if self.never_awaited else []
        words += [f"not recorded ({error})" for error in self.journal_failures[:1]]
        return ", ".join(filter(None, words))

    def __str__(self) -> str:
        outcomes = self.outcomes
        if self.state in ("committed", "released") and self._undone:
            outcomes = f"on the way, {outcomes}"
        return f"{self.name} {self.state}" + (f": {outcomes}" if outcomes else "")

    def __repr__(self) -> str:
        return f"<Report {self}>"
