"""What is logged, and that logging never gets in the way of undoing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

import pytest

from actionqueues import (
    ActionQueue,
    Retry,
    RollbackConflict,
    Step,
    action,
    current_step,
    transaction,
)
from actionqueues.core.watch import Watch, observed

from .scripted import Boom, Scripted, Trail

LOGGER = logging.getLogger("actionqueues")


@action
def step(trail: Trail, name: str) -> None:
    trail.append(f"do {name}")


@step.rollback
def unstep(trail: Trail, name: str) -> None:
    trail.append(f"undo {name}")
    raise PermissionError(name)


class Broken(logging.Filter):
    """As one is that looks for something that records of other libraries have not got."""

    def filter(self, record: logging.LogRecord) -> bool:
        return bool(record.request_id)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]


@pytest.fixture
def broken() -> Iterator[None]:
    made = Broken()
    LOGGER.addFilter(made)
    yield
    LOGGER.removeFilter(made)


@pytest.mark.usefixtures("broken")
def test_a_filter_that_raises_replaces_no_exception_and_stops_no_undo(capsys: pytest.CaptureFixture[str]) -> None:
    trail: Trail = []
    error = Boom()
    with pytest.raises(Boom) as caught, transaction("order") as q:
        step(trail, "a")
        step(trail, "b")
        raise error
    assert caught.value is error
    assert trail == ["do a", "do b", "undo b", "undo a"]
    assert [str(failure.error) for failure in q.report.failures] == ["b", "a"]
    assert [note.rpartition(": ")[2] for note in error.__notes__] == ["PermissionError('b')", "PermissionError('a')"]
    told = capsys.readouterr().err
    assert told.count("--- Logging error ---") == 2
    assert "no attribute 'request_id'" in told
    assert "Message: \"order: the undo of step failed: PermissionError('b')\"" in told


@pytest.mark.usefixtures("broken")
def test_nor_does_it_come_out_of_the_rollback_of_a_queue(capsys: pytest.CaptureFixture[str]) -> None:
    trail: Trail = []
    error = Boom()
    queue = ActionQueue()
    queue.add(Scripted("a", trail, rollback=[error]))
    queue.execute()
    queue.rollback()
    assert queue.state == "rollback complete"
    assert [failure.error for failure in queue.report.failures] == [error]
    assert "--- Logging error ---" in capsys.readouterr().err


# ---------------------------------------------------------------- the fields of a record

FIELDS = ("transaction", "step", "key", "attempt", "state")


def fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in FIELDS}


def test_the_record_of_a_failed_undo_has_fields_for_structured_logs(caplog: pytest.LogCaptureFixture) -> None:
    keys: list[str] = []

    @action
    def charge() -> None:
        keys.append(current_step().key)

    @charge.rollback(retry=Retry(attempts=3, wait_initial=0, wait_jitter=0))
    def refund() -> None:
        raise OSError("down")

    with pytest.raises(Boom), transaction("order"):
        charge()
        raise Boom
    (record,) = caplog.records
    assert fields(record) == {
        "transaction": "order",
        "step": "charge",
        "key": keys[0],
        "attempt": 3,
        "state": "undo failed",
    }
    assert record.exc_info is not None


@pytest.mark.parametrize("error", [RollbackConflict("theirs"), KeyboardInterrupt(), OSError("down")], ids=repr)
def test_an_undo_that_was_tried_once_says_so(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    @action
    def put() -> None:
        """Put it there."""

    @put.rollback
    def take() -> None:
        raise error

    with pytest.raises(BaseException), transaction("order"):  # noqa: B017, PT011 - of two kinds
        put()
        raise Boom
    (record,) = caplog.records
    state = "conflict" if isinstance(error, RollbackConflict) else "undo failed"
    assert (record.attempt, record.state) == (1, state)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def test_the_record_of_what_was_left_names_a_step_if_it_was_one(caplog: pytest.LogCaptureFixture) -> None:
    def mail() -> None:
        """Send it."""

    for count in (1, 2):
        with pytest.raises(Boom), transaction("order") as q:
            for _ in range(count):
                step = q.add(mail)
            q.execute()
            raise Boom
        nobody = dict.fromkeys(("step", "key", "attempt"))
        one = {"step": step.name, "key": step.key, "attempt": 1, "state": "not undone"}
        expected = {"transaction": "order", **(one if count == 1 else {**nobody, "state": "rolled back"})}
        assert fields(caplog.records[-1]) == expected
    assert len(caplog.records) == 2


def ask_a_probe_that_fails() -> None:
    @action(timeout=0.001)
    async def slow() -> None:
        await asyncio.sleep(10)

    @slow.rollback
    async def undo() -> None:
        """Nothing to do."""

    @slow.landed
    async def probe() -> None:
        raise LookupError

    async def main() -> None:
        async with transaction("order"):
            await slow()

    with pytest.raises(TimeoutError):
        asyncio.run(main())


class Deaf(Watch):
    """As a journal that cannot be written."""

    def settled(self, step: Step[Any]) -> None:
        raise OSError("deaf")

    def rolled_back(self, block: Any) -> None:
        raise OSError("deaf")


def let_a_watch_fail() -> None:
    def mail() -> None:
        """Send it."""

    with observed(lambda _owner, _watch: Deaf()), pytest.raises(Boom), transaction("order") as q:
        q.add(mail)
        q.execute()
        raise Boom


def leave_it_elsewhere() -> None:
    block = transaction("order")
    copy_context().run(block.__enter__)
    block.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("misfortune", "told"),
    [
        (ask_a_probe_that_fails, [("slow", 1, "unknown")]),
        (let_a_watch_fail, [("mail", None, "not undone"), (None, None, "rolling back"), ("mail", 1, "not undone")]),
        (leave_it_elsewhere, [(None, None, "committed")]),
    ],
)
def test_every_record_has_all_fields_so_that_a_format_may_name_them(
    misfortune: Callable[[], None],
    told: list[tuple[str | None, int | None, str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    misfortune()
    found = [fields(record) for record in caplog.records]
    assert [(each["step"], each["attempt"], each["state"]) for each in found] == told
    assert {each["transaction"] for each in found} == {"order"}
    formatter = logging.Formatter("%(transaction)s %(step)s %(key)s %(attempt)s %(state)s %(message)s")
    assert all(formatter.format(record).startswith("order ") for record in caplog.records)
