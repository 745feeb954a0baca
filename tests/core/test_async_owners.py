"""Only who has entered a block ends it: other tasks and threads are refused, and told what to do (R20b)."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from actionqueues import (
    AsyncTransaction,
    IllegalOperation,
    Transaction,
    TransactionState,
    handle_signals,
    transaction,
)
from tests.async_library import Library, everywhere, in_asyncio, outcome_of
from tests.async_stage import Boom, Stage, boom, put

from .test_threads import Trail, in_thread
from .test_threads import put as put_down

OPERATIONS = ["execute", "rollback"]


async def end(block: AsyncTransaction, how: str) -> None:
    """Try to end it."""
    if how == "execute":
        await block.execute()
    else:
        await block.rollback()


@everywhere
@pytest.mark.parametrize("how", OPERATIONS)
def test_another_task_cannot_end_a_block(library: Library, how: str) -> None:
    stage = Stage(library)
    refused: list[BaseException | None] = []

    async def main() -> None:
        async def other() -> None:
            refused.append(await outcome_of(end(q, how)))

        async with transaction("order") as q:
            await put(stage, "a")
            q.add(put, stage, "queued")
            async with library.group() as start:
                start(other)
            assert q.state is TransactionState.OPEN
            assert stage.told == "+a"
        assert str(q.state) == "committed"

    library.run(main)
    (error,) = refused
    assert isinstance(error, IllegalOperation)
    assert "another task" in str(error)
    assert "order" in str(error)
    assert stage.told == "+a +queued"


@everywhere
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_leaving_it_in_another_task_raises_nothing_and_ends_it(library: Library, ends: str) -> None:
    """A framework may enter and leave it in two tasks (R23)."""
    stage = Stage(library)
    made = transaction("order")

    async def main() -> None:
        async def enter() -> None:
            q = await made.__aenter__()
            await put(stage, "a")
            q.add(put, stage, "queued")

        async def leave() -> None:
            error = Boom() if ends == "badly" else None
            assert await outcome_of(made.__aexit__(None if error is None else Boom, error, None)) is None

        for job in (enter, leave):
            async with library.group() as start:
                start(job)

    library.run(main)
    assert made.state is (TransactionState.COMMITTED if ends == "well" else TransactionState.ROLLED_BACK)
    assert stage.told == ("+a +queued" if ends == "well" else "+a -a")


@everywhere
def test_a_task_that_a_step_has_started_cannot_end_the_block_either(library: Library) -> None:
    stage = Stage(library)
    refused: list[BaseException | None] = []

    async def main() -> None:
        async def other() -> None:
            refused.extend([await outcome_of(q.execute()), await outcome_of(q.rollback())])

        async def inside() -> None:
            async with library.group() as start:
                start(other)

        async with transaction() as q:
            q.add(put, stage, "queued")
            await put(stage, "a", inside)
        assert str(q.state) == "committed"

    library.run(main)
    assert [type(error) for error in refused] == [IllegalOperation] * 2
    assert stage.told == "+a +queued"


@everywhere
def test_a_task_may_end_the_savepoint_that_it_has_entered(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        async def other() -> None:
            async with transaction("its own") as inner:
                inner.add(put, stage, "b")
                await inner.execute()
                await inner.rollback()

        async with transaction() as q, library.group() as start:
            await put(stage, "a")
            start(other)
        assert str(q.state) == "committed"

    library.run(main)
    assert stage.told == "+a +b -b"


@everywhere
def test_a_task_that_finds_out_that_the_block_must_not_commit_raises_in_a_step(library: Library) -> None:
    """The way out that the refusal names."""
    stage = Stage(library)

    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with transaction() as q, library.group() as start:
                await put(stage, "a")
                start(put, stage, "b", boom())
        assert caught.group_contains(Boom)
        assert q.state is TransactionState.ROLLED_BACK

    library.run(main)
    assert stage.wrong() == []


@pytest.mark.parametrize("how", OPERATIONS)
def test_another_thread_cannot_end_a_sync_block(how: str) -> None:
    trail: Trail = []
    refused: list[BaseException | None] = []

    def other(q: Transaction) -> None:
        if how == "execute":
            q.execute()
        else:
            q.rollback()

    with transaction("order") as q:
        put_down(trail, "a")
        q.add(put_down, trail, "queued")
        refused.append(in_thread(lambda: other(q)))
        assert (q.state, trail) == ("open", ["do a"])
    (error,) = refused
    assert isinstance(error, IllegalOperation)
    assert "another thread" in str(error)
    assert trail == ["do a", "do queued"]


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
    assert stage.wrong(ordered=False) == []


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
