"""A file, or its log, that somebody has cut off under a live process is noticed, by that process and by the next."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from actionqueues import transaction
from actionqueues.journal import Journal, JournalCorrupt, JournalError

from .actions import put, trail
from .leaving import close, leave


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


@pytest.mark.parametrize("left", [0, 1000])
@pytest.mark.parametrize("which", ["file", "log"])
def test_a_file_that_is_cut_off_stops_the_step_and_all_is_undone_from_memory(which: str, left: int, path: Path) -> None:
    with Journal(path), transaction(journal=path):
        put("before")  # and written back to the file when it was closed
    with (
        pytest.raises(JournalError, match="cut off while it was in use; what was recorded is lost") as caught,
        transaction(journal=path) as q,
    ):
        put("a")
        os.truncate(path if which == "file" else log_of(path), left)
        put("b")
    assert trail == ["+before", "+a", "-a"]
    assert ("its log" in str(caught.value)) == (which == "log")
    assert q.report.journal_failures
    with pytest.raises(JournalError, match="cut off"), transaction(journal=path):
        put("c")
    assert trail == ["+before", "+a", "-a"]
    close(path)


def test_a_log_that_is_cut_off_while_a_step_runs_does_not_get_its_outcome(path: Path) -> None:
    from actionqueues import action

    @action(name="cuts")
    def cuts() -> None:
        os.truncate(log_of(path), 0)

    with pytest.raises(JournalError, match="its log, .* has been cut off"), transaction(journal=path):
        put("a")
        cuts()
    assert log_of(path).stat().st_size == 0, "nothing was written behind the hole"
    close(path)


def test_a_log_that_somebody_has_emptied_by_a_checkpoint_is_whole(path: Path) -> None:
    with transaction(journal=path):
        put("a")
        with closing(sqlite3.connect(path)) as other:
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        assert log_of(path).stat().st_size == 0
        put("b")
    assert [entry.state for entry in Journal(path).transactions()] == ["committed"]


def test_a_file_that_has_become_shorter_by_a_vacuum_is_whole(path: Path) -> None:
    with transaction(journal=path):
        for number in range(100):
            put(f"{number}" * 200)
    journal = Journal(path)
    journal.prune()
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        long = path.stat().st_size
        with transaction(journal=path):
            put("a")
        other.execute("VACUUM")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert path.stat().st_size < long
    with transaction(journal=path):
        put("b")
    assert [entry.state for entry in journal.transactions()] == ["committed", "committed"]


def cut_and_left(path: Path, cut: Any) -> None:
    leave(path, lambda q: (put("a"), put("b"), cut()))


@pytest.mark.parametrize("left", [0, 1000, 5000])
def test_a_log_that_was_cut_off_before_its_process_died_is_not_recovered_from_in_silence(left: int, path: Path) -> None:
    cut_and_left(path, lambda: os.truncate(log_of(path), left))
    before = path.read_bytes()
    for use in (lambda: Journal(path).recover(), lambda: Journal(path).transactions(), lambda: Journal(path).open()):
        with pytest.raises(JournalCorrupt, match=f"-wal', was cut off: it has {left} bytes, and there were .* by hand"):
            use()
    assert (path.read_bytes(), log_of(path).stat().st_size) == (before, left), "nothing was changed"
    assert trail == []


def test_a_log_that_was_removed_before_its_process_died_is_missed(path: Path) -> None:
    cut_and_left(path, log_of(path).unlink)
    with pytest.raises(JournalCorrupt, match="it has 0 bytes"):
        Journal(path).recover()


def test_a_file_that_was_emptied_before_its_process_died_keeps_its_log(path: Path) -> None:
    cut_and_left(path, lambda: os.truncate(path, 0))
    with pytest.raises(JournalCorrupt, match=r"is empty, though its log, .*-wal', is not"):
        Journal(path).recover()
    assert log_of(path).stat().st_size > 0, "SQLite would have deleted it"


def test_a_file_that_was_emptied_with_its_log_is_missed(path: Path) -> None:
    cut_and_left(path, lambda: (os.truncate(path, 0), os.truncate(log_of(path), 0)))
    with pytest.raises(JournalCorrupt, match="is empty, and was not"):
        Journal(path).recover()


def test_a_log_without_its_file_is_kept(path: Path) -> None:
    cut_and_left(path, path.unlink)
    with pytest.raises(JournalCorrupt, match="is empty, though its log"):
        Journal(path).recover()
    assert not path.exists()


def test_what_a_killed_process_has_left_is_recovered_however_far_its_log_was_written_back(path: Path) -> None:
    def body(q: Any) -> None:
        put("a")
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA wal_checkpoint(PASSIVE)")
        put("b")

    leave(path, body)
    with Journal(path) as journal:
        assert [each.state for each in journal.recover()] == ["rolled back"]
    assert trail == ["-b", "-a"]


def test_after_a_restart_of_the_machine_the_index_of_the_log_is_not_believed(path: Path) -> None:
    cut_and_left(path, lambda: os.truncate(log_of(path), 0))
    os.utime(f"{path}-shm", (1, 1))  # as if that had been before: a power cut takes what was not on disk yet
    assert Journal(path).recover() == []
