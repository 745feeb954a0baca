"""Going on with what another process has written down: a recording of its undos, and its durable hooks.

Stands on the recording, and on what makes steps again.  Used by recovery.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final, NamedTuple, cast

from actionqueues.core.attempts import Attempts
from actionqueues.core.requests import Request
from actionqueues.core.states import StepState
from actionqueues.core.step import Step
from actionqueues.core.watch import Hook
from actionqueues.report import Report

from .durable import hook_called, hook_tried, running_hook
from .errors import NotRestorable
from .names import function_called
from .recording import JournalFile, Recording
from .restoring import Restoring
from .rows import StepRow, finish
from .values import readable

__all__ = ["UNKNOWN", "Again", "HookAgain", "RecordingAgain"]

#: Why what may have happened cannot be undone by a handler that needs a result.
UNKNOWN: Final = "nobody knows whether it has happened, and its undo needs its result"


class Again(NamedTuple):
    """A step that has been made again."""

    row: StepRow  #: what the file says about it
    step: Step[Any]
    refused: NotRestorable | None  #: why its undo, which raises this, cannot be called


class RecordingAgain(Recording):
    """Records an undoing that another process has begun, and hooks that it has not called.

    Attributes:
        steps: those that are being undone.
    """

    def __init__(self, journal: JournalFile, tx: int, name: str, report: Report) -> None:
        super().__init__(journal, name, lambda: report)
        self._made, self._first.done = [tx], (tx,)
        self.steps: dict[Step[Any], Again] = {}

    def expect(self, steps: Sequence[Again]) -> None:
        """These are undone next."""
        self.steps = {each.step: each for each in steps}
        self.numbers = {each.step: each.row.number for each in steps}
        self.undos = {each.row.number: each.row.undo_attempts for each in steps}

    def retrying(self, step: Step[Any], attempts: Attempts) -> None:
        row = self.steps[step].row
        attempts.made = row.undo_attempts
        with suppress(TypeError, ValueError):  # of None, or what somebody has written into the file
            since = datetime.now(UTC) - datetime.fromisoformat(cast("str", row.undo_started)).replace(tzinfo=UTC)
            attempts.started = monotonic() - max(0.0, since.total_seconds())  # unless the clock has jumped back

    def undoing(self, step: Step[Any]) -> Request | None:
        return None if self.steps[step].refused is not None else super().undoing(step)

    def undone(self, step: Step[Any], error: BaseException | None) -> Request | None:
        return None if self.steps[step].refused is not None else super().undone(step, error)

    def settled(self, step: Step[Any]) -> Request | None:
        tx, number = self.place_of(step)
        refused = self.steps[step].refused
        if refused is not None:
            row = (readable(refused.reason), tx, number)
            return self._fact(lambda db: db.execute("UPDATE steps SET reason = ? WHERE tx = ? AND number = ?", row))
        if step.state is StepState.SKIPPED and self.steps[step].row.state in ("running", "unknown"):
            return self._fact(lambda db: _skip(db, UNKNOWN, tx, number))
        return super().settled(step)

    def rolled_back(self, block: Any) -> Request | None:  # noqa: ARG002 - as in `Watch`
        tx = cast("int", self.tx)
        return self._fact(lambda db: finish(db, tx), sync=True)

    def calling_hook(self, hook: Hook) -> Request | None:
        tx, called = cast("int", self.tx), cast("HookAgain", hook)
        running_hook.set(called.key)
        return self._fact(lambda db: hook_tried(db, tx, called.number), sync=True)

    def called_hook(self, hook: Hook, error: BaseException | None) -> Request | None:
        tx, called = cast("int", self.tx), cast("HookAgain", hook)
        running_hook.set(None)
        text = None if error is None else self.values.text(error)
        return self._fact(lambda db: hook_called(db, tx, called.number, text, last=called.last))


def _skip(db: sqlite3.Connection, reason: str, tx: int, number: int) -> None:
    db.execute("UPDATE steps SET undo = 'skipped', reason = ? WHERE tx = ? AND number = ?", (reason, tx, number))


class HookAgain(Hook):
    """A durable hook that a dead process has left.

    Attributes:
        number: its number in the file.
        key: its key.
        last: whether it is the last of its transaction.
    """

    __slots__ = ("_arguments", "_directory", "_restoring_at", "key", "last", "number")

    def __init__(
        self, restoring_at: Callable[[str | None], Restoring], row: tuple[int, str, str, str, str | None], *, last: bool
    ) -> None:
        self.number, name, self._arguments, self.key, self._directory = row
        super().__init__(self._function, (), {}, name)
        self._restoring_at = restoring_at
        self.last = last

    def _function(self) -> object:
        restoring = self._restoring_at(self._directory)  # now that it is called: each may have another directory
        function = function_called(self.name, restoring.path)
        try:
            args, kwargs = restoring.values.called(self._arguments, restoring.made)
        except ValueError as error:
            raise NotRestorable(restoring.path, f"the hook {self.name} cannot be read: {error}") from error
        return function(*args, **kwargs)
