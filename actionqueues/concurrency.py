"""What asyncio and trio do differently: sleeping, shielding, waiting for others and cancelling them.

Imports neither; only a program that already runs one of them gets here.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from .frames import ASYNC_STEPS

if TYPE_CHECKING:
    import asyncio

    from .step import Log

__all__ = ["Signal", "cancel_steps", "in_trio", "in_worker_thread", "limited", "pause_async", "shielded"]

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
    ``task.cancelling()`` counts as if nothing had held it up.
    """
    if in_trio():
        import trio

        with trio.CancelScope(shield=True):
            return await function()
    import asyncio

    task = asyncio.get_running_loop().create_task(function())
    asyncio.tasks._unregister_task(task)
    cancelled: BaseException | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = cancelled or error
    if cancelled is not None and (task.cancelled() or task.exception() is None):
        raise cancelled
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
    """Something to wait for once, that may be set from any thread."""

    def __init__(self) -> None:
        if in_trio():
            import trio

            self._event: Any = trio.Event()
            self._soon: Callable[..., object] = trio.lowlevel.current_trio_token().run_sync_soon
        else:
            import asyncio

            self._event = asyncio.Event()
            self._soon = asyncio.get_running_loop().call_soon_threadsafe

    def set(self) -> None:
        """Let whoever waits go on."""
        self._soon(self._event.set)

    async def wait(self) -> None:
        """Wait until it is set."""
        await self._event.wait()


def cancel_steps(belongs: Callable[[Log], bool], *spared: object) -> None:
    """Cancel the asyncio tasks that run a step whose log `belongs`; trio cancels only what is in its scopes."""
    if in_trio():
        return
    import asyncio

    for task in asyncio.all_tasks():
        if task not in spared and _runs_step(task, belongs):
            task.cancel()


def _runs_step(task: asyncio.Task[Any], belongs: Callable[[Log], bool]) -> bool:
    """Look for the frame of a step along what the task is awaiting."""
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None and frame.f_code in ASYNC_STEPS and belongs(frame.f_locals["log"]):
            return True
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return False


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
