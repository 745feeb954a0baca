"""A file that is something else, damaged, torn, or of another version is refused, and left as it was."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actionqueues import transaction
from actionqueues.journal import Journal, JournalCorrupt, JournalError, schema

from .faulty import put, steps, trail
from .leaving import close


@pytest.fixture(autouse=True)
def path(tmp_path: Path) -> Iterator[Path]:
    trail.clear()
    yield tmp_path / "actions.db"
    close(tmp_path / "actions.db")


@pytest.mark.parametrize("content", [b"hello", b"hello" * 1000, b"SQLite format 3\0" + bytes(5000)])
def test_a_file_of_something_else_is_refused_and_left_as_it_was(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(JournalError, match=str(path)):
        steps(path, "a")
    assert (path.read_bytes(), trail) == (content, [])


def test_a_database_of_something_else_is_refused_and_left_as_it_was(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE mine (x)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(JournalCorrupt, match="a file of its own"):
        steps(path, "a")
    assert path.read_bytes() == before


def filled(path: Path) -> bytes:
    with Journal(path) as journal, transaction(journal=journal):
        for number in range(300):
            put(f"{number}" * 20)
    return path.read_bytes()


def test_a_truncated_file_is_refused_and_left_as_it_was(path: Path) -> None:
    whole = filled(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(JournalCorrupt, match="cut off|damaged"):
        steps(path, "a")
    assert path.read_bytes() == whole[: len(whole) // 2]


def test_a_damaged_file_is_not_recovered_from(path: Path) -> None:
    whole = bytearray(filled(path))
    for place in range(8192, len(whole), 4096):
        whole[place : place + 64] = os.urandom(64)
    path.write_bytes(whole)
    with pytest.raises(JournalCorrupt, match="put a copy"):
        Journal(path).recover()


def test_a_message_of_sqlite_that_is_no_text_says_that_the_file_is_damaged(path: Path) -> None:
    whole = bytearray(filled(path))
    name = whole.index(b"CREATE TABLE steps")
    whole[name + 7 : name + 9] = b"\xff\xfe"
    path.write_bytes(whole)
    with pytest.raises(JournalCorrupt, match="is damaged .*put a copy"):
        Journal(path).recover()


def torn(path: Path, damage: Callable[[bytearray], None]) -> tuple[bytes, bytes]:
    """A journal whose process died, with its log damaged: the files as they are then."""
    pid = os.fork()
    if pid == 0:
        try:
            steps(path, *"abcdefghijkl")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    log = Path(f"{path}-wal")
    content = bytearray(log.read_bytes())
    damage(content)
    log.write_bytes(content)
    Path(f"{path}-shm").unlink()
    return path.read_bytes(), log.read_bytes()


def flip(content: bytearray) -> None:
    content[32 + (24 + 1024) * 12 + 500] ^= 1  # behind a header, each page has one as well


def test_a_log_that_is_damaged_in_the_middle_is_refused_and_left_as_it_was(path: Path) -> None:
    files = torn(path, flip)
    with pytest.raises(JournalCorrupt, match="commits behind that place would be lost"):
        steps(path, "g")
    assert (path.read_bytes(), Path(f"{path}-wal").read_bytes()) == files


@pytest.mark.parametrize("cut", [1, 500, 1047, 1048])
def test_a_log_whose_last_commit_is_torn_is_that_of_a_process_that_was_killed(path: Path, cut: int) -> None:
    torn(path, lambda content: content.__delitem__(slice(-cut, None)))
    assert [entry.state for entry in Journal(path).transactions()] == ["open"]


@pytest.mark.parametrize("size", [0, 10, 31])
def test_a_log_that_was_only_begun_is_empty(path: Path, size: int) -> None:
    Journal(path).open().close()
    Path(f"{path}-wal").write_bytes(b"x" * size)
    assert Journal(path).transactions() == []


def test_a_newer_file_is_refused(path: Path) -> None:
    Journal(path).open().close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    db.close()
    with pytest.raises(JournalError, match="newer actionqueues.*upgrade"):
        steps(path, "a")


def test_an_older_file_is_migrated_in_one_transaction(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps(path, "a")
    Journal(path).close()
    known = schema.VERSION
    monkeypatch.setattr(schema, "VERSION", known + 2)
    scripts = {
        known + 1: "ALTER TABLE steps ADD COLUMN place TEXT;",
        known + 2: "CREATE TABLE more (x);\nUPDATE absent SET x = 1;",
    }
    monkeypatch.setattr(schema, "MIGRATIONS", scripts)
    with pytest.raises(JournalError, match="no such table: absent"):
        Journal(path).open()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (known,)
    assert "place" not in db.execute("SELECT sql FROM sqlite_master WHERE name = 'steps'").fetchone()[0]
    scripts[known + 2] = "CREATE TABLE more (x);"
    Journal(path).open()
    assert db.execute("PRAGMA user_version").fetchone() == (known + 2,)
    db.close()
    assert [entry.step_count for entry in Journal(path).transactions()] == [1]
