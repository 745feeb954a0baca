"""`@transaction` over methods of each kind, in either order of decorators; what is copied; and a policy for a block."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any

import pytest

from actionqueues import Retry, action, current_transaction, transaction

trail: list[str] = []


@pytest.fixture(autouse=True)
def empty() -> None:
    trail.clear()


@action
def put(name: str) -> str:
    trail.append(f"+{name}")
    return name


@put.rollback
def take(name: str) -> None:
    trail.append(f"-{name}")


def work(name: str, fails: bool) -> str:
    """Two steps in the block of a method, which is named after that."""
    put(current_transaction().name)
    put(name)
    if fails:
        raise LookupError(name)
    return name


class Shop:
    @transaction("method")
    def method(self, fails: bool = False) -> str:
        return work(type(self).__name__, fails)

    @transaction("class")
    @classmethod
    def outside_class(cls, fails: bool = False) -> str:
        return work(cls.__name__, fails)

    @classmethod
    @transaction("class")
    def inside_class(cls, fails: bool = False) -> str:
        return work(cls.__name__, fails)

    @transaction("static")
    @staticmethod
    def outside_static(fails: bool = False) -> str:
        return work("none", fails)

    @staticmethod
    @transaction("static")
    def inside_static(fails: bool = False) -> str:
        return work("none", fails)


class Corner(Shop):
    """Inherits them."""


KINDS = ["method", "outside_class", "inside_class", "outside_static", "inside_static"]
each_kind = pytest.mark.parametrize("kind", KINDS)


def expected(kind: str, owner: str) -> list[str]:
    return [kind.rpartition("_")[2], "none" if "static" in kind else owner]


@each_kind
@pytest.mark.parametrize("owner", [Shop, Corner])
def test_each_call_of_a_method_has_a_block_of_its_own(kind: str, owner: type[Shop]) -> None:
    name, value = expected(kind, owner.__name__)
    bound: Callable[..., str] = getattr(owner(), kind)
    assert (bound(), bound()) == (value, value)
    assert trail == [f"+{name}", f"+{value}"] * 2


@each_kind
@pytest.mark.parametrize("owner", [Shop, Corner])
def test_a_method_that_fails_is_undone(kind: str, owner: type[Shop]) -> None:
    name, value = expected(kind, owner.__name__)
    with pytest.raises(LookupError):
        getattr(owner(), kind)(fails=True)
    assert trail == [f"+{name}", f"+{value}", f"-{value}", f"-{name}"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "method"])
def test_a_class_or_static_method_is_called_through_the_class(kind: str) -> None:
    assert getattr(Corner, kind)() == expected(kind, "Corner")[1]


def test_a_method_is_called_through_the_class_with_the_object() -> None:
    assert Shop.method(Corner()) == "Corner"


@transaction
def whole() -> str:
    return put("a")


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_decorated_function_is_itself(duplicate: Callable[[Any], Any]) -> None:
    assert duplicate(whole) is whole
    assert duplicate({"hook": whole})["hook"] is whole


MESSAGE = (
    "transaction(retry=...) is for decorating a function, which can be called again; a block cannot: put its lines "
    "into a function, or give the policy to the actions"
)


def test_a_policy_for_a_block_is_refused_before_the_block_runs() -> None:
    q = transaction("order", retry=Retry())
    with pytest.raises(TypeError) as caught, q:
        put("never")
    assert (str(caught.value), trail, q.state) == (MESSAGE, [], "new")


def test_a_policy_for_an_async_block_is_refused_likewise() -> None:
    async def main() -> None:
        async with transaction(retry=Retry()):
            put("never")

    with pytest.raises(TypeError) as caught:
        asyncio.run(main())
    assert (str(caught.value), trail) == (MESSAGE, [])


def test_a_call_that_has_done_something_irreversible_is_not_repeated_and_says_so() -> None:
    @action(irreversible=True)
    def send() -> None:
        trail.append("send")

    @transaction(retry=lambda attempt, error: 0.0)
    def run() -> None:
        put("a")
        send()
        raise LookupError

    with pytest.raises(LookupError) as caught:
        run()
    assert trail == ["+a", "send", "-a"]
    assert caught.value.__notes__ == [
        "actionqueues: not undone: send (irreversible)",
        "actionqueues: not tried again, because something that it had made was left behind",
    ]


def test_a_decorated_function_gives_its_name_to_its_transactions_with_parentheses_as_well() -> None:
    @transaction()
    def sign_up() -> str:
        return current_transaction().name

    @transaction
    def log_in() -> str:
        return current_transaction().name

    assert (sign_up(), log_in()) == (
        sign_up.__qualname__.rpartition("<locals>.")[2],
        log_in.__qualname__.rpartition("<locals>.")[2],
    )
