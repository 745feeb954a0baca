"""Marks with a journal: rows of what was undone say so, and a process killed while it goes back is recovered."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from actionqueues import RollbackFailed, TransactionDoomed, action, transaction
from actionqueues.journal import Journal, durable
from actionqueues.testing import directory, sweep

from .stage import calls, present, run


@action
def touch(path: str) -> None:
    Path(path).touch()


@touch.rollback
def unlink(path: str) -> None:
    Path(path).unlink(missing_ok=True)


@durable
def forget(path: str) -> None:
    Path(path).unlink(missing_ok=True)


@action
def stick(path: str) -> None:
    Path(path).touch()


@stick.rollback
def unstick(path: str) -> None:
    raise OSError("stuck")


def rows(path: Path) -> list[tuple[int, str, str | None]]:
    """The numbers of the steps, what became of them, and of their undos."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT number, state, undo FROM steps ORDER BY number").fetchall()


def state(path: Path) -> str:
    with closing(sqlite3.connect(path)) as db:
        return str(db.execute("SELECT state FROM transactions").fetchone()[0])


def test_the_rows_of_what_was_undone_to_a_mark_say_so_in_a_transaction_that_commits(tmp_path: Path) -> None:
    path = tmp_path / "actions.db"
    with Journal(path) as journal:
        with transaction("order", journal=journal) as q:
            touch(f"{tmp_path}/a")
            mark = q.mark()
            touch(f"{tmp_path}/b")
            q.on_rollback(forget, f"{tmp_path}/b")
            q.rollback(to=mark)
            touch(f"{tmp_path}/c")
        assert rows(path) == [(1, "done", None), (2, "done", "undone"), (3, "done", "undone"), (4, "done", None)]
        assert state(path) == "committed"
        told = journal.show(1).report.steps
        assert [(step.number, step.undo) for step in told] == [
            (1, None),
            (2, "undone"),
            (3, "undone"),
            (4, None),
        ]
        assert journal.recover() == []


def test_an_undo_that_fails_on_the_way_to_a_mark_leaves_the_transaction_to_a_person(tmp_path: Path) -> None:
    path = tmp_path / "actions.db"
    with Journal(path) as journal:
        with pytest.raises(TransactionDoomed), transaction("order", journal=journal) as q:
            mark = q.mark()
            stick(f"{tmp_path}/a")
            touch(f"{tmp_path}/b")
            with pytest.raises(RollbackFailed):
                q.rollback(to=mark)
        assert rows(path) == [(1, "done", "undo failed"), (2, "done", "undone")]
        assert state(path) == "stuck"


def test_a_process_that_is_killed_while_it_goes_back_is_recovered_and_nothing_done_is_undone_again(
    tmp_path: Path,
) -> None:
    assert run(tmp_path, "marks").killed
    assert [words[1] for words in calls(tmp_path) if words[0] == "undo"] == ["b", "f", "e"]
    assert run(tmp_path, "recover").output[1:] == ["rolled", "back"]
    undone = [words[1] for words in calls(tmp_path) if words[0] == "undo"]
    assert undone == ["b", "f", "e", "e", "d", "c", "a"]  # that of e was under way, so it is called once more
    assert present(tmp_path) == set()


@pytest.mark.slow
def test_a_process_that_is_killed_at_any_record_of_a_transaction_with_marks_is_recovered(tmp_path: Path) -> None:
    world, path = tmp_path / "world", tmp_path / "actions.db"
    world.mkdir()

    def scenario() -> None:
        with transaction("order", journal=Journal(path, durability="process")) as q:
            touch(f"{world}/a")
            mark = q.mark()
            touch(f"{world}/b")
            touch(f"{world}/c")
            q.rollback(to=mark)
            touch(f"{world}/d")

    def recover() -> None:
        with Journal(path, durability="process") as journal:
            journal.recover()

    def reset() -> None:
        for each in world.iterdir():
            each.unlink()

    made = sweep(scenario, state=directory(world), recover=recover, reset=reset, faults=["-taken"]).check()
    assert sum(outcome.id.startswith("crash") for outcome in made.outcomes) > 10
