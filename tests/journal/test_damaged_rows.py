"""A damaged row stops its own transaction, which is told, is not touched, and holds up no other."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actionqueues import IllegalOperation, cli, transaction
from actionqueues.journal import Journal, durable

from . import actions
from .actions import trail
from .leaving import die, died, edit, leave

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")

#: What somebody, or a disk, has put into a column, and how it is told.
DAMAGE: list[tuple[str, str, Any, str]] = [
    ("transactions", "owner", "abc", "owner is 'abc'"),
    ("transactions", "owner", b"\xff\x00", "owner is X'FF00'"),
    ("transactions", "owner", -1, "owner is -1"),
    ("transactions", "owner", 0, "owner is 0"),
    ("transactions", "owner", 1.5, "owner is 1.5"),
    ("transactions", "owner", 2**62, f"owner is {2**62}"),
    ("transactions", "name", b"\xff", "name is X'FF'"),
    ("transactions", "state", "half", "state is 'half'"),
    ("transactions", "state", b"open", "state is X'6F70656E'"),
    ("transactions", "ended", "yesterday", "ended is 'yesterday'"),
    ("transactions", "ended", b"2026-01-01 00:00:00.000", "ended is X'323032"),
    ("transactions", "ended", 0, "ended is '0'"),
    ("transactions", "ended", "", "ended is ''"),
    ("transactions", "error", b"boom", "error is X'626F6F6D'"),
    ("transactions", "reason", b"boom", "reason is X'626F6F6D'"),
    ("transactions", "requested", b"{}", "requested is X'7B7D'"),
    ("transactions", "plain_hooks", b"[]", "plain_hooks is X'5B5D'"),
    ("steps", "name", b"put", "step 2: name is X'707574'"),
    ("steps", "kind", "other", "step 2: kind is 'other'"),
    ("steps", "kind", 7, "step 2: kind is '7'"),
    ("steps", "state", "half", "step 2: state is 'half'"),
    ("steps", "undo", "half", "step 2: undo is 'half'"),
    ("steps", "undo", b"", "step 2: undo is X''"),
    ("steps", "number", "two", "step 'two': number is 'two'"),
    ("steps", "number", b"2", "step X'32': number is X'32'"),
    ("steps", "attempts", "many", "step 2: attempts is 'many'"),
    ("steps", "key", b"k", "step 2: key is X'6B'"),
    ("steps", "arguments", b"{}", "step 2: arguments is X'7B7D'"),
    ("steps", "result", b"1", "step 2: result is X'31'"),
    ("steps", "saved", b"{}", "step 2: saved is X'7B7D'"),
    ("steps", "error", b"{}", "step 2: error is X'7B7D'"),
    ("steps", "reason", b"{}", "step 2: reason is X'7B7D'"),
    ("steps", "handler", b"take", "step 2: handler is X'74616B65'"),
    ("steps", "directory", b"/", "step 2: directory is X'2F'"),
    ("steps", "fingerprint", b"f", "step 2: fingerprint is X'66'"),
    ("transactions", "directory", b"/", "directory is X'2F'"),
]
IDS = [f"{table}.{column}-{value!r}" for table, column, value, _ in DAMAGE]


def two_steps(name: str, _q: object) -> None:
    actions.put(f"{name}1")
    actions.put(f"{name}2")


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal with three transactions that dead processes have left, each of two steps."""
    path = tmp_path_factory.mktemp("left") / "actions.db"
    for name in "abc":
        leave(path, partial(two_steps, name))
    edit(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def journal(left: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """A copy of it."""
    monkeypatch.setenv("COLUMNS", "400")
    shutil.copy(left, path)
    return Journal(path)


def damage(path: Path, table: str, column: str, value: Any, *, tx: int = 2) -> None:
    where = "id" if table == "transactions" else "number = 2 AND tx" if table == "steps" else "tx"
    edit(path, f"UPDATE {table} SET {column} = ? WHERE {where} = {tx}", value)


@pytest.mark.parametrize(("table", "column", "value", "text"), DAMAGE, ids=IDS)
def test_it_is_told_everywhere_and_all_else_is_recovered(
    table: str, column: str, value: Any, text: str, journal: Journal, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(path, table, column, value)
    one, two, three = journal.recover()
    assert (one.id, one.state, three.id, three.state) == (1, "rolled back", 3, "rolled back")
    assert trail == ["-a2", "-a1", "-c2", "-c1"]
    assert (two.id, two.state, two.clean) == (2, "stuck", False)
    assert two.reason is not None
    assert two.reason.startswith(f"damaged: {text}")
    assert two.reason.endswith("; nothing of it is touched until somebody mends that row (sqlite3 FILE)")

    assert journal.recover()[0].reason == two.reason
    assert [each.id for each in journal.transactions("stuck")] == [2]
    assert [each.state for each in journal.transactions()] == ["rolled back", "stuck", "rolled back"]
    assert journal.show(2).reason == two.reason
    json.dumps(journal.show(2).as_dict())
    for command, status in (("list", 1), ("show", 1), ("recover", 1)):
        for options in ([], ["--json"]):
            assert cli.main([command, str(path), *(["2"] if command == "show" else []), *options]) == status
            output = capsys.readouterr().out
            assert f"damaged: {text}"[:20] in output


def test_what_was_mended_is_recovered(journal: Journal, path: Path) -> None:
    damage(path, "transactions", "owner", "abc")
    assert [each.state for each in journal.recover()] == ["rolled back", "stuck", "rolled back"]
    damage(path, "transactions", "owner", None)
    assert [each.state for each in journal.recover()] == ["rolled back"]
    assert trail[-2:] == ["-b2", "-b1"]


def test_one_that_was_not_asked_for_is_not_told(journal: Journal, path: Path) -> None:
    damage(path, "transactions", "owner", "abc")
    assert [each.id for each in journal.recover(1)] == [1]
    assert [each.id for each in journal.recover(2)] == [2]


def test_the_way_out_that_is_shown_is_one(journal: Journal, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(path, "transactions", "owner", "abc")
    assert cli.main(["show", str(path), "2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["Once that row is mended:", f"  actionqueues recover {path} 2 --import MODULE"]
    assert "resolve" not in "".join(lines)


def test_nothing_is_decided_about_a_damaged_one(journal: Journal, path: Path) -> None:
    damage(path, "steps", "key", b"k")
    with pytest.raises(IllegalOperation, match="it is damaged: step 2: key is X'6B'; mend that row first"):
        journal.resolve(2, 1, undone=True)


@pytest.mark.parametrize("ended", [0, "", "yesterday", b"2026"])
def test_what_may_not_have_ended_is_not_forgotten(journal: Journal, path: Path, ended: Any) -> None:
    damage(path, "transactions", "ended", ended)
    journal.recover()
    assert journal.prune() == 2
    assert [each.id for each in journal.transactions()] == [2]


def test_owners_with_impossible_numbers_are_left_alone(journal: Journal, path: Path) -> None:
    journal.recover()
    edit(path, "INSERT INTO owners VALUES (-3, 1, 'x', '2020-01-01')")
    assert journal.prune() == 3


def test_a_negative_number_of_a_transaction_is_a_number(journal: Journal, path: Path) -> None:
    edit(path, "UPDATE transactions SET id = -2 WHERE id = 2")
    edit(path, "UPDATE steps SET tx = -2 WHERE tx = 2")
    assert [(each.id, each.state) for each in journal.recover()] == [
        (-2, "rolled back"),
        (1, "rolled back"),
        (3, "rolled back"),
    ]


def test_a_step_of_a_live_process_is_no_business_of_a_recovery_however_damaged(path: Path) -> None:
    with transaction(journal=path):
        actions.put("live")
        edit_beside(path, "UPDATE steps SET key = x'00'")
        assert Journal(path).recover() == []


def edit_beside(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement)
        db.commit()


def test_a_value_that_may_not_be_null_is_damage_of_its_row(journal: Journal, path: Path) -> None:
    journal.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_master SET sql = replace(sql, 'NOT NULL', '        ') WHERE name = 'transactions'")
        db.commit()
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE transactions SET name = NULL, started = NULL WHERE id = 2")
        db.execute("PRAGMA writable_schema = ON")
        db.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'name     TEXT         ,', 'name     TEXT NOT NULL,') "
            "WHERE name = 'transactions'"
        )
        db.commit()
        assert "NOT NULL" in db.execute("SELECT sql FROM sqlite_master WHERE name = 'transactions'").fetchone()[0]
    assert [each.state for each in journal.recover()] == ["rolled back", "stuck", "rolled back"]
    assert journal.show(2).name == "None"
    assert cli.main(["list", str(path)]) == cli.main(["show", str(path), "2"]) == 1


def test_text_that_is_no_unicode_is_shown_as_it_can_be(journal: Journal, path: Path) -> None:
    edit(path, "UPDATE transactions SET name = CAST(x'61FF' AS TEXT) WHERE id = 2")
    edit(path, "UPDATE steps SET name = CAST(x'61FF' AS TEXT) WHERE tx = 3 AND number = 2")
    one, two, three = journal.recover()
    assert [one.state, two.state, two.name] == ["rolled back", "rolled back", "a\\xff"]
    assert (three.state, "a\\xff" in (three.reason or "")) == ("stuck", True)
    assert trail == ["-a2", "-a1", "-b2", "-b1", "-c1"]


HOOKS: list[tuple[str, Any, str]] = [
    ("name", b"x", "name is X'78'"),
    ("arguments", b"x", "arguments is X'78'"),
    ("key", b"x", "key is X'78'"),
    ("attempts", "x", "attempts is 'x'"),
    ("ended", "soon", "ended is 'soon'"),
    ("error", b"x", "error is X'78'"),
    ("directory", b"x", "directory is X'78'"),
]


@pytest.mark.parametrize(("column", "value", "text"), HOOKS)
def test_a_damaged_hook_stops_the_hooks_of_its_own_transaction(
    column: str, value: Any, text: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        pid = os.fork()
        if pid == 0:
            try:
                with transaction("left", journal=path) as q:
                    q.on_commit(die)
                    q.on_commit(durable(actions.put), name)
            finally:
                os._exit(1)
        died(pid)
    edit(path, f"UPDATE hooks SET {column} = ? WHERE tx = 1", value)
    one, two = Journal(path).recover()
    assert (one.state, (one.reason or "").partition(";")[0]) == ("stuck", f"damaged: hook 2: {text}")
    assert (two.state, trail) == ("committed", ["+b"])
    assert cli.main(["show", str(path), "1"]) == 1
    assert text in capsys.readouterr().out
    with pytest.raises(IllegalOperation, match=r"resolve hook 2 .* it is damaged: hook 2: "):
        Journal(path).resolve_hook(1, 2)


@pytest.mark.parametrize("started", ["soon", b"2026", 5, "2026-02-31 00:00:00"])
def test_when_an_undo_was_tried_first_does_not_matter_where_nobody_knows(started: Any, path: Path) -> None:
    leave(path, lambda q: actions.patient("a"))
    edit(path, "INSERT INTO undos VALUES (1, 1, 1, ?, NULL, NULL)", started)
    assert [each.state for each in Journal(path).recover()] == ["rolled back"]


ANYTHING = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.sampled_from(
        ["{}", "[]", "[1]", '{"name": 3}', '{"$redacted": "x"}', '{"$dict": 3}', "null", "open", "running"]
    ),
)
COLUMNS = [
    *(("transactions", each) for each in ("name", "state", "owner", "started", "ended", "error", "reason")),
    *(("steps", each) for each in ("number", "kind", "name", "arguments", "state", "result", "saved", "error")),
    *(("steps", each) for each in ("attempts", "key", "undo", "reason", "started", "ended", "undone", "handler")),
    ("steps", "directory"),
    ("transactions", "directory"),
]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(COLUMNS), ANYTHING)
def test_whatever_stands_in_whatever_column_the_others_are_recovered(
    left: Path, tmp_path_factory: pytest.TempPathFactory, column: tuple[str, str], value: Any
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "actions.db"
    shutil.copy(left, path)
    table, name = column
    try:
        damage(path, table, name, value, tx=1)
    except sqlite3.IntegrityError:
        return  # SQLite does not take it either
    trail.clear()
    try:
        done = Journal(path).recover()
        assert [(each.id, each.state) for each in done[-2:]] == [(2, "rolled back"), (3, "rolled back")]
        assert trail[-4:] == ["-b2", "-b1", "-c2", "-c1"]
        assert cli.main(["list", str(path)]) in (0, 1)
        assert cli.main(["show", str(path), "1", "--json"]) in (0, 1)
        assert cli.main(["show", str(path), "1"]) in (0, 1)
        Journal(path).recover()
        Journal(path).prune()
    finally:
        Journal(path).close()
