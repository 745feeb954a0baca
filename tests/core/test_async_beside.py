"""What several tasks do in one block at the same time: what contains what, and what is undone with it (R20)."""

from __future__ import annotations

import asyncio

import pytest

from actionqueues import (
    AsyncActionInSyncBlock,
    Retry,
    TransactionDoomed,
    action,
    transaction,
)
from tests.async_library import Library, everywhere, in_asyncio, outcome_of
from tests.async_stage import Boom, Stage, boom, mark, nest, put


@everywhere
def test_nested_savepoints_of_a_task_stand_where_they_were_entered_with_all_that_they_contain(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        first, second = library.event(), library.event()

        async def one() -> None:
            async with transaction("outer"), transaction("inner"):
                await put(stage, "a")
                first.set()
                await second.wait()
                mark(stage, "c")

        async def two() -> None:
            await first.wait()
            mark(stage, "b")
            second.set()

        with pytest.raises(Boom):
            async with transaction():
                async with library.group() as start:
                    start(one)
                    start(two)
                raise Boom

    library.run(main)
    assert stage.told == "+a +b +c -b -c -a"


@everywhere
def test_a_step_of_a_step_stands_behind_what_a_task_of_that_has_started(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        async def inner() -> None:
            async with library.group() as start:
                start(put, stage, "c")
            mark(stage, "d")

        with pytest.raises(Boom):
            async with transaction():
                await nest(stage, "a", lambda: nest(stage, "b", inner))
                raise Boom

    library.run(main)
    assert stage.told == "+a +b +c +d -d -c -b -a"


@everywhere
def test_a_savepoint_beside_other_steps_is_undone_as_one(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        first, second = library.event(), library.event()

        async def one() -> None:
            with pytest.raises(Boom):
                async with transaction("one"):
                    await nest(stage, "a", lambda: put(stage, "b"))
                    first.set()
                    await second.wait()
                    await nest(stage, "d", lambda: put(stage, "e"))
                    raise Boom

        async with transaction() as q:
            async with library.group() as start:
                start(one)
                await first.wait()
                mark(stage, "c")
                second.set()
            assert stage.present == {"c"}
            await q.rollback()

    library.run(main)
    assert stage.told == "+a +b +c +d +e -e -d -b -a -c"


@everywhere
def test_a_step_of_a_savepoint_beside_other_steps_is_undone_with_it(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        first, second, third, fourth = (library.event() for _ in range(4))

        async def inside() -> None:
            third.set()
            await fourth.wait()
            await put(stage, "e")

        async def one() -> None:
            with pytest.raises(Boom):
                async with transaction("one"):
                    await put(stage, "a")
                    first.set()
                    await second.wait()
                    await nest(stage, "c", inside)
                    raise Boom

        async with transaction() as q:
            async with library.group() as start:
                start(one)
                await first.wait()
                mark(stage, "b")
                second.set()
                await third.wait()
                mark(stage, "d")
                fourth.set()
            assert stage.present == {"b", "d"}
            await q.rollback()

    library.run(main)
    assert stage.told == "+a +b +c +d +e -e -c -a -d -b"


@everywhere
def test_a_savepoint_in_a_step_beside_other_steps_is_undone_with_that_step(
    library: Library,
) -> None:
    stage = Stage(library)

    async def main() -> None:
        first, second = library.event(), library.event()

        async def inside() -> None:
            async with transaction("of the step"):
                mark(stage, "b")
                first.set()
                await second.wait()
                mark(stage, "d")

        async def one() -> None:
            with pytest.raises(Boom):
                await nest(stage, "a", inside, boom())

        async with transaction() as q:
            async with library.group() as start:
                start(one)
                await first.wait()
                mark(stage, "c")
                second.set()
            assert stage.present == {"c"}
            await q.rollback()

    library.run(main)
    assert stage.told == "+a +b +c +d -d -b -a -c"


@everywhere
def test_an_async_function_that_is_run_in_the_block_takes_part_in_it(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        async def unit() -> str:
            mark(stage, "a")
            return await put(stage, "b")

        with pytest.raises(Boom):
            async with transaction("independent", independent=True) as q:
                async with transaction("around", independent=True):
                    assert await q.run(unit) == "b"
                raise Boom
        with transaction() as sync, pytest.raises(AsyncActionInSyncBlock):
            _ = sync.run(unit)

    library.run(main)
    assert stage.told == "+a +b -b -a"


@everywhere
def test_what_needs_an_event_loop_is_refused_in_a_sync_savepoint_before_it_runs(library: Library) -> None:
    stage = Stage(library)

    async def undo() -> None:
        stage.say("undone")

    async def main() -> None:
        async with transaction() as q:
            with transaction():
                with pytest.raises(AsyncActionInSyncBlock):
                    q.on_rollback(undo)
                q.add(put, stage, "a")
                with pytest.raises(AsyncActionInSyncBlock):
                    await q.execute()
            assert stage.told == ""

    library.run(main)
    assert stage.told == "+a"


@everywhere
def test_an_undo_by_hand_that_returns_a_coroutine_is_awaited(library: Library) -> None:
    stage = Stage(library)

    async def undo(name: str) -> None:
        await library.checkpoint()
        stage.say(f"-{name}")

    async def main() -> None:
        with pytest.raises(Boom):
            async with transaction() as q:
                q.on_rollback(lambda: undo("a"))
                raise Boom
        assert q.report.clean

    library.run(main)
    assert stage.told == "-a"


@in_asyncio
def test_the_waits_of_a_queued_sync_step_leave_the_event_loop_to_others(library: Library) -> None:
    stage = Stage(library)

    @action(retry=Retry(attempts=2, wait_initial=0.01, wait_jitter=0))
    def flaky() -> None:
        stage.say("try")
        if stage.told == "try":
            asyncio.get_running_loop().call_soon(stage.say, "others")
            raise Boom

    async def main() -> None:
        async with transaction() as q:
            q.add(flaky)

    library.run(main)
    assert stage.told == "try others try"


@in_asyncio
def test_a_cancelled_explicit_rollback_tells_what_could_not_be_undone(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, go_on = stage.waiting()
        stage.undoing.update(a=boom(OSError("stuck")), b=wait)

        async def block() -> None:
            async with transaction() as q:
                await put(stage, "a")
                await put(stage, "b")
                await q.rollback()

        task = asyncio.create_task(block())
        await there.wait()
        task.cancel()
        go_on.set()
        error = await outcome_of(task)
        assert isinstance(error, asyncio.CancelledError)
        assert error.__notes__ == ["actionqueues: the undo of put failed: OSError('stuck')"]

    library.run(main)


def test_a_function_is_not_called_again_in_a_transaction_that_cannot_commit_any_more() -> None:
    calls: list[int] = []

    @action
    def bad() -> None:
        raise Boom

    @bad.rollback
    def stuck() -> None:
        raise OSError("stuck")

    @transaction(retry=Retry(attempts=3, wait_initial=0, wait_jitter=0))
    def again() -> None:
        calls.append(len(calls))

    with pytest.raises(TransactionDoomed), transaction():
        with pytest.raises(Boom):
            bad()
        again()
    assert calls == [0]


@in_asyncio
def test_a_step_that_runs_while_the_coroutine_of_its_block_is_closed_is_cancelled(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, _ = stage.waiting()

        async def block() -> None:
            async with transaction():
                tasks.append(asyncio.create_task(put(stage, "a", wait)))
                await asyncio.sleep(0)
                await asyncio.Event().wait()

        tasks: list[asyncio.Task[str]] = []
        coroutine = block()
        coroutine.send(None)
        await there.wait()
        coroutine.close()
        assert isinstance(await outcome_of(tasks[0]), asyncio.CancelledError)

    library.run(main)
    assert stage.told == "+a -a"  # which was reported as failed, since it has to wait
