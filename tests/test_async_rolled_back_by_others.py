"""Blocks that another task rolls back while their own is in them (R17, R20, R21)."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from actionqueues import (
    AsyncTransaction,
    IllegalOperation,
    TransactionClosed,
    TransactionState,
    handle_signals,
    transaction,
)
from actionqueues.interceptor import Interceptor
from actionqueues.observing import observed
from actionqueues.requests import Await, Request

from .async_library import Library, everywhere, in_asyncio, outcome_of
from .async_stage import Boom, Stage, boom, put


@in_asyncio
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_a_block_that_is_left_while_another_task_rolls_it_back_waits_for_that(library: Library, ends: str) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, go_on = stage.waiting()
        stage.undoing["b"] = wait

        async def block() -> None:
            async with transaction() as q:
                await put(stage, "a")
                await put(stage, "b")
                tasks.append(asyncio.create_task(q.rollback()))
                await there.wait()
                asyncio.get_running_loop().call_later(0, go_on.set)
                if ends == "badly":
                    raise Boom
            assert q.state is TransactionState.ROLLED_BACK

        tasks: list[asyncio.Task[None]] = []
        assert isinstance(await outcome_of(block()), Boom if ends == "badly" else type(None))
        stage.say("left")
        await tasks[0]

    library.run(main)
    assert stage.told == "+a +b -b -a left"
    assert stage.wrong() == []


@everywhere
@pytest.mark.parametrize("where", ["its body", "its body, which ignores that", "its queue"])
def test_a_block_that_another_task_rolls_back_while_a_step_runs_in_it_ends_as_no_cancelled_one(
    library: Library, where: str
) -> None:
    stage = Stage(library)

    async def main() -> None:
        there = library.event()

        async def wait() -> None:
            there.set()
            await library.forever()

        async def undo(q: AsyncTransaction) -> None:
            await there.wait()
            await q.rollback()

        async def block() -> None:
            async with transaction() as q:
                start(undo, q)
                await put(stage, "a")
                if where == "its queue":
                    q.add(put, stage, "b", wait)
                    return
                error = await outcome_of(put(stage, "b", wait))
                if where == "its body" and error is not None:
                    raise error

        async with library.group() as start:
            error = await outcome_of(block())
        if where != "its body":
            assert error is None
        else:
            assert isinstance(error, TransactionClosed)
            assert "was cancelled: the transaction is roll" in str(error)
        await library.checkpoint()  # and nothing of it is left

    library.run(main)
    assert stage.told == "+a +b -b -a"
    assert stage.wrong() == []


@in_asyncio
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_block_that_is_cancelled_from_outside_as_well_as_rolled_back_ends_as_cancelled(
    library: Library, when: str
) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, go_on = stage.waiting()
        stage.undoing["a"] = wait
        inside = library.event()

        async def stay() -> None:
            inside.set()
            await library.forever()

        async def block() -> None:
            with library.scope() as scope:
                scopes.append(scope)
                async with transaction() as q:
                    blocks.append(q)
                    await put(stage, "a")
                    await put(stage, "b", stay)
            assert scope.cancelled_caught
            current = asyncio.current_task()
            assert current is not None
            assert current.cancelling() == 0

        scopes: list[Any] = []
        blocks: list[AsyncTransaction] = []
        task = asyncio.create_task(block())
        await inside.wait()
        if when == "before":
            scopes[0].cancel()
        undo = asyncio.create_task(blocks[0].rollback())
        await there.wait()
        if when == "after":
            scopes[0].cancel()
        go_on.set()
        await asyncio.gather(task, undo)

    library.run(main)
    assert stage.told == "+a +b -b -a"


@in_asyncio
@pytest.mark.parametrize("running", [1, 2])
def test_an_explicit_rollback_cancels_the_steps_that_are_running(library: Library, running: int) -> None:
    stage = Stage(library)

    async def main() -> None:
        waits = [stage.waiting() for _ in range(running)]
        async with transaction() as q:
            tasks = [asyncio.ensure_future(put(stage, str(n), wait)) for n, (wait, _, _) in enumerate(waits)]
            for _, there, _ in waits:
                await there.wait()
            await q.rollback()
            assert [task.cancelled() for task in tasks] == [True] * running

    library.run(main)
    assert stage.wrong() == []


@in_asyncio
def test_a_block_that_another_task_rolls_back_while_it_waits_for_its_steps_does_not_commit(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, _ = stage.waiting()

        async def undo() -> None:
            await library.checkpoint(5)  # by then, the block waits
            await q.rollback()

        async with transaction() as q:
            await put(stage, "a")
            step = asyncio.ensure_future(put(stage, "b", wait))
            await there.wait()
            task = asyncio.create_task(undo())
        assert q.state is TransactionState.ROLLED_BACK
        assert await outcome_of(task) is None
        assert isinstance(await outcome_of(step), asyncio.CancelledError)

    library.run(main)
    assert stage.told == "+a +b -b -a"
    assert stage.wrong() == []


@everywhere
def test_a_block_that_is_being_committed_is_not_rolled_back_by_another_task(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, go_on = stage.waiting()

        class Slow(Interceptor):
            def committing(self, block: object, hooks: object) -> Request:
                return Await(wait(), "the commit")

        async def undo() -> None:
            await there.wait()
            try:
                with pytest.raises(IllegalOperation, match="it is being committed"):
                    await q.rollback()
            finally:
                go_on.set()

        async with library.group() as start:
            with observed(lambda _block, _before: Slow()):
                async with transaction() as q:
                    await put(stage, "a")
                    start(undo)
        assert q.state is TransactionState.COMMITTED

    library.run(main)
    assert stage.told == "+a"


@in_asyncio
@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
@pytest.mark.parametrize("ignores", [False, True])
def test_a_signal_that_arrives_while_the_step_of_another_task_is_undone_comes_out_of_the_block(
    library: Library, ignores: bool
) -> None:
    stage = Stage(library)

    async def main() -> None:
        async def pressed() -> None:
            signal.raise_signal(signal.SIGTERM)

        async def block() -> None:
            async with q:
                await put(stage, "a")
                tasks.append(asyncio.create_task(outcome_of(put(stage, "b", boom()))))
                error = await outcome_of(library.forever())
                assert isinstance(error, asyncio.CancelledError)
                if not ignores:
                    raise error

        stage.undoing["b"] = pressed
        tasks: list[asyncio.Task[BaseException | None]] = []
        q = transaction()
        assert isinstance(await outcome_of(block()), SystemExit)
        assert q.state is TransactionState.ROLLED_BACK
        assert isinstance(await tasks[0], Boom)

    with handle_signals():
        library.run(main)
    assert stage.told == "+a +b -b -a"
