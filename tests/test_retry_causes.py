"""What comes out when a policy gives up on an `ActionRetryException`: the error that this was raised from."""

from __future__ import annotations

import asyncio
import gc
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from actionqueues import (
    ActionRetryException,
    DoublingBackoffExceptionFactory,
    Retry,
    RollbackFailed,
    action,
    bounded,
    transaction,
)
from actionqueues.retry import Policy

from .world import Boom

POLICIES: list[Policy] = [Retry(attempts=2), bounded(lambda attempt, error: 0, attempts=2)]


def asks(cause: Exception) -> Callable[[], None]:
    def body() -> None:
        try:
            raise cause
        except Exception as error:
            raise ActionRetryException(0) from error

    return body


def called(cause: Exception, policy: Policy) -> None:
    with transaction():
        action(retry=policy)(asks(cause))()


def queued(cause: Exception, policy: Policy) -> None:
    with transaction() as q:
        q.add(action(retry=policy)(asks(cause)))


def a_whole_block(cause: Exception, policy: Policy) -> None:
    transaction(retry=policy)(asks(cause))()


def a_whole_async_block(cause: Exception, policy: Policy) -> None:
    @transaction(retry=policy)
    async def body() -> None:
        asks(cause)()

    asyncio.run(body())


def awaited(cause: Exception, policy: Policy) -> None:
    @action(retry=policy)
    async def body() -> None:
        asks(cause)()

    async def main() -> None:
        async with transaction():
            await body()

    asyncio.run(main())


def undone(cause: Exception, policy: Policy) -> None:
    @action
    def do() -> None:
        """Nothing."""

    do.rollback(retry=policy)(asks(cause))
    with transaction() as q:
        do()
        with pytest.raises(RollbackFailed) as caught:
            q.rollback()
    raise caught.value.exceptions[0]


every_way = pytest.mark.parametrize("way", [called, queued, a_whole_block, a_whole_async_block, awaited, undone])


@every_way
@pytest.mark.parametrize("policy", POLICIES)
def test_the_cause_comes_out_with_one_note_of_how_it_ended(way: Callable[..., None], policy: Policy) -> None:
    cause = Boom("the real one")
    with pytest.raises(Boom) as caught:
        way(cause, policy)
    assert caught.value is cause
    told = [note for note in cause.__notes__ if "gave up" in note]
    assert [note.partition(" in ")[0] for note in told] == ["actionqueues: gave up after 2 attempts"]
    assert told[0].endswith("s: attempts=2 allows no more")
    text = "".join(traceback.format_exception(cause))
    assert text.count("Boom: the real one") == 1


@every_way
def test_a_policy_that_fails_does_not_hide_it_either(way: Callable[..., None]) -> None:
    def broken(_attempt: int, _error: BaseException) -> float:
        return 1 / 0

    with pytest.raises(Boom) as caught:
        way(Boom("the real one"), broken)
    assert caught.value.__notes__[0].startswith("actionqueues: not retried, because the retry policy failed: ZeroDiv")


class Weak(Boom):
    """One that can be watched."""


def hidden() -> None:
    try:
        raise Weak
    except Weak as error:
        raise ActionRetryException(0) from error


def nothing() -> None: ...


def called_once() -> None:
    with transaction():
        action(hidden, retry=Retry(attempts=2), undo=nothing)()


@pytest.mark.parametrize("way", [called_once, transaction(retry=Retry(attempts=2))(hidden)])
def test_what_comes_out_does_not_wait_for_the_collector(way: Callable[[], None]) -> None:
    gc.collect()
    gc.disable()
    try:
        assert watched(way)() is None
    finally:
        gc.enable()


def watched(way: Callable[[], None]) -> weakref.ref[Any]:
    try:
        way()
    except Weak as error:
        return weakref.ref(error)
    raise AssertionError("it has not failed")


def test_what_the_step_and_its_handler_know_is_the_cause_too() -> None:
    seen: list[object] = []
    cause = Boom("the real one")
    do = action(retry=Retry(attempts=2))(asks(cause))

    @do.rollback
    def undo(error: BaseException, cause: BaseException, step: Any) -> None:
        seen.extend((error, cause, step.error))

    with pytest.raises(Boom), transaction():
        do()
    assert seen == [cause] * 3


def test_without_a_policy_it_is_obeyed_as_often_as_it_is_raised() -> None:
    calls: list[int] = []

    def body() -> None:
        calls.append(1)
        if len(calls) < 30:
            raise ActionRetryException(0) from Boom()

    with transaction():
        action(body)()
    assert len(calls) == 30


@every_way
def test_a_chain_of_them_is_followed_to_its_end(way: Callable[..., None]) -> None:
    cause, asking = Boom("the real one"), ActionRetryException(0)
    asking.__cause__ = cause
    with pytest.raises(Boom) as caught:
        way(asking, POLICIES[0])
    assert caught.value is cause


def test_one_that_was_raised_from_itself_comes_out() -> None:
    asking = ActionRetryException(0)
    asking.__cause__ = asking
    with pytest.raises(ActionRetryException) as caught, transaction():
        action(retry=Retry(attempts=1), read_only=True)(raising(asking))()
    assert caught.value is asking


def raising(error: Exception) -> Callable[[], None]:
    def body() -> None:
        raise error

    return body


@action
def mail() -> None:
    """Cannot be taken back."""


@pytest.mark.parametrize("attempts", [1, 2])
@pytest.mark.parametrize("whole", [False, True], ids=["step", "block"])
def test_what_was_left_is_told_on_the_cause(whole: bool, attempts: int) -> None:
    cause, policy = Boom("the real one"), Retry(attempts=attempts, wait_initial=0, wait_jitter=0)

    def body() -> None:
        mail()
        asks(cause)()

    step = transaction(retry=policy)(body) if whole else transaction(action(retry=policy, undo=nothing)(body))
    with pytest.raises(Boom) as caught:
        step()
    assert caught.value is cause
    told = sorted(note.partition(" after ")[0] for note in cause.__notes__)
    left = "actionqueues: not tried again, because something that it had made was left behind"
    assert told == sorted(
        ["actionqueues: not undone: mail (no rollback handler)", left if attempts > 1 else "actionqueues: gave up"]
    )


def test_what_a_factory_gives_up_has_a_note_that_ends_with_the_time() -> None:
    factory = DoublingBackoffExceptionFactory(retries=2, ms_backoff_initial=0)
    cause = Boom("the real one")
    with pytest.raises(Boom), transaction():
        action(lambda: factory.raise_exception(cause), read_only=True)()
    assert cause.__notes__[0].startswith("actionqueues: gave up after 3 attempts in ")
    assert cause.__notes__[0].endswith(" s")


def test_the_factory_tells_what_it_hides() -> None:
    cause = Boom("the real one")
    factory = DoublingBackoffExceptionFactory(retries=5, ms_backoff_initial=0)

    @action(retry=Retry(attempts=2))
    def do() -> None:
        factory.raise_exception(cause)

    with pytest.raises(Boom) as caught, transaction():
        do()
    assert caught.value is cause


def test_the_factory_without_an_exception_hides_nothing_more() -> None:
    with pytest.raises(ActionRetryException) as caught:
        try:
            raise Boom
        except Boom:
            DoublingBackoffExceptionFactory().raise_exception()
    assert isinstance(caught.value.__context__, Boom)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ is False
