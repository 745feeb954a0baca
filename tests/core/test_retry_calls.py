"""Retries where they happen: calls in blocks and queues, undos, and whole blocks, by a clock of the tests' own."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any, TypeAlias

import pytest

from actionqueues import (
    ActionQueue,
    ActionRetryException,
    Retry,
    RollbackConflict,
    RollbackFailed,
    action,
    bounded,
    current_step,
    transaction,
)
from actionqueues.retry import Policy
from tests.inside import CLOCKS, SLEEP
from tests.policies import always, at_once, never

Body: TypeAlias = Callable[[], object]
Way: TypeAlias = Callable[[Body, Policy], object]


class Clock:
    """Time that passes only when something waits, or says that it takes long."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for name in CLOCKS:
        monkeypatch.setattr(name, clock.monotonic)
    monkeypatch.setattr(SLEEP, clock.sleep)
    return clock


# -- the ways in which something is tried again


def called_in_a_block(body: Body, policy: Policy) -> None:
    with transaction():
        action(retry=policy)(body)()


def queued_in_a_block(body: Body, policy: Policy) -> None:
    with transaction() as q:
        q.add(action(retry=policy)(body))


def queued_in_a_queue(body: Body, policy: Policy) -> None:
    queue = ActionQueue()
    queue.add(action(retry=policy)(body))
    queue.execute()


def called_by_a_queued_action(body: Body, policy: Policy) -> None:
    queue = ActionQueue()
    queue.add(action(retry=policy)(body).__call__)
    queue.execute()


def as_a_whole_block(body: Body, policy: Policy) -> None:
    transaction(retry=policy)(body)()


def as_an_undo(body: Body, policy: Policy) -> None:
    @action
    def do() -> None:
        """Nothing; its undo is what matters."""

    do.rollback(retry=policy)(body)
    with transaction() as q:
        do()
        try:
            q.rollback()
        except RollbackFailed as group:
            raise group.exceptions[0] from None


FORWARD: list[Way] = [
    called_in_a_block,
    queued_in_a_block,
    queued_in_a_queue,
    called_by_a_queued_action,
    as_a_whole_block,
]
forward = pytest.mark.parametrize("way", FORWARD)
every_way = pytest.mark.parametrize("way", [*FORWARD, as_an_undo])
#: Where nothing around it obeys an `ActionRetryException` that comes out.
outermost = pytest.mark.parametrize("way", [way for way in (*FORWARD, as_an_undo) if way != called_by_a_queued_action])


class Flaky:
    """Raises what it was given, one after the other; then it succeeds."""

    __name__ = __qualname__ = "flaky"

    def __init__(self, *errors: BaseException, takes: float = 0, clock: Clock | None = None) -> None:
        self.errors = errors
        self.calls = 0
        self.takes, self.clock = takes, clock

    def __call__(self) -> str:
        self.calls += 1
        if self.clock is not None:
            self.clock.now += self.takes
        if self.calls <= len(self.errors):
            raise self.errors[self.calls - 1]
        return "done"


class Boom(Exception):
    """What goes wrong here."""


def booms(count: int) -> list[Boom]:
    return [Boom(str(i)) for i in range(count)]


def steady(**options: Any) -> Retry:
    return Retry(wait_jitter=0, **options)


@every_way
def test_it_is_tried_again_until_it_succeeds(way: Way, clock: Clock) -> None:
    body = Flaky(*booms(3))
    way(body, steady())
    assert body.calls == 4
    assert clock.waits == pytest.approx([0.1, 0.2, 0.4])


@every_way
def test_the_last_error_itself_comes_out_with_a_note_of_attempts_and_time(way: Way) -> None:
    errors = booms(9)
    body = Flaky(*errors)
    with pytest.raises(Boom) as caught:
        way(body, steady(attempts=3))
    assert body.calls == 3
    assert caught.value is errors[2]
    assert caught.value.__notes__[0] == "actionqueues: gave up after 3 attempts in 0.3 s: attempts=3 allows no more"
    assert not any(hasattr(error, "__notes__") for error in errors[:2])


@every_way
@pytest.mark.parametrize("policy", [steady(on=OSError), steady(attempts=1), never])
def test_an_error_that_is_not_tried_again_comes_out_at_once_without_such_a_note(way: Way, policy: Policy) -> None:
    error = Boom()
    body = Flaky(error)
    with pytest.raises(Boom) as caught:
        way(body, policy)
    assert caught.value is error
    assert body.calls == 1
    assert not any("gave up" in note for note in getattr(error, "__notes__", []))


@every_way
def test_another_error_ends_the_attempts(way: Way) -> None:
    end = ValueError("no use")
    body = Flaky(*booms(2), end)
    with pytest.raises(ValueError, match="no use") as caught:
        way(body, steady(on=Boom))
    assert caught.value is end
    why = "on=... says that this error is not worth another one"
    assert end.__notes__[0] == f"actionqueues: gave up after 3 attempts in 0.3 s: {why}"


@every_way
def test_no_wait_is_begun_that_would_end_after_the_timeout(way: Way, clock: Clock) -> None:
    body = Flaky(*booms(9))
    with pytest.raises(Boom):
        way(body, steady(attempts=None, timeout=1, wait_initial=0.4, wait_exp_base=1))
    assert body.calls == 3
    assert clock.waits == [0.4, 0.4]


@every_way
def test_the_timeout_counts_from_the_start_of_the_first_attempt(way: Way, clock: Clock) -> None:
    body = Flaky(*booms(9), takes=60, clock=clock)
    with pytest.raises(Boom) as caught:
        way(body, steady(timeout=45))
    assert body.calls == 1
    late = "another wait of 0.1 s would end past timeout=45"
    assert caught.value.__notes__[0] == f"actionqueues: gave up after 1 attempt in 60 s: {late}"


@every_way
def test_the_note_counts_the_time_from_the_start_of_the_first_attempt(way: Way, clock: Clock) -> None:
    errors = booms(2)
    with pytest.raises(Boom):
        way(Flaky(*errors, takes=10, clock=clock), steady(attempts=2, wait_initial=1))
    assert errors[1].__notes__[0] == "actionqueues: gave up after 2 attempts in 21 s: attempts=2 allows no more"


@outermost
@pytest.mark.parametrize("policy", [steady(attempts=3, on=OSError), bounded(lambda attempt, error: 9, attempts=3)])
def test_a_policy_bounds_how_often_an_action_may_ask(way: Way, policy: Policy, clock: Clock) -> None:
    body = Flaky(*[ActionRetryException(250) for _ in range(9)])
    with pytest.raises(ActionRetryException):
        way(body, policy)
    assert body.calls == 3
    assert clock.waits == [0.25, 0.25]


@outermost
def test_a_timeout_bounds_how_long_an_action_may_ask(way: Way, clock: Clock) -> None:
    body = Flaky(*[ActionRetryException(400) for _ in range(9)])
    with pytest.raises(ActionRetryException):
        way(body, bounded(lambda attempt, error: 0, timeout=1))
    assert clock.waits == [0.4, 0.4]


@every_way
def test_a_foreign_policy_is_given_the_number_of_attempts_and_the_error(way: Way, clock: Clock) -> None:
    given: list[tuple[int, BaseException]] = []

    def policy(attempt: int, error: BaseException) -> float | None:
        given.append((attempt, error))
        return attempt * 10

    errors = booms(3)
    way(Flaky(*errors), policy)
    assert given == list(enumerate(errors, 1))
    assert clock.waits == [10, 20, 30]


@every_way
@pytest.mark.parametrize("answer", [nan, inf, -1, "1", True, []])
def test_a_policy_that_answers_nonsense_does_not_hide_the_error(way: Way, answer: Any) -> None:
    error = Boom()
    body = Flaky(error)
    with pytest.raises(Boom) as caught:
        way(body, lambda attempt, error: answer)
    assert caught.value is error
    assert body.calls == 1
    assert "actionqueues: not retried, because the retry policy failed: TypeError(" in error.__notes__[0]
    assert f"returned {answer!r}: neither None nor seconds from 0 up" in error.__notes__[0]


@every_way
@pytest.mark.parametrize("predicate", [True, False])
def test_a_policy_or_predicate_that_raises_does_not_hide_the_error(way: Way, predicate: bool) -> None:
    def broken(*_args: object) -> Any:
        raise KeyError("oops")

    error = Boom()
    body = Flaky(error)
    with pytest.raises(Boom) as caught:
        way(body, Retry(on=broken) if predicate else broken)
    assert caught.value is error
    assert body.calls == 1
    assert error.__notes__[0] == "actionqueues: not retried, because the retry policy failed: KeyError('oops')"


@every_way
def test_a_wait_that_cannot_be_waited_does_not_hide_the_error(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_long(_seconds: float) -> None:
        raise OverflowError("timestamp too large to convert to C PyTime_t")

    monkeypatch.setattr(SLEEP, too_long)
    errors = booms(2)
    with pytest.raises(Boom) as caught:
        way(Flaky(*errors), lambda attempt, error: 1e300)
    assert caught.value in errors


@every_way
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
@pytest.mark.parametrize("policy", [steady(), steady(on=always), at_once])
def test_an_interrupt_is_never_tried_again(way: Way, policy: Policy, interrupt: BaseException) -> None:
    body = Flaky(interrupt)
    with pytest.raises(type(interrupt)) as caught:
        way(body, policy)
    assert caught.value is interrupt
    assert body.calls == 1


@forward
@pytest.mark.parametrize("on", [KeyboardInterrupt, (OSError, KeyboardInterrupt), BaseException])
def test_an_interrupt_is_tried_again_where_its_class_is_named(way: Way, on: Any) -> None:
    body = Flaky(KeyboardInterrupt(), KeyboardInterrupt())
    way(body, steady(on=on))
    assert body.calls == 3


@forward
def test_an_interrupt_while_it_waits_comes_out_and_nothing_is_tried_again(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt = KeyboardInterrupt()

    def interrupted(_seconds: float) -> None:
        raise interrupt

    monkeypatch.setattr(SLEEP, interrupted)
    body = Flaky(*booms(2))
    with pytest.raises(KeyboardInterrupt) as caught:
        way(body, steady())
    assert caught.value is interrupt
    assert body.calls == 1


@every_way
def test_each_use_has_its_own_count_also_with_one_policy_for_all(way: Way, clock: Clock) -> None:
    policy = steady(attempts=3)
    for _ in range(3):
        body = Flaky(*booms(2))
        way(body, policy)
        assert body.calls == 3
    assert clock.waits == pytest.approx([0.1, 0.2] * 3)


def test_calls_of_one_function_do_not_share_their_count(clock: Clock) -> None:
    calls: list[str] = []

    @action(retry=steady(attempts=3))
    def flaky(name: str) -> int:
        calls.append(name)
        if calls.count(name) < 3:
            raise Boom(name)
        return current_step().attempts

    with transaction():
        assert [flaky("a"), flaky("b")] == [3, 3]
    assert calls == ["a"] * 3 + ["b"] * 3


def test_a_call_inside_a_call_of_the_same_function_counts_for_itself() -> None:
    calls: list[int] = []

    @action(retry=steady(attempts=2))
    def nested(depth: int) -> None:
        calls.append(depth)
        if depth:
            nested(depth - 1)
        raise Boom(str(depth))

    with pytest.raises(Boom), transaction():
        nested(2)
    assert calls == [2, 1, 0, 0, 1, 0, 0, 2, 1, 0, 0, 1, 0, 0]


def test_outside_any_block_an_action_is_not_tried_again() -> None:
    body = Flaky(*booms(1))
    with pytest.raises(Boom) as caught:
        action(retry=steady())(body)()
    assert body.calls == 1
    assert not hasattr(caught.value, "__notes__")


def test_a_conflict_is_not_tried_again() -> None:
    body = Flaky(RollbackConflict("changed"))
    with pytest.raises(RollbackConflict):
        as_an_undo(body, steady())
    assert body.calls == 1


def test_an_undo_has_the_policy_of_its_own_and_not_that_of_the_action(clock: Clock) -> None:
    undo = Flaky(*booms(1))

    @action(retry=steady())
    def do() -> None:
        """Nothing."""

    do.rollback(undo)
    with transaction() as q:
        do()
        with pytest.raises(RollbackFailed):
            q.rollback()
    assert undo.calls == 1
    assert clock.waits == []


@pytest.mark.parametrize("policy", [3, "often", Retry, int])
def test_something_that_is_no_policy_is_refused_where_it_is_given(policy: Any) -> None:
    @action
    def do() -> None:
        """Nothing."""

    message = r"must be a Retry\(\.\.\.\) or a callable \(attempt, error\) -> seconds or None, not "
    with pytest.raises(TypeError, match=r"^@action\(retry=\.\.\.\) " + message):
        action(retry=policy)
    with pytest.raises(TypeError, match=r"do\.rollback\(retry=\.\.\.\) " + message):
        do.rollback(retry=policy)(print)
    with pytest.raises(TypeError, match=r"^transaction\(retry=\.\.\.\) " + message):
        transaction(retry=policy)
