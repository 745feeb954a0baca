"""`Retry`, `bounded` and foreign policies by themselves: what they answer, and what they refuse to be made of."""

from __future__ import annotations

import dataclasses
import pickle
import random
from collections.abc import Callable
from fractions import Fraction
from math import inf, isfinite, nan
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actionqueues import ActionRetryException, Retry, bounded
from actionqueues.retry import Policy, next_wait

from .policies import always, bare, broken, falsy, is_gone, nine_times, seven, twice

ERROR = ConnectionError("gone")
seconds = st.one_of(st.integers(0, 10**6), st.floats(0, 1e6))

#: Any arguments at all, so that type checkers let them be tried.
make: Callable[..., Retry] = Retry
bound: Callable[..., Policy] = bounded


# -- the formula


def test_the_defaults_are_those_of_the_docstring() -> None:
    assert dataclasses.asdict(Retry()) == {
        "attempts": 10,
        "timeout": 45.0,
        "wait_initial": 0.1,
        "wait_max": 5.0,
        "wait_jitter": 1.0,
        "wait_exp_base": 2.0,
        "on": Exception,
        "on_result": None,
    }


@pytest.mark.parametrize(
    ("options", "waits"),
    [
        ({}, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]),
        ({"wait_initial": 1, "wait_exp_base": 3, "wait_max": 30}, [1, 3, 9, 27, 30, 30]),
        ({"wait_initial": 2, "wait_exp_base": 1}, [2, 2, 2]),
        ({"wait_initial": 4, "wait_exp_base": 0.5}, [4, 2, 1, 0.5]),
        ({"wait_initial": 4, "wait_exp_base": 0}, [4, 0, 0]),
        ({"wait_initial": 0}, [0, 0, 0]),
        ({"wait_max": 0}, [0, 0, 0]),
    ],
)
def test_the_waits_follow_the_formula(options: dict[str, float], waits: list[float]) -> None:
    policy = make(wait_jitter=0, **options)
    assert [policy(attempt, ERROR) for attempt in range(1, len(waits) + 1)] == pytest.approx(waits)


@example(5e-324, 1, 9.0, 0, 325)
@given(seconds, seconds, st.one_of(st.integers(0, 10), st.floats(0, 10)), seconds, st.integers(1, 3000))
def test_a_wait_is_within_the_bounds_of_the_formula_for_any_attempt(
    initial: float, longest: float, base: float, jitter: float, attempt: int
) -> None:
    policy = Retry(
        attempts=None, wait_initial=initial, wait_max=longest, wait_exp_base=base, wait_jitter=jitter, timeout=None
    )
    wait = policy(attempt, ERROR)
    assert wait is not None
    assert isfinite(wait)
    backoff = Fraction(initial) * Fraction(base) ** (attempt - 1)
    low, high = (float(min(Fraction(longest), limit)) for limit in (backoff, backoff + Fraction(jitter)))
    assert low * (1 - 1e-9) - 1e-9 <= wait <= high * (1 + 1e-9) + 1e-9


@pytest.mark.parametrize(
    ("options", "wait"),
    [
        ({"wait_initial": 1, "wait_exp_base": 2}, 5),
        ({"wait_initial": 0.1, "wait_exp_base": 2.0}, 5),
        ({"wait_initial": 0.1, "wait_exp_base": 2}, 5),
        ({"wait_initial": 0, "wait_exp_base": 2.0}, 0),
        ({"wait_initial": 0.0, "wait_exp_base": 2}, 0),
        ({"wait_initial": 1, "wait_exp_base": 0.5}, 0),
        ({"wait_initial": 1e-300, "wait_exp_base": 1}, 0),
    ],
)
def test_an_attempt_far_beyond_the_range_of_floats_still_has_its_wait(options: dict[str, float], wait: float) -> None:
    assert make(attempts=None, wait_jitter=0, **options)(5000, ERROR) == pytest.approx(wait)


def test_the_jitter_is_added_before_the_wait_is_cut_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    def uniform(low: float, high: float) -> float:
        return (low + 3 * high) / 4

    monkeypatch.setattr(random, "uniform", uniform)
    policy = Retry(wait_initial=1, wait_jitter=4, wait_max=6)
    assert [policy(attempt, ERROR) for attempt in (1, 2, 3)] == [4, 5, 6]


def test_the_jitter_differs_from_call_to_call() -> None:
    policy = Retry(wait_initial=1, wait_max=10, wait_jitter=1)
    waits = [policy(1, ERROR) or 0 for _ in range(100)]
    assert len(set(waits)) > 1
    assert all(1 <= wait <= 2 for wait in waits)


@given(st.integers(1, 50), st.integers(1, 60))
def test_there_are_as_many_attempts_as_were_asked_for(attempts: int, attempt: int) -> None:
    assert (Retry(attempts=attempts)(attempt, ERROR) is None) is (attempt >= attempts)


# -- which errors


WORTH_IT: list[tuple[object, BaseException, bool]] = [
    (Exception, ERROR, True),
    (Exception, KeyboardInterrupt(), False),
    (Exception, SystemExit(), False),
    (OSError, ERROR, True),
    (ValueError, ERROR, False),
    ((ValueError, OSError), ERROR, True),
    ((ValueError, KeyError), ERROR, False),
    (KeyboardInterrupt, KeyboardInterrupt(), True),
    (KeyboardInterrupt, ERROR, False),
    (BaseException, SystemExit(), True),
    ((OSError, SystemExit), SystemExit(), True),
    (always, ERROR, True),
    (is_gone, ERROR, True),
    (falsy, ERROR, False),
    (broken, KeyboardInterrupt(), False),
    (broken, GeneratorExit(), False),
]


@pytest.mark.parametrize(("on", "error", "worth_it"), WORTH_IT)
def test_on_says_which_errors_are_worth_another_attempt(on: Any, error: BaseException, worth_it: bool) -> None:
    policy = Retry(on=on)
    assert (policy(1, error) is not None) is worth_it
    assert (next_wait(policy, 1, error, 0) is not None) is worth_it


def test_a_predicate_is_asked_about_the_error_itself() -> None:
    asked: list[BaseException] = []

    def ask(error: BaseException) -> bool:
        asked.append(error)
        return False

    assert Retry(on=ask)(1, ERROR) is None
    assert asked == [ERROR]


# -- what it refuses

NUMBERS = ["timeout", "wait_initial", "wait_max", "wait_jitter", "wait_exp_base"]


@pytest.mark.parametrize("attempts", [0, -1, True, 1.0, "3", 2.5, inf])
def test_attempts_must_be_a_whole_number_from_1(attempts: object) -> None:
    with pytest.raises(
        ValueError, match=r"^Retry\(attempts=\.\.\.\) must be a whole number from 1, or None, not "
    ) as e:
        make(attempts=attempts)
    assert str(e.value).endswith(f", not {attempts!r}")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["1", True, (), 1j, Fraction(1)])
def test_a_time_must_be_a_number(name: str, value: object) -> None:
    with pytest.raises(TypeError) as caught:
        make(**{name: value})
    assert str(caught.value) == f"Retry({name}=...) must be a number, not {value!r}"


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [-1, -0.5, inf, -inf, nan])
def test_a_time_must_be_finite_and_not_negative(name: str, value: float) -> None:
    with pytest.raises(ValueError, match="must be a finite number") as caught:
        make(**{name: value})
    assert str(caught.value) == f"Retry({name}=...) must be a finite number, 0 or more, not {value!r}"


@pytest.mark.parametrize("name", NUMBERS)
def test_only_the_timeout_may_be_none(name: str) -> None:
    if name == "timeout":
        assert make(timeout=None).timeout is None
        return
    with pytest.raises(TypeError, match=r"must be a number, not None$"):
        make(**{name: None})


@pytest.mark.parametrize("on", [(), (ValueError, "x"), (ValueError, int), int, None, "ValueError", [ValueError], ERROR])
def test_on_must_be_something_that_can_be_asked(on: object) -> None:
    with pytest.raises(TypeError) as caught:
        make(on=on)
    message = f"Retry(on=...) must be an exception class, a tuple of them, or a predicate, not {on!r}"
    assert str(caught.value) == message


def test_its_options_go_by_keyword_and_are_known() -> None:
    for value, text in ((3, "attempts=3"), (OSError, "on=OSError"), (is_gone, "on=is_gone"), (None, "attempts=None")):
        with pytest.raises(TypeError) as caught:
            make(value)
        assert str(caught.value) == f"Retry takes its options by keyword: Retry({text})"
    with pytest.raises(TypeError, match="attempt"):
        make(attempt=3)


def test_a_policy_is_a_value() -> None:
    policy = Retry(attempts=3, on=(OSError, ValueError))
    assert policy == Retry(attempts=3, on=(OSError, ValueError)) != Retry(attempts=4)
    assert hash(policy) == hash(dataclasses.replace(policy))
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert repr(policy).startswith("Retry(attempts=3, timeout=None, wait_initial=0.1, ")
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.attempts = 4  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue] - wrong on purpose


# -- bounded, and foreign policies


def steady(**options: Any) -> Retry:
    return Retry(wait_jitter=0, **options)


def every_second(_attempt: int, _error: BaseException) -> float:
    return 1


def test_bounds_on_attempts_hold_before_the_policy_is_asked() -> None:
    asked: list[int] = []

    def ask(attempt: int, _error: BaseException) -> float:
        asked.append(attempt)
        return 1

    policy = bounded(ask, attempts=3)
    assert [policy(attempt, ERROR) for attempt in (1, 2, 3, 4)] == [1, 1, None, None]
    assert asked == [1, 2]


@pytest.mark.parametrize(("elapsed", "wait"), [(0, 1), (9, 1), (9.01, None), (100, None)])
@pytest.mark.parametrize(
    "policy", [bounded(every_second, timeout=10), Retry(wait_initial=1, wait_jitter=0, timeout=10)]
)
def test_no_wait_is_begun_that_would_end_after_the_timeout(policy: Policy, elapsed: float, wait: float | None) -> None:
    assert next_wait(policy, 1, ERROR, elapsed) == wait


@pytest.mark.parametrize(
    "policy",
    [
        bounded(steady(wait_initial=1, timeout=10), attempts=99),
        bounded(bounded(every_second, timeout=10), attempts=99),
        bounded(bounded(every_second, timeout=10), timeout=99),
        bounded(bounded(every_second, timeout=99), timeout=10),
    ],
)
def test_a_bound_around_a_bounded_policy_does_not_lift_the_bound_inside(policy: Policy) -> None:
    assert next_wait(policy, 1, ERROR, 9) == 1
    assert next_wait(policy, 1, ERROR, 9.5) is None


def test_a_bounded_retry_grants_what_the_action_asks_for_like_the_retry_itself() -> None:
    asked = ActionRetryException(250)
    for policy in (Retry(on=OSError), bounded(Retry(on=OSError), attempts=5)):
        assert next_wait(policy, 1, asked, 0) == 0.25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attempts": 0}, "attempts=...) must be a whole number from 1, or None, not 0"),
        ({"timeout": -1}, "timeout=...) must be a finite number, 0 or more, not -1"),
        ({"timeout": "1"}, "timeout=...) must be a number, not '1'"),
    ],
)
def test_bounds_are_checked_as_those_of_retry_and_named_by_their_own_function(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        bound(every_second, **options)
    assert str(caught.value) == f"bounded({message}"


@pytest.mark.parametrize("policy", [None, 3, "often", Retry, int, [Retry()]])
def test_a_bound_needs_something_to_bound(policy: object) -> None:
    with pytest.raises(TypeError) as caught:
        bound(policy, attempts=3)
    hint = "; make one: Retry(...)" if policy is Retry else ""
    message = "bounded(policy) must be a Retry(...) or a callable (attempt, error) -> seconds or None, not "
    assert str(caught.value) == f"{message}{policy!r}{hint}"


def test_without_a_policy_only_what_is_asked_for_is_granted() -> None:
    assert next_wait(None, 1, ERROR, 0) is None
    assert next_wait(None, 10**6, ActionRetryException(250), 10**9) == 0.25


@pytest.mark.parametrize("policy", [seven, Retry(), bounded(every_second, attempts=9)])
def test_an_action_that_asks_names_its_wait_whatever_the_policy_says(policy: Policy) -> None:
    assert next_wait(policy, 1, ActionRetryException(250), 0) == 0.25
    assert next_wait(policy, 1, ActionRetryException(), 0) == 0


@pytest.mark.parametrize(
    "policy",
    [
        Retry(attempts=3),
        bounded(every_second, attempts=3),
        twice,
        Retry(attempts=None, timeout=1),
        bounded(every_second, timeout=1),
    ],
)
def test_a_policy_bounds_what_an_action_asks_for(policy: Policy) -> None:
    assert next_wait(policy, 2, ActionRetryException(500), 0.5) == 0.5
    assert next_wait(policy, 3, ActionRetryException(500), 0.75) is None


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), SystemExit(), GeneratorExit()])
@pytest.mark.parametrize("wrap", [bare, nine_times])
def test_a_foreign_policy_is_never_asked_about_an_interrupt(
    interrupt: BaseException, wrap: Callable[[Policy], Policy]
) -> None:
    def ask(_attempt: int, _error: BaseException) -> float:
        pytest.fail("it was asked")

    assert next_wait(wrap(ask), 1, interrupt, 0) is None


class Seconds(float):
    """As other libraries have them: numpy's float64 is a float of this kind."""


@pytest.mark.parametrize("answer", [0, 1, 0.5, Seconds(2), 10**6])
def test_a_policy_answers_with_any_number_of_seconds(answer: float) -> None:
    assert next_wait(lambda attempt, error: answer, 1, ERROR, 0) == answer


@pytest.mark.parametrize("answer", [-1, -0.001, nan, inf, -inf, "1", True, False, (), 1j])
@pytest.mark.parametrize("error", [ERROR, ActionRetryException(5)])
def test_a_policy_that_answers_nonsense_is_told_so(answer: Any, error: Exception) -> None:
    def confused(_attempt: int, _error: BaseException) -> Any:
        return answer

    with pytest.raises(TypeError) as caught:
        next_wait(confused, 1, error, 0)
    assert str(caught.value) == f"the retry policy {confused!r} returned {answer!r}: neither None nor seconds from 0 up"


def test_a_class_made_from_retry_may_answer_in_its_own_way() -> None:
    class Thrice(Retry):
        def __call__(self, attempt: int, error: BaseException) -> float | None:
            return 7 if attempt < 3 else None

    assert [next_wait(Thrice(), attempt, ERROR, 0) for attempt in (1, 2, 3)] == [7, 7, None]
