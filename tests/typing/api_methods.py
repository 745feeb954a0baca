"""Methods, class methods and static methods, in either order of decorators; generic classes; subclasses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar, assert_type

from actionqueues import Retry, action

T = TypeVar("T")
U = TypeVar("U")


@action
def _tax3_shop(shop: Shop) -> float:
    return 1.0


class Shop:
    tax3_shop = staticmethod(_tax3_shop)

    @action
    def charge(self, amount: int) -> str:
        return ""

    @charge.rollback
    def refund(self, amount: int, result: str) -> None: ...

    @action(retry=Retry())
    async def acharge(self, amount: int) -> str:
        return ""

    @action
    def nothing(self) -> str:
        return ""

    @action
    @classmethod
    def open(cls, city: str) -> int:
        return 1

    @classmethod
    @action
    def open2(cls, city: str) -> int:
        return 1

    @action(retry=Retry())
    @classmethod
    def open3(cls, city: str) -> int:
        return 1

    @action
    @staticmethod
    def tax(amount: int) -> float:
        return 1.0

    @staticmethod
    @action
    def tax2(amount: int) -> float:
        return 1.0

    @action
    @staticmethod
    def tax_nothing() -> float:
        return 1.0

    @staticmethod
    @action
    def tax2_nothing() -> float:
        return 1.0

    @action
    @staticmethod
    def tax_object(amount: object) -> float:
        return 1.0

    @staticmethod
    @action
    def tax2_object(amount: object) -> float:
        return 1.0

    @action
    @staticmethod
    def tax_any(amount: Any) -> float:
        return 1.0

    @staticmethod
    @action
    def tax2_any(amount: Any) -> float:
        return 1.0

    @action
    @staticmethod
    def tax_shop(shop: Shop) -> float:
        return 1.0

    @staticmethod
    @action
    def tax2_shop(shop: Shop) -> float:
        return 1.0


class SubShop(Shop):
    pass


def methods(shop: Shop, sub: SubShop) -> None:
    assert_type(shop.charge(5), str)
    assert_type(shop.charge(amount=5), str)
    assert_type(sub.charge(amount=5), str)
    assert_type(shop.refund(5, "x"), None)
    assert_type(Shop.charge(shop, 5), str)
    assert_type(SubShop.charge(sub, amount=5), str)
    Shop.charge.rollback(retry=Retry())
    assert_type(shop.nothing(), str)
    shop.charge("5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
    shop.charge(shop, 5)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]  # planted
    shop.charge(price=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # planted
    Shop.charge(5)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]  # planted
    shop.nothing(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # planted

    assert_type(Shop.open("x"), int)
    assert_type(Shop.open(city="x"), int)
    assert_type(shop.open(city="x"), int)
    assert_type(sub.open(city="x"), int)
    assert_type(SubShop.open(city="x"), int)
    assert_type(Shop.open2(city="x"), int)
    assert_type(shop.open2(city="x"), int)
    assert_type(SubShop.open2(city="x"), int)
    assert_type(Shop.open3(city="x"), int)
    assert_type(shop.open3(city="x"), int)
    Shop.open(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
    Shop.open2(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
    shop.open(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
    shop.open2(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted

    assert_type(Shop.tax(1), float)
    assert_type(Shop.tax(amount=1), float)
    assert_type(shop.tax(amount=1), float)
    assert_type(sub.tax(amount=1), float)
    assert_type(Shop.tax2(amount=1), float)
    assert_type(shop.tax2(amount=1), float)
    Shop.tax("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
    shop.tax("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
    Shop.tax2("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
    shop.tax2("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
    assert_type(Shop.tax_nothing(), float)
    assert_type(shop.tax_nothing(), float)
    assert_type(Shop.tax2_nothing(), float)
    assert_type(shop.tax2_nothing(), float)
    assert_type(Shop.tax_object(1), float)
    assert_type(shop.tax_object(1), float)
    assert_type(Shop.tax2_object(1), float)
    assert_type(shop.tax2_object(1), float)
    assert_type(Shop.tax_any(1), float)
    assert_type(shop.tax_any(1), float)
    assert_type(Shop.tax2_any(1), float)
    assert_type(shop.tax2_any(1), float)
    assert_type(Shop.tax_shop(shop), float)
    # Known limit: a static method whose first parameter takes an instance of its own class, called
    # through an instance, looks like an instance method. Through the class it is exact.
    shop.tax_shop(shop)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert_type(Shop.tax2_shop(shop), float)
    shop.tax2_shop(shop)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # the limit above
    assert_type(Shop.tax3_shop(shop), float)
    assert_type(shop.tax3_shop(shop), float)


async def amethods(shop: Shop) -> None:
    assert_type(await shop.acharge(amount=5), str)


@action
def _same3(value: U) -> U:
    return value


@action
def _each3(fn: Callable[[int], U]) -> U:
    return fn(1)


class Box(Generic[T]):
    same3 = staticmethod(_same3)
    each3 = staticmethod(_each3)

    def __init__(self, value: T) -> None:
        self.value = value

    @action
    def get(self) -> T:
        return self.value

    @action
    def swap(self, value: T, other: U) -> tuple[T, U]:
        return value, other

    @action(irreversible=True)
    def me(self, n: int = 1) -> Self:
        return self

    @action(irreversible=True)
    def me2(self, n: int = 1) -> Box[T]:
        return self

    @action
    def over(self, n: int = 1) -> int:
        return 1

    @swap.rollback(retry=Retry())
    def unswap(self, value: T) -> None: ...

    @action
    @classmethod
    def make(cls, value: T) -> Self:
        return cls(value)

    @classmethod
    @action
    def make2(cls, value: T) -> Box[T]:
        return cls(value)

    @action
    @classmethod
    def bare(cls) -> int:
        return 1

    @action
    @staticmethod
    def same(value: U) -> U:
        return value

    @staticmethod
    @action
    def each(fn: Callable[[int], U]) -> U:
        return fn(1)

    @action
    @staticmethod
    def optional(x: int | None = None, /) -> int:
        return 1


class IntBox(Box[int]):
    # Known limit (pyright): a decorated method that overrides a decorated one.
    @action
    def over(self, n: int = 1) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]  # the limit above
        assert_type(super().over(n=2), int)
        return 1


def generic_methods(box: Box[int], sub: IntBox, either: Box[int] | IntBox, kind: type[Shop]) -> None:
    assert_type(box.get(), int)
    # Known limit (mypy): a type variable of the method's own.
    assert_type(box.swap(value=1, other="x"), tuple[int, str])  # type: ignore[assert-type, arg-type]
    assert_type(box.me2(n=1), Box[int])
    assert_type(sub.me2(n=1), Box[int])
    assert_type(sub.over(n=1), int)
    # Known limit (mypy): Self in the signature of a decorated method; name the class instead.
    assert_type(sub.me(n=1), IntBox)  # type: ignore[assert-type, call-arg]
    assert_type(sub.get(), int)
    assert_type(either.get(), int)
    assert_type(box.unswap(1), None)
    box.swap("1", 2)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
    box.unswap("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
    assert_type(IntBox.bare(), int)
    assert_type(box.bare(), int)
    assert_type(IntBox.make(1), IntBox)  # type: ignore[assert-type, call-arg, arg-type]  # the limit above
    assert_type(box.make2(value=1), Box[int])
    # Known limit (pyright): static methods whose first parameter is a type variable, a callable or
    # a `type[...]` look like instance or class methods. `name = staticmethod(an_action)` is exact.
    assert_type(Box.same(1), int)  # pyright: ignore[reportAssertTypeFailure, reportArgumentType]
    assert_type(box.each(fn=str), str)  # pyright: ignore[reportAssertTypeFailure, reportCallIssue]  # the limit above
    assert_type(Box.same3(value=1), int)
    assert_type(box.same3(value=1), int)
    assert_type(Box.each3(fn=str), str)
    assert_type(box.each3(fn=str), str)
    assert_type(Box.optional(1), int)
    assert_type(box.optional(1), int)
    assert_type(kind.open(city="x"), int)
    assert_type(kind.tax(amount=1), float)


ShopT = TypeVar("ShopT", bound=Shop)


def bound_var(shop: ShopT) -> ShopT:
    assert_type(shop.charge(amount=1), str)
    assert_type(shop.open(city="x"), int)
    assert_type(shop.tax(amount=1), float)
    return shop


class Chargeable(Protocol):
    def charge(self, amount: int) -> str: ...


def wants_protocol(thing: Chargeable) -> None: ...


# Known limit (pyright): it compares the descriptor, not what its __get__ gives.
wants_protocol(Shop())  # pyright: ignore[reportArgumentType]


class Account(ABC):
    @action
    @abstractmethod
    def withdraw(self, amount: int) -> str: ...

    @withdraw.rollback
    @abstractmethod
    def put_back(self, amount: int) -> None: ...


@dataclass(slots=True)
class Point:
    x: int

    @action
    def move(self, by: int) -> int:
        return self.x + by


class Registry(type):
    @action
    def register(cls, name: str) -> int:
        return 1


class Registered(metaclass=Registry):
    pass


def kinds(account: Account, point: Point) -> None:
    assert_type(account.withdraw(amount=1), str)
    assert_type(account.put_back(1), None)
    assert_type(point.move(by=1), int)
    assert_type(Point.move(point, 1), int)
    assert_type(Registry.register(Registered, "x"), int)
    # Known limit (mypy): a decorated method of a metaclass, called through its class.
    assert_type(Registered.register("x"), int)  # type: ignore[call-arg, arg-type]
    Account()  # type: ignore[abstract]  # pyright: ignore[reportAbstractUsage]  # planted
    point.move(by="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
    Registered.register(1)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportArgumentType]  # planted
    bound: Callable[[int], int] = point.move
    # Planted:
    wrong: Callable[[str], int] = point.move  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    del bound, wrong
