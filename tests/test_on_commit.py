"""`actionqueues.on_commit`: for code that has no `q`; and hooks and undos that are registered by a decorator."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from actionqueues import (
    ActionQueue,
    AsyncActionInSyncBlock,
    AsyncTransaction,
    CommitHookFailed,
    NoTransaction,
    TransactionClosed,
    action,
    on_commit,
    transaction,
)

from .world import Boom


@pytest.fixture
def trail() -> list[str]:
    return []


def test_it_is_called_once_the_transaction_has_committed(trail: list[str]) -> None:
    with transaction():
        on_commit(trail.append, "hook")
        trail.append("body")
    assert trail == ["body", "hook"]


def test_it_is_not_called_if_that_fails(trail: list[str]) -> None:
    with pytest.raises(Boom), transaction():
        on_commit(trail.append, "hook")
        raise Boom
    assert trail == []


def test_it_belongs_to_the_innermost_block(trail: list[str]) -> None:
    with transaction():
        on_commit(trail.append, "outer")
        with pytest.raises(Boom), transaction():
            on_commit(trail.append, "undone")
            raise Boom
        with transaction(independent=True):
            on_commit(trail.append, "independent")
        trail.append("body")
    assert trail == ["independent", "body", "outer"]


def test_it_belongs_to_the_step_that_calls_it(trail: list[str]) -> None:
    @action
    def fails() -> None:
        on_commit(trail.append, "undone")
        raise Boom

    with transaction(), pytest.raises(Boom):
        fails()
    assert trail == []


def test_it_is_called_at_once_where_there_is_no_block(trail: list[str]) -> None:
    assert on_commit(trail.append, "now") == trail.append
    assert trail == ["now"]
    with pytest.raises(Boom):
        on_commit(raising)


def raising() -> None:
    raise Boom


def test_as_a_decorator_it_leaves_the_function_what_it_was(trail: list[str]) -> None:
    with transaction() as q:

        @on_commit
        def first() -> None:
            trail.append("first")

        @q.on_commit
        def second() -> None:
            trail.append("second")

        first()
        second()
    assert trail == ["first", "second"] * 2


def test_an_undo_by_hand_may_be_given_by_a_decorator(trail: list[str]) -> None:
    with pytest.raises(Boom), transaction() as q:

        @q.on_rollback
        def undo() -> None:
            trail.append("undone")

        assert undo.__name__ == "undo"
        raise Boom
    assert trail == ["undone"]


def test_in_a_hook_it_comes_behind_the_others(trail: list[str]) -> None:
    def hook() -> None:
        on_commit(trail.append, "third")
        trail.append("first")
        with transaction():
            on_commit(trail.append, "of its own")

    with transaction() as q:
        q.on_commit(hook)
        q.on_commit(trail.append, "second")
    assert trail == ["first", "of its own", "second", "third"]


def test_in_a_hook_of_a_savepoint_it_comes_behind_all_of_the_outermost_block(trail: list[str]) -> None:
    with transaction() as q:
        with q.savepoint():
            on_commit(lambda: on_commit(lambda: on_commit(trail.append, "third")))
        q.on_commit(trail.append, "first")
        q.on_commit(trail.append, "second")
    assert trail == ["first", "second", "third"]


def test_what_fails_in_a_hook_of_a_hook_loses_no_other(trail: list[str]) -> None:
    def hook() -> None:
        on_commit(raising)
        on_commit(trail.append, "called")
        raise Boom

    with pytest.raises(CommitHookFailed) as caught, transaction():
        on_commit(hook)
    assert [type(error) for error in caught.value.exceptions] == [Boom, Boom]
    assert trail == ["called"]


def test_what_is_started_in_a_hook_and_goes_on_later_is_in_no_block(trail: list[str]) -> None:
    async def main() -> None:
        go = asyncio.Event()
        tasks: list[asyncio.Task[None]] = []

        async def later() -> None:
            await go.wait()
            on_commit(trail.append, "at once")

        async with transaction() as q:
            q.on_commit(lambda: tasks.append(asyncio.create_task(later())))
        go.set()
        await tasks[0]

    asyncio.run(main())
    assert trail == ["at once"]


def test_async_hooks_are_awaited_in_async_blocks_and_by_hooks_of_these(trail: list[str]) -> None:
    async def inner() -> None:
        await asyncio.sleep(0)
        trail.append("inner")

    async def outer() -> None:
        await asyncio.sleep(0)
        on_commit(inner)
        trail.append("outer")

    async def main() -> None:
        async with transaction():
            on_commit(outer)

    asyncio.run(main())
    assert trail == ["outer", "inner"]


async def later() -> None:
    raise AssertionError("it is not even begun")


def test_an_async_function_is_refused_where_nothing_awaits_it() -> None:
    with transaction(), pytest.raises(AsyncActionInSyncBlock):
        on_commit(later)
    for fn in (later, lambda: later()):
        with pytest.raises(NoTransaction, match="it is async, so await it yourself, or register it inside `async with"):
            on_commit(fn)


def test_wrong_arguments_are_refused_at_once_in_a_block_and_outside(trail: list[str]) -> None:
    wrong = cast("Callable[..., object]", raising)
    with pytest.raises(TypeError, match="raising"):
        on_commit(wrong, 1)
    with transaction(), pytest.raises(TypeError, match="raising"):
        on_commit(wrong, 1)


def test_in_a_rollback_handler_which_is_outside_any_block_it_is_called_at_once(trail: list[str]) -> None:
    with pytest.raises(Boom), transaction() as q:
        q.on_rollback(lambda: on_commit(trail.append, "undo"))
        raise Boom
    assert trail == ["undo"]


def test_in_a_classic_queue_it_belongs_to_the_block_around_that_if_there_is_one(trail: list[str]) -> None:
    def run() -> None:
        queue = ActionQueue()
        queue.add(lambda: on_commit(trail.append, "hook"))
        queue.execute()
        trail.append("executed")

    with transaction():
        run()
    assert trail == ["executed", "hook"]
    run()
    assert trail == ["executed", "hook", "hook", "executed"]


def test_what_has_outlived_its_block_is_told_so() -> None:
    raised: list[BaseException] = []
    go = threading.Event()

    def straggle() -> None:
        go.wait(30)
        try:
            on_commit(raising)
        except BaseException as error:
            raised.append(error)

    async def main() -> Any:
        async with transaction():
            running = asyncio.get_running_loop().create_task(asyncio.to_thread(straggle))
        go.set()
        await running

    asyncio.run(main())
    assert [type(error) for error in raised] == [TransactionClosed]


@pytest.mark.parametrize("way", ["on_commit", "q.on_commit", "q.on_rollback", "q.add"])
def test_what_a_failed_step_has_started_is_told_so_too_whatever_it_registers(way: str) -> None:
    raised: list[BaseException] = []

    async def straggle(q: AsyncTransaction, go: asyncio.Event) -> None:
        register: Any = on_commit if way == "on_commit" else getattr(q, way[2:])
        await go.wait()
        try:
            register(raising)
        except BaseException as error:
            raised.append(error)

    async def main() -> None:
        go, tasks = asyncio.Event(), list[Any]()

        @action
        async def fails() -> None:
            tasks.append(asyncio.create_task(straggle(q, go)))
            await asyncio.sleep(0)
            raise Boom

        async with transaction() as q:
            with pytest.raises(Boom):
                await fails()
            go.set()
            await tasks[0]

    asyncio.run(main())
    assert [type(error) for error in raised] == [TransactionClosed]
