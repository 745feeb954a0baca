"""The async step, against ``contextlib.AsyncExitStack``, and the same step with a real suspension.

A step that suspends gives way to the event loop once, by ``asyncio.sleep(0)``, on every side alike, and
so does its undo. The event loop is made outside the time, and a sample is one task of it, not one for
each block.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

from actionqueues import action, transaction
from tests.benchmarks.candidates import Failure, Numbers
from tests.benchmarks.timing import Timed

AsyncWork = Callable[[Numbers], Awaitable[None]]


class AsyncFunctions(NamedTuple):
    """What is done and undone."""

    step: Callable[[int, int], Awaitable[int]]
    undo: Callable[[int, int], Awaitable[None]]


class AsyncCandidate(NamedTuple):
    """One library doing the work: a block that commits, and one that is left by an exception."""

    commit: AsyncWork
    rollback: AsyncWork


async def _step(a: int, b: int) -> int:
    return a


async def _undo(a: int, b: int) -> None:
    return None


async def _suspending_step(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a


async def _suspending_undo(a: int, b: int) -> None:
    await asyncio.sleep(0)


PLAIN = AsyncFunctions(_step, _undo)
SUSPENDING = AsyncFunctions(_suspending_step, _suspending_undo)


def exit_stack(functions: AsyncFunctions) -> AsyncCandidate:
    """Do a step, push its undo, on ``contextlib.AsyncExitStack``."""
    step, undo = functions

    async def commit(numbers: Numbers) -> None:
        async with AsyncExitStack() as stack:
            for i in numbers:
                await step(i, 2)
                stack.push_async_callback(undo, i, 2)
            stack.pop_all()

    async def rollback(numbers: Numbers) -> None:
        try:
            async with AsyncExitStack() as stack:
                for i in numbers:
                    await step(i, 2)
                    stack.push_async_callback(undo, i, 2)
                raise Failure
        except Failure:
            pass

    return AsyncCandidate(commit, rollback)


def by_hand(functions: AsyncFunctions) -> AsyncCandidate:
    """Without any library."""
    step, undo = functions

    async def back(done: list[tuple[int, int]]) -> None:
        while done:
            a, b = done.pop()
            await undo(a, b)

    async def commit(numbers: Numbers) -> None:
        done: list[tuple[int, int]] = []
        try:
            for i in numbers:
                await step(i, 2)
                done.append((i, 2))
        except BaseException:
            await back(done)
            raise

    async def rollback(numbers: Numbers) -> None:
        done: list[tuple[int, int]] = []
        try:
            for i in numbers:
                await step(i, 2)
                done.append((i, 2))
            raise Failure
        except Failure:
            await back(done)

    return AsyncCandidate(commit, rollback)


def ours(functions: AsyncFunctions) -> AsyncCandidate:
    """A decorated coroutine function, its handler, and the block around the calls."""
    step: Any = action(functions.step)
    step.rollback(functions.undo)

    async def commit(numbers: Numbers) -> None:
        async with transaction():
            for i in numbers:
                await step(i, 2)

    async def rollback(numbers: Numbers) -> None:
        try:
            async with transaction():
                for i in numbers:
                    await step(i, 2)
                raise Failure
        except Failure:
            pass

    return AsyncCandidate(commit, rollback)


def blocks_of(runner: asyncio.Runner, work: AsyncWork, numbers: Numbers) -> Timed:
    """``work`` over ``numbers``, block after block, as one task of the runner's loop."""

    async def many(blocks: int) -> None:
        for _ in range(blocks):
            await work(numbers)

    def run(blocks: int) -> None:
        runner.run(many(blocks))

    return Timed(run, len(numbers))
