"""What goes wrong with the file stops the step before it runs, says what to do, and overwrites nothing."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from actionqueues import action, transaction
from actionqueues.journal import Journal, JournalCorrupt, JournalError, NotRecordable, schema

trail: list[str] = []


@action
def put(name: Any) -> Any:
    trail.append(f"+{str(name)[:9]}")
    return name


@put.rollback
def take(name: Any, result: Any) -> None:
    trail.append(f"-{str(name)[:9]}")


@action
def fetch(name: str) -> object:
    trail.append(f"+{name}")
    return object()


@fetch.rollback
def unfetch(name: str) -> None:
    trail.append(f"-{name}")


@action
def fail(error: str) -> None:
    raise Odd(object())


class Odd(Exception):
    pass


@pytest.fixture(autouse=True)
def path(tmp_path: Path) -> Iterator[Path]:
    trail.clear()
    yield tmp_path / "actions.db"
    Journal(tmp_path / "actions.db").close()


def steps(path: Path, *names: Any) -> Any:
    with transaction("faulty", journal=Journal(path, busy_timeout=0.05)) as q:
        for name in names:
            put(name)
    return q


def test_the_file_is_readable_by_its_owner_alone(path: Path) -> None:
    steps(path, "a")
    assert {each.stat().st_mode & 0o777 for each in path.parent.iterdir()} == {0o600}


def test_a_database_that_is_locked_stops_the_step(path: Path) -> None:
    steps(path, "a")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    Journal(path).close()
    try:
        with pytest.raises(JournalError, match=f"{path}.*kept it locked"):
            steps(path, "b")
    finally:
        other.close()
    assert trail == ["+a"]


def test_a_file_that_is_full_stops_the_step_and_the_rollback_goes_on_from_memory(path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    q = transaction("full", journal=Journal(path))
    try:
        with pytest.raises(JournalError, match=str(path)), q:
            put("a")
            size = os.stat(f"{path}-wal").st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
            put("b")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert trail == ["+a", "-a"]
    assert q.report.undone == ["put"]
    assert "not recorded" in str(q.report)
    assert all(isinstance(error, JournalError) for error in q.report.journal_failures)
    steps(path, "c")  # with room again, what was missing is recorded
    assert [entry.state for entry in Journal(path).transactions()] == ["rolled back", "committed"]


def test_a_file_that_vanishes_stops_the_step(path: Path) -> None:
    with pytest.raises(JournalError, match="has been removed"), transaction(journal=path):
        put("a")
        path.rename(path.with_name("elsewhere"))
        put("b")
    assert trail == ["+a", "-a"]


def test_a_file_that_is_replaced_stops_the_step(path: Path) -> None:
    with pytest.raises(JournalError, match="has been replaced"), transaction(journal=path):
        put("a")
        path.rename(path.with_name("elsewhere"))
        path.write_bytes(b"")
        put("b")
    assert trail == ["+a", "-a"]


READ_ONLY = """
import datetime, os, sqlite3, sys
from tests.journal import test_faults
from actionqueues.journal import JournalError
os.seteuid(65534)  # after the imports, which are the owner's alone
try:
    test_faults.steps(sys.argv[1], "a")
except JournalError as error:
    print(error)
print(test_faults.trail)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not write")
def test_a_file_that_cannot_be_written_stops_the_step(path: Path) -> None:
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        os.chmod(folder, 0o755)
        Journal(folder / "actions.db").open().close()
        os.chmod(folder / "actions.db", 0o444)
        root = Path(__file__).parent.parent.parent
        program = [sys.executable, "-c", READ_ONLY, str(folder / "actions.db")]
        done = subprocess.run(program, cwd=root, capture_output=True, text=True, check=False)
        assert done.stderr == ""
        assert "cannot be written" in done.stdout
        assert done.stdout.splitlines()[-1] == "[]"
    finally:
        shutil.rmtree(folder)


def test_a_folder_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(JournalError, match="nowhere"):
        steps(path.parent / "nowhere" / "actions.db", "a")
    assert trail == []


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
    content[32 + 24 + 4096 * 12] ^= 1


def test_a_log_that_is_damaged_in_the_middle_is_refused_and_left_as_it_was(path: Path) -> None:
    files = torn(path, flip)
    with pytest.raises(JournalCorrupt, match="commits behind that place would be lost"):
        steps(path, "g")
    assert (path.read_bytes(), Path(f"{path}-wal").read_bytes()) == files


@pytest.mark.parametrize("cut", [1, 2000, 4119, 4120])
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
    monkeypatch.setattr(schema, "VERSION", 3)
    scripts = {2: "ALTER TABLE steps ADD COLUMN place TEXT;", 3: "CREATE TABLE more (x);\nUPDATE absent SET x = 1;"}
    monkeypatch.setattr(schema, "MIGRATIONS", scripts)
    with pytest.raises(JournalError, match="no such table: absent"):
        Journal(path).open()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    assert "place" not in db.execute("SELECT sql FROM sqlite_master WHERE name = 'steps'").fetchone()[0]
    scripts[3] = "CREATE TABLE more (x);"
    Journal(path).open()
    assert db.execute("PRAGMA user_version").fetchone() == (3,)
    db.close()
    assert [entry.step_count for entry in Journal(path).transactions()] == [1]


def test_an_argument_that_is_no_plain_data_is_refused_by_name_before_the_step_runs(path: Path) -> None:
    with pytest.raises(NotRecordable, match="'name' of put: it is, or contains, a builtins.object") as caught:
        steps(path, "a", {"x": [object()]})
    assert trail == ["+a", "-a"]
    assert (caught.value.what, caught.value.value_type) == ("'name' of put", "dict")


def test_an_argument_that_contains_itself_is_refused(path: Path) -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(NotRecordable, match="contains itself"):
        steps(path, loop)


def test_a_result_that_its_undo_asks_for_fails_the_step_if_it_is_no_plain_data(path: Path) -> None:
    with pytest.raises(NotRecordable, match="'result' of make"), transaction(journal=path):
        make()
    assert trail == ["made"]


@action
def make() -> object:
    trail.append("made")
    return object()


@make.rollback
def unmake(result: object) -> None:
    trail.append("unmade")


def test_a_result_that_nobody_asks_for_may_be_anything(path: Path) -> None:
    with transaction(journal=path):
        fetch("a")
    assert Journal(path).show(1).steps[0].result is None


@dataclass
class Fetch:
    def execute(self) -> object:
        return object()

    def rollback(self) -> None:
        trail.append("rolled back")


def test_a_result_of_an_action_object_may_be_anything(path: Path) -> None:
    with pytest.raises(LookupError), transaction(journal=path) as q:
        q.add(Fetch())
        q.execute()
        raise LookupError
    assert trail == ["rolled back"]


def test_an_exception_that_is_no_plain_data_is_recorded_as_text(path: Path) -> None:
    with pytest.raises(Odd), transaction(journal=path):
        fail("x")
    assert "Odd(<object object" in (Journal(path).show(1).steps[0].error or "")


def test_huge_arguments_are_recorded(path: Path) -> None:
    steps(path, "x" * 20_000_000)
    assert len(Journal(path).show(1).steps[0].arguments or "") > 20_000_000


HOSTILE = ["", "'; DROP TABLE steps; --", "\0", "\ud800", "\x1b[2J", "é" * 100, "a\nb", "$tuple", "{}", "%s", "\u202e"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_come_back_as_they_were(path: Path, text: str) -> None:
    with pytest.raises(LookupError), transaction(text, journal=path):
        put({text: text})
        raise LookupError(text)
    entry = Journal(path).show(1)
    assert entry.state == "rolled back"
    values = Journal(path).values
    assert values.read_saved(entry.steps[0].arguments) == {"name": {text: text}}
