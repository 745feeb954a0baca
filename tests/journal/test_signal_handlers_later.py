"""What a signal handler of the program's own meets in a journal: cases by name."""

from __future__ import annotations

import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from actionqueues import CommitHookFailed, action, transaction
from actionqueues.journal import Journal, JournalError
from actionqueues.journal.store import Commit

from . import actions
from .actions import by_hand, put, tell, trail
from .leaving import leave


class Limit(TimeoutError):
    """What a worker's time limit raises; an `OSError`, like those of the system."""


@contextmanager
def handler(function: Callable[[], object]) -> Iterator[None]:
    def ring(_signum: int, _frame: FrameType | None) -> None:
        function()

    before = signal.signal(signal.SIGUSR1, ring)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def limit() -> None:
    raise Limit("too slow")


def ring(_db: object = None) -> None:
    signal.raise_signal(signal.SIGUSR1)


@contextmanager
def ringing_when(monkeypatch: pytest.MonkeyPatch, statement: str) -> Iterator[None]:
    """The signal arrives once, right after SQLite has begun such a statement."""
    done: list[str] = []

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            cursor = super().execute(sql, *parameters)
            if sql.startswith(statement) and not done:
                done.append(sql)
                ring()
            return cursor

    connect: Any = sqlite3.connect

    def connected(path: str, **options: Any) -> Any:
        return connect(path, factory=Connection, **options)

    with monkeypatch.context() as patched, handler(limit):
        patched.setattr(sqlite3, "connect", connected)
        yield
    assert done


def is_free(path: Path) -> bool:
    """Whether another process could write now."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
    return True


@pytest.mark.parametrize(
    "statement", ["BEGIN IMMEDIATE", "INSERT INTO transactions", "INSERT INTO steps", "PRAGMA sync"]
)
def test_a_limit_that_strikes_while_an_intent_is_written_comes_out_as_it_is(
    statement: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ringing_when(monkeypatch, statement), pytest.raises(Limit, match=r"^too slow$"), transaction(journal=path):
        put("a")
    assert trail == []
    assert is_free(path)
    with transaction("next", journal=path):
        put("b")
    assert [entry.state for entry in Journal(path).transactions() if entry.name == "next"] == ["committed"]


def test_a_limit_that_strikes_as_a_transaction_has_just_committed_rolls_it_back_in_the_file_as_well(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed: list[str] = []
    with (
        ringing_when(monkeypatch, "UPDATE transactions SET state = 'committed'"),
        pytest.raises(Limit),
        transaction(journal=path) as q,
    ):
        put("a")
        q.on_commit(committed.append, "never")
    assert trail == ["+a", "-a"]
    assert [entry.state for entry in Journal(path).transactions()] == ["rolled back"]
    assert committed == []


def test_a_commit_that_was_interrupted_right_after_it_is_taken_back_and_its_hooks_are_not_called(path: Path) -> None:
    from actionqueues.journal import journal as module

    def finished(self: Journal, transaction: int) -> None:
        ring()

    with pytest.MonkeyPatch.context() as patched, handler(limit):
        patched.setattr(module.Journal, "finished", finished)
        with pytest.raises(Limit), transaction(journal=path) as q:
            q.on_commit(tell, "never")
            put("a")
    journal = Journal(path)
    assert trail == ["+a", "-a"]
    assert [entry.state for entry in journal.transactions()] == ["rolled back"]
    assert journal.recover() == []
    assert trail == ["+a", "-a"]
    assert journal.transactions()[0].owner is None


def test_a_limit_that_strikes_while_an_undo_is_recorded_is_raised_at_the_end_and_no_undo_is_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for statement in ("UPDATE transactions SET state = 'rolling back'", "INSERT OR REPLACE INTO undos", "UPDATE undos"):
        trail.clear()
        with (
            ringing_when(monkeypatch, statement),
            pytest.raises(Limit) as caught,
            transaction(journal=path) as q,
        ):
            put("a")
            put("b")
            raise LookupError
        assert isinstance(caught.value.__context__, LookupError)
        assert trail == ["+a", "+b", "-b", "-a"]
        assert q.report.clean
        assert q.report.journal_failures == []
        Journal(path).close()
    assert {entry.state for entry in Journal(path).transactions()} == {"rolled back"}


def test_a_limit_that_strikes_while_an_outcome_is_recorded_leaves_the_step_done_and_its_result_at_hand(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught: list[BaseException] = []
    with (
        ringing_when(monkeypatch, "UPDATE steps SET state = 'done'"),
        pytest.raises(LookupError),
        transaction(journal=path),
    ):
        try:
            actions.create("a")  # whose undo needs the result
        except Limit as error:
            caught.append(error)
        raise LookupError
    assert len(caught) == 1
    assert trail == ["+a", "-id of a"]
    assert [step.state for step in Journal(path).show(1).steps] == ["done"]


@action(retry=lambda attempt, error: 0.0 if isinstance(error, ConnectionError) and attempt < 3 else None)
def shaky() -> None:
    trail.append("+")
    raise ConnectionError


@shaky.rollback
def unshaky() -> None:
    trail.append("-")


def test_a_limit_that_strikes_while_a_failed_attempt_is_recorded_is_not_lost_in_a_retry(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        ringing_when(monkeypatch, "INSERT OR REPLACE INTO attempts"),
        pytest.raises(Limit),
        transaction(journal=path),
    ):
        shaky()
    assert trail == ["+", "-"]


def test_ctrl_c_while_a_failed_attempt_is_recorded_is_not_lost_in_a_retry(path: Path) -> None:
    def press(_db: object) -> None:
        signal.raise_signal(signal.SIGINT)

    journal = Journal(path)
    before_failing.append(lambda: journal.store.owe(Commit(press, sync=False)))
    with pytest.raises(KeyboardInterrupt), transaction(journal=journal):
        pressed_while_failing()
    assert trail == ["+"]


before_failing: list[Callable[[], object]] = []


@action(retry=lambda attempt, error: 0.0)
def pressed_while_failing() -> None:
    trail.append("+")
    before_failing.pop()()
    raise ConnectionError


@pytest.mark.parametrize("statement", ["UPDATE hooks SET attempts", "UPDATE hooks SET ended"])
def test_a_limit_that_strikes_as_a_durable_hook_is_called_does_not_keep_it_from_being_called(
    statement: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ringing_when(monkeypatch, statement), pytest.raises(Limit), transaction(journal=path) as q:
        q.on_commit(tell, "a")
        q.on_commit(tell, "b")
    assert trail == ["!a True", "!b True"]
    assert [entry.ended is not None for entry in Journal(path).transactions()] == [True]


def test_a_hook_that_a_limit_has_hit_is_called_by_the_next_recovery_of_this_process(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from actionqueues.core.watch import Hook

    call = Hook.call

    def hit(self: Hook) -> object:
        monkeypatch.setattr(Hook, "call", call)
        ring()
        return call(self)

    journal = Journal(path)
    with handler(limit), pytest.raises(CommitHookFailed), transaction(journal=journal) as q:
        q.on_commit(tell, "a")
        monkeypatch.setattr(Hook, "call", hit)
    assert [str(one) for one in journal.recover()] == ["1 transaction: committed"]
    assert trail == ["!a True"]


@pytest.mark.parametrize("statement", ["UPDATE transactions SET owner", "SELECT", "UPDATE transactions SET state"])
def test_a_recovery_that_a_limit_has_hit_keeps_nothing_from_the_next(
    statement: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(path, lambda q: put("a"))
    with ringing_when(monkeypatch, statement), pytest.raises(Limit):
        Journal(path).recover()
    assert is_free(path)
    journal = Journal(path)
    journal.recover()
    assert [entry.state for entry in journal.transactions()] == ["rolled back"]
    assert "-a" in trail


def test_a_thread_that_waits_for_one_that_was_interrupted_goes_on(path: Path) -> None:
    journal = Journal(path)
    assert journal.store.owner
    begun = threading.Event()

    def slow(_db: object) -> None:
        begun.set()
        while len(journal.store._queue) < 2:
            threading.Event().wait(0.001)
        ring()

    def beside() -> None:
        begun.wait(20)
        with transaction("beside", journal=journal):
            put("a")

    with ThreadPoolExecutor(1) as pool, handler(limit):
        waiting = pool.submit(beside)
        with pytest.raises(Limit):
            journal.store.write(slow, sync=True)
        waiting.result(20)
    assert [entry.state for entry in journal.transactions()] == ["committed"]


def test_a_signal_handler_that_uses_the_journal_while_this_thread_writes_to_it_is_refused(path: Path) -> None:
    refused: list[str] = []
    journal = Journal(path)

    def use() -> None:
        try:
            with transaction("in a handler", journal=journal, independent=True):
                put("never")
        except JournalError as error:
            refused.append(str(error))

    with handler(use), transaction(journal=journal):
        put("a")
        journal.store.write(ring, sync=False)
        put("b")
    assert len(refused) == 1
    assert "this thread is just writing to it" in refused[0]
    assert trail == ["+a", "+b"]
    assert [entry.state for entry in journal.transactions()] == ["committed"]


def test_a_system_exit_of_a_handler_ends_the_program_once_all_is_undone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with handler(lambda: sys.exit(3)), pytest.raises(SystemExit), transaction(journal=path) as q:
        q.on_rollback(by_hand, "b")
        put("a")
        rings = iter([ring])
        Journal(path).store.owe(Commit(lambda db: next(rings, len)(""), sync=False))
        put("c")
    assert trail == ["+a", "-a", "-b by hand"]
    assert [entry.state for entry in Journal(path).transactions()] == ["rolled back"]


def test_however_often_a_limit_strikes_while_an_undo_is_recorded_the_undo_is_called(path: Path) -> None:
    journal = Journal(path)
    always = Commit(ring, sync=False)
    with handler(limit), pytest.raises(Limit), transaction(journal=journal):
        put("a")
        put("b")
        journal.store.owe(always)
        raise LookupError
    assert trail == ["+a", "+b", "-b", "-a"]
    journal.store.late.remove(always)
    journal.close()
    assert [entry.state for entry in journal.transactions()] == ["rolled back"]
