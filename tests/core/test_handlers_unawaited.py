"""A plain rollback handler that returns a coroutine has undone nothing: that is a failed undo, with a reason."""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from actionqueues import (
    ActionQueue,
    CoroutineNotAwaited,
    Retry,
    RollbackFailed,
    Step,
    TransactionDoomed,
    action,
    transaction,
)
from tests.world import Boom

MESSAGE = re.compile(
    r"the rollback handler of book \((by_\w+) in .*test_handlers_unawaited\.py, line \d+\) returned a coroutine of "
    "cancel, which nobody awaits: make it an `async def` that awaits it, or mark it as one, .*"
)
NOTE = "actionqueues: the undo of book failed: CoroutineNotAwaited('"


async def cancel(*_: object) -> None:
    raise AssertionError("nothing can await it")


def by_argument(hotel: str) -> Coroutine[Any, Any, None]:
    return cancel(hotel)


def by_step(step: Step[None]) -> Coroutine[Any, Any, None]:
    return cancel(step)


def by_result(result: str) -> Coroutine[Any, Any, None]:
    return cancel(result)


def by_keyword(*, hotel: str) -> Coroutine[Any, Any, None]:
    return cancel(hotel)


HANDLERS: list[Callable[..., object]] = [by_argument, by_step, by_result, by_keyword]
each_handler = pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.__name__)


def booking(handler: Callable[..., object], **options: Any) -> Callable[[str], str]:
    @action
    def book(hotel: str) -> str:
        if hotel == "Full":
            raise Boom(hotel)
        return hotel.upper()

    book.__qualname__ = "book"
    made: Any = book
    made.rollback(retry=options.get("retry"))(handler)
    return book


@each_handler
def test_the_undo_has_failed_and_the_others_run(handler: Callable[..., object]) -> None:
    undone: list[str] = []
    with pytest.raises(Boom, match="body") as caught, transaction() as q:
        q.on_rollback(undone.append, "first")
        booking(handler)("Ritz")
        q.on_rollback(undone.append, "last")
        raise Boom("body")
    [(step, error)] = q.report.failures
    assert MESSAGE.fullmatch(str(error))
    assert (type(error), step.state) == (CoroutineNotAwaited, "undo failed")
    assert (undone, q.state) == (["last", "first"], "rolled back with failures")
    assert [note[: len(NOTE)] for note in caught.value.__notes__] == [NOTE]
    gc.collect()  # an un-awaited coroutine would warn, which is an error here


@pytest.mark.parametrize("handler", [by_argument, by_step], ids=lambda handler: handler.__name__)
def test_an_undo_at_once_has_failed_likewise(handler: Callable[..., object]) -> None:
    with pytest.raises(TransactionDoomed), transaction():
        with pytest.raises(Boom) as caught:
            booking(handler)("Full")
        assert [note[: len(NOTE)] for note in caught.value.__notes__] == [NOTE]


def test_an_explicit_rollback_raises_it() -> None:
    with pytest.raises(RollbackFailed) as caught, transaction() as q:
        booking(by_argument)("Ritz")
        q.rollback()
    assert [bool(MESSAGE.fullmatch(str(error))) for error in caught.value.exceptions] == [True]


def test_a_policy_of_the_undo_makes_no_further_attempt_which_would_return_another_one() -> None:
    calls: list[str] = []

    def handler(hotel: str) -> object:
        calls.append(hotel)
        return cancel()

    with pytest.raises(Boom, match="body"), transaction() as q:
        booking(handler, retry=Retry(attempts=3, wait_initial=0, wait_jitter=0))("Ritz")
        raise Boom("body")
    assert (calls, q.state) == (["Ritz"], "rolled back with failures")


def test_an_undo_by_hand_and_an_action_object_are_no_exceptions() -> None:
    class Work:
        def execute(self) -> None: ...

        def rollback(self) -> object:
            return cancel()

    with pytest.raises(Boom, match="body"), transaction() as q:
        q.on_rollback(lambda: cancel())
        q.add(Work())
        q.execute()
        raise Boom("body")
    assert len(q.report.failures) == 2
    assert all("returned a coroutine of cancel" in str(error) for _, error in q.report.failures)


def test_a_classic_queue_lists_it_in_its_report() -> None:
    queue = ActionQueue()
    queue.add(booking(by_argument), "Ritz")
    queue.execute()
    queue.rollback()
    assert [bool(MESSAGE.fullmatch(str(error))) for _, error in queue.report.failures] == [True]


@pytest.mark.parametrize("overridden", [False, True])
def test_a_handler_that_is_a_method_is_no_exception(overridden: bool) -> None:
    class Shop:
        @action
        def sell(self, thing: str) -> None: ...

        @sell.rollback
        def buy_back(self, thing: str) -> object:
            return cancel(thing)

    class Corner(Shop):
        def buy_back(self, thing: str) -> object:
            return cancel(thing)

    with pytest.raises(Boom, match="body"), transaction() as q:
        (Corner if overridden else Shop)().sell("book")
        raise Boom("body")
    assert [type(error) for _, error in q.report.failures] == [CoroutineNotAwaited]


@pytest.mark.parametrize("result", [None, 5, "text", []], ids=repr)
def test_whatever_else_a_handler_returns_is_of_no_interest(result: object) -> None:
    with pytest.raises(Boom, match="body"), transaction() as q:
        booking(lambda: result)("Ritz")
        raise Boom("body")
    assert (q.state, q.report.undone) == ("rolled back", ["book"])


def test_an_override_that_is_async_is_awaited_in_place_of_one_that_is_not() -> None:
    undone: list[str] = []

    class Shop:
        @action
        async def sell(self, thing: str) -> None: ...

        @sell.rollback
        def buy_back(self, thing: str) -> object:
            undone.append(f"not {thing}")
            return None

    class Corner(Shop):
        async def buy_back(self, thing: str) -> None:
            undone.append(thing)

    async def main() -> None:
        async with transaction() as q:
            await Corner().sell("book")
            await q.rollback()

    asyncio.run(main())
    assert undone == ["book"]
