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
    NoTransaction,
    TransactionClosed,
    TransactionState,
    current_step,
    current_transaction,
    transaction,
)
from actionqueues.owner import current

from .async_library import Library, in_asyncio
from .async_stage import Boom, Stage, mark, put
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
def test_a_call_after_a_generator_that_was_closed_elsewhere_is_a_plain_call() -> None:
    trail: Trail = []
    abandon(trail)
    assert put_down(trail, "b") == "b"
    assert current.get() is None
    assert trail == ["do a", "undo a", "do b"]


@in_fresh_context
def test_a_call_after_it_belongs_to_the_block_around_the_generator() -> None:
    trail: Trail = []
    with pytest.raises(LookupError), transaction() as q:
        abandon(trail)
        put_down(trail, "b", lambda: trail.append(current_step().name))
        assert current_transaction() is q
        raise LookupError
    assert trail == ["do a", "undo a", "do b", "put", "undo b"]


@in_fresh_context
def test_a_call_after_a_generator_in_a_generator_is_a_plain_call() -> None:
    trail: Trail = []

    def outer() -> Generator[None]:
        with transaction("outer"):
            inner = stream(trail)
            next(inner)
            yield
            assert in_thread(inner.close) is None

    made = outer()
    next(made)
    assert in_thread(lambda: next(made, None)) is None
    put_down(trail, "b")
    assert current.get() is None
    assert trail == ["do a", "undo a", "do b"]


@in_fresh_context
def test_a_block_after_it_is_what_it_would_have_been_without_the_generator() -> None:
    trail: Trail = []
    abandon(trail)
    with transaction(outermost=True) as q:
        put_down(trail, "b")
    assert q.state is TransactionState.COMMITTED
    assert current.get() is None
    with pytest.raises(LookupError), transaction():
        abandon(trail)
        with transaction() as savepoint:
            put_down(trail, "c")
        assert savepoint.state is TransactionState.RELEASED
        raise LookupError
    assert trail == ["do a", "undo a", "do b", "do a", "undo a", "do c", "undo c"]


@in_fresh_context
def test_there_is_no_current_transaction_after_it() -> None:
    abandon([])
    with pytest.raises(NoTransaction):
        current_transaction()


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
    put_down(trail, "b")
    with pytest.raises(TransactionClosed):
        copied.run(put_down, trail, "never")
    assert trail == ["do a", "undo a", "do b"]


async def ended(block: AsyncTransaction) -> None:
    """Wait until the generator that it is in has been collected and closed."""
    gc.collect()
    while block.state in ("open", "rolling back"):
        await asyncio.sleep(0)


@in_asyncio
@pytest.mark.parametrize("around", [False, True], ids=["outside", "in a block"])
def test_calls_after_an_async_generator_that_was_never_finished_are_what_they_were_before(
    library: Library, around: bool
) -> None:
    stage = Stage(library)
    blocks: list[AsyncTransaction] = []

    async def pages() -> AsyncIterator[str]:
        async with transaction("pages") as q:
            blocks.append(q)
            yield await put(stage, "a")

    async def consume() -> None:
        async for _ in pages():
            break
        await ended(blocks[0])
        await asyncio.gather(put(stage, "b"), put(stage, "c"))
        mark(stage, "d")
        await put(stage, "e")

    async def main() -> None:
        if not around:
            await consume()
            assert stage.present == set("bcde")
            return
        with pytest.raises(Boom):
            async with transaction():
                await consume()
                raise Boom
        assert stage.present == set()

    library.run(main)
    assert stage.told == "+a -a +b +c +d +e" + " -e -d -c -b" * around


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
        await put(stage, "c")

    library.run(main)
    assert stage.told == "+a -a +c"
