"""What asyncio and trio do differently: sleeping, shielding, waiting for others.

Imports neither; only a program that already runs one of them gets here.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from functools import wraps
from inspect import CO_ASYNC_GENERATOR
from types import FrameType
from typing import Any, TypeVar

from .telling import first_of

__all__ = [
    "Signal",
    "frame_of_task",
    "frames_of_task",
    "has_ended",
    "in_greenlet",
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
    # A scope of anyio's that is cancelled would cancel the waiting at every turn of the event loop; and a group of its
    # is cancelled with any of its tasks, even with one whose step has been cancelled by a failing block.
    scope_of_anyio: Any = getattr(sys.modules.get("anyio"), "CancelScope", None)
    if scope_of_anyio is None:
        return await _in_own_task(function)
    scope = scope_of_anyio(shield=True)
    scope.__enter__()
    try:
        return await _in_own_task(function)
    finally:
        with suppress(RuntimeError):  # the coroutine is being closed outside its task
            scope.__exit__(None, None, None)


async def _in_own_task(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await it in a task of asyncio's that nobody else can find."""
    import asyncio

    task = asyncio.get_running_loop().create_task(function())
    hidden, interrupt = False, None
    while True:
        try:
            if not hidden:
                asyncio.tasks._unregister_task(task)
                hidden = True
            if task.done():
                break
            await asyncio.wait([task])
        except GeneratorExit:
            raise  # nothing can be awaited any more
        except BaseException as error:
            # Python 3.12 keeps a cancellation that a task group has taken back, if its tasks begin at once.
            wanted = not isinstance(error, asyncio.CancelledError) or _is_cancelling(asyncio.current_task())
            if wanted:  # pragma: no branch - always so before that
                interrupt = first_of(interrupt, error)
    if interrupt is not None and (task.cancelled() or task.exception() is None):
        raise interrupt
    return task.result()


def _is_cancelling(task: Any) -> bool:
    """Whether somebody wants a task of asyncio's to be cancelled; True for a task of a kind that does not tell."""
    cancelling: Callable[[], int] | None = getattr(task, "cancelling", None)
    return cancelling is None or cancelling() > 0


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

    def set(self) -> bool:
        """Let whoever waits go on; returns False if nobody can, since the event loop has ended."""
        try:
            self.soon(self._event.set)
        except RuntimeError:
            return False
        return True

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
    """The task that the calling coroutine runs in; None where nothing runs it, as while it is closed."""
    if in_trio():
        import trio

        return trio.lowlevel.current_task()
    import asyncio

    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop is running
        return None


def has_ended(task: Any) -> bool:
    """Whether a task has come to its end."""
    done: Callable[[], bool] | None = getattr(task, "done", None)  # trio's tasks do not tell
    return task.coro.cr_frame is None if done is None else done()


def in_greenlet() -> bool:
    """Whether the calling code runs in a greenlet, which may suspend sync code, as that of SQLAlchemy does."""
    greenlet: Any = sys.modules.get("greenlet")
    return greenlet is not None and greenlet.getcurrent().parent is not None


def frames_of_task(frame: FrameType) -> Iterator[FrameType]:
    """The frames from this one on outwards, as far as they are the running task's; those of its greenlets are."""
    first = frame_of_task()
    outer: FrameType | None = frame
    greenlet: Any = getattr(sys.modules.get("greenlet"), "getcurrent", object)()
    while outer is not None:
        yield outer
        if outer is first:
            return  # an eager task begins on the stack of the one that makes it
        outer = outer.f_back
        greenlet = getattr(greenlet, "parent", None) if outer is None else greenlet
        if outer is None and greenlet is not None:
            outer = greenlet.gr_frame


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
