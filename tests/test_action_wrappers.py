"""Other decorators over an action: what they make is no action, and nothing goes past them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import wrapt

from actionqueues import RollbackFailed, Step, action, transaction


def bare(a: int, /, b: str = "b", *rest: float, key: bool = False, **more: bytes) -> list[str]:
    return [str(a), b]


class Shop:
    @action
    def buy(self, n: int) -> int:
        return n

    @action
    @classmethod
    def open(cls, n: int) -> int:
        return n

    @classmethod
    @action
    def open2(cls, n: int) -> int:
        return n


def logged(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return ["logged", fn(*args, **kwargs)]

    return wrapper


@wrapt.decorator
def wrapt_logged(wrapped: Any, _instance: object, args: Any, kwargs: Any) -> Any:
    return ["logged", wrapped(*args, **kwargs)]


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "functools.wraps": logged,
    "functools.wraps, twice": lambda fn: functools.wraps(fn)(logged(fn)),
    "functools.cache": functools.cache,
    "wrapt.decorator": wrapt_logged,
}


@pytest.mark.parametrize("kind", WRAPPERS)
def test_what_wraps_an_action_keeps_its_name_and_signature_and_is_no_action_itself(kind: str) -> None:
    decorated = action(bare)
    wrapper = WRAPPERS[kind](decorated)
    assert wrapper.__name__ == "bare"
    assert inspect.signature(wrapper) == inspect.signature(bare)
    assert inspect.unwrap(wrapper) is bare
    assert not isinstance(wrapper, action)
    assert kind == "wrapt.decorator" or decorated != wrapper  # such a proxy equals what it wraps
    assert list(vars(bare)) == ["rollback"], "which says that it is not the action's own"


@pytest.mark.parametrize("kind", WRAPPERS)
def test_queueing_a_wrapper_around_an_action_runs_the_wrapper(kind: str) -> None:
    calls: list[str] = []

    @action
    def inner(n: int) -> str:
        calls.append("inner")
        return "inner"

    wrapper = WRAPPERS[kind](inner)
    expected = wrapper(1)
    del calls[:]
    with transaction() as q:
        step: Step[Any] = q.add(wrapper, 1)
        q.execute()
        assert step.result == expected
    assert calls == ([] if kind == "functools.cache" else ["inner"])


@pytest.mark.parametrize("method", [Shop().buy, Shop.open, Shop.open2], ids=["method", "class method", "outside"])
@pytest.mark.parametrize("wrap", [logged, wrapt_logged], ids=["functools.wraps", "wrapt.decorator"])
def test_queueing_a_wrapper_around_a_bound_method_runs_the_wrapper(wrap: Any, method: Any) -> None:
    wrapper = wrap(method)
    with transaction() as q:
        step: Step[Any] = q.add(wrapper, 5)
        q.execute()
        assert step.result == ["logged", method(5)]


def test_a_wrapper_around_an_action_can_be_an_action_of_its_own() -> None:
    undone: list[str] = []

    @action
    def inner(n: int) -> int:
        return n

    @inner.rollback
    def uninner() -> None:
        undone.append("inner")

    outer = action(logged(inner))

    @outer.rollback
    def unouter(n: int) -> None:
        undone.append("outer")

    with pytest.raises(ZeroDivisionError), transaction():
        assert outer(3) == ["logged", 3]
        raise ZeroDivisionError
    assert undone == ["inner", "outer"]


def test_an_action_over_a_wrapper_has_the_signature_of_the_wrapped_function() -> None:
    decorated = action(logged(bare))
    assert inspect.signature(decorated) == inspect.signature(bare)
    assert decorated(1, "x") == ["logged", ["1", "x"]]


def with_key(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A wrapper that supplies an argument of its own."""

    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, key=True, **kwargs)

    return wrapper


def test_a_step_shows_what_a_wrapper_was_given_where_that_does_not_fit_the_function_under_it() -> None:
    def post(url: str, *, key: bool) -> str:
        return url

    posted = action(with_key(post))
    shown: list[object] = []

    @posted.rollback
    def unpost(step: Step[str]) -> None:
        shown.append((step.args, dict(step.arguments)))

    with transaction() as q:
        assert posted("a") == "a"
        q.rollback()
    assert shown == [(("a",), {"args": ("a",), "kwargs": {}})]


def test_an_undo_that_asks_for_what_only_the_wrapper_knew_fails_and_says_what_to_do() -> None:
    def post(url: str, *, key: bool) -> str:
        return url

    posted = action(with_key(post))

    @posted.rollback
    def unpost(url: str) -> None:
        raise AssertionError("it cannot be given its argument")

    with pytest.raises(RollbackFailed) as caught, transaction() as q:
        posted("a")
        q.rollback()
    (failure,) = caught.value.exceptions
    assert str(failure) == (
        "'url' cannot be supplied: post was called with arguments that do not fit post(url: 'str', *, key: 'bool') -> "
        "'str'; a wrapper supplies some itself, so let the handler take *args and **kwargs"
    )


def test_an_action_over_a_wrapper_written_in_c_takes_what_that_takes_and_knows_the_names_of_the_function() -> None:
    undone: list[object] = []

    @action
    @functools.cache
    def find(word: str, *, length: int = 3) -> str:
        return word * length

    @find.rollback
    def lose(word: str, length: int, result: str) -> None:
        undone.append((word, length, result))

    with transaction() as q:
        assert find("a") == find("a") == "aaa"
        q.rollback()
    assert undone == [("a", 3, "aaa")] * 2
    assert find.__wrapped__.cache_info().hits == 1
