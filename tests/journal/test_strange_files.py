"""Where there should be a file and is something else, a journal says so, makes nothing, and waits for nobody."""

from __future__ import annotations

import logging
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from actionqueues import transaction
from actionqueues.journal import Journal, JournalError

from .actions import put, trail
from .leaving import leave

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there are no such files")

BESIDE = ["-wal", "-shm", "-journal", "-owners"]


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def block(path: Path) -> object:
    return transaction(journal=path)


@pytest.mark.parametrize("use", [Journal, block])
def test_a_link_to_nothing_is_refused_and_what_it_points_to_is_not_made(
    use: Callable[[Path], object], path: Path
) -> None:
    path.symlink_to("target.db")
    with pytest.raises(JournalError, match=r"is a link to '.*target.db', which is not there: mount or make"):
        use(path)
    assert names(path.parent) == ["actions.db"]
    path.unlink()


def test_a_link_to_a_journal_is_that_journal(path: Path) -> None:
    link = path.with_name("link.db")
    Journal(path).open()
    link.symlink_to(path)
    with transaction(journal=link):
        put("a")
    assert Journal(link).path == str(path)
    assert [entry.state for entry in Journal(path).transactions()] == ["committed"]


@pytest.mark.parametrize("end", BESIDE)
def test_a_link_to_nothing_beside_it_is_refused_as_well(end: str, path: Path) -> None:
    beside = path.with_name(f"actions.db{end}")
    beside.symlink_to("target")
    told = rf"its file '.*{end}' is a link to '.*target', which is not there; remove"
    with pytest.raises(JournalError, match=told), transaction(journal=path):
        put("a")
    assert trail == []
    assert not path.with_name("target").exists()
    beside.unlink()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        before = os.getcwd()
        os.chdir(path.parent)  # the whole path may be too long for a socket
        try:
            made.bind(path.name)
        finally:
            os.chdir(before)


@pytest.mark.parametrize(("make", "kind"), [(fifo, "a FIFO"), (bound, "a socket"), (Path.mkdir, "a folder")])
@pytest.mark.parametrize("end", ["", *BESIDE])
def test_what_is_no_file_is_refused_without_waiting(
    end: str, make: Callable[[Path], None], kind: str, path: Path
) -> None:
    strange = path.with_name(f"actions.db{end}")
    make(strange)
    before = stat.S_IFMT(strange.stat().st_mode)
    with pytest.raises(JournalError, match=f"is {kind}; a journal takes the name of a file"), transaction(journal=path):
        put("a")
    assert (trail, stat.S_IFMT(strange.stat().st_mode)) == ([], before)


def test_a_device_is_refused() -> None:
    with pytest.raises(JournalError, match="'/dev/null': is a device"):
        Journal("/dev/null").open()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o666])
def test_a_file_that_was_there_before_and_that_others_can_read_is_told_of_once(
    mode: int, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    path.touch()
    path.chmod(mode)
    for _ in range(2):
        with Journal(path), transaction(journal=path):
            put("a")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"others than its owner can use it (its mode is {mode:o})" in record.getMessage()
    assert f"chmod 600 {path}*" in record.getMessage()


def test_one_that_its_owner_alone_can_read_is_not(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    leave(path, lambda q: put("a"))
    Journal(path).recover()
    assert caplog.records == []
