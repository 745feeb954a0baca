"""What the predicates and policies of `Retry` may answer, which bounds there are, and how misuse is told."""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Callable, Coroutine, Generator
from copy import copy
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from math import inf, nan
from typing import Any

import pytest

from actionqueues import ActionRetryException, Retry, action, bounded, transaction
from actionqueues.retry import Policy, next_wait, verdict

from .world import Boom

ERROR = Boom("busy")


def forgetful(error: Exception) -> Any:
    """Returns nothing, as who forgets to."""


make: Callable[..., Retry] = Retry


def steady(**options: Any) -> Retry:
    return Retry(wait_initial=3, wait_jitter=0, **options)


def saying(answer: Any) -> Callable[[Any], Any]:
    return lambda about: answer


# -- the answers of a predicate


@pytest.mark.parametrize("seconds", [0, 1, 2.5, timedelta(seconds=7), timedelta(0), 10**6])
def test_a_predicate_that_answers_with_a_time_names_the_wait_itself(seconds: Any) -> None:
    wait = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    policy = Retry(on=saying(seconds), wait_max=2, timeout=None)
    assert policy(1, ERROR) == wait
    assert next_wait(policy, 1, ERROR, 0) == wait
    assert next_wait(bounded(policy, attempts=5), 1, ERROR, 0) == wait


@pytest.mark.parametrize("yes", [True, re.match("b", "busy"), [1], object()])
def test_what_is_true_and_no_time_means_the_wait_of_the_formula(yes: object) -> None:
    assert steady(on=saying(yes))(1, ERROR) == 3


@pytest.mark.parametrize("no", [False, [], ()])
def test_what_is_false_and_no_number_means_no(no: object) -> None:
    assert steady(on=saying(no))(1, ERROR) is None


@pytest.mark.parametrize(
    "answer", [-1, nan, inf, timedelta(seconds=-1), "120", b"120", Decimal(3), Fraction(3), 1j, "", 2 * 10**9, date.max]
)
def test_what_looks_like_a_time_and_is_none_is_refused(answer: object) -> None:
    with pytest.raises(TypeError, match=r"the predicate of Retry\(on=\.\.\.\), returned "):
        steady(on=saying(answer))(1, ERROR)


def test_a_wait_that_was_named_is_not_cut_to_the_longest_but_ends_before_the_timeout() -> None:
    policy = Retry(on=saying(120), wait_max=5, timeout=300)
    assert next_wait(policy, 1, ERROR, 0) == 120
    assert verdict(policy, 2, ERROR, 200) == (None, "another wait of 120 s would end past timeout=300", True)


def test_a_predicate_without_an_answer_means_no_and_is_warned_of_where_it_is_defined() -> None:
    with pytest.warns(
        RuntimeWarning, match=r"^forgetful, the predicate of Retry\(on=\.\.\.\), returned None"
    ) as caught:
        assert Retry(on=forgetful)(1, ERROR) is None
    [warning] = caught
    assert (warning.filename, warning.lineno) == (__file__, forgetful.__code__.co_firstlineno)


class Forgetful:
    def __call__(self, about: object) -> None:
        """No answer."""

    def method(self, about: object) -> None:
        """No answer."""


@pytest.mark.parametrize("predicate", [Forgetful(), Forgetful().method, partial(Forgetful.method, Forgetful())])
def test_the_warning_finds_the_line_of_whatever_is_called(predicate: Any) -> None:
    with pytest.warns(RuntimeWarning, match="returned None") as caught:
        assert Retry(on=predicate)(1, ERROR) is None
    assert caught[0].filename == __file__


def test_for_a_predicate_that_is_not_written_in_python_the_warning_points_at_the_call_of_the_action() -> None:
    failing = action(retry=make(on=dict[Any, Any]().get))(raising(ERROR))
    with pytest.warns(RuntimeWarning, match="returned None") as caught, pytest.raises(Boom), transaction():
        failing()
    code = test_for_a_predicate_that_is_not_written_in_python_the_warning_points_at_the_call_of_the_action.__code__
    assert caught[0].filename == __file__
    assert caught[0].lineno == code.co_firstlineno + 3


def test_a_warning_that_is_an_error_does_not_hide_the_error() -> None:
    with warnings.catch_warnings(), pytest.raises(Boom) as caught, transaction():
        warnings.simplefilter("error")
        action(retry=Retry(on=forgetful))(raising(ERROR))()
    assert caught.value is ERROR
    assert "not retried, because the retry policy failed: RuntimeWarning(" in ERROR.__notes__[0]


def raising(error: BaseException) -> Callable[[], None]:
    def body() -> None:
        raise error

    return body


@pytest.mark.parametrize("answer", [timedelta(seconds=2), timedelta(0)])
def test_a_foreign_policy_may_answer_with_a_timedelta_too(answer: timedelta) -> None:
    assert next_wait(lambda attempt, error: answer, 1, ERROR, 0) == answer.total_seconds()


# -- what is async, or lazy


async def later(*_about: object) -> Any:
    raise AssertionError("it is not even begun")


class Later:
    async def __call__(self, *_about: object) -> Any:
        raise AssertionError("it is not even begun")


def items(*_about: object) -> Generator[bool, None, None]:
    yield True


ASYNC: list[Any] = [later, Later(), partial(later), items]


def on(function: Any) -> object:
    return Retry(on=function)


def on_result(function: Any) -> object:
    return Retry(on_result=function)


def of_action(function: Any) -> object:
    return action(retry=function)


def of_block(function: Any) -> object:
    return transaction(retry=function)


def of_bound(function: Any) -> object:
    return bounded(function, attempts=2)


@pytest.mark.parametrize("function", ASYNC)
@pytest.mark.parametrize(
    ("where", "make_it"),
    [
        ("Retry(on=...)", on),
        ("Retry(on_result=...)", on_result),
        ("@action(retry=...)", of_action),
        ("transaction(retry=...)", of_block),
        ("bounded(policy)", of_bound),
    ],
)
def test_a_predicate_or_policy_that_is_async_is_refused_where_it_is_given(
    function: Any, where: str, make_it: Callable[[Any], object]
) -> None:
    with pytest.raises(TypeError) as caught:
        make_it(function)
    kind = "a generator function" if function is items else "async"
    assert str(caught.value).startswith(f"{where} is {kind}: ")
    assert "make it a plain function of (" in str(caught.value)


def hidden(*_about: object) -> Coroutine[Any, Any, Any]:
    return later()


class Promise:
    def __await__(self) -> Any:
        raise AssertionError("nobody awaits it")


@pytest.mark.parametrize("predicate", [hidden, saying(Promise())])
def test_one_that_turns_out_to_be_async_is_told_so_and_its_coroutine_is_closed(predicate: Any) -> None:
    with pytest.raises(TypeError, match=r"returned a coroutine, which nothing awaits; make it a plain function"):
        Retry(on=predicate)(1, ERROR)


def test_a_policy_that_turns_out_to_be_async_is_told_so() -> None:
    with pytest.raises(TypeError, match="returned a coroutine, which nothing awaits"):
        next_wait(hidden, 1, ERROR, 0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# -- the bounds


@pytest.mark.parametrize(
    ("options", "attempts", "timeout"),
    [
        ({}, 10, 45.0),
        ({"on": OSError}, 10, 45.0),
        ({"attempts": 20}, 20, None),
        ({"timeout": 300}, None, 300),
        ({"attempts": 20, "timeout": 45.0}, 20, 45.0),
        ({"attempts": None}, None, 45.0),
        ({"timeout": None}, 10, None),
        ({"attempts": None, "timeout": None}, None, None),
    ],
)
@pytest.mark.parametrize("way", ["made", "replaced"])
def test_a_bound_that_was_not_named_does_not_cut_short_one_that_was(
    options: Any, attempts: int | None, timeout: float | None, way: str
) -> None:
    policy = make(**options) if way == "made" else dataclasses.replace(Retry(), **options)
    assert (policy.attempts, policy.timeout) == (attempts, timeout)
    assert (copy(policy).attempts, copy(policy).timeout) == (attempts, timeout)


def test_20_attempts_are_20_attempts() -> None:
    policy = Retry(attempts=20)
    elapsed, made = 0.0, 1
    while (wait := next_wait(policy, made, ERROR, elapsed)) is not None:
        elapsed, made = elapsed + wait, made + 1
    assert made == 20


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (Retry(attempts=2), "attempts=2 allows no more"),
        (bounded(Retry(attempts=9), attempts=2), "attempts=2 allows no more"),
        (bounded(Retry(attempts=2), attempts=9), "attempts=2 allows no more"),
        (steady(timeout=4), "another wait of 5 s would end past timeout=4"),
        (steady(on=OSError), "on=... says that this error is not worth another one"),
        (steady(on=saying(False)), "on=... says that this error is not worth another one"),
    ],
)
def test_what_has_ended_it_is_told(policy: Policy, why: str) -> None:
    assert verdict(policy, 2, ERROR, 0).why == why


def never(_attempt: int, _error: BaseException) -> None:
    """Says no."""


def test_a_foreign_policy_that_has_ended_it_is_named() -> None:
    assert verdict(never, 2, ERROR, 0).why == "never says so"


# -- misuse


def test_an_unusable_on_result_is_refused() -> None:
    with pytest.raises(TypeError) as caught:
        make(on_result=3)
    assert str(caught.value) == "Retry(on_result=...) must be a predicate that is given the result, not 3"


@pytest.mark.parametrize("policy", [Retry(on_result=bool), bounded(Retry(on_result=bool), attempts=2)])
def test_results_are_those_of_actions_so_undos_and_blocks_refuse_to_look_at_any(policy: Policy) -> None:
    with pytest.raises(TypeError, match=r"^transaction\(retry=\.\.\.\) cannot have on_result=\.\.\., which is for act"):
        transaction(retry=policy)

    @action
    def do() -> None:
        """Nothing."""

    with pytest.raises(TypeError, match=r"do\.rollback\(retry=\.\.\.\) cannot have on_result=\.\.\.,"):
        do.rollback(retry=policy)(never)


def test_a_retry_without_a_cause_goes_on_itself() -> None:
    asked = ActionRetryException(0)
    with pytest.raises(ActionRetryException) as caught, transaction():
        action(retry=Retry(attempts=2))(raising(asked))()
    assert caught.value is asked
