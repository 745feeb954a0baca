"""Rollbacks in the cancel scopes and task groups of anyio, as web frameworks use them, in asyncio (R21)."""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from actionqueues import TransactionState, transaction
from tests.async_library import Library, in_asyncio, raised_together
from tests.async_stage import Boom, Stage, mark, put


@pytest.fixture
def anyio() -> Iterator[Any]:
    """The library, which the other tests do without."""
    pytest.importorskip("anyio")
    yield importlib.import_module("anyio")
    del sys.modules["anyio"]


@in_asyncio
def test_a_rollback_in_a_cancelled_scope_is_not_cancelled_at_every_turn_of_the_event_loop(
    library: Library, anyio: Any
) -> None:
    stage = Stage(library)
    counts: list[int] = []

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None

        async def slow() -> None:
            await library.checkpoint(20)
            counts.append(task.cancelling())

        stage.undoing["a"] = slow
        with anyio.CancelScope() as scope:
            async with transaction() as q:
                await put(stage, "a")
                scope.cancel()
                await put(stage, "b", library.forever)
        assert scope.cancelled_caught
        assert q.state is TransactionState.ROLLED_BACK
        await library.checkpoint()

    library.run(main)
    assert stage.told == "+a +b -b -a"
    assert counts == [1]


@in_asyncio
def test_the_hooks_of_a_block_in_a_cancelled_scope_are_called_before_that_ends(library: Library, anyio: Any) -> None:
    stage = Stage(library)

    async def main() -> None:
        with anyio.CancelScope() as scope:
            async with transaction() as q:
                q.on_commit(library.checkpoint, 5)
                q.on_commit(stage.say, "hook")
                scope.cancel()
            await library.forever()
        assert scope.cancelled_caught

    library.run(main)
    assert stage.told == "hook"


@in_asyncio
def test_a_group_that_ends_with_the_steps_that_a_failing_block_cancels_does_not_hide_its_error(
    library: Library, anyio: Any
) -> None:
    stage = Stage(library)

    async def main() -> None:
        there = library.event()

        async def wait() -> None:
            there.set()
            await library.forever()

        async with anyio.create_task_group() as group, transaction():
            group.start_soon(put, stage, "a", wait)
            await there.wait()
            raise Boom

    with pytest.raises(BaseExceptionGroup) as caught:
        library.run(main)
    assert [type(error) for error in raised_together(caught.value)] == [Boom]
    assert stage.told == "+a -a"


def test_a_rollback_whose_coroutine_is_closed_outside_its_task_goes_on(anyio: Any) -> None:
    library = Library()
    stage = Stage(library)
    stage.undoing["b"] = library.forever

    async def block() -> None:
        async with transaction():
            mark(stage, "a")
            await put(stage, "b")
            await library.forever()

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, context: stage.say(context["message"]))
    task = loop.create_task(block())
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    while "-b" not in stage.trail:
        loop.run_until_complete(asyncio.sleep(0))
    coroutine = task.get_coro()
    assert coroutine is not None
    coroutine.close()
    loop.close()
    del task, coroutine
    gc.collect()
    assert stage.trail[:4] == ["+a", "+b", "-b", "-a"]
    assert anyio is sys.modules["anyio"]
