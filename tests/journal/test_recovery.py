"""What recovery makes of a file: every step undone in reverse, by its own handler."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from actionqueues import Transaction, transaction
from actionqueues.journal import Journal

from . import actions
from .actions import failing, trail
from .leaving import Body, leave, leave_async, recovered

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")


CALLS: list[tuple[Body, list[str]]] = [
    (lambda q: (actions.put("a"), actions.put("b")), ["-b", "-a"]),
    (lambda q: actions.create("a"), ["-id of a"]),
    (lambda q: actions.Shop(3).sell("pen"), ["-pen of 3"]),
    (lambda q: actions.Branch(3).sell("pen"), ["-pen of branch 3"]),
    (lambda q: actions.Branch.open_shop("x"), ["-Branch x"]),
    (lambda q: (q.add(actions.Copy("a")), q.execute()), ["-a"]),
    (lambda q: (q.add(actions.put, "a"), q.execute()), ["-a"]),
    (lambda q: q.on_rollback(actions.by_hand, "a"), ["-a by hand"]),
    (lambda q: actions.new_name("a"), ["-a"]),
    (lambda q: (q.add(str, 1), q.execute()), []),
    (lambda q: actions.irreversible(), []),
]


@pytest.mark.parametrize(("body", "expected"), CALLS)
def test_a_step_of_any_kind_is_undone(path: Path, body: Body, expected: list[str]) -> None:
    leave(path, body)
    one = recovered(path)
    assert (trail, one.state, one.clean) == (expected, "rolled back", bool(expected))
    assert Journal(path).recover() == []


def test_what_cannot_be_undone_is_in_the_report(path: Path) -> None:
    leave(path, lambda q: actions.irreversible())
    one = recovered(path)
    assert [step.name for step in one.report.not_undone] == ["irreversible"]
    assert Journal(path).show(1).steps[0].undo == "not undone"


def test_a_step_that_had_failed_is_given_its_error(path: Path) -> None:
    failing["-a FileExistsError(17, 'exists')"] = OSError("not now")

    def body(q: Any) -> None:
        with pytest.raises(FileExistsError):
            actions.failed("a")

    leave(path, body)
    failing.clear()
    assert recovered(path).state == "rolled back"
    assert trail == ["-a FileExistsError(17, 'exists')"]


def test_a_transaction_that_committed_is_never_undone(path: Path) -> None:
    with transaction(journal=path):
        actions.put("a")
    Journal(path).close()
    assert Journal(path).recover() == []
    assert trail == ["+a"]


def test_a_savepoint_that_was_undone_is_not_undone_again(path: Path) -> None:
    def body(q: Transaction) -> None:
        actions.put("a")
        try:
            with q.savepoint():
                actions.put("b")
                raise LookupError
        except LookupError:
            actions.put("c")

    leave(path, body)
    recovered(path)
    assert trail == ["-c", "-a"]


# -- async


async def put_both(q: Any) -> None:
    actions.put("a")
    await actions.put_async("b")


def test_what_needs_an_event_loop_waits_for_one(path: Path) -> None:
    leave_async(path, put_both)
    one = recovered(path)
    assert (one.state, trail) == ("waiting", [])
    assert "recover_async" in (one.reason or "")
    (done,) = asyncio.run(Journal(path).recover_async())
    assert (done.state, trail) == ("rolled back", ["-b done", "-a"])


def test_an_async_recovery_has_async_resources(path: Path) -> None:
    async def connect() -> str:
        return "db"

    leave(path, lambda q: actions.store(object(), "a"), resources={"db": object})
    (done,) = asyncio.run(Journal(path, resources={"db": connect}).recover_async())
    assert (done.state, trail) == ("rolled back", ["-a in db"])


def test_an_async_recovery_has_sync_resources_too(path: Path) -> None:
    leave(path, lambda q: actions.store(object(), "a"), resources={"db": object})
    (done,) = asyncio.run(Journal(path, resources={"db": lambda: "db"}).recover_async())
    assert (done.state, trail) == ("rolled back", ["-a in db"])


# -- using it


def test_a_recovery_is_one_line_at_the_start_of_a_program(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    Journal(path, recover_on_open=True)
    assert trail == ["-a"]


def test_the_text_of_what_was_done_reads_well(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    assert str(recovered(path)) == "1 left: rolled back, 1 undone"


def left(path: Path, transactions: int, steps: int) -> None:
    """A file in which a dead process has left so much."""
    with Journal(path, durability="process") as journal:

        def fill(db: sqlite3.Connection) -> None:
            db.execute("INSERT INTO owners VALUES (99, 1, 'dead', '2026')")
            for tx in range(1, transactions + 1):
                db.execute(
                    "INSERT INTO transactions (id, name, state, owner, started) VALUES (?, 'left', 'open', 99, '2026')",
                    (tx,),
                )
                rows = ((tx, n, f'{{"name": "{tx}.{n}"}}', f"key {tx}.{n}") for n in range(1, steps + 1))
                db.executemany(
                    "INSERT INTO steps (tx, number, kind, name, arguments, state, result, attempts, key, started) "
                    "VALUES (?, ?, 'action', 'tests.journal.actions:put', ?, 'done', '1', 1, ?, '2026')",
                    rows,
                )

        assert journal.store.owner == 1
        journal.store.write(fill, sync=False)


def peak(path: Path, steps: int) -> int:
    """How many bytes a recovery of so many steps has in use at most."""
    trail.clear()
    left(path, 1, steps)
    with Journal(path, durability="process") as journal:
        journal.open()
        tracemalloc.start()
        try:
            (one,) = journal.recover()
            used = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (one.state, len(one.report._undone), len(trail)) == ("rolled back", steps, steps)
    return used - sum(map(sys.getsizeof, trail)) - sys.getsizeof(trail)


@pytest.mark.slow
def test_a_recovery_has_a_part_of_the_steps_in_memory_at_a_time(tmp_path: Path) -> None:
    few, many = peak(tmp_path / "few.db", 1000), peak(tmp_path / "many.db", 5000)
    assert many - few < 4000 * 64, "each step is kept as no more than its place in the report"


def test_many_transactions_are_recovered_each_in_its_own_order(tmp_path: Path) -> None:
    trail.clear()
    left(tmp_path / "many.db", 300, 2)
    with Journal(tmp_path / "many.db", durability="process") as journal:
        done = journal.recover()
    assert [(one.id, one.state) for one in done] == [(number, "rolled back") for number in range(1, 301)]
    assert trail == [f"-{tx}.{step}" for tx in range(1, 301) for step in (2, 1)]
