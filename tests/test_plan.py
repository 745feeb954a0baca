"""`q.plan()`: what is queued, what will undo it, and what cannot be undone; `@fn.describe` says it in words."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from actionqueues import (
    Action,
    IllegalOperation,
    Plan,
    PlannedStep,
    TransactionClosed,
    action,
    current_transaction,
    transaction,
)
from actionqueues.journal import Journal

called: list[str] = []


@pytest.fixture(autouse=True)
def nothing_called() -> Iterator[None]:
    called.clear()
    yield
    assert called == []


@action
def create(name: str, size: int = 3) -> str:
    called.append("create")
    return name


@create.rollback
def delete(result: str) -> None:
    called.append("delete")


@create.describe
def what_is_created(name: str, size: int) -> str:
    return f"make {name}, which takes {size:.1f} GB"


@action(irreversible=True)
def announce(*names: str, to: str = "all", **more: object) -> None:
    called.append("announce")


@action(read_only=True)
def look(name: str) -> None:
    called.append("look")


@action
def leak(name: str) -> None:
    called.append("leak")


class Tidy(Action):
    def execute(self) -> None:
        called.append("execute")


class Shop:
    @action
    def sell(self, thing: str) -> None:
        called.append("sell")

    @sell.rollback
    def buy_back(self, thing: str) -> None:
        called.append("buy back")

    @sell.describe
    def what_is_sold(self, thing: str) -> str:
        return f"{type(self).__name__} sells {thing}"


class Corner(Shop):
    buy_back: Any = "not callable"


def planned(queue: Callable[[Any], object], **options: Any) -> Plan:
    """The plan of what is queued so; nothing of it is run."""
    with transaction("order", **options) as q:
        queue(q)
        plan = q.plan()
        q.rollback()
    return plan


def undos(plan: Plan) -> list[tuple[str, str | None, bool, str | None]]:
    return [(step.name, step.undo, step.reversible, step.reason) for step in plan]


def test_a_plan_tells_what_will_run_in_order_and_what_will_undo_it() -> None:
    def queue(q: Any) -> None:
        q.add(create, "a")
        q.add(announce, "b", to="team", urgent=True)
        q.add(look, "c")
        q.add(leak, "d")
        q.add(Tidy())
        q.add(os.path.join, "e", "f")
        q.add(Shop().sell, "g")

    plan = planned(queue)
    assert undos(plan) == [
        ("create", "delete", True, None),
        ("announce", None, False, "irreversible"),
        ("look", None, True, "read-only"),
        ("leak", None, False, "no rollback handler"),
        ("Tidy", "Tidy.rollback", True, None),
        ("join", None, False, "no rollback handler"),
        ("Shop.sell", "Shop.buy_back", True, None),
    ]
    assert [step.arguments for step in plan] == [
        "name='a', size=3",
        "to='team', names=('b',), more={'urgent': True}",
        "name='c'",
        "name='d'",
        "",
        "a='e', p=('f',)",
        "thing='g'",
    ]
    assert [step.number for step in plan] == [1, 2, 3, 4, 5, 6, 7]
    assert [step.name for step in plan.irreversible] == ["announce", "leak", "join"]


def test_a_plan_is_a_sequence_that_says_what_it_is_and_stays_as_it_was() -> None:
    with transaction("order") as q:
        q.add(look, "a")
        plan = q.plan()
        q.add(leak, "b")
        assert (len(plan), plan.name, repr(plan)) == (1, "order", "<Plan of 'order': 1 step>")
        assert repr(q.plan()) == "<Plan of 'order': 2 steps, 1 not reversible>"
        assert isinstance(plan[0], PlannedStep)
        assert plan[-1] is plan.steps[0]
        q.rollback()
    assert plan[0].name == "look"


def test_the_result_of_an_earlier_step_is_told_by_its_number() -> None:
    def queue(q: Any) -> None:
        first = q.add(create, "a")
        second = q.add(create, first)
        q.add(announce, first, second, to=second, also=first)
        q.add(print, first, end=first)

    plan = planned(queue)
    assert [(step.arguments, step.needs) for step in plan] == [
        ("name='a', size=3", ()),
        ("name=result of 1, size=3", (1,)),
        ("to=result of 2, names=(result of 1, result of 2), more={'al…", (1, 2)),
        ("args=(result of 1,), end=result of 1", (1,)),
    ]
    assert [step.description for step in plan][:2] == [
        "make a, which takes 3.0 GB",
        "make result of 1, which takes 3.0 GB",
    ]


def test_the_result_of_a_step_that_has_run_is_told_by_its_name() -> None:
    with transaction() as q:
        first = q.add(create, "a")
        q.execute()
        q.add(look, first)
        (step,) = q.plan()
        assert (step.number, step.arguments, step.needs) == (1, "name=result of create", ())
        q.rollback()
    assert called == ["create", "delete"]
    called.clear()


def test_what_savepoints_have_queued_comes_first_as_they_end_first() -> None:
    with transaction("outer") as q:
        q.add(look, "a")
        with q.savepoint("middle") as middle:
            middle.add(look, "b")
            q.add(look, "c")
            with middle.savepoint("inner") as inner:
                inner.add(look, "d")
                told = [(step.arguments, step.savepoint) for step in q.plan()]
                assert told == [("name='d'", "inner"), ("name='b'", "middle"), ("name='a'", None), ("name='c'", None)]
                assert [(step.arguments, step.savepoint) for step in middle.plan()] == [*told[:1], ("name='b'", None)]
                assert [step.savepoint for step in inner.plan()] == [None]
        called.clear()
        assert [step.arguments for step in q.plan()] == ["name='a'", "name='c'"]
        q.rollback()


def test_what_has_been_dropped_or_has_run_is_in_no_plan() -> None:
    with transaction() as q:
        q.add(look, "a")
        mark = q.mark()
        q.add(look, "b")
        q.rollback(to=mark)
        assert [step.arguments for step in q.plan()] == ["name='a'"]
        q.execute()
        assert list(q.plan()) == []
    assert called == ["look"]
    called.clear()


def test_a_plan_is_made_in_async_code_and_in_any_thread() -> None:
    @action(read_only=True)
    async def asks(q: Any) -> int:
        return len(q.plan())

    async def main() -> Plan:
        async with transaction() as q:
            q.add(look, "a")
            assert await asks(q) == 1
            plan = await asyncio.to_thread(q.plan)
            assert isinstance(current_transaction().plan(), Plan)
            await q.rollback()
        return plan

    assert [step.name for step in asyncio.run(main())] == ["look"]
    with transaction() as q, ThreadPoolExecutor(1) as pool:
        q.add(look, "a")
        assert len(pool.submit(q.plan).result()) == 1
        q.rollback()


def test_there_is_no_plan_of_a_block_that_is_not_open() -> None:
    q = transaction("order")
    with pytest.raises(IllegalOperation, match="the transaction 'order': it has not been entered"):
        q.plan()
    with q:
        pass
    with pytest.raises(TransactionClosed, match=r"plan\(\) came too late: the transaction 'order' is committed"):
        q.plan()


def test_a_plan_is_data() -> None:
    with transaction("order") as q:
        first = q.add(create, "a")
        q.add(create, first, 2)
        plan = q.plan()
        q.rollback()
    data = plan.as_dict()
    assert json.loads(json.dumps(data)) == data
    assert data["steps"][1] == {
        "number": 2,
        "name": "create",
        "arguments": "name=result of 1, size=2",
        "undo": "delete",
        "reversible": True,
        "reason": None,
        "description": "make result of 1, which takes 2.0 GB",
        "description_error": None,
        "needs": [1],
        "savepoint": None,
    }
    assert {name: data[name] for name in ("format", "kind", "name")} == {"format": 1, "kind": "plan", "name": "order"}


def test_a_plan_of_a_handler_that_cannot_be_called_says_so() -> None:
    (step,) = planned(lambda q: q.add(Corner().sell, "a"))
    assert (step.undo, step.reversible) == (None, False)
    assert "Corner.buy_back undoes Shop.sell, so it must be a function, not 'not callable'" in str(step.reason)
    assert step.description == "Corner sells a"


def test_a_callable_that_does_not_tell_its_parameters_is_told_by_position() -> None:
    (step,) = planned(lambda q: q.add(dict, [("a", 1)], b=2))
    assert step.arguments == "[<tuple>], b=2"


# -- what is kept out of the journal


@dataclass
class Payment:
    card: str
    amount: int


class Pair(NamedTuple):
    card: str
    amount: int


@action
def pay(card: str, payment: Any = None, *rest: Any, **more: Any) -> str:
    return ""


@pay.describe
def what_is_paid(card: str, payment: Any, *rest: Any, **more: Any) -> str:
    return f"pay by {card} {card:>9} {payment} {rest} {more}"


def plain(card: str, amount: int) -> None: ...


def test_what_the_journal_keeps_out_is_not_shown_and_not_told_to_a_description(tmp_path: Path) -> None:
    values = ["4242", Payment("4242", 1), Pair("4242", 2), {"card": "4242", "in": [{"card": "4242"}]}, ("4242",)[:0]]

    def queue(q: Any) -> None:
        q.add(pay, *values, card_of="x", **{"card ": 1})
        q.add(pay, "4242", Payment("4242", 5), "open", card2=3)
        q.add(plain, "4242", 7)
        first = q.add(pay, "4242")
        q.add(pay, first)

    with Journal(tmp_path / "actions.db", redact=("card",)) as journal:
        plan = planned(queue, journal=journal)
    text = json.dumps(plan.as_dict()) + str(plan) + plan.to_mermaid()
    assert "4242" not in text
    assert [step.arguments for step in plan][1:] == [
        "card=…, payment=<Payment>, rest=('open',), more={'card2': 3}",
        "card=…, amount=7",
        "card=…, payment=None, rest=(), more={}",
        "card=…, payment=None, rest=(), more={}",
    ]
    assert plan[1].description == "pay by … … Payment(card=…, amount=5) ('open',) {'card2': 3}"
    assert (plan[0].description or "").startswith(
        "pay by … … Payment(card=…, amount=1) (Pair(card=…, amount=2), {'card'"
    )
    assert values[1] == Payment("4242", 1)


class Broken(tuple[Any, ...]):
    __slots__ = ()
    _fields = ("card",)


@dataclass
class Uncopied:
    card: str

    def __copy__(self) -> Any:
        raise ConnectionError


class Lazy(type):
    def __getattribute__(cls, name: str) -> Any:
        if name == "_fields":
            raise ConnectionError
        return super().__getattribute__(name)


class Remote(metaclass=Lazy): ...


def in_itself() -> list[Any]:
    made: list[Any] = []
    made.extend([made, {"again": made, "card": "4242"}])
    return made


def nested(depth: int) -> list[Any]:
    made: list[Any] = ["4242"]
    for _ in range(depth):
        made = [made]
    return made


def branching(depth: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(depth):
        made = [made, made]
    return made


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Broken(("4242",)), "<Broken>"),
        (Uncopied("4242"), "<Uncopied>"),
        (Remote(), "<Remote>"),
        (in_itself(), "[<list>, {'again': <list>, 'card': …}]"),
        (nested(10_000), "[[<list>]]"),
    ],
)
def test_where_something_is_kept_out_what_cannot_be_looked_at_is_told_by_its_type(
    value: object, told: str, tmp_path: Path
) -> None:
    with Journal(tmp_path / "actions.db", redact=("card",)) as journal:
        (step,) = planned(lambda q: q.add(look, value), journal=journal)
        (paid,) = planned(lambda q: q.add(pay, "4242", [value]), journal=journal)
    assert step.arguments == f"name={told}"[:60]
    assert (paid.description or "").startswith("pay by … … [")
    assert "4242" not in str(paid.description)


def test_where_something_is_kept_out_what_stands_in_many_places_is_looked_through_once(tmp_path: Path) -> None:
    with Journal(tmp_path / "actions.db", redact=("card",)) as journal:
        (step,) = planned(lambda q: q.add(look, branching(45)), journal=journal)
    assert step.arguments == "name=[[<list>, <list>], [<list>, <list>]]"


def test_what_stars_take_is_kept_out_by_its_name(tmp_path: Path) -> None:
    with Journal(tmp_path / "actions.db", redact=("names",)) as journal:
        (step,) = planned(lambda q: q.add(announce, "4242"), journal=journal)
    assert step.arguments == "to='all', names=…, more={}"


# -- descriptions


def nothing(name: str) -> str:
    return ""


def described(describe: Callable[..., Any]) -> PlannedStep:
    @action
    def work(name: str) -> None: ...

    assert work.describe(describe) is describe
    (step,) = planned(lambda q: q.add(work, "a"))
    return step


def test_a_description_that_raises_is_told_and_harms_nothing() -> None:
    def describe(name: str) -> str:
        raise LookupError(name)

    step = described(describe)
    assert (step.description, step.description_error) == (None, "LookupError('a')")


@pytest.mark.parametrize(("value", "told"), [(3, "int"), (None, "NoneType"), (b"a", "bytes")])
def test_a_description_that_is_no_text_is_told(value: object, told: str) -> None:
    def describe(name: str) -> object:
        return value

    step = described(describe)
    assert (step.description, step.description_error) == (None, f"it returned {told}, and no text")


def test_a_coroutine_that_a_description_returns_is_closed() -> None:
    async def later() -> str:
        raise AssertionError

    def describe(name: str) -> object:
        return later()

    assert described(describe).description_error == "it returned coroutine, and no text"


def test_an_interrupt_in_a_description_comes_out() -> None:
    def describe(name: str) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        described(describe)


def test_a_description_may_have_names_of_its_own_with_defaults() -> None:
    def describe(name: str, result: str = "!", unit: str = "GB") -> str:
        return f"{name}{result} {unit}"

    assert described(describe).description == "a! GB"


@pytest.mark.parametrize("name", ["result", "error", "step", "cause", "size"])
def test_a_description_that_asks_for_what_there_is_not_is_refused_when_it_is_declared(name: str) -> None:
    @action
    def work(name: str, amount: int) -> None: ...

    namespace: dict[str, Any] = {}
    exec(f"def describe({name}): ...", namespace)
    with pytest.raises(TypeError) as caught:
        work.describe(namespace["describe"])
    assert str(caught.value) == (
        f"the description describe of work asks for '{name}', which cannot be supplied; name a parameter "
        "'name' or 'amount', or give it a default"
    )


def test_a_description_of_an_action_without_parameters_takes_none() -> None:
    @action
    def work() -> None: ...

    with pytest.raises(TypeError, match="name a parameter of the action, which has none, or give it a default"):
        work.describe(nothing)
    work.describe(lambda: "works")
    (step,) = planned(lambda q: q.add(work))
    assert step.description == "works"


def test_an_action_has_one_description_which_is_a_plain_function() -> None:
    @action
    async def work(name: str) -> None: ...

    async def describe(name: str) -> str:
        return ""

    with pytest.raises(TypeError, match=r"the description \S*describe of \S*work is async, and nobody awaits it; make"):
        work.describe(describe)
    with pytest.raises(TypeError, match=r"work\.describe takes a function, not 3"):
        work.describe(3)  # type: ignore[type-var] # pyright: ignore[reportArgumentType]
    work.describe(nothing)
    with pytest.raises(TypeError, match=r"already has a description, .*; an action has one"):
        work.describe(nothing)
