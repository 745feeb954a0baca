"""Blocks in generators that are never finished: they end in another context than they were entered in (R7, R23)."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextvars import Context, copy_context

import pytest

from actionqueues import (
    AsyncTransaction,
    TransactionClosed,
    TransactionState,
    transaction,
)
from tests.async_library import Library, in_asyncio
from tests.async_stage import Stage, mark, put
from tests.inside import forget_context

from .test_threads import Trail, in_thread
from .test_threads import put as put_down


def stream(trail: Trail) -> Generator[None]:
    """A block in a generator."""
    with transaction("stream"):
        put_down(trail, "a")
        yield


def abandon(trail: Trail) -> Context:
    """Begin it here, and close it in another context; returns a copy of the context that was made in the block."""
    made = stream(trail)
    next(made)
    copied = copy_context()
    assert in_thread(made.close) is None
    return copied


def in_fresh_context(work: Callable[[], object]) -> Callable[[], None]:
    """Let a test leave a context behind as it likes."""

    def test() -> None:
        copy_context().run(work)

    test.__name__ = work.__name__
    return test


@in_fresh_context
def test_a_block_after_it_is_an_outermost_one() -> None:
    trail: Trail = []
    abandon(trail)
    with transaction(outermost=True) as q:
        put_down(trail, "b")
    assert q.state is TransactionState.COMMITTED
    assert trail == ["do a", "undo a", "do b"]


@in_fresh_context
def test_a_block_may_be_left_in_another_thread_than_it_was_entered_in_with_all_that_belongs_to_its_end() -> None:
    """As the dependencies of web frameworks are, which are generators that run in worker threads."""
    trail: Trail = []

    def dependency() -> Generator[None]:
        with transaction() as q:
            put_down(trail, "a")
            q.add(put_down, trail, "queued")
            q.on_commit(trail.append, "hook")
            with q.savepoint():
                put_down(trail, "b")
            yield
            put_down(trail, "outside, in a context that knows of no block")
        assert q.state is TransactionState.COMMITTED

    made = dependency()
    assert in_thread(lambda: next(made)) is None
    raised: list[BaseException] = []

    def leave() -> None:
        try:
            next(made, None)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()
    assert raised == []
    outside = "do outside, in a context that knows of no block"
    assert trail == ["do a", "do b", outside, "do queued", "hook"]


@in_fresh_context
def test_what_has_begun_in_the_block_and_outlives_it_still_comes_too_late() -> None:
    trail: Trail = []
    copied = abandon(trail)
    with pytest.raises(TransactionClosed):
        copied.run(put_down, trail, "never")
    assert trail == ["do a", "undo a"]


async def ended(block: AsyncTransaction) -> None:
    """Wait until the generator that it is in has been collected and closed."""
    gc.collect()
    while block.state in ("open", "rolling back"):
        await asyncio.sleep(0)


@in_asyncio
def test_an_async_step_that_was_called_in_it_and_is_awaited_after_it_comes_too_late(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        steps: list[Awaitable[str]] = []
        blocks: list[AsyncTransaction] = []

        async def pages() -> AsyncIterator[None]:
            async with transaction("pages") as q:
                blocks.append(q)
                mark(stage, "a")
                steps.append(put(stage, "b"))
                yield

        async for _ in pages():
            break
        await ended(blocks[0])
        with pytest.raises(TransactionClosed):
            await steps[0]
        forget_context()  # it was entered here, and can be left there alone

    library.run(main)
    assert stage.told == "+a -a"
