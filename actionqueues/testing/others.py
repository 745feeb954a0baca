"""`SomebodyElse`: makes what a step is about to make, before that does; and takes it back once that has been undone.

Somebody else calls the same action with the same arguments, in a transaction of its own, so under another key; and
what the user gives as ``disturb=`` may change what that has made.

Stands on transactions and on what a run records.  Used by the injector, for the fault ``taken``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import PurePath
from typing import Any, cast
from uuid import UUID

from actionqueues.core.log import get_current, set_current
from actionqueues.core.requests import Await, Request
from actionqueues.core.states import StepState
from actionqueues.core.step import DEFINITION, OUTCOME, Step
from actionqueues.core.watch import Passing, Watch
from actionqueues.transaction import transaction

from .calling import call_again
from .differences import equal
from .faults import Injected, Point
from .record import Run
from .steps import Look, StepRecord

__all__ = ["Disturb", "SomebodyElse", "acting_as", "somebody_else_acts"]

#: Changes what a step has made, as somebody else would.  Returns what takes that back, or None.
Disturb = Callable[[Step[Any]], "Callable[[], object] | object"]

#: Who acts here, if it is not the scenario itself.
_acting: ContextVar[SomebodyElse | None] = ContextVar("actionqueues.testing.acting", default=None)


def somebody_else_acts() -> bool:
    """Whether what happens here is none of the scenario's doing."""
    return _acting.get() is not None


def acting_as(inner: Watch | None) -> Watch | None:
    """What stands in a transaction of somebody else."""
    other = _acting.get()
    return inner if other is None else _Noting(inner, other)


class _Noting(Passing):
    """Notes the step that somebody else makes."""

    def __init__(self, inner: Watch | None, other: SomebodyElse) -> None:
        super().__init__(inner)
        self._other = other

    def starting(self, step: Step[Any]) -> Request | None:
        self._other.step = self._other.step or step
        return self.inner.starting(step)


class SomebodyElse:
    """Makes what a step is about to make.

    Args:
        run: the run that the step is in.
        record: the step.
        disturb: changes what a step has made.
    """

    def __init__(self, run: Run, record: StepRecord, disturb: Disturb | None) -> None:
        self.step: Step[Any] | None = None
        self._run = run
        self._record = record
        self._disturb = disturb
        self._restore: Any = None
        self._block: Any = transaction("somebody else", independent=True, journal=False)

    def make(self, point: Point) -> Request | None:
        """Make it; once it is there, `point` has been injected; otherwise the run says in `untaken` why it is not."""
        run, record = self._run, self._record
        run.untaken = _hindrance(run, record)
        if run.untaken:
            return None
        look = run.begin_other(record)
        if record.definition.is_async:
            return Await(self._make_async(point, look), "somebody else")
        with self._acting():
            try:
                self._block.__enter__()
                record.definition.call_again(record.step._record)()
            except Exception as error:
                self._failed(error)
            except BaseException as error:
                self._block.__exit__(type(error), error, None)
                raise
        if not self._made(point, look):
            self.take_back()
        return None

    async def _make_async(self, point: Point, look: Look) -> None:
        with self._acting():
            try:
                await self._block.__aenter__()
                await self._record.definition.call_again(self._record.step._record)()
            except Exception as error:
                self._failed(error)
            except BaseException as error:
                await self._block.__aexit__(type(error), error, None)
                raise
        if not self._made(point, look):
            await cast("Any", self.take_back())

    def _failed(self, error: Exception) -> None:
        self._run.untaken = f"somebody else could not do it first: {error!r}"

    def _made(self, point: Point, look: Look) -> bool:
        """Somebody else has ended: whether anything is there now."""
        run = self._run
        if self._disturb is not None and self.step is not None and not run.untaken:
            try:
                self._restore = self._disturb(self.step)
            except Exception as error:
                run.mistake = error
        changes = run.end_other(look)
        if run.untaken:
            return False
        if changes is None:
            run.untaken = "nobody could tell what somebody else had made: others ran beside it, or state= raised"
        elif not changes:
            run.untaken = "done by somebody else, it changes nothing that state= shows"
        else:
            run.disturbed, run.restore, run.other = changes, self.take_back, self
            run.fire(point)
        return bool(changes)

    def take_back(self) -> Awaitable[object] | None:
        """Undo all of it, as if its transaction had failed; returns what has to be awaited, if the step is async."""
        if callable(self._restore):
            self._restore()
        if self._record.definition.is_async:
            return self._leave_async()
        error = Injected("taken back")
        with self._acting():
            self._block.__exit__(Injected, error, None)
        return None

    def take_back_in(self, record: StepRecord) -> Awaitable[object] | None:
        """Undo what the step has made, in a later run, whose step of this place has connections that are still open."""
        if callable(self._restore):
            self._restore()
        made = cast("Step[Any]", self.step)
        step: Step[Any] = Step([made._record[OUTCOME], *record.step._record[DEFINITION:]], StepState.DONE)
        step._key, step.saved = made.key, made.saved
        return call_again(step)

    async def _leave_async(self) -> None:
        error = Injected("taken back")
        with self._acting():
            await self._block.__aexit__(Injected, error, None)

    @contextmanager
    def _acting(self) -> Generator[None, None, None]:
        """Be somebody else: outside of all that goes on here."""
        around, token = get_current(), _acting.set(self)
        set_current(None)
        try:
            yield
        finally:
            set_current(around)
            _acting.reset(token)


def _hindrance(run: Run, record: StepRecord) -> str:
    """Why nobody else can make the same; empty if somebody can."""
    values = list(_values(record.step))
    for value in values:
        if hasattr(value, "__next__"):
            return "one of its arguments can be read only once"
    for earlier in run.records[: run.records.index(record)]:
        own = list(_values(earlier.step))
        for part in _parts(earlier.step.result if earlier.step.has_result else None):
            if _among(part, values) and not _among(part, own):
                return f"it is called with the result of {earlier.place}, which nobody else has"
    return ""


def _values(step: Step[Any]) -> Iterator[Any]:
    """The arguments of a step, one by one."""
    yield from step.args
    yield from step.kwargs.values()


#: What tells one thing from another, as ids do.
_IDS = (str, bytes, int, UUID, PurePath)


def _parts(result: Any) -> list[Any]:
    """A result, and the ids in it."""
    given: Any = result
    parts: list[Any] = []
    if isinstance(given, Mapping):
        parts += given.values()
    elif isinstance(given, tuple | list):
        parts += cast("list[Any]", given)
    else:
        parts += getattr(given, "__dict__", {}).values()
    ids = [part for part in (result, *parts) if isinstance(part, _IDS) and not isinstance(part, bool)]
    return ids if result is None or isinstance(result, _IDS) else [result, *ids]


def _among(part: Any, values: list[Any]) -> bool:
    return any(part is value or (type(part) is type(value) and equal(part, value)) for value in values)
