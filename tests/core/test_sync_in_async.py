"""Sync steps within and beside async ones, and what they can find out about where they are."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from actionqueues import (
    AsyncActionInSyncBlock,
    AsyncTransaction,
    NoTransaction,
    TransactionDoomed,
    action,
    current_step,
    transaction,
)
from tests.async_library import Library, everywhere, in_asyncio


class Boom(Exception):
    """What goes wrong."""


Trail = list[str]


@action
def put(trail: Trail, name: str, inside: Callable[[], object] | None = None) -> str:
    trail.append(f"+{name}")
    if inside is not None:
        inside()
    return name


@put.rollback
def take(trail: Trail, name: str) -> None:
    trail.append(f"-{name}")


@action
async def work(trail: Trail, name: str, inside: Callable[[], Coroutine[Any, Any, object]] | None = None) -> str:
    trail.append(f"+{name}")
    if inside is not None:
        await inside()
    return name


@work.rollback
async def unwork(trail: Trail, name: str) -> None:
    if name == "suspends":
        await asyncio.sleep(0)
    trail.append(f"-{name}")


@pytest.fixture
def trail() -> Trail:
    return []


@everywhere
def test_sync_steps_that_an_async_step_calls_are_undone_with_it_if_it_fails(library: Library, trail: Trail) -> None:
    async def inside() -> None:
        assert put(trail, "b", lambda: put(trail, "c")) == "b"
        await library.checkpoint()
        put(trail, "d")
        raise Boom

    async def main() -> None:
        async with transaction() as q:
            put(trail, "a")
            with pytest.raises(Boom):
                await work(trail, "async", inside)
            trail.append("caught")
            assert put(trail, "e") == "e"
        assert q.state == "committed"

    library.run(main)
    assert trail == ["+a", "+async", "+b", "+c", "+d", "-d", "-c", "-b", "-async", "caught", "+e"]


@everywhere
def test_sync_steps_that_an_async_step_calls_are_undone_with_the_block_in_their_order(
    library: Library, trail: Trail
) -> None:
    async def inside() -> None:
        put(trail, "b")
        with pytest.raises(Boom):
            put(trail, "c", fails)

    async def main() -> None:
        with pytest.raises(Boom):
            async with transaction():
                put(trail, "a")
                await work(trail, "async", inside)
                put(trail, "d")
                raise Boom

    library.run(main)
    assert trail == ["+a", "+async", "+b", "+c", "-c", "+d", "-d", "-b", "-async", "-a"]


def fails() -> None:
    raise Boom


@everywhere
def test_sync_steps_of_the_block_itself_while_an_async_step_runs_in_another_task_are_no_part_of_that(
    library: Library, trail: Trail
) -> None:
    async def main() -> None:
        there, go_on = library.event(), library.event()

        async def inside() -> None:
            there.set()
            await go_on.wait()
            raise Boom

        async def started() -> None:
            with pytest.raises(Boom):
                await work(trail, "async", inside)

        async with transaction() as q:
            async with library.group() as start:
                start(started)
                await there.wait()
                put(trail, "a")
                go_on.set()
            assert trail == ["+async", "+a", "-async"], "the step of the block stays"
            await q.rollback()

    library.run(main)
    assert trail == ["+async", "+a", "-async", "-a"]


@in_asyncio
def test_a_thread_that_an_async_step_has_started_is_in_that_step(library: Library, trail: Trail) -> None:
    found: list[str] = []

    def look() -> None:
        try:
            found.append(current_step().args[1])
        except NoTransaction:
            found.append("none")

    async def main() -> None:
        both = asyncio.Barrier(2)

        async def from_a_thread() -> None:
            await asyncio.to_thread(look)

        async def beside_each_other() -> None:
            await both.wait()
            await asyncio.to_thread(look)
            await both.wait()

        async with transaction():
            put(trail, "sync")
            await work(trail, "one", from_a_thread)
            await asyncio.gather(work(trail, "two", beside_each_other), work(trail, "three", beside_each_other))

    library.run(main)
    assert sorted(found) == ["one", "three", "two"]


@everywhere
def test_a_step_of_another_transaction_further_up_the_stack_has_no_part_in_a_block_of_its_own(
    library: Library, trail: Trail
) -> None:
    async def main() -> None:
        there, go_on = library.event(), library.event()

        async def waiting() -> None:
            there.set()
            await go_on.wait()

        async def beside() -> None:
            await work(trail, "beside", waiting)

        async def inside() -> None:
            async with transaction("own", independent=True) as own, library.group() as start:
                start(beside)
                await there.wait()
                put(trail, "b", lambda: trail.append(current_step().args[1]))
                go_on.set()
            assert own.state == "committed"

        async with transaction() as q:
            await work(trail, "outer", inside)
            await q.rollback()

    library.run(main)
    assert trail == ["+outer", "+beside", "+b", "b", "-outer"]


# ---------------------------------------------------------------- async steps that a sync step makes


@everywhere
def test_an_async_step_that_a_sync_one_has_made_dooms_if_its_undo_would_have_to_wait(
    library: Library, trail: Trail
) -> None:
    def by_hand() -> None:
        for name in ("async", "suspends"):
            made = work(trail, name)
            with pytest.raises(StopIteration):
                made.send(None)  # as an event loop does it
        raise Boom

    async def main() -> None:
        with pytest.raises(TransactionDoomed) as caught:
            async with transaction() as q:
                with pytest.raises(Boom):
                    put(trail, "a", by_hand)
                trail.append("caught")
        assert [type(error) for error in caught.value.failures] == [AsyncActionInSyncBlock]
        told = "unwork is async, and what undoes a sync step, or a coroutine that is being closed, cannot await it"
        assert told in str(caught.value.failures[0])
        assert [failure.step.name for failure in q.report.failures] == ["work"]

    library.run(main)
    assert trail == ["+a", "+async", "+suspends", "-async", "-a", "caught"]


# ---------------------------------------------------------------- a third Ctrl-C


def test_a_third_ctrl_c_in_an_async_block_does_not_name_what_was_undone_before(trail: Trail) -> None:
    def press() -> None:
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)

    async def boom() -> None:
        raise Boom

    async def main() -> None:
        async with transaction("order") as q:
            blocks.append(q)
            put(trail, "a")
            with pytest.raises(Boom):
                await work(trail, "b", boom)
            put(trail, "c")
            q.on_rollback(press)
            raise LookupError

    blocks: list[AsyncTransaction] = []
    loop = asyncio.new_event_loop()  # without the handler of `asyncio.run`
    loop.set_exception_handler(lambda _loop, _context: None)  # it would tell of the interrupt once more
    task = loop.create_task(main())
    try:
        for _ in range(2):  # it comes out of the loop first, and out of the block when that is closed
            with pytest.raises(KeyboardInterrupt, match="three times"):
                loop.run_until_complete(task)
    finally:
        loop.close()
        del task
        gc.collect()
    assert trail == ["+a", "+b", "-b", "+c"]
    assert [step.args[1] for step in blocks[0].report.abandoned] == ["c", "a"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
