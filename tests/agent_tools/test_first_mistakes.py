"""What newcomers get wrong is refused before anything has happened, and the message says what to do instead."""

from __future__ import annotations

import inspect
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date
from enum import Enum
from functools import partial
from typing import Any, NamedTuple, TypedDict

import pytest

from actionqueues import AsyncTransaction, NoTransaction, TransactionClosed, action, transaction
from actionqueues.agents import tools

from .belt import Full, always, done, pay, put, there


class Desk:
    @action
    def unlock(self, name: str) -> str:
        return name

    @unlock.rollback
    def lock(self, name: str) -> None: ...


class Doubled:
    """Something that is called."""

    def __call__(self, number: int, by: int = 2) -> int:
        return number * by


class Plain:
    """What no framework can read as data."""


class Pair(NamedTuple):
    one: int


class Named(TypedDict):
    one: int


class Colour(Enum):
    RED = 1


@dataclass
class Point:
    one: int


class Schema:
    @classmethod
    def __get_pydantic_core_schema__(cls, *_: object) -> object: ...


@pytest.mark.parametrize("first", [put, Desk().unlock, partial(put, "a")], ids=["action", "method", "partial"])
def test_a_transaction_that_was_forgotten_is_named(first: Any) -> None:
    with pytest.raises(TypeError, match=r"tools\(\) takes the transaction first, and then actions, not (put|.*unlock)"):
        tools(first, put)


def test_a_list_of_actions_and_a_tool_are_no_action() -> None:
    with transaction() as q:
        with pytest.raises(TypeError, match=r"each action by itself, not a list of them: tools\(q, \*actions\)"):
            tools(q, [put])  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - a list
        tool, *_, explain = tools(q, put)
        for each, name in ((tool, "put"), (explain, "explain")):
            with pytest.raises(TypeError, match=f"^{name} is a tool already: give tools.. the action that it was made"):
                tools(q, each)


def test_the_method_of_a_class_is_no_tool_without_its_object() -> None:
    with transaction() as q:
        with pytest.raises(TypeError, match=r"Desk.unlock cannot be a tool without its object: give the method of one"):
            tools(q, Desk.unlock)
        (tool,) = tools(q, partial(Desk.unlock, Desk()), meta=False)
        assert tool(name="a") == "a"


def test_a_parameter_that_frameworks_refuse_or_hide_is_refused_and_can_be_supplied() -> None:
    @action(read_only=True)
    def hidden(name: str, _size: int) -> int:
        return _size

    with transaction() as q:
        with pytest.raises(TypeError, match=r"parameter _size begins with _, .* functools.partial\(.*hidden, _size="):
            tools(q, hidden)
        (tool,) = tools(q, partial(hidden, _size=3), meta=False)
        assert tool(name="a") == 3


@pytest.mark.parametrize("wrong", [{"colour": "red"}, {"step": 1}])
def test_a_partial_that_does_not_fit_is_refused(wrong: dict[str, Any]) -> None:
    with (
        transaction() as q,
        pytest.raises(TypeError, match="put cannot be a tool: .* its partial supplies does not fit"),
    ):
        tools(q, partial(put, **wrong))


def test_what_does_not_say_what_it_takes_is_refused() -> None:
    with (
        transaction() as q,
        pytest.raises(TypeError, match="cannot be a tool: nobody knows what it takes, as it does not"),
    ):
        tools(q, action(dict[str, int]().update, read_only=True))


def test_actions_of_objects_that_are_called_and_of_partials_are_tools() -> None:
    with transaction() as q:
        called, supplied = tools(
            q,
            named={
                "called": action(Doubled(), read_only=True),
                "supplied": action(partial(Doubled(), by=3), read_only=True),
            },
            meta=False,
        )
        assert str(inspect.signature(called)) == "(number: int, by: int = 2) -> Union[int, str]"
        assert str(inspect.signature(supplied)) == "(number: int) -> Union[int, str]"
        assert (called(number=4), supplied(number=4)) == (8, 12)


@pytest.mark.parametrize("kind", [int, None, Any, list[int], date, Pair, Named, Colour, Point, Schema])
def test_a_result_that_is_data_is_said_to_be_that_or_a_text(kind: Any) -> None:
    made = returning(kind)
    assert "str" in str(made.__annotations__["return"])


@pytest.mark.parametrize("kind", [Plain, object])
def test_of_another_result_nothing_is_said(kind: Any) -> None:
    assert "return" not in returning(kind).__annotations__


def returning(kind: Any) -> Any:
    @action(read_only=True)
    def give() -> None: ...

    give.__annotations__["return"] = kind
    with transaction() as q:
        return tools(q, give)[0]


def test_a_variable_without_a_transaction_is_told_as_that() -> None:
    current: ContextVar[AsyncTransaction] = ContextVar("current")
    tool, _, changes, _, _ = tools(current.get, put)
    for call in (partial(tool, name="a"), changes):
        with pytest.raises(NoTransaction, match="a tool was called outside any transaction; enter the block of its"):
            call()


def test_that_a_call_comes_too_late_is_nothing_that_a_model_can_mend() -> None:
    ends: list[Any] = []

    @action(read_only=True)
    def late() -> None:
        raise TransactionClosed("a step", "the transaction", "committed")

    with transaction() as q:
        ends += tools(q, late, mendable=Exception, meta=False)
        with pytest.raises(TransactionClosed):
            ends[0]()


class Mute(Full):
    """An exception whose text fails."""

    def __str__(self) -> str:
        raise LookupError


def test_an_exception_whose_text_fails_is_told_by_its_class() -> None:
    def refuse(*_: object) -> bool:
        raise Mute

    @action
    def mute() -> None:
        raise Mute

    @mute.rollback
    def undo() -> None: ...

    there.clear()
    done.clear()
    with transaction() as q:
        failing, paying = tools(q, mute, pay, approve=refuse, mendable=Full, meta=False)
        assert failing().startswith("mute() failed: Mute: Mute(). What it had done has been undone")
        assert paying(euros=5).startswith("pay was not approved (Mute()), so it has not run")
        assert tools(q, pay, approve=always, meta=False)[0](euros=5) == "paid"
    assert done == ["paid 5"]
