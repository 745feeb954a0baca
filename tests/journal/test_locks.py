"""Locks that end with their process, of whatever kind the system has; without them there is no journal."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from actionqueues.journal import Journal, JournalError, ownership
from actionqueues.journal.ownership import OwnerLocks, of_open_file

KINDS = [
    pytest.param("linux", marks=pytest.mark.skipif(sys.platform != "linux", reason="locks of an open file"), id="open"),
    pytest.param("darwin", marks=pytest.mark.skipif(os.name != "posix", reason="locks of a process"), id="process"),
]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use either kind of lock; this system has both."""
    used = of_open_file(request.param)

    def of_open_file_here(_platform: str) -> bool:
        return used

    monkeypatch.setattr(ownership, "of_open_file", of_open_file_here)


@pytest.mark.usefixtures("kind")
def test_a_lock_is_held_until_its_process_is_killed(tmp_path: Path) -> None:
    path = str(tmp_path / "locks")
    ours = OwnerLocks(path)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        theirs = OwnerLocks(path)
        os.write(write, b"x" if theirs.hold(7) else b"-")
        signal.pause()
    assert os.read(read, 1) == b"x"
    assert (ours.is_held(7), ours.is_held(8)) == (True, False)
    assert (ours.hold(7), ours.hold(8)) == (False, True)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert (ours.is_held(7), ours.is_held(8)) == (False, True)
    assert ours.hold(7)
    ours.close()
    os.close(read)
    os.close(write)


def test_a_lock_is_let_go_if_it_is_interrupted_before_anybody_knows_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = OwnerLocks(str(tmp_path / "locks"))

    class Interrupted(list[int]):
        def append(self, _: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        locks.hold(7, Interrupted())
    assert not locks.is_held(7)
    assert locks.hold(7)
    locks.close()


@pytest.mark.usefixtures("kind")
def test_a_lock_of_this_process_outlives_a_child_that_closes_its_copy(tmp_path: Path) -> None:
    path = str(tmp_path / "locks")
    ours = OwnerLocks(path)
    assert ours.hold(1)
    for closes in (True, False):
        pid = os.fork()
        if pid == 0:
            if closes:
                ours.close()
            os._exit(0 if not OwnerLocks(path).hold(1) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    ours.release(1)
    assert ours.hold(1)
    ours.close()


@pytest.mark.parametrize(("platform", "expected"), [("linux", True), ("darwin", False), ("freebsd14", False)])
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are no locks of an open file of that layout")
def test_locks_of_an_open_file_are_used_where_their_layout_is_known(platform: str, expected: bool) -> None:
    assert of_open_file(platform) == expected


def test_a_system_without_such_locks_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "SUPPORTED", False)
    with pytest.raises(JournalError, match="no locks that end with a process"):
        Journal(tmp_path / "actions.db")
    assert list(tmp_path.iterdir()) == []
