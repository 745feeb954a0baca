"""What a handler is told in a recovery, and what a recovery makes of classes and resources that misbehave."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from actionqueues import action, transaction
from actionqueues.journal import Journal, RecordedError, durable

from . import actions
from .actions import trail
from .leaving import die, edit, leave, recovered
from .test_recovery_ends import committed

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")

TESTS = os.getpid()
causes: list[BaseException | None] = []
presses: list[int] = []


@action
def put(name: str) -> None: ...


@put.rollback
def take(name: str, cause: BaseException | None) -> None:
    causes.append(cause)
    trail.append(f"-{name}")
    for _ in range(presses.pop() if presses else 0):
        signal.raise_signal(signal.SIGINT)


@action
def deadly() -> None: ...


@deadly.rollback
def deadly_undo() -> None:
    if os.getpid() != TESTS:
        die()


@action(read_only=True)
def look(name: str) -> str:
    return name


@pytest.fixture(autouse=True)
def clean() -> None:
    causes.clear()
    presses.clear()


def texts() -> list[tuple[type, str]]:
    return [(type(cause), str(cause)) for cause in causes]


# -- why it is undone


def test_a_handler_is_told_that_the_process_died(path: Path) -> None:
    leave(path, lambda q: put("a"))
    assert recovered(path).state == "rolled back"
    assert texts() == [(RecordedError, "its process died")]


def test_a_handler_is_told_why_the_rollback_had_begun(path: Path) -> None:
    def body(q: Any) -> None:
        put("a")
        deadly()
        raise KeyError("full")

    leave(path, body)
    assert [entry.state for entry in Journal(path).transactions()] == ["rolling back"]
    assert recovered(path).state == "rolled back"
    assert texts() == [(RecordedError, "KeyError('full')")]


def test_a_rollback_that_was_asked_for_has_no_cause(path: Path) -> None:
    def body(q: Any) -> None:
        put("a")
        deadly()
        q.rollback()

    leave(path, body)
    assert recovered(path).state == "rolled back"
    assert causes == [None]


# -- what nothing undoes


def test_a_step_that_only_reads_is_undone_by_nothing_and_left_to_nobody(path: Path) -> None:
    with pytest.raises(LookupError), transaction(journal=path):
        look("a")
        raise LookupError
    leave(path, lambda q: look("b"))
    one = recovered(path)
    assert (one.state, one.report.clean) == ("rolled back", True)
    journal = Journal(path)
    assert [(entry.state, entry.reason) for entry in journal.transactions()] == [("rolled back", None)] * 2
    assert [step.undo for number in (1, 2) for step in journal.show(number).steps] == ["undone"] * 2


def test_the_text_of_what_was_done_names_what_nothing_undoes(path: Path) -> None:
    leave(path, lambda q: (put("a"), actions.irreversible()))
    one = recovered(path)
    assert (one.clean, one.report.clean) == (False, False)
    assert str(one) == "1 left: rolled back, 1 undone, not undone: irreversible"


def test_what_nothing_undoes_is_logged_as_by_any_rollback(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    leave(path, lambda q: actions.irreversible())
    caplog.set_level(logging.WARNING)
    recovered(path)
    assert caplog.messages == ["left: not undone: irreversible (no rollback handler)"]


def test_the_text_of_what_was_done_names_ten_of_very_many(path: Path) -> None:
    leave(path, lambda q: [actions.irreversible() for _ in range(12)])
    one = recovered(path)
    assert str(one) == f"1 left: rolled back, not undone: {', '.join(['irreversible'] * 10)} … and 2 more"


# -- what misbehaves


class Exits:
    def __actionqueues_reference__(self) -> int:
        return 1

    @classmethod
    def __actionqueues_resolve__(cls, reference: int) -> Exits:
        raise SystemExit(3)


@action
def keep(thing: Any) -> None: ...


@keep.rollback
def let_go(thing: Any) -> None:
    trail.append("let go")


def test_a_class_that_ends_the_program_ends_the_recovery_and_leaves_its_transaction_to_the_next(path: Path) -> None:
    leave(path, lambda q: (put("a"), keep(Exits())))
    with pytest.raises(SystemExit):
        Journal(path).recover()
    assert trail == []
    edit(path, "UPDATE steps SET arguments = '{\"thing\": 1}' WHERE number = 2")
    assert recovered(path).state == "rolled back"
    assert trail == ["let go", "-a"]


@pytest.mark.parametrize("awaits", [False, True])
def test_a_third_ctrl_c_gets_out_of_a_recovery_and_the_next_one_does_the_rest(awaits: bool, path: Path) -> None:
    leave(path, lambda q: [put(name) for name in "abc"])
    presses.append(3)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(Journal(path).recover_async()) if awaits else Journal(path).recover()
    assert trail == ["-c"]
    assert [(entry.state, entry.owner) for entry in Journal(path).transactions()] == [("stuck", None)]
    assert recovered(path).state == "rolled back"
    assert trail == ["-c", "-c", "-b", "-a"]


def test_a_ctrl_c_in_a_recovery_comes_once_the_transaction_is_undone(path: Path) -> None:
    for _ in range(2):
        leave(path, lambda q: [put(name) for name in "ab"])
    presses.append(2)
    with pytest.raises(KeyboardInterrupt):
        Journal(path).recover()
    assert trail == ["-b", "-a"]
    assert [entry.state for entry in Journal(path).transactions()] == ["rolled back", "open"]
    assert recovered(path).state == "rolled back"


class Rang(Exception):
    """What a signal handler of the program raises."""


@durable
def rings(_: str) -> None:
    trail.append("rings")
    signal.raise_signal(signal.SIGUSR1)


def test_a_signal_handler_that_raises_in_a_hook_keeps_no_other_from_being_called(path: Path) -> None:
    def ring(_signum: int, _frame: object) -> None:
        raise Rang

    committed(path, rings, actions.tell)
    before = signal.signal(signal.SIGUSR1, ring)
    try:
        one = recovered(path)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert (one.state, trail) == ("stuck", ["rings", "!x True"])
    assert one.reason == "commit hook tests.journal.test_recovery_causes:rings: Rang()"


hooks_are_called: list[asyncio.Event] = []


@durable
async def slow(_: str) -> None:
    hooks_are_called.pop().set()
    await asyncio.sleep(0.01)
    trail.append("slow")


def test_a_recovery_that_is_cancelled_while_it_calls_hooks_calls_all_of_them_first(path: Path) -> None:
    async def main() -> None:
        reached = asyncio.Event()
        hooks_are_called[:] = [reached]
        task = asyncio.create_task(Journal(path).recover_async())
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    committed(path, slow, actions.tell)
    asyncio.run(main())
    assert trail == ["slow", "!x True"]
    assert [entry.ended is not None for entry in Journal(path).transactions()] == [True]


def test_a_resource_that_a_coroutine_makes_is_made_without_an_event_loop_if_it_needs_none(path: Path) -> None:
    async def at_once() -> str:
        return "db"

    async def connect() -> str:
        await asyncio.sleep(0)
        return "db"

    leave(path, lambda q: actions.store(object(), "a"), resources={"db": object})
    one = recovered(path, resources={"db": connect})
    assert (one.state, trail) == ("stuck", [])
    assert "there is no resource 'db'" in (one.reason or "")
    gc.collect()  # no coroutine is left un-awaited
    assert recovered(path, resources={"db": at_once}).state == "rolled back"
    assert trail == ["-a in db"]


def test_an_interrupt_that_comes_out_of_making_a_resource_keeps_nothing_for_the_recovery(path: Path) -> None:
    async def connect() -> str:
        raise KeyboardInterrupt

    leave(path, lambda q: actions.store(object(), "a"), resources={"db": object})
    with pytest.raises(KeyboardInterrupt):
        Journal(path, resources={"db": connect}).recover()
    assert [(entry.state, entry.owner) for entry in Journal(path).transactions()] == [("open", None)]


# -- files that nobody closes


def test_a_journal_that_is_dropped_keeps_no_file_open(tmp_path: Path) -> None:
    for number in range(5):
        with transaction(journal=Journal(tmp_path / f"{number}.db")):
            put("a")
    gc.collect()
    files = [os.readlink(each.path) for each in os.scandir("/proc/self/fd") if os.path.islink(each.path)]
    assert [file for file in files if file.startswith(str(tmp_path))] == []


def test_the_arguments_of_the_command_line_are_not_in_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["worker.py", "--password=secret"])
    with transaction(journal=path):
        put("a")
    assert Journal(path).store.read("SELECT program FROM owners") == [("worker.py",)]
