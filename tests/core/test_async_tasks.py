"""Tasks of all kinds inside a block: savepoints in them, eager ones, generators, closed coroutines (R20, R23)."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from actionqueues import AsyncTransaction, TransactionClosed, TransactionState, action, transaction
from tests.async_library import Library, everywhere, in_asyncio, outcome_of
from tests.async_stage import Boom, Stage, mark, nest, put


@in_asyncio
def test_a_savepoint_of_a_task_that_still_runs_is_cancelled_waited_for_and_undone_once(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, _ = stage.waiting()

        async def job() -> None:
            async with transaction("inner") as inner:
                blocks.append(inner)
                await put(stage, "b")
                await put(stage, "c", None, wait)

        blocks: list[AsyncTransaction] = []
        with pytest.raises(Boom):
            async with transaction() as q:
                await put(stage, "a")
                task = asyncio.create_task(job())
                await there.wait()
                raise Boom
        assert isinstance(await outcome_of(task), asyncio.CancelledError)
        assert q.state is TransactionState.ROLLED_BACK
        assert blocks[0].state is TransactionState.ROLLED_BACK

    library.run(main)
    assert stage.told == "+a +b +c -c -b -a"
    assert stage.wrong() == []


@everywhere
def test_a_savepoint_that_is_being_undone_when_its_block_fails_is_undone_once(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, go_on = stage.waiting()
        soon = library.soon()
        stage.undoing["c"] = wait

        async def job() -> None:
            async with transaction("inner"):
                await put(stage, "b")
                await put(stage, "c")
                raise Boom("inner")

        async def caught() -> None:
            assert isinstance(await outcome_of(job()), Boom)

        async with library.group() as start:
            with pytest.raises(Boom, match="body"):
                async with transaction() as q:
                    await put(stage, "a")
                    start(caught)
                    await there.wait()
                    soon(lambda: soon(lambda: soon(lambda: soon(go_on.set))))
                    raise Boom("body")
        assert q.state is TransactionState.ROLLED_BACK

    library.run(main)
    assert stage.told == "+a +b +c -c -b -a"
    assert stage.wrong() == []


@everywhere
def test_a_step_of_a_savepoint_in_a_worker_thread_is_waited_for(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        there, go_on = library.event(), threading.Event()
        soon = library.soon()

        def inside() -> None:
            soon(there.set)
            assert go_on.wait(8)

        def in_thread() -> None:
            with transaction("in a thread"):
                mark(stage, "b", inside)

        async def job() -> None:
            await outcome_of(library.to_thread(in_thread))

        async with library.group() as start:
            with pytest.raises(Boom):
                async with transaction() as q:
                    await put(stage, "a")
                    start(job)
                    await there.wait()
                    soon(lambda: soon(lambda: soon(go_on.set)))
                    raise Boom
            assert stage.present == set()
        assert q.state is TransactionState.ROLLED_BACK

    library.run(main)
    assert stage.told == "+a +b -b -a"


@everywhere
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_savepoints_in_concurrent_tasks_fail_and_succeed_by_themselves(library: Library, ends: str) -> None:
    stage = Stage(library)

    async def main() -> None:
        async def job(name: str) -> None:
            async with transaction(name):
                await put(stage, f"{name}1", library.checkpoint)
                await nest(stage, f"{name}2", lambda: put(stage, f"{name}3", library.checkpoint))
                if name == "b":
                    raise Boom(name)

        async def caught(name: str) -> None:
            error = await outcome_of(job(name))
            assert (error is None) is (name != "b")

        async def block() -> None:
            async with transaction() as q:
                async with library.group() as start:
                    for name in "abc":
                        start(caught, name)
                assert repr(q) == "<AsyncTransaction 'transaction' open, 6 steps: 3 undone>"
                if ends == "badly":
                    raise Boom

        assert isinstance(await outcome_of(block()), Boom if ends == "badly" else type(None))

    library.run(main)
    if ends == "well":
        assert stage.present == {"a1", "a3", "c1", "c3"}
        assert [word for word in stage.trail if word.startswith("-")] == ["-b3", "-b2", "-b1"]
    else:
        assert stage.wrong(ordered=False) == []


@in_asyncio
def test_a_task_that_a_step_has_started_belongs_to_the_step_and_is_undone_with_it(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, _ = stage.waiting()

        async def start_and_fail() -> None:
            tasks.append(asyncio.create_task(put(stage, "child", wait)))
            await there.wait()
            raise Boom("parent")

        tasks: list[asyncio.Task[str]] = []
        async with transaction() as q:
            await put(stage, "kept")
            assert isinstance(await outcome_of(nest(stage, "parent", start_and_fail)), Boom)
            assert stage.told == "+kept +parent +child -child -parent"
            assert isinstance(await outcome_of(tasks[0]), asyncio.CancelledError)
        assert q.state is TransactionState.COMMITTED

    library.run(main)
    assert stage.present == {"kept"}


@in_asyncio
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_a_step_of_a_task_that_outlives_the_step_that_started_it_comes_too_late_if_that_was_undone(
    library: Library, ends: str
) -> None:
    stage = Stage(library)

    async def main() -> None:
        go_on = library.event()

        async def child() -> None:
            await go_on.wait()
            await put(stage, "late")

        async def start() -> None:
            tasks.append(asyncio.create_task(child()))
            if ends == "badly":
                raise Boom

        tasks: list[asyncio.Task[None]] = []
        async with transaction():
            await outcome_of(nest(stage, "parent", start))
            go_on.set()
            error = await outcome_of(tasks[0])
            assert isinstance(error, TransactionClosed) is (ends == "badly")

    library.run(main)
    assert stage.told == ("+parent +late" if ends == "well" else "+parent -parent")


@in_asyncio
@pytest.mark.parametrize("how", ["context manager", "__await__", "generator"])
def test_a_running_step_is_found_and_cancelled_behind_whatever_awaits_it(library: Library, how: str) -> None:
    stage = Stage(library)

    async def main() -> None:
        there = library.event()

        async def hold() -> None:
            there.set()
            await library.forever()

        @asynccontextmanager
        async def manager() -> AsyncIterator[None]:
            await put(stage, "b", None, hold)
            yield

        async def generator() -> AsyncIterator[str]:
            yield await put(stage, "b", None, hold)

        class Request:
            def __await__(self) -> object:
                return put(stage, "b", None, hold).__await__()

        async def job() -> None:
            if how == "context manager":
                async with manager():
                    raise AssertionError
            elif how == "generator":
                async for _ in generator():
                    raise AssertionError
            else:
                await Request()  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]

        with pytest.raises(Boom):
            async with transaction():
                await put(stage, "a")
                task = asyncio.create_task(job())
                await there.wait()
                raise Boom
        assert isinstance(await outcome_of(task), asyncio.CancelledError)

    library.run(main)
    assert stage.told == "+a +b -b -a"


@everywhere
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_a_step_whose_coroutine_was_closed_in_the_middle_is_undone(library: Library, ends: str) -> None:
    stage = Stage(library)

    async def main() -> None:
        async def block() -> None:
            async with transaction():
                await put(stage, "a")
                coroutine = put(stage, "b", None, library.checkpoint)
                coroutine.send(None)
                coroutine.close()
                assert stage.present == {"a", "b"}
                if ends == "badly":
                    raise Boom

        error = await outcome_of(block())
        assert (error is not None) or stage.present == {"a"}

    library.run(main)
    assert "-b" in stage.trail
    assert stage.present <= {"a"}


@everywhere
def test_steps_may_be_awaited_in_any_coroutine_of_the_task(library: Library) -> None:
    stage = Stage(library)

    async def generator() -> AsyncIterator[str]:
        for name in "bcd":
            yield await put(stage, name)

    async def main() -> None:
        async def inside() -> None:
            names = generator()
            assert [name async for name in names] == ["b", "c", "d"]

        with pytest.raises(Boom):
            async with transaction():
                await nest(stage, "a", inside)
                raise Boom

    library.run(main)
    assert stage.told == "+a +b +c +d -d -c -b -a"


@in_asyncio
def test_a_failed_task_whose_exception_nobody_asks_for_is_pythons_to_complain_about(library: Library) -> None:
    """And ours to add nothing: the task that the rollback runs in never complains."""
    stage = Stage(library)

    @action
    async def bad() -> None:
        raise Boom("nobody asks")

    async def main() -> None:
        async with transaction():
            task = asyncio.ensure_future(bad())
            await put(stage, "a", lambda: library.checkpoint(3))
            assert isinstance(await outcome_of(task), Boom)
        del task
        gc.collect()

    library.run(main)
