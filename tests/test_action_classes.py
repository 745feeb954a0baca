"""Actions in odd classes: abstract, slotted, generic and metaclasses; in properties, special methods and late ones."""

# Overriding an action with another is what is tested here; pyright compares the descriptors, not what they give.
# pyright: reportIncompatibleVariableOverride=false, reportIncompatibleMethodOverride=false

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections import UserDict
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import pytest

from actionqueues import action, transaction

T = TypeVar("T")


class Boom(Exception):
    """What the blocks of these tests are left by."""


class Account(ABC):
    @action
    @abstractmethod
    def outer(self) -> str: ...

    @abstractmethod
    @action
    def inner(self) -> str: ...

    @action
    @classmethod
    @abstractmethod
    def made(cls) -> str: ...


def test_abstract_actions_stay_abstract_until_they_are_overridden() -> None:
    assert Account.__abstractmethods__ == {"outer", "inner", "made"}
    with pytest.raises(TypeError, match="abstract"):
        Account()  # type: ignore[abstract]  # pyright: ignore[reportAbstractUsage] - wrong on purpose

    class Real(Account):
        @action
        def outer(self) -> str:
            return "outer"

        @action
        def inner(self) -> str:
            return "inner"

        @action
        @classmethod
        def made(cls) -> str:
            return "made"

    with transaction():
        assert (Real().outer(), Real().inner(), Real.made()) == ("outer", "inner", "made")


@dataclass(slots=True)
class Point:
    x: int
    tags: list[str] = field(default_factory=list[str])

    @action
    def move(self, by: int) -> int:
        old, self.x = self.x, self.x + by
        return old

    @move.rollback
    def unmove(self, result: int) -> None:
        self.x = result

    @property
    def mover(self) -> Any:
        """A property that gives a bound method."""
        return self.move


@dataclass(frozen=True, slots=True)
class Frozen:
    x: int

    @action
    def double(self) -> int:
        return 2 * self.x


def test_methods_of_slotted_dataclasses_are_actions_which_are_no_fields() -> None:
    point = Point(1)
    with pytest.raises(Boom), transaction():
        assert point.move(2) == 1
        assert point.mover(3) == 3
        assert point.x == 6
        raise Boom
    assert point.x == 1
    assert Frozen(2).double() == 4
    assert repr(point) == "Point(x=1, tags=[])"


def test_an_action_can_be_the_getter_of_a_property() -> None:
    reads: list[str] = []

    class Meter:
        @property
        @action
        def value(self) -> int:
            reads.append("read")
            return 3

    with transaction() as q:
        assert Meter().value == 3
        assert repr(q) == "<Transaction 'transaction' open, 1 step>"
    assert reads == ["read"]


class Box(Generic[T]):
    def __init__(self, value: T) -> None:
        self.value = value

    @action
    def swap(self, value: T) -> T:
        old, self.value = self.value, value
        return old

    @swap.rollback
    def unswap(self, result: T) -> None:
        self.value = result


def test_methods_of_generic_classes_are_actions() -> None:
    box = Box[int](1)
    with pytest.raises(Boom), transaction():
        assert box.swap(2) == 1
        raise Boom
    assert box.value == 1


def test_a_class_can_call_its_actions_while_subclasses_are_made() -> None:
    made: list[str] = []

    class Plugin:
        @action
        @classmethod
        def register(cls, name: str) -> None:
            made.append(name)

        @register.rollback
        def unregister(cls, name: str) -> None:  # noqa: N805 - a class method of a metaclass, in effect
            made.remove(name)

        def __init_subclass__(cls, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            cls.register(cls.__name__)

    with transaction():
        type("Kept", (Plugin,), {})
    with pytest.raises(Boom), transaction():
        type("Gone", (Plugin,), {})
        raise Boom
    assert made == ["Kept"]


def test_methods_of_metaclasses_are_actions_of_their_classes() -> None:
    undone: list[str] = []

    class Registry(type):
        @action
        def enlist(cls, n: int) -> int:
            return n

        @enlist.rollback
        def strike(cls, n: int) -> None:
            undone.append(f"{cls.__name__} {n}")

    class Member(metaclass=Registry):
        pass

    with pytest.raises(Boom), transaction():
        enlist: Any = Member.enlist
        assert enlist(3) == 3
        raise Boom
    assert undone == ["Member 3"]


def grow(self: object, n: int) -> int:
    return n


def test_an_action_that_is_put_into_a_class_later_is_a_method() -> None:
    late: Any = type("Late", (), {})
    late.grow = action(grow)
    late.partial = functools.partialmethod(late.grow, 3)
    with transaction() as q:
        assert late().grow(2) == 2
        assert late().partial() == 3
        assert repr(q) == "<Transaction 'transaction' open, 2 steps>"


def test_an_action_on_an_object_is_not_bound() -> None:
    late: Any = type("Late", (), {})()
    late.grow = action(grow)
    with transaction():
        assert late.grow("self", 3) == 3


def test_special_methods_are_actions_when_the_interpreter_calls_them() -> None:
    undone: list[tuple[str, int]] = []

    class Store(UserDict[str, int]):
        @action
        def __setitem__(self, key: str, value: int) -> None:
            super().__setitem__(key, value)

        @__setitem__.rollback
        def _forget(self, key: str, value: int) -> None:
            undone.append((key, value))

    with pytest.raises(Boom), transaction():
        Store()["a"] = 1
        raise Boom
    assert undone == [("a", 1)]
