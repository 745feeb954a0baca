"""The async step, against ``contextlib.AsyncExitStack``.

The event loop is made outside the time, and a sample is one task of it, not one for each block.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from actionqueues import action, transaction
from tests.benchmarks.candidates import NotMeasured, Numbers
from tests.benchmarks.timing import Timed

AsyncWork = Callable[[Numbers], Awaitable[None]]


async def step(a: int, b: int) -> int:
    return a


async def undo(a: int, b: int) -> None:
    return None


async def exit_stack(numbers: Numbers) -> None:
    """A committed block over ``contextlib.AsyncExitStack``."""
    async with AsyncExitStack() as stack:
        for i in numbers:
            await step(i, 2)
            stack.push_async_callback(undo, i, 2)
        stack.pop_all()


async def by_hand(numbers: Numbers) -> None:
    """A committed block without any library."""
    done = []
    try:
        for i in numbers:
            await step(i, 2)
            done.append((undo, i, 2))
    except BaseException:
        while done:
            call, a, b = done.pop()
            await call(a, b)
        raise


def ours() -> AsyncWork:
    """A committed block over this library, where it has async blocks."""
    opened: Any = transaction
    if not hasattr(opened(), "__aenter__"):
        raise NotMeasured("this version has no async blocks")
    decorated = action(step)
    decorated.rollback(undo)

    async def commit(numbers: Numbers) -> None:
        async with opened():
            for i in numbers:
                await decorated(i, 2)

    return commit


def blocks_of(runner: asyncio.Runner, work: AsyncWork, numbers: Numbers) -> Timed:
    """``work`` over ``numbers``, block after block, as one task of the runner's loop."""

    async def many(blocks: int) -> None:
        for _ in range(blocks):
            await work(numbers)

    def run(blocks: int) -> None:
        runner.run(many(blocks))

    return Timed(run, len(numbers))
