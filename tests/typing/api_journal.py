"""The journal: the journal of a block, durable hooks, probes, and what recovery returns."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, assert_type

from actionqueues import Step, Transaction, action, transaction
from actionqueues.journal import (
    Journal,
    PlannedUndo,
    Recovered,
    RecoverEvery,
    Serializer,
    UndoPlan,
    UndoRequested,
    durable,
    set_default_journal,
)


@action(name="charge", aliases=("shop:pay",))
def charge(card: str, amount: int) -> str:
    return card


@charge.landed
def find_charge(card: str, step: Step[str]) -> str:
    return card


@durable
def send(user: str, *, copies: int = 1) -> bool:
    return True


journal = Journal(
    Path("a.db"), resources={"db": object}, redact=("card",), durability="process", keep=timedelta(days=1)
)
Journal("a.db", durability="none")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Journal("a.db", resources={"db": 1})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]


def blocks() -> None:
    assert_type(transaction("a", journal=journal), Transaction)
    assert_type(transaction(journal="a.db"), Transaction)
    assert_type(transaction(journal=Path("a.db")), Transaction)
    assert_type(transaction(journal=False), Transaction)
    transaction(journal=1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    with transaction(journal=journal) as q:
        assert_type(charge("a", 1), str)
        charge("a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        q.on_commit(send, "a", copies=2)
        q.on_commit(durable(charge), "a", 1)
        q.on_commit(send, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        q.on_commit(send, "a", durable=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        assert_type(send("a"), bool)


def recovery() -> None:
    assert_type(journal.recover(), list[Recovered])
    assert_type(journal.recover(1, 2)[0].clean, bool)
    assert_type(journal.recover(1, chdir=True)[0].repeated_by, int | None)
    journal.recover(chdir="folder")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(journal.show(1).live, bool | None)
    assert_type(journal.show(1).steps[0].handler, str | None)
    with journal.recover_every(timedelta(minutes=1)) as every:
        assert_type(every, RecoverEvery)
    journal.recover_every("30")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    journal.recover_every(30, True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    journal.recover("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    journal.resolve(1, 2, undone=True)
    journal.resolve(1, 2, True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert_type(journal.prune(timedelta(days=1)), int)
    set_default_journal(journal)
    set_default_journal(None)


def undoing() -> None:
    assert_type(journal.undo(1), Recovered)
    assert_type(journal.undo(1, partly=True, by="ada", reason="wrong", chdir=True).changed, tuple[str, ...])
    assert_type(journal.undo_plan(1, chdir=True), UndoPlan)
    assert_type(journal.undo_plan(1).steps, tuple[PlannedUndo, ...])
    assert_type(journal.undo_plan(1).problems, list[str])
    assert_type(journal.undo_plan(1).complete, bool)
    assert_type(UndoRequested("ada").reason, str | None)
    journal.undo(1, True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    journal.undo("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def recovery_async() -> None:
    async with journal.recover_every(0.5, chdir=True) as task:
        assert_type(task, RecoverEvery)
    assert_type(await journal.undo_async(1, partly=True), Recovered)
    assert_type(await journal.recover_async(), list[Recovered])
    assert_type(await journal.recover_async(chdir=True), list[Recovered])


class Mine(Serializer):
    def encode(self, value: Any) -> Any:
        return super().encode(value)


Journal("a.db", serializer=Mine())
Journal("a.db", serializer=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
