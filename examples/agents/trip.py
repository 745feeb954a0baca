"""A trip that an agent books: what it can do, what a (scripted) model does, and what is left.

The programs beside this file give these actions to a framework each, as tools.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from actionqueues import AsyncTransaction, Step, Transaction, action, current_step
from actionqueues.agents import Explanation

booked: dict[str, str] = {}  # by the key of the step that has booked it
paid, sent = list[int](), list[str]()


class NotAvailable(Exception): ...  # what the model can mend: it is told, and tries another


@action(read_only=True)
def prices() -> dict[str, int]:
    """List what things cost, in euros."""
    return {"Ritz": 900, "Adlon": 400, "van": 80, "small car": 30}


@action
async def book_room(hotel: str) -> str:
    """Book a room for one night, in the hotel of this name."""
    if hotel == "Ritz":
        raise NotAvailable("the Ritz is full")
    return booked.setdefault(current_step().key, f"a room in the {hotel}")


@book_room.rollback
async def cancel_room(step: Step[str]) -> None:
    booked.pop(step.key, None)


@action
def rent_car(kind: str) -> str:
    """Rent a car for a day, of a kind from the list of prices."""
    return booked.setdefault(current_step().key, f"a {kind}")


@rent_car.rollback
def return_car(step: Step[str]) -> None:
    booked.pop(step.key, None)


@action(irreversible=True)
def pay(euros: int) -> str:
    """Pay with the card of the user."""
    paid.append(euros)
    return f"{euros} euros are paid"


@action(irreversible=True, when="commit")
def send_mail(to: str, text: str) -> None:
    """Send a mail."""
    sent.append(f"{to}: {text}")


def approve(explanation: Explanation, arguments: Mapping[str, Any]) -> bool:
    """A person would be asked: "The agent wants to pay 900 euros, which cannot be undone." """
    return explanation.name == "pay" and arguments["euros"] <= 100


ACTIONS: list[Callable[..., Any]] = [prices, book_room, rent_car, pay, send_mail]

# What the model answers: a line is one answer, in which it calls one tool or several.
PLAN: list[list[tuple[str, dict[str, Any]]]] = [
    [("prices", {}), ("explain", {"tool": "pay"})],
    [("checkpoint", {"name": "nothing booked"})],
    [("book_room", {"hotel": "Ritz"}), ("rent_car", {"kind": "van"})],  # the Ritz is full
    [("pay", {"euros": 900}), ("pay", {"euros": 50})],  # the first one is not approved
    [("send_mail", {"to": "ada", "text": "We go by van!"})],  # waits
    [("changes", {"since": "start"})],
    [("undo_to", {"checkpoint": "nothing booked"})],
    [("book_room", {"hotel": "Adlon"}), ("rent_car", {"kind": "small car"})],
    [("send_mail", {"to": "ada", "text": "See you in the Adlon."})],
]


def answers() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Its answers, and then one without any call: it is done."""
    yield from PLAN
    yield []


def tell(q: Transaction | AsyncTransaction) -> str:
    """What is left of all that, in plain words."""
    left = ", ".join(step.name for step in q.report.left) or "nothing"
    return (
        f"booked: {', '.join(sorted(booked.values())) or 'nothing'}\n"
        f"mails: {'; '.join(sent) or 'none'}\n"
        f"undone on the way: {', '.join(sorted(q.report.undone)) or 'nothing'}\n"
        f"could not be undone: {left} ({sum(paid)} euros)"
    )
