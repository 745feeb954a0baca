"""`Work`: a `Unit` with what it takes to run it in this process.

Stands on the carrier.  Used by `running.py` in the process of the block, and by `serving.py` in others.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import isawaitable, iscoroutine
from time import time
from typing import Any, Final, TypeVar

from actionqueues.core.handler import Handler
from actionqueues.core.log import undoing
from actionqueues.core.step import DEFINITION, OUTCOME, PENDING, Step
from actionqueues.journal.serializer import to_json

from .carrying import Carrier
from .engine import Kind
from .errors import NotCarried

__all__ = ["ENDING", "Undone", "Work", "performing"]

T = TypeVar("T")

#: What ends a process, or a coroutine: no failure of the work.
ENDING: Final = (KeyboardInterrupt, SystemExit, GeneratorExit)

#: The unit whose work is being done in this context.
performing: Final[ContextVar[Work | None]] = ContextVar("actionqueues.engines.performing", default=None)


class Undone:
    """Stands for the rollback that calls a handler, where that is not in the process of the block."""

    def __init__(self, step: Step[Any], cause: BaseException | None) -> None:
        self.step, self.cause = step, cause


class Work:
    """One unit of work: see `Unit`.

    Args:
        carrier: writes what comes of it.
        kind, name, number, key: as in `Unit`.
        call: does it; returns what that returns, or what is to be awaited for it.
        is_async: whether it may have to be awaited.
        step: whose attempt, undo or probe it is.
        is_control_flow: tells what the engine raises through the work from a failure of that.
    """

    def __init__(
        self,
        carrier: Carrier,
        kind: Kind,
        name: str,
        number: int,
        key: str,
        call: Callable[[], Any],
        *,
        is_async: bool = False,
        step: Step[Any] | None = None,
        is_control_flow: Callable[[BaseException], bool] = lambda _: False,
    ) -> None:
        self.carrier, self.kind, self.name, self.number, self.key = carrier, kind, name, number, key
        self.call, self.is_async, self.step = call, is_async, step
        self.is_control_flow = is_control_flow
        self.ran = False
        self.asked: Callable[[], str] | None = None  # makes its request
        self.late: str | None = None  # what came of it, set by an adapter that raises `CancelledError` all the same
        self.live: Any = PENDING  # what it has returned here, and what it has raised
        self.error: BaseException | None = None
        self.why: BaseException | None = None  # of the note that a block is being rolled back
        self.part = 0  # how many steps that is about, if it is a part of it only
        self._began = 0.0

    @property
    def is_action(self) -> bool:
        """Whether it is of an action."""
        return self.step is not None and self.step._record[DEFINITION].frame is not None

    def __repr__(self) -> str:
        return f"<unit {self.number}: {self.name}>"

    def perform(self) -> str:
        """Run it here; returns what came of it."""
        with self._known():
            try:
                value = self.call()
            except BaseException as error:
                return self._raised(error)
            try:
                return self._returned(value)
            except NotCarried as refused:
                return self._refused(refused, _at_once(self._undo(value, refused, awaits=False)))

    async def perform_async(self) -> str:
        """The same of async work."""
        with self._known():
            try:
                value = self.call()
                if isawaitable(value):
                    value = await value
            except asyncio.CancelledError as error:
                if self.is_control_flow(error):
                    raise
                self.error = error
                task = asyncio.current_task()
                by_itself = task is None or not task.cancelling()  # as by awaiting a task that was cancelled
                return self._told(stopped='"by itself"' if by_itself else "true")
            except BaseException as error:
                return self._raised(error)
            try:
                return self._returned(value)
            except NotCarried as refused:
                return self._refused(refused, await self._undo(value, refused, awaits=True))

    @contextmanager
    def _known(self) -> Generator[None, None, None]:
        """Be known in this context as the unit that is performed."""
        before = performing.get()
        performing.set(self)
        try:
            self._begin()
            yield
        finally:
            performing.set(before)

    def request(self) -> str:
        """It as text, for another process."""
        assert self.asked is not None  # noqa: S101 - of a block whose calls are carried
        return self.asked()

    def cancelled(self, reason: str | None, *, maybe_done: bool = False) -> str:
        """What to record instead of running it."""
        self._begin()
        return self._told(
            cancelled=self.carrier.value(reason, "reason", "a cancellation"),
            maybe_done="true" if maybe_done else None,
            saved=False,
        )

    def failed(self, error: BaseException, moment: float) -> str:
        """What to record of one that was not brought to its end."""
        self._begin()
        self.error = error
        return json.dumps({"began": moment, "ended": moment, "error": json.loads(self.carrier.error(error))})

    def _begin(self) -> None:
        self.ran, self._began = True, time()

    def _told(self, *, saved: bool = True, **texts: str | None) -> str:
        step = self.step
        if saved and self.kind == "step" and step is not None:
            texts["key"] = to_json(self.key)  # which a copy of the workflow, under another id, would derive otherwise
            texts["arguments"] = self.carrier.arguments(step, all_of_them=False)
            if step._saved:
                texts["saved"] = self.carrier.saved(step)
        return self.carrier.outcome(self._began, **texts)

    def _raised(self, error: BaseException) -> str:
        if isinstance(error, ENDING) or self.is_control_flow(error):
            raise error
        self.error = error
        try:
            told = self._told(error=self.carrier.error(error))
            return self.carrier.fitting(told, f"what {self.name} raises and saves, with its arguments,", "save")
        except NotCarried as refused:  # of what it has saved, which this process has
            return self._told(error=self.carrier.error(error), lost=self.carrier.error(refused), saved=False)

    def _returned(self, value: Any) -> str:
        if self.kind in ("step", "probe"):
            told = self._told(result=self.carrier.value(value, "result", self.name))
            text = self.carrier.fitting(told, f"what {self.name} returns, with its arguments,", "return")
        else:
            why = None if self.why is None else self.carrier.error(self.why)
            text = self._told(why=why, part=str(self.part) if self.part else None)
        self.live = value
        return text

    # -- a result that cannot be carried is there, and nowhere else: it is undone at once

    def _refused(self, refused: NotCarried, failed: BaseException | bool | None) -> str:
        self.error = refused
        undone = "true" if failed is None else "false"
        return self._told(error=self.carrier.error(refused), undone=undone, saved=False)

    def _of(self) -> Step[Any]:
        assert self.step is not None  # noqa: S101 - what returns something has one
        return self.step

    def _handler(self, step: Step[Any], value: Any) -> Handler | None:
        if self.kind != "step":
            return None
        step._record[OUTCOME] = value
        handler: Handler | None = step._record[DEFINITION].handler_of(step._record)
        return handler

    async def _undo(self, value: Any, refused: NotCarried, *, awaits: bool) -> BaseException | bool | None:
        """Undo the step; returns what that has raised, or True if nothing undoes it here."""
        step, before, answer = self._of(), undoing.get(), None
        try:
            handler = self._handler(step, value)
            if handler is None:
                return True
            undoing.set(Undone(step, refused))
            answer = handler.call(step)
            if isawaitable(answer):
                if not awaits:
                    return True  # of a step that is not async: the rollback of the block will say so
                await answer
        except Exception as error:
            return error
        finally:
            undoing.set(before)
            step._record[OUTCOME] = PENDING
            if iscoroutine(answer):
                answer.close()  # if it was not awaited
        return None


def _at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        made: T = done.value
        return made
    raise AssertionError  # pragma: no cover - it has nothing
