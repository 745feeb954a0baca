"""What cannot be a rollback handler, and the messages that say so when it is decorated."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from actionqueues import Retry, Step, action, transaction


def book(hotel: str, /, nights: int = 2, *extras: str, late: bool = False, **wishes: str) -> str:
    return f"booked {hotel}"


def needs_nothing() -> None: ...


def refused(handler: Any, *, of: Any = needs_nothing, **options: Any) -> str:
    """The message with which an action refuses a handler; it is left without one."""
    decorated: Any = action(of)
    with pytest.raises(TypeError) as caught:
        decorated.rollback(**options)(handler) if options else decorated.rollback(handler)
    assert repr(decorated).endswith("no rollback handler>")
    return str(caught.value)


def asks_for_x(x: int) -> None: ...


def asks_for_more(hotel: str, x: int, *, y: int, z: int = 0) -> None: ...


def judge(result: int, step: int) -> None: ...


def test_a_name_that_cannot_be_supplied_is_refused_with_a_list_of_those_that_can() -> None:
    assert refused(asks_for_x) == (
        "the rollback handler asks_for_x of needs_nothing asks for 'x', which cannot be supplied; name a parameter "
        "'result', 'error', 'step' or 'cause', or give it a default"
    )
    assert refused(asks_for_more, of=book) == (
        "the rollback handler asks_for_more of book asks for 'x' and 'y', which cannot be supplied; name a parameter "
        "'hotel', 'nights', 'late', 'extras', 'wishes', 'result', 'error', 'step' or 'cause', or give it a default"
    )
    assert refused(asks_for_x, of=judge) == (
        "the rollback handler asks_for_x of judge asks for 'x', which cannot be supplied; name a parameter "
        "'result', 'step', 'error' or 'cause', or give it a default"
    )


def numbers() -> Any:
    yield


async def async_numbers() -> Any:
    yield


class Numbers:
    def __call__(self) -> Any:
        yield


GENERATORS: dict[str, Any] = {"numbers": numbers, "async_numbers": async_numbers, "Numbers": Numbers(), "partial": None}


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_function_cannot_be_a_handler(name: str) -> None:
    handler = GENERATORS[name] or functools.partial(numbers)
    told = "numbers" if name == "partial" else name
    assert refused(handler) == (
        f"the rollback handler {told} of needs_nothing is a generator function: calling it would run nothing; make it "
        "a plain function"
    )


async def undo_async() -> None: ...


class AsyncUndo:
    async def __call__(self) -> None: ...


@pytest.mark.parametrize("name", ["undo_async", "partial", "AsyncUndo"])
def test_an_async_handler_of_a_sync_action_is_refused(name: str) -> None:
    handler: Any = {"undo_async": undo_async, "partial": functools.partial(undo_async), "AsyncUndo": AsyncUndo()}[name]
    told = "undo_async" if name == "partial" else name
    assert refused(handler) == (
        f"the rollback handler {told} is async, but needs_nothing is not, and may be called where nothing can be "
        "awaited; make needs_nothing an `async def`, or the handler a plain `def`"
    )
    assert action(undo_async).rollback(handler) is handler


class MakesNumbers(Numbers):
    """Called as a class, it makes an object."""


class MakesAsyncUndo(AsyncUndo):
    """Called as a class, it makes an object."""


@pytest.mark.parametrize("cls", [MakesNumbers, MakesAsyncUndo])
def test_a_class_is_no_generator_function_and_not_async_whatever_its_objects_are(cls: Any) -> None:
    assert action(needs_nothing).rollback(cls) is cls
    with transaction() as q:
        assert isinstance(q.add(cls).later, Step)


def test_a_built_in_function_that_does_not_tell_its_parameters_is_refused() -> None:
    assert refused(dict[str, int]().pop) == (
        "the rollback handler dict.pop of needs_nothing does not tell its parameters; wrap it in a function that names "
        "them"
    )


@pytest.mark.parametrize("nonsense", [3, "undo", (), Ellipsis], ids=repr)
@pytest.mark.parametrize("options", [{}, {"retry": None}], ids=["", "options"])
def test_what_is_not_callable_cannot_be_a_handler(nonsense: object, options: Any) -> None:
    assert refused(nonsense, **options) == f"needs_nothing.rollback takes a function, not {nonsense!r}"


def test_a_retry_option_that_is_no_policy_is_refused() -> None:
    wanted = "a Retry(...) or a callable (attempt, error) -> seconds or None"
    assert refused(needs_nothing, retry=3) == f"needs_nothing.rollback(retry=...) must be {wanted}, not 3"
    assert refused(needs_nothing, retry=Retry).endswith("; make one: Retry(...)")


def test_an_unknown_option_is_refused_by_name() -> None:
    assert refused(needs_nothing, irreversible=True) == (
        "rollback() has no option 'irreversible'; its options are retry, undo_timeout"
    )


def test_an_action_has_one_handler_and_keeps_the_first() -> None:
    decorated = action(book)
    undone: list[str] = []

    @decorated.rollback
    def unbook() -> None:
        undone.append("first")

    with pytest.raises(TypeError) as caught:
        decorated.rollback(needs_nothing)
    assert str(caught.value) == (
        "book already has a rollback handler, unbook; an action has one: call several functions from it, or "
        "override it in a subclass, like any method"
    )
    with transaction() as q:
        decorated("Ritz")
        q.rollback()
    assert undone == ["first"]
