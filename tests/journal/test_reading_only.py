"""What cannot be written to can be looked at: a file, or a folder, of somebody else, or on a read-only disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from actionqueues import transaction
from actionqueues.journal import Journal
from actionqueues.journal.ownership import lives
from actionqueues.journal.readonly import can_only_be_read, reading

from .actions import put
from .leaving import leave
from .test_older_files import write_old_file

PROGRAM = """
import os, sys
import actionqueues.cli, tests.journal.actions, asyncio, sqlite3, shutil, tempfile, unicodedata, urllib.parse
from actionqueues.journal import Journal
from actionqueues.journal.readonly import can_only_be_read, reading
os.setegid(65534)
os.seteuid(65534)  # after the imports, which are the owner's alone
for command in (["list", sys.argv[1]], ["show", sys.argv[1], "1"], ["recover", sys.argv[1]]):
    print(actionqueues.cli.main(command), flush=True)
"""


@pytest.fixture
def path(shared: Path) -> Path:
    """In a folder that others may enter."""
    return shared


def seen_by_somebody_else(path: Path, *, folder: int, file: int) -> str:
    """What the command says to a user to whom the file, and its folder, have these modes."""
    for each in path.parent.iterdir():
        each.chmod(file)
    path.parent.chmod(folder)
    before = {each.name: each.read_bytes() for each in path.parent.iterdir() if not each.name.endswith("-shm")}
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    after = {each.name: each.read_bytes() for each in path.parent.iterdir() if not each.name.endswith("-shm")}
    assert after == before
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(("folder", "file"), [(0o755, 0o644), (0o755, 0o666), (0o777, 0o644)])
def test_a_journal_that_was_closed_is_listed_and_shown(folder: int, file: int, path: Path) -> None:
    with Journal(path), transaction("closed", journal=path):
        put("a")
    text = seen_by_somebody_else(path, folder=folder, file=file)
    assert "closed" in text
    assert "tests.journal.actions:put" in text


@pytest.mark.parametrize("index", [True, False])
def test_what_a_killed_process_has_left_is_listed_and_shown(index: bool, path: Path) -> None:
    leave(path, lambda q: put("a"))
    if not index:  # a copy without what was in shared memory
        path.with_name("actions.db-shm").unlink()
    text = seen_by_somebody_else(path, folder=0o755, file=0o644)
    assert "left" in text
    assert "tests.journal.actions:put" in text


def test_what_is_going_on_is_listed_and_shown(path: Path) -> None:
    with transaction("going on", journal=path):
        put("a")
        text = seen_by_somebody_else(path, folder=0o755, file=0o644)
        put("b")
    assert "going on" in text
    assert "tests.journal.actions:put" in text
    lines = text.splitlines()
    assert (lines[1].split()[:2], lines[2]) == (["1", "running"], "0")
    assert "transaction 1 going on: open, a live process is working on it" in lines


def test_what_nobody_can_tell_about_is_not_called_dead(path: Path) -> None:
    leave(path, lambda q: put("a"))
    path.with_name("actions.db-owners").unlink()
    text = seen_by_somebody_else(path, folder=0o755, file=0o644)
    assert "its process may live" in text
    assert "Its process may live; nobody can tell from here. If it has died, this undoes it:" in text
    assert "has died. To" not in text


def test_what_an_older_version_has_written_is_listed_and_shown(path: Path) -> None:
    write_old_file(path)
    text = seen_by_somebody_else(path, folder=0o755, file=0o644)
    assert "tests.journal.actions:put" in text
    assert "no such column" not in text


def test_it_is_not_recovered(path: Path) -> None:
    leave(path, lambda q: put("a"))
    text = seen_by_somebody_else(path, folder=0o755, file=0o644)
    assert f"journal {str(path)!r}: it cannot be written to; check its permissions" in text
    assert [entry.state for entry in Journal(path).transactions()] == ["open"]


def test_one_that_may_not_even_be_read_is_refused(path: Path) -> None:
    with Journal(path), transaction("secret", journal=path):
        put("a")
    text = seen_by_somebody_else(path, folder=0o755, file=0o600)
    assert "secret" not in text
    assert str(path) in text


def test_what_is_no_journal_is_refused(path: Path) -> None:
    path.write_bytes(b"hello" * 1000)
    assert "is no SQLite file" in seen_by_somebody_else(path, folder=0o755, file=0o644)


@pytest.mark.parametrize("left", ["closed", "killed", "killed, without its index", "live"])
def test_whatever_is_beside_it_it_is_read_without_changing_it(left: str, tmp_path: Path) -> None:
    journal = tmp_path / "actions.db"
    leave(journal, lambda q: put("a"))
    if left == "closed":
        Journal(journal).open().close()
    elif left == "killed, without its index":
        journal.with_name("actions.db-shm").unlink()
    elif left == "live":
        Journal(journal).open()
    before = journal.read_bytes()
    with reading(str(journal)) as db:
        assert db.execute("SELECT name, state FROM transactions").fetchall() == [("left", "open")]
    assert journal.read_bytes() == before
    Journal(journal).close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody can tell without writing")
def test_who_may_only_read_sees_who_lives(tmp_path: Path) -> None:
    journal = tmp_path / "actions.db"
    leave(journal, lambda q: put("a"))
    with transaction(journal=journal):
        put("b")
        dead, live = (entry.owner or 0 for entry in Journal(journal).transactions())
        assert lives(f"{journal}-owners", [dead, live]) == {dead: False, live: True}
        assert Journal(journal).recover(2) == []  # having looked has let go of nothing
    assert lives(str(tmp_path / "nothing"), [dead]) == {dead: None}
    Journal(journal).close()


def test_one_that_can_be_written_to_is_not_only_read(tmp_path: Path) -> None:
    Journal(tmp_path / "actions.db").open().close()
    assert not can_only_be_read(str(tmp_path / "actions.db"))
