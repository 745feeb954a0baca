"""What a step costs with a journal, against bare `sqlite3` that makes the same commits in the same file.

The bare one writes the same columns with the same statements, with one connection and nothing around it: an intent that
waits for the disk before the step, an outcome that does not after it, and the end. Every sample works on a fresh file
in the folder that ``ACTIONQUEUES_BENCH_DIR`` names, or in the temporary one.
"""

import os
import sqlite3
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Lock
from time import perf_counter

from actionqueues import action, transaction
from actionqueues.journal import Journal
from actionqueues.journal.schema import SCHEMA
from tests.benchmarks.candidates import NotMeasured, Numbers

FOLDER = os.environ.get("ACTIONQUEUES_BENCH_DIR")
INTENT = (
    "INSERT INTO steps (tx, number, kind, name, arguments, state, attempts, key, started, ended) "
    "VALUES (?, ?, 'action', 'bench:step', ?, 'running', 1, ?, '2026-01-01 00:00:00.000000', NULL)"
)
OUTCOME = "UPDATE steps SET state = 'done', result = ?, saved = NULL, ended = ? WHERE tx = ? AND number = ?"


@action
def step(a: int, b: int) -> int:
    return a


@step.rollback
def unstep(a: int, b: int) -> None:
    return None


def work_of(journal: Journal) -> Callable[[Numbers], None]:
    def work(numbers: Numbers) -> None:
        with transaction("bench", journal=journal):
            for number in numbers:
                step(number, 2)

    return work


def bare(path: Path, *, sync: bool) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(SCHEMA)
    if not sync:
        db.execute("PRAGMA synchronous = OFF")
    return db


def bare_work(db: sqlite3.Connection, *, sync: bool) -> Callable[[Numbers], None]:
    def commit(statement: str, row: tuple[object, ...], level: str) -> int | None:
        if sync:
            db.execute(f"PRAGMA synchronous = {level}")
        db.execute("BEGIN IMMEDIATE")
        made = db.execute(statement, row).lastrowid
        db.execute("COMMIT")
        return made

    def work(numbers: Numbers) -> None:
        begin = "INSERT INTO transactions (name, state, owner, started) VALUES (?, 'open', 1, ?)"
        tx = commit(begin, ("bench", "2026-01-01"), "FULL")
        for place, number in enumerate(numbers):
            commit(INTENT, (tx, place, f'{{"a": {number}, "b": 2}}', os.urandom(16).hex()), "FULL")
            commit(OUTCOME, (str(number), "2026-01-01 00:00:00.000000", tx, place), "NORMAL")
        end = "UPDATE transactions SET state = 'committed', ended = ?, owner = NULL WHERE id = ?"
        commit(end, ("2026-01-01 00:00:00.000000", tx), "FULL")

    return work


class Pair:
    """A journal and a bare database, each with a fresh file in one folder."""

    def __init__(self, *, sync: bool) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=FOLDER)
        path = Path(self.folder.name)
        self.journal = Journal(path / "journal.db", durability="power" if sync else "process", keep=None)
        self.db = bare(path / "bare.db", sync=sync)
        self.ours = work_of(self.journal)
        self.bare = bare_work(self.db, sync=sync)

    def close(self) -> None:
        self.journal.close()
        self.db.close()
        self.folder.cleanup()


THREADS, COMMITS = 8, 60


def threads_seconds(write: Callable[[int], None]) -> float:
    """Seconds for commits that are synced, from so many threads at once."""

    def work(thread: int) -> None:
        for number in range(COMMITS):
            write(thread * COMMITS + number)

    with ThreadPoolExecutor(THREADS) as pool:
        start = perf_counter()
        list(pool.map(work, range(THREADS)))
        return perf_counter() - start


def group_commit() -> tuple[float, float]:
    """Nanoseconds a synced commit with 8 threads: one lock around one connection, and the journal."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder, closing(bare(Path(folder) / "bare.db", sync=True)) as db:
        db.execute("PRAGMA synchronous = FULL")
        lock = Lock()

        def locked(number: int) -> None:
            with lock:
                db.execute("BEGIN IMMEDIATE")
                db.execute(INTENT, (1, number, "{}", "key"))
                db.execute("COMMIT")

        with Journal(Path(folder) / "journal.db", keep=None) as journal:
            store = journal.store

            def shared(number: int) -> None:
                store.write(lambda db: db.execute(INTENT, (1, number, "{}", "key")), sync=True)

            one, ours = threads_seconds(locked), threads_seconds(shared)
    each = 1e9 / THREADS / COMMITS
    return one * each, ours * each


def recovery_seconds(count: int) -> float:
    """Seconds to undo so many steps of a dead process, in one transaction."""
    if not hasattr(os, "fork"):
        raise NotMeasured("no fork")
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        path = Path(folder) / "journal.db"
        with Journal(path, durability="process") as journal:
            row = (os.getpid(), "bench", "2026-01-01")
            journal.store.write(lambda db: db.execute("INSERT INTO owners VALUES (99, ?, ?, ?)", row), sync=False)

            def fill(db: sqlite3.Connection) -> None:
                db.execute("INSERT INTO transactions VALUES (1, 'left', 'open', 99, '2026', NULL, NULL, NULL)")
                name = "tests.benchmarks.journals:step"
                rows = ((1, n, name, '{"a": 1, "b": 2}', f"key {n}") for n in range(1, count + 1))
                db.executemany(
                    "INSERT INTO steps (tx, number, kind, name, arguments, state, result, attempts, key, started) "
                    "VALUES (?, ?, 'action', ?, ?, 'done', '1', 1, ?, '2026')",
                    rows,
                )

            journal.store.write(fill, sync=False)
            start = perf_counter()
            (one,) = journal.recover()
            seconds = perf_counter() - start
    if one.state != "rolled back" or len(one.report.undone_steps) != count:
        raise RuntimeError(f"the recovery did not do the work: {one}")
    return seconds
