"""`no_sleep`: retries without their waits; and how interceptors are added to those that are there already."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import get_ident
from time import monotonic
from typing import Any

from actionqueues import attempts, concurrency, drivers
from actionqueues.actionqueue import ActionQueue
from actionqueues.block import Block
from actionqueues.concurrency import in_trio
from actionqueues.interceptor import Interceptor
from actionqueues.observing import observed
from actionqueues.owner import Owner

__all__ = ["current_task", "flow", "loop_runs", "no_sleep", "watching"]


@contextmanager
def watching(factory: Callable[[Interceptor | None], Interceptor]) -> Generator[None, None, None]:
    """Let `factory` make the interceptor of each transaction and each classic queue, in whatever thread.

    It is given the interceptor that there would be without it, which the new one has to pass everything on to.
    """
    outer = Block.observe

    def observe(block: Block, before: Interceptor | None) -> Interceptor | None:
        return factory(before if outer is None else outer(block, before))

    classic = ActionQueue.interceptor
    with observed(observe):
        ActionQueue.interceptor = factory(classic)
        try:
            yield
        finally:
            if classic is Owner.interceptor:
                del ActionQueue.interceptor
            else:
                ActionQueue.interceptor = classic


@contextmanager
def no_sleep() -> Generator[list[float], None, None]:
    """Let no retry wait: the waits of this package, in steps and undos of whatever kind, end at once.

    For policies the time passes as if it had been waited, so those that give up after a while still do.  Only what
    this package waits for is concerned, in all threads: a `time.sleep` in a step of yours takes its time.

    Yields:
        The waits that were due so far, in seconds.
    """
    waits: list[float] = []
    pause_async = concurrency.pause_async

    async def pass_at_once(seconds: float) -> None:
        waits.append(seconds)
        await pause_async(0)  # other tasks get their turn, and a cancellation its chance

    modules = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("actionqueues.") and vars(module).get("pause_async") is pause_async
    ]
    clocks: Any = attempts
    sleepers: Any = drivers
    before: list[tuple[Any, str, Any]] = [(sleepers, "sleep", sleepers.sleep), (clocks, "monotonic", clocks.monotonic)]
    before += [(module, "pause_async", pause_async) for module in modules if module is not concurrency]
    # Watched steps take their time from the engine; the frames of others read the clock themselves.
    with watching(lambda inner: inner or Interceptor()):
        sleepers.sleep = waits.append
        clocks.monotonic = lambda: monotonic() + sum(waits)
        for module in modules:
            if module is not concurrency:
                module.__dict__["pause_async"] = pass_at_once
        try:
            yield waits
        finally:
            for module, name, value in before:
                setattr(module, name, value)


def current_task() -> Any:
    """The task of asyncio that the caller runs in, or None."""
    asyncio = sys.modules.get("asyncio")
    return asyncio.current_task() if asyncio is not None and asyncio._get_running_loop() is not None else None


def flow() -> tuple[int, int]:
    """What the caller runs in: its thread, and its task, if it is in an event loop."""
    task: object = None
    if in_trio():
        import trio

        task = trio.lowlevel.current_task()
    else:
        task = current_task()
    return get_ident(), id(task)


def loop_runs() -> bool:
    """Whether the caller runs in an event loop."""
    if in_trio():
        return True
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None
