"""A journal is closed when nothing goes on in it, and has then recorded what there was."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path
from typing import Any, NoReturn

import pytest

from actionqueues import IllegalOperation, transaction
from actionqueues.journal import Journal, JournalError
from actionqueues.journal.recording import Recording

from . import rounds
from .actions import put, trail
from .families import start
from .leaving import leave


def test_a_journal_is_not_closed_while_a_transaction_is_under_way(path: Path) -> None:
    journal = Journal(path)
    with transaction("done", journal=journal):
        put("a")
    with transaction("under way", journal=journal):
        journal.close()  # nothing has been started yet
        put("b")
        with pytest.raises(IllegalOperation, match="transaction 2 of this process is under way; close it once"):
            journal.close()
        output, _ = start("show", path).communicate(timeout=60)
        assert output.splitlines() == ["done committed 1", "under way open 1"]
        put("c")
    journal.close()
    with pytest.raises(LookupError), transaction(journal=journal):
        put("d")
        raise LookupError
    journal.close()
    assert trail == ["+a", "+b", "+c", "+d", "-d"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")
def test_a_journal_is_not_closed_while_a_recovery_is_at_work_in_it(path: Path) -> None:
    leave(path, lambda q: rounds.held("a"))
    rounds.began.clear()
    rounds.go.clear()
    journal = Journal(path)
    thread = threading.Thread(target=journal.recover)
    thread.start()
    assert rounds.began.wait(60)
    with pytest.raises(IllegalOperation, match="transaction 1 of this process is under way; close it once"):
        journal.close()
    with Journal(path):
        pass  # which stays open
    output, _ = start("show", path).communicate(timeout=60)
    assert output.splitlines() == ["left rolling back 1"], "its owner lives"
    rounds.go.set()
    thread.join()
    journal.close()
    assert [entry.state for entry in journal.transactions()] == ["rolled back"]


def test_it_is_not_closed_under_a_thread_that_reads_it(path: Path) -> None:
    journal = Journal(path)
    assert journal.transactions() == []
    opened = journal.store._open
    closing = threading.Thread(target=journal.close)

    def waits() -> bool:
        free = opened.writing.taken_at_once()
        if free:
            opened.writing.give_back()
        return not free

    with opened.reading:  # as in the middle of a query
        closing.start()
        rounds.until(waits)
        reader: Any = opened._reader
        assert (closing.is_alive(), reader.execute("SELECT 7").fetchall()) == (True, [(7,)])
    closing.join()
    assert opened._reader is None
    assert journal.transactions() == []


def test_what_begins_at_the_moment_when_another_thread_closes_it_does_not_run(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, made = Journal(path), Recording._make

    def closed(self: Recording, more: Any) -> None:
        journal.close()  # as another thread may, now that this one knows who it is in the file
        made(self, more)

    trail.clear()
    with monkeypatch.context() as patched:
        patched.setattr(Recording, "_make", closed)
        again = pytest.raises(JournalError, match="another thread has closed it at this moment; do it again")
        with again, transaction(journal=journal):
            put("a")
    assert (trail, journal.transactions()) == ([], [])
    with transaction(journal=journal):
        put("b")
    assert [entry.state for entry in journal.transactions()] == ["committed"]


def test_a_journal_that_is_left_stays_open_for_the_transactions_of_other_threads(path: Path) -> None:
    ready, go = threading.Event(), threading.Event()

    def work() -> None:
        with transaction("in a thread", journal=path):
            put("a")
            ready.set()
            go.wait(60)

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(60)
    with Journal(path) as journal:
        assert [entry.state for entry in journal.transactions()] == ["open"]
    output, _ = start("show", path).communicate(timeout=60)
    assert output.splitlines() == ["in a thread open 1"], "its owner lives"
    go.set()
    thread.join()
    with journal:
        assert [entry.state for entry in journal.transactions()] == ["committed"]
    assert not path.with_name("actions.db-wal").exists()


def test_what_could_not_be_recorded_is_recorded_when_it_is_closed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path)

    def broken(*_: Any, **__: Any) -> None:
        raise JournalError(str(path), "broken")

    with pytest.raises(LookupError), transaction(journal=journal) as q:
        put("a")
        monkeypatch.setattr(journal.store, "commit", broken)
        raise LookupError
    assert [str(each).endswith("broken") for each in q.report.journal_failures] == [True] * 4
    monkeypatch.undo()
    journal.close()
    assert [entry.state for entry in journal.transactions()] == ["rolled back"]
    assert [step.undo for step in journal.show(1).steps] == ["undone"]


def test_a_journal_that_cannot_record_it_then_either_stays_open_and_is_told_of(path: Path) -> None:
    journal = Journal(path)
    with pytest.raises(LookupError), transaction(journal=journal):
        put("a")
        path.rename(path.with_name("elsewhere"))
        raise LookupError
    for use in (journal.close, journal.recover):
        with pytest.raises(JournalError, match="outcomes could not be recorded, .* has been removed .* close it again"):
            use()
    assert not path.exists()
    path.with_name("elsewhere").rename(path)
    journal.close()
    assert journal.recover() == []
    assert trail == ["+a", "-a"]


def test_a_journal_that_nobody_refers_to_any_more_keeps_what_it_could_not_record(path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    with pytest.raises(LookupError), transaction(journal=Journal(path)):
        put("a")
        path.rename(elsewhere)
        raise LookupError
    gc.collect()
    elsewhere.rename(path)
    with Journal(path) as journal:
        assert journal.recover() == []
        assert [entry.state for entry in journal.transactions()] == ["rolled back"]
    assert trail == ["+a", "-a"]


def test_a_file_of_two_names_is_refused(path: Path) -> None:
    with transaction(journal=path):
        put("a")
    Journal(path).close()
    other = path.with_name("other.db")
    os.link(path, other)
    for name in (path, other):
        with pytest.raises(JournalError, match=r"has 2 names \(hard links\)"), transaction(journal=name):
            put("b")
    path.unlink()
    with transaction(journal=other):
        put("c")
    assert trail == ["+a", "+c"]
    Journal(other).close()


def test_a_connection_is_closed_again_if_its_file_cannot_be_looked_at(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: str) -> NoReturn:
        raise PermissionError(13, "not yours")

    with Journal(path):
        pass
    monkeypatch.setattr("actionqueues.journal.connections.Files", refuse)
    with pytest.raises((JournalError, PermissionError)), Journal(path) as journal:
        journal.transactions()
