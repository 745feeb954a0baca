"""`Retry(on_result=...)`: an action is made again until it returns what is waited for, in sync and in async blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from actionqueues import ActionQueue, Retry, RetryError, action, bounded, current_step, transaction
from actionqueues.retry import Policy
from tests.inside import SLEEP

from .world import Boom


def until(least: int, **options: Any) -> Retry:
    """Makes it again until it returns that much."""
    return Retry(wait_initial=0, wait_jitter=0, on_result=lambda value: value < least, **options)


class Poll:
    """An action that counts its calls, with its undo: one world for blocks of both kinds."""

    def __init__(self, policy: Policy, *, fails: tuple[int, ...] = (), needs_result: bool = True) -> None:
        self.calls = 0
        self.undone: list[Any] = []

        def body() -> int:
            self.calls += 1
            if self.calls in fails:
                raise Boom(str(self.calls))
            return self.calls

        async def body_async() -> int:
            await asyncio.sleep(0)
            return body()

        def undo(result: int, error: BaseException | None) -> None:
            self.undone.append((result, type(error)))

        def undo_whatever(result: int | None = None, error: BaseException | None = None) -> None:
            self.undone.append((result, type(error)))

        self.sync, self.later = action(retry=policy)(body), action(retry=policy)(body_async)
        for each in (self.sync, self.later):
            each.rollback(undo if needs_result else undo_whatever)


def called(poll: Poll) -> int:
    with transaction():
        return poll.sync()


def queued(poll: Poll) -> int:
    with transaction() as q:
        step = q.add(poll.sync)
        q.execute()
    return step.result


def in_a_thread(poll: Poll) -> int:
    return asyncio.run(asyncio.to_thread(called, poll))


def awaited(poll: Poll) -> int:
    async def main() -> int:
        async with transaction():
            return await poll.later()

    return asyncio.run(main())


def awaited_from_the_queue(poll: Poll) -> int:
    async def main() -> int:
        async with transaction() as q:
            step = q.add(poll.later)
        return step.result

    return asyncio.run(main())


def sync_in_async(poll: Poll) -> int:
    async def main() -> int:
        async with transaction():
            return poll.sync()

    return asyncio.run(main())


every_way = pytest.mark.parametrize(
    "way", [called, queued, in_a_thread, awaited, awaited_from_the_queue, sync_in_async]
)


@every_way
def test_it_is_made_again_until_the_result_is_what_is_waited_for(way: Callable[[Poll], int]) -> None:
    poll = Poll(until(4))
    assert way(poll) == 4
    assert poll.undone == []


@every_way
@pytest.mark.parametrize("policy", [until(9, attempts=3), bounded(until(9), attempts=3)])
def test_when_the_policy_gives_up_the_step_is_undone_with_the_last_result(
    way: Callable[[Poll], int], policy: Policy
) -> None:
    poll = Poll(policy)
    with pytest.raises(RetryError) as caught:
        way(poll)
    error = caught.value
    assert (error.result, error.attempts) == (3, 3)
    assert str(error).endswith("body was not done after 3 attempts: the last one returned 3") or "body_async" in str(
        error
    )
    assert error.__notes__[0].startswith("actionqueues: gave up after 3 attempts in ")
    assert error.__notes__[0].endswith(" s: attempts=3 allows no more")
    assert poll.undone == [(3, RetryError)]


@every_way
def test_one_attempt_that_is_not_good_enough_is_told_as_well(way: Callable[[Poll], int]) -> None:
    with pytest.raises(RetryError, match="after 1 attempt: the last one returned 1") as caught:
        way(Poll(until(9, attempts=1)))
    assert len([note for note in caught.value.__notes__ if "gave up after 1 attempt in" in note]) == 1


@every_way
def test_errors_and_results_count_together_and_an_error_has_no_result(way: Callable[[Poll], int]) -> None:
    poll = Poll(until(9, attempts=3, on=Boom), fails=(1, 3), needs_result=False)
    with pytest.raises(Boom, match="3"):
        way(poll)
    assert poll.undone == [(None, Boom)]


@every_way
def test_errors_that_are_not_worth_it_come_out_at_once(way: Callable[[Poll], int]) -> None:
    poll = Poll(until(9, on=OSError), fails=(2,), needs_result=False)
    with pytest.raises(Boom, match="2"):
        way(poll)
    assert poll.undone == [(None, Boom)]


@every_way
def test_a_predicate_that_raises_fails_the_step_with_its_result_and_without_another_attempt(
    way: Callable[[Poll], int],
) -> None:
    def broken(result: int) -> bool:
        raise KeyError("ready")

    poll = Poll(Retry(on_result=broken))
    with pytest.raises(RetryError, match="after 1 attempt") as caught:
        way(poll)
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.__notes__[0] == "actionqueues: not retried, because the retry policy failed: KeyError('ready')"
    assert poll.undone == [(1, RetryError)]


def test_a_predicate_may_say_how_long_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(SLEEP, waits.append)
    poll = Poll(Retry(attempts=4, wait_max=1, on_result=lambda value: {1: 30, 2: 0.5}.get(value, False)))
    assert called(poll) == 3
    assert waits == [30, 0.5]


def test_an_interrupt_in_the_wait_undoes_with_the_result_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SLEEP, interrupted)
    poll = Poll(until(9))
    with pytest.raises(KeyboardInterrupt):
        called(poll)
    assert poll.undone == [(1, KeyboardInterrupt)]


def test_between_attempts_what_the_body_has_made_is_undone_and_what_it_has_saved_stays() -> None:
    trail: list[str] = []

    @action
    def part(name: str) -> None:
        trail.append(f"+{name}")

    @part.rollback
    def _part(name: str) -> None:
        trail.append(f"-{name}")

    @action(retry=until(2))
    def whole() -> int:
        step = current_step()
        part(str(step.attempts))
        step.save(**{f"attempt {step.attempts}": True})
        return step.attempts if len(step.saved) == step.attempts else 99

    with transaction():
        assert whole() == 2
    assert trail == ["+1", "-1", "+2"]


def test_caught_the_error_leaves_nothing_of_the_step_in_the_commit() -> None:
    poll = Poll(until(9, attempts=2))
    with transaction() as q, pytest.raises(RetryError):
        poll.sync()
    assert poll.undone == [(2, RetryError)]
    assert [q.report.undone, q.report.clean] == [["body"], True]


def test_of_an_inner_action_it_is_an_error_like_any_other_to_the_policy_of_the_outer_one() -> None:
    poll, outer = Poll(until(9, attempts=1)), list[int]()

    @action(retry=Retry(attempts=2, wait_initial=0, wait_jitter=0, on_result=lambda result: True))
    def around() -> object:
        outer.append(1)
        return poll.sync()

    with pytest.raises(RetryError, match="^body was not done after 1 attempt"), transaction():
        around()
    assert len(outer) == 2
    assert poll.undone == [(1, RetryError), (2, RetryError)]


def test_in_a_classic_queue_it_waits_for_the_rollback_like_any_error() -> None:
    poll, queue = Poll(until(9, attempts=2)), ActionQueue()
    queue.add(poll.sync)
    with pytest.raises(RetryError):
        queue.execute()
    assert poll.undone == []
    queue.rollback()
    assert poll.undone == [(2, RetryError)]


def test_outside_any_block_nothing_looks_at_the_result() -> None:
    assert Poll(until(9)).sync() == 1


def test_a_coroutine_of_a_sync_function_is_no_result_to_look_at() -> None:
    async def later() -> None: ...

    def hides_it() -> object:
        return later()

    def look(result: object) -> bool:
        raise AssertionError("it is asked")

    with transaction():
        coroutine: Any
        try:
            coroutine = action(retry=Retry(on_result=look))(hides_it)()
        except Exception:
            return
        coroutine.close()


def test_an_async_action_with_a_timeout_can_be_polled_too() -> None:
    calls: list[int] = []

    @action(timeout=30.0, retry=until(2))
    async def slow() -> int:
        calls.append(1)
        return len(calls)

    async def main() -> int:
        async with transaction():
            return await slow()

    assert asyncio.run(main()) == 2
