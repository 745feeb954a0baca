"""A file that version 1.0.0 has written is brought up to date where it is opened, and recovered as it was meant."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from actionqueues import transaction
from actionqueues.journal import Journal, schema
from actionqueues.journal.readonly import reading

from . import actions
from .actions import trail
from .leaving import leave, recovered
from .test_lost_handlers import without

#: The tables as version 1.0.0 has made them; the rest of the file has not changed since.
OLD = """
CREATE TABLE owners (id INTEGER PRIMARY KEY AUTOINCREMENT, pid INTEGER NOT NULL, program TEXT NOT NULL,
    started TEXT NOT NULL);
CREATE TABLE transactions (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, state TEXT NOT NULL, owner INTEGER,
    started TEXT NOT NULL, ended TEXT, error TEXT, reason TEXT);
CREATE INDEX unfinished ON transactions (id) WHERE ended IS NULL;
CREATE INDEX finished ON transactions (ended) WHERE ended IS NOT NULL;
CREATE TABLE steps (tx INTEGER NOT NULL REFERENCES transactions (id), number INTEGER NOT NULL, kind TEXT NOT NULL,
    name TEXT NOT NULL, arguments TEXT, state TEXT NOT NULL, result TEXT, saved TEXT, error TEXT,
    attempts INTEGER NOT NULL, key TEXT NOT NULL, undo TEXT, reason TEXT, started TEXT NOT NULL, ended TEXT,
    undone TEXT, PRIMARY KEY (tx, number)) WITHOUT ROWID;
CREATE TABLE attempts (tx INTEGER NOT NULL, number INTEGER NOT NULL, attempt INTEGER NOT NULL, ended TEXT NOT NULL,
    error TEXT NOT NULL, PRIMARY KEY (tx, number, attempt)) WITHOUT ROWID;
CREATE TABLE undos (tx INTEGER NOT NULL, number INTEGER NOT NULL, attempt INTEGER NOT NULL, started TEXT NOT NULL,
    ended TEXT, error TEXT, PRIMARY KEY (tx, number, attempt)) WITHOUT ROWID;
CREATE TABLE hooks (tx INTEGER NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL, arguments TEXT NOT NULL,
    key TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, ended TEXT, error TEXT,
    PRIMARY KEY (tx, number)) WITHOUT ROWID;
"""

STEP = (
    "INSERT INTO steps (tx, number, kind, name, arguments, state, result, attempts, key, started, ended) "
    "VALUES (?, ?, 'action', 'tests.journal.actions:' || ?, ?, ?, ?, 1, ?, '2026-11-24', '2026-11-24')"
)


@pytest.fixture
def old(path: Path) -> Path:
    write_old_file(path)
    return path


def write_old_file(path: Path) -> None:
    """A file of 1.0.0: one transaction that committed, and one that a dead process has left."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript("PRAGMA page_size = 1024; PRAGMA journal_mode = WAL;" + OLD)
        db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")
        db.execute("INSERT INTO owners VALUES (1, 1, 'shop.py', '2026-11-24')")
        row = "INSERT INTO transactions (name, state, owner, started, ended) VALUES (?, ?, ?, '2026-11-24', ?)"
        db.execute(row, ("done", "committed", None, "2026-11-24"))
        db.execute(row, ("left", "open", 1, None))
        db.execute(STEP, (1, 1, "put", '{"name": "a"}', "done", '"a"', "key 1"))
        db.execute(STEP, (2, 1, "put", '{"name": "b"}', "done", '"b"', "key 2"))
        db.execute(STEP, (2, 2, "irreversible", "{}", "done", "null", "key 3"))
        db.execute(STEP, (2, 3, "create", '{"name": "tests"}', "running", None, "key 4"))


def layout(path: Path) -> tuple[int, dict[str, list[str]]]:
    """The version, and the columns of each table."""
    with closing(sqlite3.connect(path)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        columns = {name: [row[1] for row in db.execute(f"PRAGMA table_info({name})")] for name in tables}
        return db.execute("PRAGMA user_version").fetchone()[0], columns


def test_it_becomes_what_a_new_file_is(old: Path, tmp_path: Path) -> None:
    Journal(old).open().close()
    Journal(tmp_path / "new.db").open().close()
    assert layout(old) == layout(tmp_path / "new.db")


def test_what_is_in_it_is_there_still(old: Path) -> None:
    journal = Journal(old)
    assert [(entry.name, entry.state, entry.step_count) for entry in journal.transactions()] == [
        ("done", "committed", 1),
        ("left", "open", 3),
    ]
    assert [(step.name[22:], step.key, step.handler) for step in journal.show(2).steps] == [
        ("put", "key 2", None),
        ("irreversible", "key 3", None),
        ("create", "key 4", None),
    ]


def test_where_it_can_only_be_read_it_is_read_without_changing_it(old: Path) -> None:
    before = old.read_bytes()
    with reading(str(old)) as db:
        assert db.execute("SELECT name, directory FROM transactions").fetchall() == [("done", None), ("left", None)]
        assert db.execute("SELECT count(handler), count(*) FROM steps").fetchall() == [(0, 4)]
    assert old.read_bytes() == before


def test_it_is_recovered_as_by_the_version_that_wrote_it(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(old.parent)  # nobody knows in which directory it was written
    (old.parent / "tests").mkdir()
    one = recovered(old)
    assert (one.state, trail) == ("stuck", ["-b"])
    assert "nobody knows whether it has happened, and its undo needs its result" in (one.reason or "")
    assert [step.name for step in one.report.left] == ["irreversible", "create"]
    assert Journal(old).resolve(2, 3, undone=True).state == "rolled back"


def test_a_step_of_which_nobody_knows_whether_it_had_an_undo_is_left_if_it_has_none(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, actions.create)
    one = recovered(old)
    assert one.state == "rolled back"
    assert {step.name for step in one.report.left} == {"irreversible", "create"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")
def test_new_work_in_it_is_recorded_with_all_that_is_new(old: Path) -> None:
    with transaction(journal=old):
        actions.put("c")
    leave(old, lambda q: actions.put("d"))
    journal = Journal(old)
    assert [step.handler for number in (3, 4) for step in journal.show(number).steps] == ["take", "take"]
    rows = journal.store.read("SELECT directory FROM transactions ORDER BY id")
    assert rows == [(None,), (None,), (os.getcwd(),), (os.getcwd(),)]


def test_a_process_of_the_old_version_that_has_it_open_still_writes_into_it(old: Path) -> None:
    with closing(sqlite3.connect(old, isolation_level=None)) as program:
        program.execute("SELECT count(*) FROM steps").fetchall()
        Journal(old).open()
        program.execute(
            "INSERT INTO transactions (name, state, owner, started) VALUES ('late', 'open', 1, '2026-11-24')"
        )
        program.execute(STEP, (3, 1, "put", '{"name": "e"}', "done", '"e"', "key 5"))
    assert [one.name for one in Journal(old).recover(3)] == ["late"]
    assert trail == ["-e"]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_file_of_any_version_becomes_what_a_new_one_is_and_its_rows_lack_what_is_new(
    version: int, old: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(old, isolation_level=None)) as db:
        schema.migrate(db, version, schema.MIGRATIONS)
    journal = Journal(old)
    assert journal.store.read("SELECT requested, plain_hooks FROM transactions") == [(None, None)] * 2
    assert journal.store.read("SELECT fingerprint FROM steps") == [(None,)] * 4
    Journal(tmp_path / "new.db").open().close()
    assert layout(old) == layout(tmp_path / "new.db")


def test_a_file_from_before_traces_were_kept_becomes_what_a_new_one_is(old: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(old, isolation_level=None)) as db:
        schema.migrate(db, 2, schema.MIGRATIONS)
    assert [(entry.name, entry.origin) for entry in Journal(old).transactions()] == [("done", None), ("left", None)]
    Journal(tmp_path / "new.db").open().close()
    assert layout(old) == layout(tmp_path / "new.db")
