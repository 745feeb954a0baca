"""A file system that is full, a real one: what has run is undone, what could not be recorded has not run."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actionqueues import transaction
from actionqueues.core.requests import Call
from actionqueues.journal import Journal, JournalError
from actionqueues.journal.recovery import Recovery
from actionqueues.journal.store import Statement

from . import actions
from .actions import failing, trail
from .leaving import close, leave

SIZE = 2 * 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Path]:
    """A file system of two megabytes."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root can mount a file system, and this is known of Linux only")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.strip()}")
    caplog.set_level(logging.CRITICAL)
    trail.clear()
    failing.clear()
    try:
        yield folder
    finally:
        close(folder / "actions.db")
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that there is."""
    filler = folder / "filler"
    with open(filler, "wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
    return filler


def test_a_disk_that_is_full_stops_the_step_and_what_was_missing_is_recorded_with_room_again(disk: Path) -> None:
    journal = Journal(disk / "actions.db")
    q = transaction("full", journal=journal)
    with pytest.raises(JournalError, match="the disk is full; make room"), q:
        actions.put("a")
        filler = fill(disk)
        for number in range(10_000):
            actions.put(f"step {number}")
    started = [line[1:] for line in trail if line[0] == "+"]
    assert [line[1:] for line in trail if line[0] == "-"] == started[::-1]
    assert q.report.journal_failures
    filler.unlink()
    with transaction("with room", journal=journal):
        actions.put("b")
    assert [entry.state for entry in journal.transactions()] == ["rolled back", "committed"]
    assert {step.undo for step in journal.show(1).steps} == {"undone"}


@pytest.mark.slow
def test_a_step_whose_outcome_finds_no_room_is_undone(disk: Path) -> None:
    journal = Journal(disk / "actions.db").open()
    with pytest.raises(JournalError, match="the disk"), transaction("full", journal=journal):
        actions.create("x" * SIZE)  # its intent is too long already
    assert trail == []
    fillers: list[Path] = []
    failing["+a"] = LookupError()
    with pytest.raises(LookupError), transaction("fails", journal=journal) as q:
        q.on_rollback(actions.by_hand, "b")
        fillers.append(fill(disk))
        for number in range(10_000):  # until the log has taken what was left in it
            try:
                actions.put(f"{number}")
            except JournalError:
                break
        raise LookupError
    assert trail[-1] == "-b by hand"
    fillers[0].unlink()


def test_a_recovery_on_a_full_disk_does_nothing_or_all_and_never_twice(disk: Path) -> None:
    leave(disk / "actions.db", lambda q: [actions.put(str(number)) for number in range(20)])
    filler = fill(disk)
    with Journal(disk / "actions.db") as journal:
        try:
            done = [each.state for each in journal.recover()]
        except JournalError as error:
            done = [str(error)]
    undone = [line[1:] for line in trail]
    assert undone in ([], [str(number) for number in reversed(range(20))]), done
    filler.unlink()
    with Journal(disk / "actions.db") as journal:
        journal.recover()
        assert [entry.state for entry in journal.transactions()] == ["rolled back"]
    assert sorted({line[1:] for line in trail}, key=int) == [str(number) for number in range(20)]


def test_what_a_full_disk_has_kept_from_being_recorded_is_not_lost_when_the_journal_is_closed(disk: Path) -> None:
    journal = Journal(disk / "actions.db")
    filler: list[Path] = []
    with pytest.raises(LookupError), transaction("full", journal=journal) as q:
        actions.put("a")
        actions.put("b")
        filler.append(fill(disk))
        keep_writing(journal)
        raise LookupError
    assert trail == ["+a", "+b", "-b", "-a"]
    assert q.report.journal_failures
    for use in (journal.close, journal.recover, Journal(disk / "actions.db").close):
        with pytest.raises(JournalError, match="outcomes could not be recorded, and cannot be now: the disk is full"):
            use()
    assert trail == ["+a", "+b", "-b", "-a"], "nothing is undone once more"
    filler[0].unlink()
    assert journal.recover() == []
    journal.close()
    assert [entry.state for entry in journal.transactions()] == ["rolled back"]
    assert trail == ["+a", "+b", "-b", "-a"]


def keep_writing(journal: Journal) -> None:
    """Until the log has taken what was left in it."""
    for length in (5000, 10):
        with pytest.raises(JournalError):
            for number in range(10_000):
                row = (f"{number:{length}}",)
                journal.store.write(Statement("UPDATE owners SET program = ?", row), sync=True)


def test_what_a_recovery_could_not_give_back_on_a_full_disk_is_recovered_by_this_process_later(disk: Path) -> None:
    leave(disk / "actions.db", lambda q: [actions.put(str(number)) for number in range(3)])
    journal = Journal(disk / "actions.db").open()
    fillers: list[Path] = []

    def full(_: object) -> None:
        fillers.append(fill(disk))
        keep_writing(journal)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Recovery, "_recovering", interrupted_after_claiming(full))
        with pytest.raises(JournalError, match="the disk is full"):
            journal.recover()
    fillers[0].unlink()
    assert [each.state for each in journal.recover()] == ["rolled back"]
    assert trail == ["-2", "-1", "-0"]


def interrupted_after_claiming(function: Callable[[object], None]) -> Any:
    def recovering(self: Recovery, only: Iterable[int]) -> Generator[Any, Any, None]:
        self.claim(only)
        function(self)
        yield Call(leave_it)

    return recovering


def leave_it() -> None:
    """Nothing more is done."""
