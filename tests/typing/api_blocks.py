"""`add`, hooks, blocks, savepoints and the `transaction` decorator."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NoReturn, TypeVar, assert_type

from actionqueues import (
    Action,
    AsyncTransaction,
    CoroutineNotAwaited,
    Mark,
    Plan,
    PlannedStep,
    Report,
    Retry,
    Step,
    Transaction,
    TransactionState,
    action,
    current_transaction,
    on_commit,
    require_transactions,
    transaction,
)

T = TypeVar("T")


@action
def create(x: int) -> str:
    return str(x)


@action
async def fetch(x: int) -> bytes:
    return b""


@action
def identity(x: T) -> T:
    return x


@action
def many(a: int, b: str = "", *rest: float, key: bool = False, **more: bytes) -> list[int]:
    return []


class Mine(Action):
    pass


class Shop:
    @action
    def charge(self, amount: int) -> str:
        return ""

    @action
    async def acharge(self, amount: int) -> str:
        return ""

    @action
    @classmethod
    def open(cls, city: str) -> int:
        return 1

    @classmethod
    @action
    def open2(cls, city: str) -> int:
        return 1

    @action
    @staticmethod
    def tax(amount: int) -> float:
        return 1.0

    @staticmethod
    @action
    def tax2(amount: int) -> float:
        return 1.0


def plain(a: int, b: str = "", *, c: bytes = b"") -> float:
    return 1.0


def five(a: int, b: str, c: bytes, d: float, e: bool) -> complex:
    return 1j


async def aplain(a: int, b: str = "") -> float:
    return 1.0


def anything(x: object) -> int:
    return 1


def untyped_result(x: int) -> Any: ...


def never(x: int) -> NoReturn:
    raise SystemExit


def variadic(*args: int) -> str:
    return ""


@action
def mixed(a: int, b: str = "", *rest: float, key: bool = False) -> list[int]:
    return []


def kwonly(*, a: int) -> str:
    return ""


class Duck:
    def execute(self) -> int:
        return 1

    def rollback(self) -> None: ...


class Callee:
    def __call__(self, x: int) -> str:
        return ""

    async def execute(self) -> int:
        return 1

    async def rollback(self) -> None: ...


def queue(q: Transaction, shop: Shop) -> None:
    assert_type(q.add(create, 1), Step[str])
    assert_type(q.add(create, x=1), Step[str])
    assert_type(q.add(fetch, 1), Step[bytes])
    assert_type(q.add(plain, 1, "x", c=b""), Step[float])
    assert_type(q.add(aplain, 1), Step[float])
    assert_type(q.add(many, 1, "x", 1.0, key=True, z=b""), Step[list[int]])
    assert_type(q.add(shop.charge, amount=1), Step[str])
    assert_type(q.add(shop.charge, 1), Step[str])
    assert_type(q.add(shop.acharge, 1), Step[str])
    assert_type(q.add(Shop.charge, shop, amount=1), Step[str])
    assert_type(q.add(Shop.open, "x"), Step[int])
    assert_type(q.add(Shop.open2, city="x"), Step[int])
    assert_type(q.add(Shop.tax, amount=1), Step[float])
    assert_type(q.add(shop.tax2, amount=1), Step[float])
    assert_type(q.add(len, "x"), Step[int])
    assert_type(q.add(Callee(), 1), Step[str])
    assert_type(q.add(identity, 1), Step[int])
    assert_type(q.add(lambda: 3), Step[int])
    assert_type(q.add(Mine()), Step[None])
    assert_type(q.add(Duck()), Step[None])
    assert_type(q.add(Shop), Step[Shop])
    assert_type(q.add(untyped_result, 1), Step[Any])

    number = q.add(len, "x")
    text = q.add(create, number)
    data = q.add(fetch, number)
    assert_type(text, Step[str])
    assert_type(data, Step[bytes])
    assert_type(q.add(plain, number), Step[float])
    assert_type(q.add(plain, number, text), Step[float])
    assert_type(q.add(plain, 1, text), Step[float])
    assert_type(q.add(plain, number, "x"), Step[float])
    assert_type(q.add(plain, number, b="x", c=b""), Step[float])
    assert_type(q.add(plain, number, text, c=b""), Step[float])
    assert_type(q.add(aplain, number, text), Step[float])
    assert_type(q.add(aplain, 1, text), Step[float])
    assert_type(q.add(five, number, text, data, 1.0, True), Step[complex])
    assert_type(q.add(five, number, "x", data, 1.0, True), Step[complex])
    assert_type(q.add(five, 1, "x", b"", q.add(aplain, 1), True), Step[complex])
    assert_type(q.add(shop.charge, number), Step[str])
    assert_type(q.add(shop.acharge, number), Step[str])
    assert_type(q.add(q.add(Shop).later.charge, number), Step[str])
    assert_type(q.add(Shop.charge, q.add(Shop), number), Step[str])
    assert_type(q.add(Shop.open, text), Step[int])
    assert_type(q.add(Shop.tax, number), Step[float])
    assert_type(q.add(mixed, number, text, 1.0, key=True), Step[list[int]])
    # Known limit (mypy): a Step given by place to a function that takes **keywords; use `.later`.
    q.add(many, number, text, 1.0, key=True)  # type: ignore[arg-type]
    assert_type(q.add(many, number.later, text.later, 1.0, key=True), Step[list[int]])
    assert_type(q.add(variadic, number, number), Step[str])
    assert_type(q.add(anything, number), Step[int])
    assert_type(q.add(plain, b=text.later, a=number.later, c=data.later), Step[float])
    assert_type(q.add(kwonly, a=number.later), Step[str])
    assert_type(q.add(identity, number.later), Step[int])

    q.add(create, "1")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # planted
    q.add(create)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]  # planted
    q.add(create, 1, 2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]  # planted
    q.add(create, y=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]  # planted
    q.add(fetch, "1")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # planted
    # Planted:
    q.add(create, text)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    q.add(fetch, text)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # planted
    # Planted:
    q.add(plain, text, text)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    # Planted:
    q.add(plain, "x", text)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    # Planted:
    q.add(plain, 1, number)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    # Planted:
    q.add(plain, number, 3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    # Planted:
    q.add(five, number, text, text, 1.0, True)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    q.add(five, number, text, data, 1.0)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]  # planted
    # Planted:
    q.add(shop.charge, text)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    q.add(shop.charge, shop, 1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]  # planted
    q.add(3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # planted
    q.add(Mine(), 3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # planted
    # Planted:
    q.add(plain, a=text.later)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]

    assert_type(q.on_rollback(shop.charge, amount=1)(amount=1), str)
    assert_type(q.on_commit(shop.charge, amount=1)(amount=1), str)
    assert_type(on_commit(shop.charge, amount=1)(amount=1), str)
    on_commit(plain, 1, d=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # planted

    @q.on_rollback
    def by_hand() -> int:
        return 1

    assert_type(by_hand(), int)
    q.on_rollback(plain, "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
    q.on_commit(plain, 1, d=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # planted
    q.on_commit(3)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # planted


def block() -> int:
    with transaction() as q:
        assert_type(q, Transaction)
        with q.savepoint() as inner:
            assert_type(inner, Transaction)
        with transaction("name", independent=True, retry=Retry(attempts=2)) as other:
            assert_type(other, Transaction)
        return q.add(create, 1).attempts
    # No return here: the block swallows nothing.


def block_data(q: Transaction) -> None:
    assert_type(q.name, str)
    assert_type(q.state, TransactionState)
    assert_type(q.report, Report)
    assert_type(q.report.undone, list[str])
    assert_type(q.report.not_undone, list[Step[Any]])
    assert_type(q.report.left, list[Step[Any]])
    assert_type(q.report.never_awaited, list[str])
    assert_type((q.report.clean, q.report.failed), tuple[bool, bool])
    assert_type(q.report.failures[0].error, BaseException)
    assert_type(q.execute(), None)
    assert_type(q.plan(), Plan)
    assert_type(q.plan()[0], PlannedStep)
    assert_type(q.plan()[1:], Sequence[PlannedStep])
    assert_type([step.undo for step in q.plan()], list[str | None])
    assert_type(q.mark("here"), Mark)
    assert_type(q.rollback(to=q.mark()), None)
    q.mark(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
    q.rollback(to="here")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
    assert_type(q.rollback(), None)
    current_transaction().on_commit(create, 1)
    q.state = TransactionState.OPEN  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]  # planted
    q.savepoint(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
    assert_type(q.execute(progress=True), None)
    q.execute(3)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]  # planted


class AsyncDuck:
    async def execute(self) -> int:
        return 1

    async def rollback(self) -> None: ...


async def ablock(shop: Shop) -> int:
    async with transaction("name", undo_concurrently=True) as q:
        assert_type(q, AsyncTransaction)
        assert_type(q.add(fetch, 1), Step[bytes])
        assert_type(q.add(create, q.add(len, "x")), Step[str])
        assert_type(q.add(shop.acharge, amount=1), Step[str])
        assert_type(q.add(AsyncDuck()), Step[None])
        assert_type(await q.execute(), None)
        assert_type(q.state, TransactionState)
        assert_type(q.report, Report)
        q.on_rollback(aplain, 1)
        q.on_commit(fetch, 1)
        async with q.savepoint() as inner:
            assert_type(inner, AsyncTransaction)
        assert_type(await q.rollback(to=q.mark()), None)
        assert_type(await q.rollback(), None)
        q.execute()  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]  # planted
        # Planted:
        q.add(fetch, "1")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
        q.on_commit(fetch, "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
        with q:  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]  # planted
            pass
        return 3


def block_unreachable() -> int:
    with transaction("x", outermost=True):
        raise ValueError
    return "not reached"  # type: ignore[unreachable]  # so it is known


@transaction
def whole(x: int, *, y: str = "") -> bytes:
    return b""


@transaction("name", retry=Retry(attempts=2))
def whole_named(x: int, *, y: str = "") -> bytes:
    return b""


@transaction()
def whole_empty(x: int) -> bytes:
    return b""


@transaction
async def awhole(x: int) -> bytes:
    return b""


@transaction("name", retry=lambda attempt, error: None)
async def awhole_named(x: int) -> bytes:
    return b""


class Service:
    @transaction
    def go(self, x: int) -> bytes:
        return b""

    @transaction("go")
    def go2(self, x: int) -> bytes:
        return b""

    @classmethod
    @transaction("go")
    def go3(cls, x: int) -> bytes:
        return b""


async def wholes(service: Service) -> None:
    assert_type(whole(x=1, y="x"), bytes)
    assert_type(whole_named(x=1, y="x"), bytes)
    assert_type(whole_empty(1), bytes)
    assert_type(await awhole(x=1), bytes)
    assert_type(await awhole_named(x=1), bytes)
    assert_type(service.go(x=1), bytes)
    assert_type(service.go2(x=1), bytes)
    assert_type(Service.go3(x=1), bytes)
    whole("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
    whole_named("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
    # Planted:
    awhole_named("1")  # type: ignore[arg-type, unused-coroutine]  # pyright: ignore[reportArgumentType, reportUnusedCoroutine]
    service.go2("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
    transaction(3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # planted
    with transaction:  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]  # planted
        pass
    Transaction("x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # planted
    transaction("x", undo_concurrently=1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]  # planted
    transaction("x", indep=True)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]  # planted


def required() -> None:
    require_transactions()
    require_transactions(False)
    require_transactions(required=True)
    assert_type(require_transactions(), AbstractContextManager[None])
    with require_transactions() as nothing:
        assert_type(nothing, None)
    require_transactions("yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted


error = CoroutineNotAwaited("send", "send")
assert_type((error.name, error.coroutine), tuple[str, str])
