"""Actions that journals of several tests record; their trail is in this process only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actionqueues import NotLanded, Retry, RollbackConflict, Step, action, current_step
from actionqueues.journal import current_hook_key, durable

trail: list[str] = []
failing: dict[str, BaseException] = {}


def note(text: str) -> None:
    trail.append(text)
    if text in failing:
        raise failing[text]


@action
def put(name: str) -> str:
    note(f"+{name}")
    return name


@put.rollback
def take(name: str) -> None:
    note(f"-{name}")


@action
def create(name: str) -> str:
    note(f"+{name}")
    return f"id of {name}"


@create.rollback
def delete(result: str) -> None:
    note(f"-{result}")


@action
def store(db: Any, name: str) -> None:
    note(f"+{name} in {db}")


@store.rollback
def unstore(db: Any, name: str) -> None:
    note(f"-{name} in {db}")


@action
def pay(card: str, amount: int) -> None:
    note(f"+{amount}")


@pay.rollback
def pay_back(step: Step[None], amount: int) -> None:
    note(f"-{amount}")


@action
def pay_with(card: str) -> None:
    note("+paid")


@pay_with.rollback
def pay_back_with(card: str) -> None:
    note("-paid")


@action
def stubborn(name: str) -> None:
    note(f"+{name}")


@stubborn.rollback(retry=Retry(attempts=5, wait_initial=0, wait_jitter=0))
def unstubborn(name: str) -> None:
    note(f"-{name}")


@action
def patient(name: str) -> None:
    note(f"+{name}")


@patient.rollback(retry=Retry(attempts=21, timeout=3600, wait_initial=0, wait_jitter=0))
def unpatient(name: str) -> None:
    note(f"-{name}")


@action
def probed(name: str) -> str:
    note(f"+{name}")
    return name


@probed.rollback
def unprobed(step: Step[str]) -> None:
    note(f"-{step.result if step.has_result else None} {step.state}")


@probed.landed
def look(name: str) -> str:
    note(f"?{name}")
    return f"found {name}"


@action
def saves_much(length: int) -> None:
    current_step().save(text="x" * length)


@saves_much.rollback
def finds_much(step: Step[None]) -> None:
    note(f"-{len(step.saved['text'])}")


@action
def irreversible() -> None:
    note("+!")


@action
async def put_async(name: str) -> str:
    note(f"+{name}")
    return name


@put_async.rollback
async def take_async(name: str, step: Step[str]) -> None:
    note(f"-{name} {step.state}")


@action
def contested(name: str) -> None:
    note(f"+{name}")


@contested.rollback
def uncontested(name: str) -> None:
    note(f"-{name}")
    raise RollbackConflict(name)


@action
def failed(name: str) -> None:
    note(f"+{name}")
    raise FileExistsError(17, "exists", name)


@failed.rollback
def unfailed(name: str, error: BaseException | None) -> None:
    note(f"-{name} {error!r}")


@action(name="renamed", aliases=("tests.journal.actions:old_name",))
def new_name(name: str) -> None:
    note(f"+{name}")


@new_name.rollback
def un_new_name(name: str) -> None:
    note(f"-{name}")


class Shop:
    def __init__(self, number: int) -> None:
        self.number = number

    def __actionqueues_reference__(self) -> int:
        return self.number

    @classmethod
    def __actionqueues_resolve__(cls, reference: int) -> Shop:
        return cls(reference)

    @action
    def sell(self, name: str) -> None:
        note(f"+{name} of {self.number}")

    @sell.rollback
    def buy_back(self, name: str) -> None:
        note(f"-{name} of {self.number}")

    @action
    @classmethod
    def open_shop(cls, name: str) -> None:
        note(f"+{cls.__name__} {name}")

    @open_shop.rollback
    @classmethod
    def close_shop(cls, name: str) -> None:
        note(f"-{cls.__name__} {name}")


class Branch(Shop):
    def buy_back(self, name: str) -> None:
        note(f"-{name} of branch {self.number}")


class Undeclared:
    @action
    def do(self) -> None:
        note("never")


@dataclass
class Copy:
    """An action object."""

    name: str

    def execute(self) -> None:
        note(f"+{self.name}")

    def rollback(self) -> None:
        note(f"-{self.name}")


@durable
def tell(name: str) -> None:
    note(f"!{name} {current_hook_key() is not None}")


@durable
async def tell_async(name: str) -> None:
    note(f"!{name}")


@durable
def by_hand(name: str) -> None:
    note(f"-{name} by hand")


@durable
def unstored(db: Any, name: str) -> None:
    note(f"-{name} in {db}")


def not_marked(name: str) -> None:
    note("never")


NOT_LANDED = NotLanded("never")
