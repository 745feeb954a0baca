"""What works without pytest: no_sleep, fail_at, Recorder, fake_step; and crashes, with a real log and real kills."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from actionqueues import Action, ActionQueue, Retry, Step, action, current_step, transaction
from actionqueues.testing import Recorder, fail_at, fake_step, no_sleep, sweep
from tests.testing.log import FileLog
from tests.testing.sagas.crashes import recovering


@action(retry=Retry(attempts=4, wait_initial=60, wait_jitter=0, timeout=None))
def call(log: list[str]) -> None:
    log.append("called")
    raise ConnectionError


@call.rollback
def hang_up(log: list[str]) -> None:
    log.append("hung up")


@action(retry=Retry(attempts=None, wait_initial=60, wait_jitter=0, timeout=300))
async def call_async() -> None:
    raise ConnectionError


@action(retry=Retry(attempts=100, wait_initial=60, wait_jitter=0, timeout=300))
def call_for_five_minutes() -> None:
    raise ConnectionError


@action
def send(log: list[str]) -> None:
    log.append("sent")


@send.rollback
def unsend(log: list[str]) -> None:
    log.append("unsent")


def test_no_retry_waits() -> None:
    log: list[str] = []
    with no_sleep() as waits, pytest.raises(ConnectionError), transaction():
        call(log)
    assert (log, waits) == (["called"] * 4 + ["hung up"], [5.0, 5.0, 5.0])


def test_a_policy_gives_up_as_if_the_time_had_passed() -> None:
    async def main() -> None:
        async with transaction():
            await call_async()

    with no_sleep() as waits, pytest.raises(ConnectionError):
        asyncio.run(main())
    assert sum(waits) <= 300 <= sum(waits) + 5


def test_its_time_goes_on_behind_another_one_inside() -> None:
    with no_sleep() as waits, pytest.raises(ConnectionError), transaction():
        with no_sleep():
            pass
        call_for_five_minutes()
    assert sum(waits) <= 300 <= sum(waits) + 5


@pytest.mark.parametrize(
    ("when", "log"),
    [
        ("before", ["unsent"]),
        ("after", ["sent", "unsent"]),
    ],
)
def test_a_step_fails_where_it_is_told_to(when: Any, log: list[str]) -> None:
    seen: list[str] = []
    with fail_at(send, LookupError, when=when, times=1) as failed:
        with pytest.raises(LookupError), transaction():
            send(seen)
        assert seen == log
        with transaction():
            send(seen)
    assert [step.name for step in failed] == ["send"]
    with fail_at("other", LookupError), transaction():
        send(seen)


@pytest.mark.parametrize(("when", "log"), [("undo", ["sent"]), ("undone", ["sent", "unsent"])])
def test_an_undo_fails_where_it_is_told_to(when: Any, log: list[str]) -> None:
    seen: list[str] = []
    q = transaction()
    with fail_at("send", PermissionError("no"), when=when), pytest.raises(ZeroDivisionError), q:
        send(seen)
        raise ZeroDivisionError
    assert seen == log
    assert [failure.step.name for failure in q.report.failures] == ["send"]


class Boom(Action):
    def execute(self) -> None:
        raise LookupError


def test_a_recorder_tells_what_has_happened_in_blocks_and_queues() -> None:
    log: list[str] = []
    with Recorder() as recorder:
        with transaction("good") as q:
            send(log)
            q.on_commit(log.append, "!")
        with pytest.raises(ZeroDivisionError), transaction("bad"):
            send(log)
            raise ZeroDivisionError
        queue = ActionQueue()
        queue.add(Boom())
        with pytest.raises(LookupError):
            queue.execute()
    assert recorder.events == [
        "done send",
        "committed good",
        "hook list.append",
        "done send",
        "undone send",
        "rolled back bad",
        "failed Boom",
    ]
    assert recorder.of("bad") == ["rolled back bad"]


def test_a_handler_and_a_body_are_called_alone_with_a_fake_step() -> None:
    @action
    def charge(card: str) -> str:
        return current_step().key

    @charge.rollback
    def refund(card: str, step: Step[Any]) -> tuple[Any, ...]:
        return card, step.result, step.saved, step.state, step.error

    error = LookupError()
    with fake_step(charge, "card", state="failed", error=error, saved={"id": 7}, key="k") as step:
        assert charge("card") == "k"
        assert refund("card", step) == ("card", None, {"id": 7}, "failed", error)
    with fake_step(charge, "card", result="r") as step:
        assert (step.result, step.state, step.arguments) == ("r", "done", {"card": "card"})


def ten_steps(folder: Path) -> Any:
    log = FileLog(folder / "log")
    (folder / "work").mkdir()

    @action
    def write(number: int) -> None:
        (folder / "work" / f"{number}").write_text("hello")

    @write.rollback
    def erase(number: int) -> None:
        (folder / "work" / f"{number}").unlink(missing_ok=True)

    def scenario() -> None:
        with transaction("ten"):
            for number in range(10):
                write(number)

    from actionqueues.testing import directory

    return recovering(log, scenario, {"write": erase}, directory(folder / "work"))


@pytest.mark.slow
def test_a_process_that_is_killed_at_each_record_is_recovered(tmp_path: Path) -> None:
    saga = ten_steps(tmp_path)
    made = sweep(saga.scenario, state=saga.state, faults=["-taken"], **saga.options).check()
    places = [outcome.place for outcome in made.outcomes if outcome.fault == "crash"]
    assert {"write.attempting", "write.attempting+", "write.attempted", "write#10.attempted+"} <= set(places)
    assert {"ten.committing", "write#10.undoing", "write.undone+", "write.settled", "ten.rolled_back"} <= set(places)
    assert made.runs == len(made.outcomes) - len(places) + 1
