"""`no_sleep`: retries without their waits.

Stands on the loops of the core, whose waits it replaces.  Used by sweeps, and by tests.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from actionqueues.core import attempts, drivers, watch

from .chaining import watching

__all__ = ["no_sleep"]


@contextmanager
def no_sleep() -> Generator[list[float], None, None]:
    """Let no retry wait: the waits of this package, in steps and undos of whatever kind, end at once.

    For policies the time passes as if it had been waited, so those that give up after a while still do.  Only what
    this package waits for is concerned, in all threads: a `time.sleep` in a step of yours takes its time.

    Yields:
        The waits that were due so far, in seconds.
    """
    waits: list[float] = []
    loops: Any = drivers
    clocks: tuple[Any, ...] = (attempts, watch)
    sleep, sleep_async = loops.sleep, loops.sleep_async
    before = [module.monotonic for module in clocks]

    async def pass_at_once(seconds: float) -> None:
        waits.append(seconds)
        await sleep_async(0)  # other tasks get their turn, and a cancellation its chance

    # Watched steps take their time from the engine; the frames of others read the clock themselves.
    with watching(lambda inner: watch.Watch() if inner is None else inner):
        loops.sleep, loops.sleep_async = waits.append, pass_at_once
        for module in clocks:
            module.monotonic = lambda: monotonic() + sum(waits)
        try:
            yield waits
        finally:
            loops.sleep, loops.sleep_async = sleep, sleep_async
            for module, clock in zip(clocks, before, strict=True):
                module.monotonic = clock
