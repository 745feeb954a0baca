"""Rare things in a journal: odd files, odd names, and steps of every kind in one process."""

from __future__ import annotations

import copy
import sqlite3
import struct
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from actionqueues import action, current_step, transaction
from actionqueues.journal import Journal, Serializer
from actionqueues.journal.modules import module_name
from actionqueues.journal.ownership import OwnerLocks
from actionqueues.journal.schema import VERSION, create, migrate
from actionqueues.journal.wal import lost_commits

from . import actions
from .actions import trail
from .leaving import edit, leave, recovered


def test_what_a_module_is_recorded_as_is_what_python_dash_m_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    main = ModuleType("__main__")
    main.__spec__ = ModuleSpec("package.module", None)
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert module_name("__main__") == "package.module"


def test_steps_of_every_kind_are_recorded_as_what_they_are(path: Path) -> None:
    with Journal(path) as journal:
        with pytest.raises(LookupError), transaction(journal=journal) as q:
            actions.put("action")
            q.add(actions.Copy("object"))
            q.add(str, 1)
            q.execute()
            q.on_rollback(actions.by_hand, "durable")
            q.on_rollback(actions.put, "action by hand")
            raise LookupError
        steps = journal.show(1).steps
    assert [step.undo for step in steps] == ["undone", "undone", "not undone", "undone", "undone"]
    assert trail == ["+action", "+object", "+action by hand", "-durable by hand", "-object", "-action"]


def test_what_a_step_has_saved_is_copied_as_a_plain_dict(path: Path) -> None:
    copies: list[object] = []

    @action(name="saves")
    def saves() -> None:
        current_step().save(part=1)
        copies.append(copy.deepcopy(current_step().saved))

    with Journal(path) as journal, transaction(journal=journal):
        saves()
    assert copies == [{"part": 1}]
    assert type(copies[0]) is dict


@action(aliases=("shared",))
def one() -> None: ...


@action(aliases=("shared",))
def other() -> None: ...


def test_a_former_name_that_two_actions_share_leaves_the_step_to_a_person(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    edit(path, "UPDATE steps SET name = 'shared'")
    found = recovered(path)
    assert found.state == "stuck"
    assert "'shared' is the name of 2 actions; give one of them another" in str(found.reason)


def test_a_lock_that_an_owner_holds_is_refused_to_every_other(tmp_path: Path) -> None:
    one, other = OwnerLocks(str(tmp_path / "locks")), OwnerLocks(str(tmp_path / "locks"))
    assert one.hold(1)
    assert (one.hold(1), other.hold(1), other.hold(2)) == (False, False, True)
    one.release(1)
    assert other.hold(1)
    one.close()
    other.close()


def test_a_file_is_made_a_journal_once_and_completely_or_not_at_all(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "full.db", isolation_level=None)
    db.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        create(db)
    assert not db.in_transaction
    assert db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    db.execute("PRAGMA max_page_count = 1000")
    create(db)
    before = db.execute("SELECT * FROM sqlite_master").fetchall()
    create(db)
    assert db.execute("SELECT * FROM sqlite_master").fetchall() == before != []
    db.close()


class Pressed(sqlite3.Connection):
    """Ctrl-C comes as soon as something has been committed."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        cursor = super().execute(sql, *parameters)
        if sql == "COMMIT":
            raise KeyboardInterrupt
        return cursor


def upgrade(db: sqlite3.Connection) -> None:
    migrate(db, VERSION, {version: f"CREATE TABLE more{version} (x);" for version in range(1, VERSION + 1)})


@pytest.mark.parametrize("make", [create, upgrade])
def test_an_interrupt_behind_the_commit_that_makes_a_journal_comes_out_as_it_was(
    make: Callable[[sqlite3.Connection], None], tmp_path: Path
) -> None:
    db = sqlite3.connect(tmp_path / "pressed.db", isolation_level=None, factory=Pressed)
    with pytest.raises(KeyboardInterrupt):
        make(db)
    assert not db.in_transaction
    assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
    db.close()


def test_a_log_with_a_page_size_that_cannot_be_holds_no_commits(tmp_path: Path) -> None:
    log = tmp_path / "actions.db-wal"
    log.write_bytes(struct.pack(">8I", 0x377F0682, 3007000, 0, 0, 1, 2, 3, 4) + bytes(100))
    assert lost_commits(str(log)) == 0


def test_a_class_comes_back_as_the_class(path: Path) -> None:
    serializer = Serializer()
    assert serializer.decode(serializer.encode(actions.Copy)) is actions.Copy


def test_a_commit_that_is_interrupted_is_no_fault_of_what_others_have_brought(path: Path) -> None:
    waiting, go_on = threading.Event(), threading.Event()

    def interrupted(db: sqlite3.Connection) -> None:
        waiting.set()
        assert go_on.wait(20)
        raise KeyboardInterrupt

    def insert(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO owners (pid, program, started) VALUES (1, 'x', 'x')")

    with Journal(path) as journal, ThreadPoolExecutor(3) as pool:
        store = journal.store
        assert store.owner
        first = pool.submit(store.write, interrupted, sync=False)
        assert waiting.wait(20)
        others = [pool.submit(store.write, insert, sync=False) for _ in range(2)]
        while len(store._queue) < 3:
            threading.Event().wait(0.001)
        go_on.set()
        assert isinstance(first.exception(), KeyboardInterrupt)
        assert [each.result() for each in others] == [None, None]
        assert store.read("SELECT count(*) FROM owners WHERE program = 'x'") == [(2,)]
        assert store._queue == []
