"""asyncio, with its variants, and trio, behind one face: the same test runs in all of them.

A run fails if it leaves a task behind, if the event loop had to complain, if a context variable is not as it was, or if
nothing happens any more.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.util
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Any, TypeVar, cast

import pytest

from .inside import left_in_context

T = TypeVar("T")
Job = Callable[..., Coroutine[Any, Any, Any]]


class Hung(BaseException):
    """Nothing happens any more."""


@contextmanager
def watched(seconds: float) -> Iterator[None]:
    """Raise `Hung` in a test that does not come to its end: a deadlock must fail, and not stop the tests."""

    def alarm(_signum: int, _frame: FrameType | None) -> None:
        raise Hung("the test does not come to its end")

    if not hasattr(signal, "SIGALRM"):  # Windows
        yield
        return
    before = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)  # again, if something swallows it
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def raised_together(error: BaseException | None) -> tuple[BaseException | None, ...]:
    """The exceptions of a group, or the one that is none."""
    if not isinstance(error, BaseExceptionGroup):
        return (error,)
    return cast("BaseExceptionGroup[BaseException]", error).exceptions


class Library:
    """What tests need of an async library; this one is asyncio's."""

    name = "asyncio"
    debug = False
    cancelled: type[BaseException] = asyncio.CancelledError

    def __repr__(self) -> str:
        return self.name

    def loop(self) -> asyncio.AbstractEventLoop:
        """A new event loop."""
        return asyncio.new_event_loop()

    def run(self, main: Callable[[], Coroutine[Any, Any, T]], seconds: float = 8) -> T:
        """Run `main` to its end, and look at what it leaves behind."""
        complaints: list[dict[str, Any]] = []
        runner = asyncio.Runner(debug=self.debug, loop_factory=self.loop)
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))

        async def checked() -> T:
            try:
                return await main()
            finally:
                assert left_in_context() == {}
                assert asyncio.all_tasks() == {asyncio.current_task()}
                task = asyncio.current_task()
                assert task is not None
                # Before 3.13, a task group that cancels its parent while that waits for it leaves the count as it is.
                assert task.cancelling() == 0 or sys.version_info < (3, 13)

        with watched(seconds):
            try:
                result = runner.run(checked())
            except Hung:
                raise  # closing it would wait again
            except BaseException:
                runner.close()
                raise
            runner.close()
        gc.collect()
        assert complaints == []
        return result

    def event(self) -> Any:
        """An event."""
        return asyncio.Event()

    async def checkpoint(self, times: int = 1) -> None:
        """Let others go on, and be cancelled."""
        for _ in range(times):
            await asyncio.sleep(0)

    async def forever(self) -> None:
        """Wait for a cancellation."""
        await asyncio.Event().wait()

    @asynccontextmanager
    async def group(self) -> AsyncIterator[Callable[..., object]]:
        """A task group; yields what starts a task in it."""
        async with asyncio.TaskGroup() as group:
            yield lambda job, *args: group.create_task(job(*args))  # pyright: ignore - of any job

    def scope(self) -> Scope:
        """Something that can be cancelled as a whole."""
        return Scope()

    async def to_thread(self, function: Callable[[], T]) -> T:
        """Run a function in a worker thread, in a copy of this context."""
        return await asyncio.to_thread(function)

    def soon(self) -> Callable[[Callable[[], object]], object]:
        """What lets another thread call something in this event loop."""
        return asyncio.get_running_loop().call_soon_threadsafe


class Scope:
    """A cancel scope for asyncio, made of what `asyncio.timeout` is made of."""

    def __enter__(self) -> Scope:
        task = asyncio.current_task()
        assert task is not None
        self.task, self.before, self.times = task, task.cancelling(), 0
        return self

    def cancel(self) -> None:
        """Cancel the task, if it is still inside."""
        self.times += 1
        self.task.cancel()

    @property
    def cancelled_caught(self) -> bool:
        """Whether the cancellation has ended it."""
        return self.caught

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, _: object) -> bool:
        assert self.task.cancelling() == self.before + self.times
        for _time in range(self.times):
            self.task.uncancel()
        self.caught = self.times > 0 and isinstance(exc, asyncio.CancelledError)
        return self.caught


class Debug(Library):
    """asyncio's debug mode."""

    name = "asyncio-debug"
    debug = True


class Eager(Library):
    """Tasks that start at once."""

    name = "asyncio-eager"

    def loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - since 3.12
        return loop


class UV(Library):
    """uvloop."""

    name = "uvloop"

    def loop(self) -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop = importlib.import_module("uvloop").new_event_loop()
        return loop


class Trio(Library):
    """trio."""

    name = "trio"

    def __init__(self) -> None:
        self.trio: Any = importlib.import_module("trio") if importlib.util.find_spec("trio") else None
        if self.trio:
            self.cancelled = self.trio.Cancelled

    def run(self, main: Callable[[], Coroutine[Any, Any, T]], seconds: float = 8) -> T:
        async def checked() -> T:
            try:
                return await main()
            finally:
                assert left_in_context() == {}

        with watched(seconds):
            result: T = self.trio.run(checked, strict_exception_groups=True)
        gc.collect()
        return result

    def event(self) -> Any:
        return self.trio.Event()

    async def checkpoint(self, times: int = 1) -> None:
        for _ in range(times):
            await self.trio.lowlevel.checkpoint()

    async def forever(self) -> None:
        await self.trio.sleep_forever()

    @asynccontextmanager
    async def group(self) -> AsyncIterator[Callable[..., object]]:
        async with self.trio.open_nursery() as nursery:
            yield nursery.start_soon

    def scope(self) -> Any:
        return self.trio.CancelScope()

    async def to_thread(self, function: Callable[[], T]) -> T:
        result: T = await self.trio.to_thread.run_sync(function, abandon_on_cancel=True)
        return result

    def soon(self) -> Callable[[Callable[[], object]], object]:
        call: Callable[[Callable[[], object]], object] = self.trio.lowlevel.current_trio_token().run_sync_soon
        return call


def _missing(module: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


_OLD = pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
ASYNCIO = [
    pytest.param(Library(), id="asyncio"),
    pytest.param(Debug(), id="asyncio-debug", marks=pytest.mark.slow),
    pytest.param(Eager(), id="asyncio-eager", marks=[pytest.mark.slow, _OLD]),
    pytest.param(UV(), id="uvloop", marks=[pytest.mark.slow, _missing("uvloop")]),
]
TRIO = [pytest.param(Trio(), id="trio", marks=_missing("trio"))]

#: Decorators: run the test in every library, in asyncio and what is like it, in trio.  Variants of asyncio are slow.
everywhere = pytest.mark.parametrize("library", [*ASYNCIO, *TRIO])
in_asyncio = pytest.mark.parametrize("library", ASYNCIO)
in_trio = pytest.mark.parametrize("library", TRIO)


async def outcome_of(awaitable: Awaitable[object]) -> BaseException | None:
    """What it raises, if anything."""
    try:
        await awaitable
    except BaseException as error:
        return error
    return None
