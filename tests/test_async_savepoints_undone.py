"""Savepoints of other tasks, and the steps in them, when what is around them is undone (R14, R17, R20a)."""

from __future__ import annotations

import contextlib

import pytest

from actionqueues import TransactionClosed, TransactionDoomed, TransactionState, transaction

from .async_library import Library, everywhere, in_trio, outcome_of
from .async_stage import Boom, Stage, boom, nest, put
from .test_async_savepoints import Inner


@everywhere
def test_an_outer_rollback_inside_a_savepoint_waits_for_the_steps_of_other_tasks_in_it(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, go_on = stage.waiting()

        async def job() -> None:
            await outcome_of(put(stage, "b", wait))

        async with library.group() as start, transaction() as q:
            await put(stage, "a")
            async with transaction("inner") as inner:
                start(job)
                await there.wait()
                await q.rollback()
                assert (q.state, inner.state) == (TransactionState.ROLLED_BACK, TransactionState.ROLLED_BACK)
                assert stage.told == "+a +b -b -a"
                go_on.set()

    library.run(main)
    assert stage.wrong() == []


@everywhere
def test_a_savepoint_that_is_left_normally_while_the_block_around_it_is_undone_is_doomed(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        inner = Inner(stage)
        wait, there, go_on = stage.waiting()
        stage.undoing["first"] = wait

        async def job() -> None:
            async with transaction("inner"):
                await put(stage, "first")
                inner.there.set()
                with contextlib.suppress(library.cancelled):
                    await inner.go_on.wait()

        async def block() -> None:
            async with transaction():
                start(caught)
                await inner.there.wait()
                raise Boom

        async def caught() -> None:
            raised.append(await outcome_of(job()))

        raised: list[BaseException | None] = []
        async with library.group() as start:
            start(outcome_of, block())
            await there.wait()
            inner.go_on.set()
            await library.checkpoint(3)
            go_on.set()
        assert [type(error) for error in raised] == [TransactionDoomed]

    library.run(main)
    assert stage.told == "+first -first"


@everywhere
@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_savepoint_that_a_task_of_a_failed_step_enters_comes_too_late(library: Library, kind: str) -> None:
    stage = Stage(library)

    async def main() -> None:
        inner = Inner(stage, kind)
        go_on = library.event()

        async def late() -> None:
            await go_on.wait()
            raised.append(await outcome_of(inner.run()))

        async def inside() -> None:
            start(late)
            await library.checkpoint()

        raised: list[BaseException | None] = []
        async with library.group() as start, transaction() as q:
            assert isinstance(await outcome_of(nest(stage, "a", inside, boom())), Boom)
            go_on.set()
            await inner.ended.wait()
            await put(stage, "b")
        assert q.state is TransactionState.COMMITTED
        assert isinstance(inner.raised, TransactionClosed)

    library.run(main)
    assert stage.told == "+a -a +b"


@in_trio
def test_a_savepoint_of_another_task_that_fails_while_the_block_is_undone_leaves_the_undoing_to_that(
    library: Library,
) -> None:
    stage = Stage(library)

    async def main() -> None:
        inner = Inner(stage)
        wait, there, go_on = stage.waiting()
        stage.undoing["c"] = wait

        async def block() -> None:
            async with transaction():
                await put(stage, "a")
                start(outcome_of, inner.run(fails=True))
                await inner.there.wait()
                await put(stage, "c")
                raise Boom

        async with library.group() as start:
            start(outcome_of, block())
            await there.wait()
            inner.go_on.set()
            await inner.ended.wait()
            go_on.set()

    library.run(main)
    assert stage.told == "+a +first +c -c -first -a"


@in_trio
def test_a_failing_block_in_trio_cancels_the_steps_in_a_savepoint_of_another_task(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, _ = stage.waiting()

        async def job() -> None:
            with pytest.raises(TransactionClosed):
                async with transaction("inner"):
                    await put(stage, "b", wait)

        async with library.group() as start:
            with pytest.raises(Boom):
                async with transaction():
                    await put(stage, "a")
                    start(job)
                    await there.wait()
                    await put(stage, "c")
                    raise Boom

    library.run(main)
    assert stage.told == "+a +b +c -b -c -a"


@in_trio
def test_a_failing_block_in_trio_does_not_wait_for_what_a_savepoint_of_another_task_does_outside_steps(
    library: Library,
) -> None:
    stage = Stage(library)

    async def main() -> None:
        inner = Inner(stage)
        async with library.group() as start:
            with pytest.raises(Boom):
                async with transaction():
                    start(inner.run)
                    await inner.there.wait()
                    raise Boom
            assert stage.present == set()
            inner.go_on.set()
            await inner.ended.wait()
        assert isinstance(inner.raised, TransactionClosed)

    library.run(main)
    assert stage.told == "+first -first"
