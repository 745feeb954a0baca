"""Blocks across contexts, threads and event loops (R23)."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

from actionqueues import (
    AsyncTransaction,
    IllegalOperation,
    NoTransaction,
    TransactionState,
    current_transaction,
    transaction,
)
from tests.async_library import Library, everywhere, in_asyncio, outcome_of
from tests.async_stage import Boom, Stage, mark, put
from tests.inside import forget_context, left_in_context


def in_new_thread(work: Callable[[], object]) -> BaseException | None:
    """Run it in another thread, in a copy of this context; what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=copy_context().run, args=(run,))
    thread.start()
    thread.join()
    return raised[0] if raised else None


@in_asyncio
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_a_fixture_may_be_entered_and_left_in_different_tasks(library: Library, ends: str) -> None:
    stage = Stage(library)

    async def fixture() -> AsyncIterator[str]:
        async with transaction("fixture") as q:
            yield await put(stage, "a")
            await put(stage, "b")
            if ends == "badly":
                raise Boom
        assert q.state is TransactionState.COMMITTED

    async def main() -> None:
        made = fixture()

        async def enter() -> None:
            assert await anext(made) == "a"
            assert current_transaction().name == "fixture"

        async def leave() -> None:
            await put(stage, "outside any block")
            with pytest.raises(Boom if ends == "badly" else StopAsyncIteration):
                await anext(made)
            with pytest.raises(NoTransaction):
                current_transaction()

        await asyncio.create_task(enter())
        assert left_in_context() == {}
        await asyncio.create_task(leave())

    library.run(main)
    # What is called in the second task, whose context knows of no block, is outside it.
    assert stage.told == "+a +outside any block +b" + (" -a" if ends == "badly" else "")


@everywhere
@pytest.mark.parametrize("steps", [0, 1])
def test_a_block_that_is_left_in_another_context_tells_if_no_step_was_made_in_it(
    library: Library, steps: int, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(library)
    made = transaction("request")

    async def main() -> None:
        async def enter() -> None:
            await made.__aenter__()
            for _ in range(steps):
                await put(stage, "a")

        async def leave() -> None:
            await made.__aexit__(None, None, None)

        for job in (enter, leave):
            async with library.group() as start:
                start(job)

    library.run(main)
    assert made.state is TransactionState.COMMITTED
    assert [record.levelname for record in caplog.records] == ["WARNING"] * (not steps)
    assert steps or "'request' was left in another context than it was entered in, and no step was made" in caplog.text


@everywhere
def test_a_call_where_such_a_block_was_entered_is_a_plain_one_once_it_has_been_left(library: Library) -> None:
    stage = Stage(library)
    made = transaction()

    async def main() -> None:
        async def leave() -> None:
            await made.__aexit__(None, None, None)

        async def enter() -> None:
            await made.__aenter__()
            await put(stage, "a")
            async with library.group() as start:
                start(leave)
            await put(stage, "b")
            mark(stage, "c")
            async with transaction() as q:
                await put(stage, "d")
                assert q.name == "transaction"
                await q.rollback()

        async with library.group() as start:
            start(enter)

    library.run(main)
    assert made.state is TransactionState.COMMITTED
    assert stage.told == "+a +b +c +d -d"


@everywhere
def test_a_generator_that_is_closed_early_rolls_back(library: Library) -> None:
    stage = Stage(library)

    async def stream() -> AsyncIterator[str]:
        async with transaction():
            yield await put(stage, "a")
            yield await put(stage, "b")

    async def main() -> None:
        made = stream()
        async for _ in made:
            break
        await made.aclose()  # type: ignore[attr-defined]  # pyright: ignore
        assert stage.present == set()

    library.run(main)
    assert stage.told == "+a -a"


@in_asyncio
def test_a_generator_that_is_garbage_collected_rolls_back(library: Library) -> None:
    stage = Stage(library)

    async def stream() -> AsyncIterator[str]:
        async with transaction():
            yield await put(stage, "a")

    async def main() -> None:
        async def consume() -> None:
            async for _ in stream():
                break

        await asyncio.create_task(consume())
        while stage.present or len(asyncio.all_tasks()) > 1:
            gc.collect()
            await asyncio.sleep(0)

    library.run(main)
    assert stage.told == "+a -a"


@everywhere
def test_a_coroutine_that_is_closed_in_its_block_undoes_what_has_sync_handlers(library: Library) -> None:
    """Nothing can be awaited there, but nothing need be."""
    stage = Stage(library)

    async def main() -> None:
        async def work() -> None:
            async with transaction():
                mark(stage, "a")
                await library.checkpoint()

        coroutine = work()
        coroutine.send(None)
        coroutine.close()
        forget_context()  # it was entered here, and can be left there alone
        assert stage.present == set()

    library.run(main)
    assert stage.told == "+a -a"


def test_a_coroutine_that_is_closed_outside_any_event_loop_undoes_what_has_sync_handlers() -> None:
    stage = Stage(Library())

    async def work() -> None:
        async with transaction():
            mark(stage, "a")
            await asyncio.sleep(0)

    def run() -> None:
        coroutine = work()
        coroutine.send(None)
        coroutine.close()

    assert copy_context().run(outcome, run) is None
    assert stage.told == "+a -a"


def outcome(function: Callable[[], object]) -> BaseException | None:
    try:
        function()
    except BaseException as error:
        return error
    return None


@everywhere
def test_a_transaction_reached_from_the_event_loop_of_another_thread_is_refused(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        async with transaction("mine") as q:
            await put(stage, "a")

            def elsewhere() -> None:
                async def steps() -> None:
                    with pytest.raises(IllegalOperation, match=r"entered in another event loop; open a transaction"):
                        await put(stage, "step")
                    with pytest.raises(IllegalOperation, match="another thread has entered it; raise an exception in"):
                        await q.execute()
                    with pytest.raises(IllegalOperation, match="another thread has entered it; raise an exception in"):
                        await q.rollback()
                    with pytest.raises(IllegalOperation, match="another"):
                        async with transaction("savepoint"):
                            raise AssertionError
                    mark(stage, "sync steps are welcome")

                asyncio.run(steps())

            async with library.group() as start:
                start(job, elsewhere)

    async def job(function: Callable[[], None]) -> None:
        error = await outcome_of(library.to_thread(lambda: outcome(function)))
        assert error is None

    library.run(main)
    assert stage.present == {"a", "sync steps are welcome"}


def test_a_transaction_reached_from_a_later_event_loop_of_the_same_thread_can_only_be_left() -> None:
    stage = Stage(Library())
    made = transaction("of the first loop")

    blocks: list[AsyncTransaction] = []

    async def enter() -> None:
        blocks.append(await made.__aenter__())
        await put(stage, "a")

    async def reach() -> None:
        with pytest.raises(IllegalOperation, match="event loop"):
            await blocks[0].execute()
        with pytest.raises(IllegalOperation, match="event loop"):
            await blocks[0].rollback()
        await made.__aexit__(Boom, Boom(), None)

    def run() -> None:
        asyncio.run(enter())
        asyncio.run(reach())

    copy_context().run(run)
    assert made.state is TransactionState.ROLLED_BACK
    assert stage.told == "+a -a"


@everywhere
def test_a_thread_pool_takes_part_through_run_and_copied_contexts(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        with pytest.raises(Boom):
            async with transaction() as q:
                await put(stage, "a")
                with ThreadPoolExecutor(4) as pool:
                    for name in "bcd":
                        pool.submit(q.run, mark, stage, name)
                    for name in "efg":
                        pool.submit(copy_context().run, mark, stage, name)
                    outside = pool.submit(mark, stage, "outside")
                    assert outside.result() == "outside"
                await library.to_thread(lambda: mark(stage, "h"))
                raise Boom

    library.run(main)
    assert stage.present == {"outside"}
    started = [word[1:] for word in stage.trail if word[0] == "+" and word != "+outside"]
    undone = [word[1:] for word in stage.trail if word[0] == "-"]
    assert sorted(undone) == sorted(started) == list("abcdefgh")
    assert (undone[0], undone[-1]) == ("h", "a")


@everywhere
def test_blocks_of_concurrent_tasks_do_not_touch_each_other(library: Library) -> None:
    stages = {name: Stage(library) for name in "abcdefgh"}

    async def job(name: str) -> None:
        stage = stages[name]
        with pytest.raises(Boom):
            async with transaction(name) as q:
                for number in range(5):
                    await put(stage, f"{name}{number}", library.checkpoint)
                    assert current_transaction() is q
                raise Boom

    async def main() -> None:
        async with library.group() as start:
            for name in stages:
                start(job, name)

    library.run(main)
    assert [stage.wrong() for stage in stages.values()] == [[]] * 8


@everywhere
def test_a_block_left_in_another_order_than_entered_still_ends(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        outer, inner = transaction("outer"), transaction("inner", independent=True)
        await outer.__aenter__()
        await inner.__aenter__()
        await put(stage, "in the inner one")
        await outer.__aexit__(None, None, None)
        await put(stage, "b")
        await inner.__aexit__(None, None, None)
        assert (outer.state, inner.state) == ("committed", "committed")
        assert left_in_context() == {}

    library.run(main)


def test_generators_of_sync_code_may_be_used_in_async_code_and_left_anywhere() -> None:
    library = Library()
    stage = Stage(library)

    def sync() -> Generator[str, None, None]:
        with transaction("in a generator"):
            yield mark(stage, "a")
            yield mark(stage, "b")

    async def main() -> None:
        made = sync()

        async def enter() -> None:
            next(made)

        await asyncio.create_task(enter())
        assert in_new_thread(made.close) is None

    library.run(main)
    assert stage.told == "+a -a"
