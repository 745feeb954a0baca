"""What goes wrong with the file stops the step before it runs, says what to do, and overwrites nothing."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from actionqueues import action, transaction
from actionqueues.journal import Journal, JournalError, NotRecordable

from .faulty import put, steps, trail
from .leaving import close, leave


@action
def fetch(name: str) -> object:
    trail.append(f"+{name}")
    return object()


@fetch.rollback
def unfetch(name: str) -> None:
    trail.append(f"-{name}")


@action
def move_back(there: str, here: str) -> None: ...


@move_back.rollback
def move(there: str, here: str) -> None:
    if os.path.exists(there):
        os.rename(there, here)


@action
def fail(error: str) -> None:
    raise Odd(object())


class Odd(Exception):
    pass


@pytest.fixture(autouse=True)
def path(tmp_path: Path) -> Iterator[Path]:
    trail.clear()
    yield tmp_path / "actions.db"
    close(tmp_path / "actions.db")


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


def test_a_new_file_that_another_process_is_opening_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM sqlite_master").fetchall()
    waits = iter(["", "COMMIT"])

    def wait(_seconds: float) -> None:
        other.execute(next(waits))

    with monkeypatch.context() as patch:
        patch.setattr("actionqueues.journal.opening.monotonic", lambda: 0.0)  # the time that it has never passes
        patch.setattr("actionqueues.journal.opening.sleep", wait)
        steps(path, "a")
    assert (trail, next(waits, None)) == (["+a"], None)
    other.close()


def test_a_new_file_that_stays_locked_is_given_up(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM sqlite_master").fetchall()
    with pytest.raises(JournalError, match=f"{path}.*kept it locked"):
        steps(path, "a")
    other.close()
    assert trail == []


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
    assert "not recorded" in q.report.summary
    assert all(isinstance(error, JournalError) for error in q.report.journal_failures)
    steps(path, "c")  # with room again, what was missing is recorded
    assert Journal(path).store.late == [], "and only once"
    assert [entry.state for entry in Journal(path).transactions()] == ["rolled back", "committed"]


def test_a_file_that_vanishes_stops_the_step(path: Path) -> None:
    with pytest.raises(JournalError, match="has been removed"), transaction(journal=path):
        put("a")
        path.rename(path.with_name("elsewhere"))
        put("b")
    assert trail == ["+a", "-a"]


def test_a_file_that_vanishes_during_a_recovery_ends_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actionqueues.journal.rows.PIECE", 1)
    elsewhere = path.with_name("elsewhere")
    leave(path, lambda q: (move_back("", ""), move_back(str(path), str(elsewhere)), put("c")))
    with Journal(path) as journal:
        with pytest.raises(JournalError, match=f"{path}.*has been removed"):
            journal.recover()
        assert trail == ["-c"]
        assert not path.exists()
    elsewhere.rename(path)
    with Journal(path) as journal:
        assert [one.state for one in journal.recover()] == ["rolled back"]


def test_a_file_that_is_replaced_stops_the_step(path: Path) -> None:
    with pytest.raises(JournalError, match="has been replaced"), transaction(journal=path):
        put("a")
        path.rename(path.with_name("elsewhere"))
        path.write_bytes(b"")
        put("b")
    assert trail == ["+a", "-a"]


def test_a_log_that_somebody_removes_stops_the_step(path: Path) -> None:
    with pytest.raises(JournalError, match=r"its log, .*-wal', has been removed"), transaction(journal=path):
        put("a")
        path.with_name("actions.db-wal").unlink()
        put("b")
    assert trail == ["+a", "-a"]


READ_ONLY = """
import datetime, os, sqlite3, sys
from tests.journal import faulty
from actionqueues.journal import JournalError
os.seteuid(65534)  # after the imports, which are the owner's alone
try:
    faulty.steps(sys.argv[1], "a")
except JournalError as error:
    print(error)
print(faulty.trail)
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


@pytest.mark.parametrize("name", ["", ":memory:"])
def test_what_is_no_name_of_a_file_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="takes the name of a file"):
        Journal(name)


def test_a_folder_is_refused(path: Path) -> None:
    with pytest.raises(JournalError, match="is a folder"):
        steps(path.parent, "a")
    assert (trail, list(path.parent.iterdir())) == ([], [])


@pytest.mark.parametrize("name", ["a?b#c%20.db", "ü .db", "-x.db", "new\nline.db", "\udcff.db"])
def test_a_name_of_a_file_may_be_anything(path: Path, name: str) -> None:
    odd = path.with_name(name)
    try:
        odd.touch()
    except (OSError, UnicodeError):
        pytest.skip("no file can be called that here")
    odd.unlink()
    leave(odd, lambda q: put("a"))
    with Journal(odd) as journal:
        assert [one.state for one in journal.recover()] == ["rolled back"]
    assert trail == ["-a"]
    assert list(path.parent.glob("*.db")) == [odd]


def test_a_folder_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(JournalError, match="nowhere"):
        steps(path.parent / "nowhere" / "actions.db", "a")
    assert trail == []


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
    assert trail == ["made", "unmade"]


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
