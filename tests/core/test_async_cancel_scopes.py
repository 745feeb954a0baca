"""Timeouts and cancel scopes around a block, around its rollback and inside its handlers (R21)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from actionqueues import (
    TransactionState,
    transaction,
)
from tests.async_library import Library, in_asyncio, in_trio
from tests.async_stage import Boom, Moment, Stage, mark, put


@in_asyncio
def test_a_timeout_around_the_block_comes_out_as_a_timeout(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                async with transaction() as q:
                    await put(stage, "a")
                    await put(stage, "b", None, library.forever)
        assert q.state is TransactionState.ROLLED_BACK
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(block(), 0.001)

    async def block() -> None:
        async with transaction():
            await put(stage, "c", library.forever)

    library.run(main)
    assert stage.wrong(ordered=False) == []


@in_asyncio
def test_a_timeout_around_a_rollback_comes_out_once_that_has_ended(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(None) as timeout:

                async def expire() -> None:
                    timeout.reschedule(loop.time())
                    while not timeout.expired():
                        await asyncio.sleep(0)

                stage.undoing["b"] = expire
                async with transaction() as q:
                    await put(stage, "a")
                    await put(stage, "b")
                    raise Boom
        assert q.state is TransactionState.ROLLED_BACK
        cancelled = caught.value.__cause__
        assert isinstance(cancelled, asyncio.CancelledError)
        assert isinstance(cancelled.__context__, Boom)

    library.run(main)
    assert stage.told == "+a +b -b -a"


@in_asyncio
def test_timeouts_inside_a_handler_work_as_ever(library: Library) -> None:
    stage = Stage(library)

    async def limited() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await library.forever()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(library.forever(), 0.001)
        async with library.group() as start:
            start(library.checkpoint)

    async def main() -> None:
        stage.undoing["a"] = limited
        with pytest.raises(Boom):
            async with transaction() as q:
                await put(stage, "a")
                raise Boom
        assert q.report.clean

    library.run(main)
    assert stage.told == "+a -a"


@in_trio
def test_cancel_scopes_around_the_block_and_around_a_rollback_end_as_ever(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        with library.scope() as outer:
            with library.scope() as inner:
                stage.undoing["b"] = boom_after(outer.cancel)
                async with transaction() as q:
                    await put(stage, "a")
                    await put(stage, "b", None, boom_after(inner.cancel, library.forever))
            stage.say("inner ended")
            await library.checkpoint()
            stage.say("never")
        assert (inner.cancelled_caught, outer.cancelled_caught) == (False, True)
        assert q.state is TransactionState.ROLLED_BACK

    def boom_after(cancel: Callable[[], object], then: Callable[[], Awaitable[object]] = library.checkpoint) -> Moment:
        async def moment() -> None:
            cancel()
            await then()

        return moment

    library.run(main)
    assert stage.told.startswith("+a +b -b -a")
    assert "never" not in stage.trail


@in_asyncio
def test_a_cancellation_that_a_task_group_has_taken_back_does_not_replace_its_error(library: Library) -> None:
    stage = Stage(library)

    def fail() -> None:
        raise Boom("b")

    async def job() -> None:
        mark(stage, "b", fail)  # as an eager task, it fails and cancels its parent while that is running

    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with transaction():
                await put(stage, "a")
                async with asyncio.TaskGroup() as group:
                    group.create_task(job())
        assert str(caught.value.exceptions[0]) == "b"

    library.run(main)
    assert stage.told == "+a +b -b -a"
    assert stage.wrong() == []
