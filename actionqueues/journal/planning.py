"""`UndoPlan`: what undoing a committed transaction would do, in which order, and what it could not do.

Everything is made again from the file as it is when it is undone, but nothing is called.

Stands on what makes steps again.  Used by what undoes later, and by `Journal`, for whoever wants to see it before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, NamedTuple

from actionqueues.core.definition import Definition
from actionqueues.core.states import StepState
from actionqueues.core.step import DEFINITION, Step
from actionqueues.core.text import one_line

from .again import UNKNOWN
from .fingerprints import has_changed
from .inspecting import Entry
from .leftover import told_changed
from .places import Place, back_again
from .recording import JournalFile
from .repeating import repetition_of
from .reporting import report_data
from .restoring import Restoring
from .rows import StepRow, chunk

__all__ = ["Committed", "PlannedUndo", "UndoPlan", "plan_of"]

_NO_HANDLER = "nothing undoes it: it has no rollback handler"


@dataclass(frozen=True)
class PlannedUndo:
    """A step that is to be undone.

    Attributes:
        number: that of the step, in order of start.
        name: its name.
        arguments: as short text.
        undo: the name of what undoes it; None if nothing does, or it is read-only.
        problem: why it cannot be undone, or None.
        changed: whether the code of its undo is not what it was when it ran.
        is_async: whether its undo takes an event loop.
    """

    __module__ = "actionqueues.journal"

    number: int
    name: str
    arguments: str
    undo: str | None
    problem: str | None
    changed: bool
    is_async: bool

    def __str__(self) -> str:
        call = f"{self.number} {self.name}({self.arguments})"
        if self.problem is not None:
            return f"{call}: cannot be undone: {self.problem}"
        how = "nothing to undo" if self.undo is None else f"undone by {self.undo}"
        return f"{call}: {how}" + (", which has changed since" if self.changed else "")


@dataclass(frozen=True)
class UndoPlan:
    """What `Journal.undo` would do; it prints as a list, in that order.

    Attributes:
        id: the number of the transaction.
        name: its name.
        steps: what is to be undone, in the order in which that is done.
        hooks: what is said of each of its commit hooks: nothing takes back what these have done.
        repeated_by: the number of a later transaction of the same name that has made a step with the same arguments,
            or None: the undo may hit what that has made.
    """

    __module__ = "actionqueues.journal"

    id: int
    name: str
    steps: tuple[PlannedUndo, ...]
    hooks: tuple[str, ...]
    repeated_by: int | None

    @property
    def problems(self) -> list[str]:
        """What cannot be undone, and why; with any of these, undoing takes ``partly=True``."""
        steps = [f"step {each.number} {each.name}: {each.problem}" for each in self.steps if each.problem is not None]
        return [*steps, *self.hooks]

    @property
    def needs_loop(self) -> bool:
        """Whether a handler is async, so that it takes `Journal.undo_async`."""
        return any(each.is_async for each in self.steps)

    @property
    def complete(self) -> bool:
        """Whether all of it can be undone."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data, fit for JSON."""
        return {**asdict(self), "complete": self.complete}

    def __str__(self) -> str:
        changed = [*dict.fromkeys(each.name for each in self.steps if each.changed)]
        again = f"{self.repeated_by} has done the same again since: undo that first"
        lines = [f"{self.id} {self.name}: {len(self.steps)} to undo", *map(str, self.steps), *self.hooks]
        lines += [*([again] if self.repeated_by else []), *([told_changed(changed)] if changed else [])]
        return "\n".join(map(one_line, lines))  # whatever is in the names


class Committed(NamedTuple):
    """A transaction that has committed and ended, with what a plan needs to know of it."""

    entry: Entry
    directory: str | None
    plain_hooks: str | None


def plan_of(journal: JournalFile, committed: Committed, made: Mapping[str, Any], *, chdir: bool) -> UndoPlan:
    """What undoing a committed transaction would do.

    Args:
        journal: the file.
        committed: the transaction.
        made: the resources that there are, by name.
        chdir: whether steps are undone in the directories that they were begun in.
    """
    entry, store = committed.entry, journal.store
    told = {each["number"]: each for each in report_data(entry)["steps"]}
    steps: list[PlannedUndo] = []
    waits: dict[tuple[str, str], bool] = {}  # by kind and name
    with back_again():
        for directory, rows in groupby(_rows(journal, entry.id), lambda row: row.directory):
            place = Place(committed.directory if directory is None else directory, chdir=chdir)
            place.enter()
            restoring = Restoring(journal.values, made, place)
            for row in rows:
                known = row.kind, row.name
                if known not in waits:
                    waits[known] = restoring.is_async(*known, row.arguments)
                step, refused = restoring.step(row)
                undo, problem = _undo(step, row) if refused is None else (None, refused.reason)
                changed = problem is None and has_changed(row.fingerprint, step)
                data = told[row.number]
                told_step = (row.number, data["name"], data["arguments"])
                steps.append(PlannedUndo(*told_step, undo, problem, changed, waits[known]))
    repetition = repetition_of(store, entry.id, entry.name, entry.started)
    hooks = tuple(_hooks(entry, committed.plain_hooks))
    return UndoPlan(entry.id, entry.name, tuple(steps), hooks, None if repetition is None else repetition.id)


def _rows(journal: JournalFile, tx: int) -> Iterator[StepRow]:
    below = 1 << 62
    while rows := chunk(journal.store, tx, below):
        yield from rows
        below = rows[-1].number


def _undo(step: Step[Any], row: StepRow) -> tuple[str | None, str | None]:
    """The name of what undoes a step, and why nothing does; neither, if there is nothing to undo."""
    definition: Definition = step._record[DEFINITION]
    if definition.read_only:
        return None, None
    handler = definition.handler_of(step._record)
    if handler is None:
        if definition.irreversible:
            return None, "it is irreversible"
        unknown = "; whether it had one when it ran, the version that wrote this did not record"
        return None, _NO_HANDLER + (unknown if row.kind == "action" and row.handler is None else "")
    if step.state is StepState.UNKNOWN and handler.needs_result and not step.has_result and definition.probe is None:
        return None, UNKNOWN
    return {"object": f"{step.name}.rollback", "by hand": step.name}.get(row.kind, handler.name), None


def _hooks(entry: Entry, plain: str | None) -> Iterator[str]:
    """What is said of each commit hook."""
    names: Any = None
    with suppress(ValueError, RecursionError):
        names = json.loads(plain) if plain is not None else None
    durable = [hook.name for hook in entry.hooks if hook.error is None and hook.attempts]  # others were not called
    for name in [*durable, *(names if isinstance(names, list) else [])]:
        yield f"commit hook {name}: it was called once this had committed, and nothing takes that back"
    if not isinstance(names, list):
        yield "commit hooks that are not durable: whether there was any, the version that wrote this did not record"
