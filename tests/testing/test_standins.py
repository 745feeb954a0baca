"""Stand-ins: actions that do nothing while a test runs, and commit hooks that are kept instead of called."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from actionqueues import ActionQueue, NoTransaction, Retry, action, transaction
from actionqueues.journal import Journal, durable
from actionqueues.testing import fail_at, held_hooks, stubbed


@action
def charge(card: str, cents: int = 900) -> str:
    raise AssertionError("the real service was called")


@charge.rollback
def refund(result: str) -> None:
    raise AssertionError("the real service was called")


@action(retry=Retry(attempts=3, wait_initial=0, wait_jitter=0))
async def charge_async(card: str) -> str:
    raise AssertionError("the real service was called")


@charge_async.rollback
async def refund_async(card: str) -> None:
    raise AssertionError("the real service was called")


@action(transaction_required=True)
def send(text: str) -> None:
    raise AssertionError("the real service was called")


class Desk:
    @action
    def book(self, room: str) -> str:
        return f"really {room}"

    @book.rollback
    def unbook(self, room: str) -> None:
        raise AssertionError("the real service was called")


def test_a_stubbed_action_returns_what_it_is_told_and_tells_what_it_was_given() -> None:
    with stubbed(charge, result="ch_1") as steps, transaction() as q:
        assert charge("card-1") == "ch_1"
        queued = q.add(charge, "card-2", cents=5)
        q.execute()
    assert queued.result == "ch_1"
    assert [step.arguments for step in steps] == [{"card": "card-1", "cents": 900}, {"card": "card-2", "cents": 5}]
    assert [step.state for step in steps] == ["done", "done"]


def test_a_stubbed_action_is_undone_without_its_handler() -> None:
    q = transaction()
    with stubbed(charge, result="ch_1") as steps, stubbed(send), pytest.raises(ZeroDivisionError), q:
        charge("card-1")
        send("hello")
        raise ZeroDivisionError
    assert steps[0].state == "undone"
    assert (q.report.undone, [step.name for step in q.report.not_undone]) == (["charge"], ["send"])


def test_a_stub_checks_the_arguments_as_the_action_does() -> None:
    call: Any = charge
    with stubbed(charge), transaction(), pytest.raises(TypeError, match="missing 1 required positional argument"):
        call()


def test_outside_a_block_a_stub_stands_in_as_well_and_what_needs_one_still_does() -> None:
    with stubbed(charge, result="ch_1") as steps, stubbed(send):
        assert charge("card-1") == "ch_1"
        with pytest.raises(NoTransaction):
            send("hello")
    assert [(step.arguments["card"], step.result) for step in steps] == [("card-1", "ch_1")]


def test_a_stub_is_gone_at_the_end_also_of_a_method() -> None:
    desk = Desk()
    with stubbed(Desk.book, result="nothing") as steps, pytest.raises(ZeroDivisionError), transaction():
        assert desk.book("1") == "nothing"
        raise ZeroDivisionError
    assert steps[0].args == (desk, "1")
    assert desk.book("1") == "really 1"
    with pytest.raises(AssertionError, match="the real service"), transaction():
        charge("card-1")


def test_a_stub_of_an_async_action_is_awaited_and_fails_where_it_is_told_to() -> None:
    async def main() -> None:
        async with transaction():
            assert await charge_async("card-1") == "ch_1"

    with stubbed(charge_async, result="ch_1") as steps:
        asyncio.run(main())
        with fail_at(charge_async, LookupError), pytest.raises(LookupError):
            asyncio.run(main())
        assert asyncio.run(charge_async("card-2")) == "ch_1"
    assert [(step.arguments["card"], step.state) for step in steps] == [("card-1", "done"), ("card-2", "done")]


def test_a_classic_queue_runs_a_stub_too() -> None:
    with stubbed(charge, result="ch_1") as steps:
        queue = ActionQueue()
        queue.add(charge, "card-1")
        queue.execute()
        queue.rollback()
    assert [step.arguments["card"] for step in steps] == ["card-1"]


def test_what_is_no_action_is_not_stubbed() -> None:
    with pytest.raises(TypeError, match="len cannot be stubbed: it is no action"), stubbed(len):
        pass


sent: list[str] = []


def notify(name: str, *, loud: bool = False) -> None:
    sent.append(name)


@durable
def notify_durably(name: str) -> None:
    sent.append(name)


def test_hooks_are_kept_with_their_arguments_and_can_be_called_later() -> None:
    sent.clear()
    q = transaction("order")
    with held_hooks() as hooks, q:
        q.on_commit(notify, "ada", loud=True)
        q.on_commit(notify, "bob")
        assert hooks == []
    assert (q.state, sent) == ("committed", [])
    assert [(hook.name, hook.function, hook.args, hook.kwargs) for hook in hooks] == [
        ("notify", notify, ("ada",), {"loud": True}),
        ("notify", notify, ("bob",), {}),
    ]
    hooks[1].call()
    assert sent == ["bob"]


def test_hooks_of_what_is_rolled_back_are_not_due() -> None:
    with held_hooks() as hooks, pytest.raises(ZeroDivisionError), transaction() as q:
        q.on_commit(notify, "ada")
        raise ZeroDivisionError
    assert hooks == []


def test_async_hooks_are_kept_and_not_left_unawaited() -> None:
    async def tell() -> None:
        sent.append("async")

    async def main() -> None:
        async with transaction() as q:
            q.on_commit(tell)
        await hooks[0].call()  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues] - of any function

    sent.clear()
    with held_hooks() as hooks:
        asyncio.run(main())
    assert sent == ["async"]


def test_a_durable_hook_that_is_kept_is_not_called_by_a_recovery(tmp_path: Path) -> None:
    sent.clear()
    with Journal(tmp_path / "journal.db") as journal:
        with held_hooks() as hooks, transaction(journal=journal) as q:
            q.on_commit(notify_durably, "ada")
        assert list(journal.recover()) == []
    assert ([hook.name for hook in hooks], sent) == (["notify_durably"], [])
