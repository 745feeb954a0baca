"""What asyncio and trio do differently: sleeping, shielding, waiting for others and cancelling them.

Imports neither; only a program that already runs one of them gets here.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import wraps
from inspect import CO_ASYNC_GENERATOR
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import TYPE_CHECKING, Any, TypeVar

from .frames import ASYNC_STEPS

if TYPE_CHECKING:
    from .step import Log

__all__ = [
    "Signal",
    "awaits",
    "cancel_steps",
    "frame_of_task",
    "in_trio",
    "in_worker_thread",
    "is_closing",
    "limited",
    "pause_async",
    "running_loop",
    "running_task",
    "shielded",
]

T = TypeVar("T")


def in_trio() -> bool:
    """Whether the running task is one of trio's, and not one of asyncio's."""
    trio = sys.modules.get("trio")
    if trio is None:
        return False
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True


async def pause_async(seconds: float) -> None:
    """Suspend this task for a while."""
    if in_trio():
        import trio

        await trio.sleep(seconds)
    else:
        import asyncio

        await asyncio.sleep(seconds)


async def shielded(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await ``function()`` to its end, however often this task is cancelled meanwhile; the cancellation comes after it.

    In asyncio it runs in a task of its own, which nobody else can find and cancel (`asyncio.run` cancels all it finds),
    so that time-outs inside it work as ever.  The cancellation that comes out is the one that came in, and
    ``task.cancelling()`` counts as if nothing had held it up.  Any other interrupt of the waiting is kept likewise.
    """
    if in_trio():
        import trio

        with trio.CancelScope(shield=True):
            return await function()
    import asyncio

    task = asyncio.get_running_loop().create_task(function())
    asyncio.tasks._unregister_task(task)
    interrupt: BaseException | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except GeneratorExit:
            raise  # nothing can be awaited any more
        except BaseException as error:
            interrupt = interrupt or error
    if interrupt is not None and (task.cancelled() or task.exception() is None):
        raise interrupt
    return task.result()


async def in_worker_thread(function: Callable[[], None]) -> None:
    """Call this in another thread."""
    if in_trio():
        import trio

        await trio.to_thread.run_sync(function)
    else:
        import asyncio

        await asyncio.to_thread(function)


class Signal:
    """Something to wait for once, that may be set from any thread.

    Attributes:
        soon: lets the event loop call something.
    """

    def __init__(self) -> None:
        if in_trio():
            import trio

            self._event: Any = trio.Event()
            self.soon: Callable[..., object] = trio.lowlevel.current_trio_token().run_sync_soon
        else:
            import asyncio

            self._event = asyncio.Event()
            self.soon = asyncio.get_running_loop().call_soon_threadsafe

    def set(self) -> None:
        """Let whoever waits go on."""
        self.soon(self._event.set)

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is set, or for so many seconds; returns whether it is set."""
        if seconds is None:
            await self._event.wait()
        elif in_trio():
            import trio

            with trio.move_on_after(seconds):
                await self._event.wait()
        else:
            import asyncio

            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._event.wait()
        set_: bool = self._event.is_set()
        return set_


def cancel_steps(belongs: Callable[[Log], bool]) -> None:
    """Cancel the asyncio tasks that run a step whose log `belongs`; trio cancels only what is in its scopes."""
    if in_trio():
        return
    import asyncio

    for task in asyncio.all_tasks():
        if _runs_step(task.get_coro(), belongs):
            task.cancel()


def _runs_step(awaited: object, belongs: Callable[[Log], bool]) -> bool:
    """Look for the frame of a step along what a coroutine is awaiting."""
    seen = 0
    while awaited is not None and seen < _DEEP:
        seen += 1
        frame = next((f for name in _FRAMES if (f := getattr(awaited, name, None)) is not None), None)
        if frame is not None and frame.f_code in ASYNC_STEPS and belongs(frame.f_locals["log"]):
            return True
        awaited = _awaited_by(awaited)
    return False


_FRAMES = "cr_frame", "gi_frame", "ag_frame"
_DEEP = 10_000  # nobody awaits so deeply; what refers to itself must not be followed for ever


def _awaited_by(waiting: Any) -> Any:
    """What a coroutine, a generator or what either awaits is waiting for."""
    for name in ("cr_await", "gi_yieldfrom", "ag_await"):
        if hasattr(waiting, name):
            return getattr(waiting, name)
    # What awaits an async generator, or a coroutine by its `__await__`, has no attribute that leads there.
    referents: list[Any] = gc.get_referents(waiting)
    return next((each for each in referents if isinstance(each, _Awaiting)), None)


async def _generate() -> AsyncGenerator[None, None]:
    yield  # pragma: no cover - made for its type, and never run


def _kinds() -> tuple[type[Any], ...]:
    """The types of what can stand between a coroutine and what it waits for."""
    made = _generate()
    steps = made.asend(None), made.aclose()
    for step in steps:
        step.close()
    return (CoroutineType, GeneratorType, AsyncGeneratorType, *map(type, steps))


_Awaiting = _kinds()


def frame_of_task() -> FrameType | None:
    """The frame in which the running task begins: what is further up the stack belongs to somebody else."""
    coroutine: Any
    if in_trio():
        import trio

        coroutine = trio.lowlevel.current_task().coro
    else:
        asyncio_tasks = sys.modules.get("asyncio.tasks")
        try:
            task = None if asyncio_tasks is None else asyncio_tasks.current_task()
        except RuntimeError:  # no event loop is running
            return None
        coroutine = None if task is None else task.get_coro()
    frame: FrameType | None = getattr(coroutine, "cr_frame", None)
    return frame


def running_task() -> object:
    """The task that the calling code runs in; None outside any."""
    if in_trio():
        import trio

        return trio.lowlevel.current_task()
    asyncio_tasks = sys.modules.get("asyncio.tasks")
    try:
        return None if asyncio_tasks is None else asyncio_tasks.current_task()
    except RuntimeError:  # no event loop is running
        return None


def running_loop() -> object:
    """What runs the calling code: an event loop of asyncio, or a run of trio; None if nothing does."""
    if in_trio():
        import trio

        return trio.lowlevel.current_trio_token()
    events = sys.modules.get("asyncio.events")
    return None if events is None else events._get_running_loop()


def is_closing(error: BaseException) -> bool:
    """Whether the coroutine that leaves its block is being closed; an async generator that is can still await."""
    if not isinstance(error, GeneratorExit) or error.__traceback__ is None:
        return False
    return not error.__traceback__.tb_frame.f_code.co_flags & CO_ASYNC_GENERATOR


def awaits(task: Any, other: object) -> bool:
    """Whether a task of asyncio's waits for another one to end, as far as that can be seen; in trio it cannot."""
    kind: Any = getattr(sys.modules.get("asyncio"), "Task", ())
    seen: set[int] = set()
    waiting: list[Any] = [task]
    while waiting:
        waiter = waiting.pop()
        if waiter is other:
            return True
        if id(waiter) in seen:
            continue
        seen.add(id(waiter))
        waiting += getattr(waiter, "_children", ())  # of what `gather` has returned
        if isinstance(waiter, kind):
            waiting.append(getattr(waiter, "_fut_waiter", None))
            waiting += _waited_for(waiter.get_coro(), kind)
    return False


def _waited_for(awaited: Any, kind: type[Any]) -> list[Any]:
    """The tasks that a coroutine waits for in `asyncio.wait`, `wait_for` or at the end of a task group."""
    found: list[Any] = []
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None)
        if frame is not None and frame.f_globals.get("__name__", "").startswith("asyncio."):
            held: list[Any] = list(frame.f_locals.values())
            held += [each for value in held for each in (*gc.get_referents(value), *_values(value))]
            found += [each for each in held if isinstance(each, kind)]
        awaited = _awaited_by(awaited)
    return found


def _values(value: object) -> list[Any]:
    """What the sets among the attributes of an object hold."""
    sets: list[set[Any]] = [each for each in getattr(value, "__dict__", {}).values() if isinstance(each, set)]
    return [each for found in sets for each in found]


def limited(function: Callable[..., Awaitable[Any]], seconds: float) -> Callable[..., Awaitable[Any]]:
    """`function`, given up with `TimeoutError` after so many seconds."""

    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        if not in_trio():
            import asyncio

            async with asyncio.timeout(seconds):
                return await function(*args, **kwargs)
        import trio

        with trio.move_on_after(seconds):
            return await function(*args, **kwargs)
        raise TimeoutError(f"not done within {seconds} s")

    return call
