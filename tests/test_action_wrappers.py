"""Other decorators over an action: what they make is no action, and nothing goes past them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import wrapt

from actionqueues import Step, action, transaction


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
    assert vars(bare) == {}


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
