"""`redact=("card",)` keeps values out of the file: arguments, fields, results, and texts that quote them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import OrderedDict, deque, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from actionqueues import (
    Step,
    action,
    current_step,
    transaction,
)
from actionqueues.journal import Journal, durable

from .leaving import leave, recovered

SECRET = "4111-1111-1111-1111"
told: list[Any] = []


@dataclass(frozen=True)
class Payment:
    amount: int
    card: str


class Order(NamedTuple):
    number: int
    card: str


Plain = namedtuple("Plain", ["card"])  # noqa: PYI024 - as others write them


@action
def named(card: Any, other: int = 1) -> None: ...


@action
def positional(*card: Any) -> None: ...


@action
def by_keyword(**card: Any) -> None: ...


@action
def anything(*args: Any, **kwargs: Any) -> None: ...


@action
def thing(value: Any) -> None: ...


@action
def gives(value: Any) -> Any:
    return Payment(3, SECRET)


@action
def card() -> str:
    return SECRET


@action
def saves() -> None:
    current_step().save(card=SECRET, order={"lines": [{"card": SECRET}]}, at=1)


class Classic:
    def __init__(self, card: str) -> None:
        self.card = card


@dataclass
class PayAction:
    card: str

    def execute(self) -> None: ...

    def rollback(self) -> None: ...


def plain(card: str) -> None:
    raise ValueError(f"no such card: {card}")


@durable
def notify(*card: str, **more: str) -> None: ...


@durable
def forget(**card: str) -> None: ...


@durable
def durable_plain(card: str) -> None: ...


FORMS: dict[str, Callable[[Any], object]] = {
    "by position": lambda q: named(SECRET),
    "by name": lambda q: named(card=SECRET),
    "*card": lambda q: positional(1, SECRET, SECRET),
    "**card": lambda q: by_keyword(number=SECRET, cvc="987"),
    "among **kwargs": lambda q: anything(1, card=SECRET),
    "a dictionary": lambda q: thing({"card": SECRET, "amount": 3}),
    "deep": lambda q: thing([({"orders": ({"card": {"number": SECRET}},)},)]),
    "a dictionary with other keys": lambda q: thing({1: 2, "card": SECRET}),
    "an ordered dictionary": lambda q: thing(OrderedDict(card=SECRET)),
    "a deque": lambda q: thing(deque([{"card": SECRET}])),
    "a dataclass": lambda q: thing(Payment(3, SECRET)),
    "a named tuple": lambda q: thing(Order(3, SECRET)),
    "a named tuple in a list": lambda q: thing([Plain(card=SECRET)]),
    "in *args": lambda q: anything({"card": SECRET}),
    "in **kwargs": lambda q: anything(order={"card": SECRET}),
    "bytes": lambda q: named(SECRET.encode()),
    "what is no plain data": lambda q: named(Classic(SECRET)),
    "a result": lambda q: gives(1),
    "a result of that name": lambda q: card(),
    "saved": lambda q: saves(),
    "queued": lambda q: (q.add(named, SECRET), q.execute()),
    "an action object": lambda q: (q.add(PayAction(SECRET)), q.execute()),
    "an undo by hand": lambda q: q.on_rollback(durable_plain, SECRET),
    "*card by hand": lambda q: q.on_rollback(notify, "1", SECRET),
    "**card by hand": lambda q: q.on_rollback(forget, number=SECRET),
    "a durable hook": lambda q: q.on_commit(notify, "1", SECRET, card=SECRET),
    "in a durable hook": lambda q: q.on_commit(notify, {"card": SECRET}),
    "the name of the transaction": lambda q: named(SECRET),
}


def contents(path: Path) -> bytes:
    """All that the journal has on disk."""
    return b"".join(each.read_bytes() for each in sorted(path.parent.glob(f"{path.name}*")))


@pytest.mark.parametrize("form", FORMS)
def test_a_value_is_nowhere_in_the_file(form: str, path: Path) -> None:
    name = f"pay {SECRET}" if form.startswith("the name") else "pay"
    with transaction(name, journal=Journal(path, redact=("card",))) as q:
        FORMS[form](q)
    found = contents(path)
    assert SECRET.encode() not in found
    assert b"NDExMS0xMTExLTExMTEtMTExMQ" not in found  # in base64
    assert b"987" not in found or form != "**card"
    assert b"redacted" in found or form == "the name of the transaction"


@pytest.mark.parametrize("form", FORMS)
def test_and_with_names_that_are_none_of_it_all_is_recorded(form: str, path: Path) -> None:
    with transaction(journal=Journal(path, redact=("other_name",), resources={"nothing": object})) as q:
        if form == "what is no plain data":
            with pytest.raises(TypeError):
                FORMS[form](q)
            return
        FORMS[form](q)
    assert b"$redacted" not in contents(path)


# -- what recovery has of it


@action
def order(order: dict[str, Any], *card: str, **more: Any) -> dict[str, Any]:
    return {"id": 7, "card": SECRET}


@order.rollback
def unorder(step: Step[Any]) -> None:
    told.append((repr(step.arguments), step.args, step.kwargs))


@action
def wants_container(order: dict[str, Any]) -> None: ...


@wants_container.rollback
def unwant(order: dict[str, Any]) -> None:
    told.append(order)


@action
def wants_result() -> dict[str, Any]:
    return {"card": SECRET}


@wants_result.rollback
def unwant_result(result: dict[str, Any]) -> None:
    told.append(result)


@action
def wants_card(*card: str) -> None: ...


@wants_card.rollback
def unwant_card(card: tuple[str, ...]) -> None:
    told.append(card)


@action
def wants_cards(**card: str) -> None: ...


@wants_cards.rollback
def unwant_cards(card: dict[str, str]) -> None:
    told.append(card)


def give_container(_q: object) -> None:
    wants_container({"card": SECRET})


def give_result(_q: object) -> None:
    wants_result()


def give_card(_q: object) -> None:
    wants_card(SECRET)


def give_cards(_q: object) -> None:
    wants_cards(a=SECRET)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")
@pytest.mark.parametrize(
    ("body", "needs"),
    [
        (give_container, "'order': 'card' in it is kept out of the file (redact)"),
        (give_result, "'result': 'card' in it is kept out of the file (redact)"),
        (give_card, "'card': 'card' is kept out of the file (redact)"),
        (give_cards, "'card': 'card' is kept out of the file (redact)"),
    ],
)
def test_a_handler_that_asks_for_what_is_not_there_is_not_called(
    body: Callable[[Any], object], needs: str, path: Path
) -> None:
    leave(path, body, redact=("card",))
    told.clear()
    one = recovered(path, redact=("card",))
    assert (one.state, told) == ("stuck", [])
    assert one.reason is not None
    assert f"needs {needs}" in one.reason


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")
def test_a_step_tells_what_is_missing(path: Path) -> None:
    leave(path, lambda q: order({"card": SECRET}, SECRET, SECRET, card=SECRET, a=1), redact=("card",))
    done = recovered(path, redact=("card",))
    assert done.state == "stuck"
    assert "'card' in it is kept out of the file (redact)" in (done.reason or "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")
def test_the_keyword_arguments_of_a_step_are_missing_as_a_whole(path: Path) -> None:
    leave(path, lambda q: mapped(number=SECRET), redact=("card",))
    told.clear()
    done = recovered(path, redact=("card",))
    assert (done.state, told) == ("stuck", [])
    assert "'card' is kept out of the file (redact)" in (done.reason or "")


@action
def mapped(**card: str) -> None: ...


@mapped.rollback
def unmapped(step: Step[None]) -> None:
    told.append(repr(step.kwargs))


# -- the command line


def test_the_command_line_is_not_recorded(path: Path) -> None:
    code = "from actionqueues import transaction; from tests.journal.actions import put\n"
    code += f"with transaction(journal={str(path)!r}): put('a')"
    subprocess.run([sys.executable, "-c", code, f"--password={SECRET}"], check=True, timeout=60)
    assert SECRET.encode() not in contents(path)
    assert b"password" not in contents(path)
