"""What a step costs with a journal, against bare `sqlite3` that makes the same commits in the same file.

The bare one writes the same columns with the same statements, with one connection and nothing around it: an intent that
waits for the disk before the step, an outcome that does not after it, and the end. Its file was made by a journal, so
tables, indexes and pages are the same. The files are in the folder that ``ACTIONQUEUES_BENCH_DIR`` names, or in the
temporary one.
"""

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any

from actionqueues import action, transaction
from actionqueues.journal import Journal
from tests.benchmarks.candidates import NotMeasured, Numbers, Work

FOLDER = os.environ.get("ACTIONQUEUES_BENCH_DIR")
INTENT = (
    "INSERT INTO steps (tx, number, kind, name, arguments, handler, state, attempts, key, started, ended) "
    "VALUES (?, ?, 'action', 'bench:step', ?, 'unstep', 'running', 1, ?, '2026-01-01 00:00:00.000000', NULL)"
)
OUTCOME = "UPDATE steps SET state = 'done', result = ?, saved = NULL, ended = ? WHERE tx = ? AND number = ?"


@action
def step(a: int, b: int) -> int:
    return a


@step.rollback
def unstep(a: int, b: int) -> None:
    return None


@contextmanager
def _files() -> Iterator[tuple[Path, Path]]:
    """Where a journal and a bare database may be, for as long as they are measured."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        yield Path(folder) / "journal.db", Path(folder) / "bare.db"


def _journal(path: Path, *, sync: bool) -> Journal:
    return Journal(path, durability="power" if sync else "process", keep=None)


def _work_of(journal: Journal) -> Work:
    def work(numbers: Numbers) -> None:
        with transaction("bench", journal=journal):
            for number in numbers:
                step(number, 2)

    return work


def _bare(path: Path, *, sync: bool) -> sqlite3.Connection:
    with Journal(path):
        pass  # which has made the file
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    (page,) = db.execute("PRAGMA page_size").fetchone()
    db.execute(f"PRAGMA wal_autocheckpoint = {4_096_000 // page}")  # as many bytes as by default
    if not sync:
        db.execute("PRAGMA synchronous = OFF")
    return db


def _bare_work(db: sqlite3.Connection, lock: AbstractContextManager[Any], *, sync: bool) -> Work:
    def commit(statement: str, row: tuple[object, ...], level: str) -> int | None:
        with lock:
            if sync:
                db.execute(f"PRAGMA synchronous = {level}")
            db.execute("BEGIN IMMEDIATE")
            made = db.execute(statement, row).lastrowid
            db.execute("COMMIT")
            return made

    def work(numbers: Numbers) -> None:
        begin = "INSERT INTO transactions (name, state, owner, started, directory) VALUES (?, 'open', 1, ?, '/')"
        tx = commit(begin, ("bench", "2026-01-01"), "FULL")
        for place, number in enumerate(numbers):
            commit(INTENT, (tx, place, f'{{"a": {number}, "b": 2}}', os.urandom(16).hex()), "FULL")
            commit(OUTCOME, (str(number), "2026-01-01 00:00:00.000000", tx, place), "NORMAL")
        end = "UPDATE transactions SET state = 'committed', ended = ?, owner = NULL WHERE id = ?"
        commit(end, ("2026-01-01 00:00:00.000000", tx), "FULL")

    return work


def _until_it_wraps(work: Work, path: Path) -> None:
    """Work until SQLite's log in front of the file grows no more: a sync of one that grows takes twice as long."""
    size = -1
    while (now := Path(f"{path}-wal").stat().st_size) > size:
        size = now
        work(range(100))


class Pair:
    """A journal and a bare database, each with a fresh file in one folder, which has been in use for a while."""

    def __init__(self, *, sync: bool) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=FOLDER)
        path = Path(self.folder.name)
        self.journal = _journal(path / "journal.db", sync=sync)
        self.db = _bare(path / "bare.db", sync=sync)
        self.ours = _work_of(self.journal)
        self.bare = _bare_work(self.db, nullcontext(), sync=sync)
        for work, file in (self.ours, path / "journal.db"), (self.bare, path / "bare.db"):
            work(range(1))
            _until_it_wraps(work, file)

    def close(self) -> None:
        self.journal.close()
        self.db.close()
        self.folder.cleanup()


THREADS = 8
EACH: Numbers = tuple(range(50))


def _threads_seconds(work: Work) -> float:
    """Seconds for blocks that are synced, in so many threads at once."""
    with ThreadPoolExecutor(THREADS) as pool:
        start = perf_counter()
        list(pool.map(work, [EACH] * THREADS))
        return perf_counter() - start


def by_threads() -> tuple[float, float]:
    """Nanoseconds a step with 8 threads: one lock around one connection, and the journal."""
    with _files() as (path, other), closing(_bare(other, sync=True)) as db, _journal(path, sync=True) as journal:
        work: Callable[[Numbers], None] = _bare_work(db, Lock(), sync=True)
        one, ours = _threads_seconds(work), _threads_seconds(_work_of(journal))
    each = 1e9 / THREADS / len(EACH)
    return one * each, ours * each


def _leave(path: Path, count: int) -> None:
    """Write what a process that has died leaves behind: so many steps, in one transaction."""
    with _journal(path, sync=False):
        pass
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO owners VALUES (99, ?, 'bench', '2026-01-01')", (os.getpid(),))
        db.execute("INSERT INTO transactions (id, name, state, owner, started) VALUES (1, 'left', 'open', 99, '2026')")
        name = f"{step.__module__}:step"
        rows = ((1, number, name, '{"a": 1, "b": 2}', f"key {number}") for number in range(1, count + 1))
        db.executemany(
            "INSERT INTO steps (tx, number, kind, name, arguments, state, result, attempts, key, started) "
            "VALUES (?, ?, 'action', ?, ?, 'done', '1', 1, ?, '2026')",
            rows,
        )


def recovery_seconds(count: int) -> float:
    """Seconds to undo so many steps of a dead process."""
    if not hasattr(os, "fork"):
        raise NotMeasured("no fork")
    with _files() as (path, _):
        _leave(path, count)
        with _journal(path, sync=False) as journal:
            start = perf_counter()
            (one,) = journal.recover()
            seconds = perf_counter() - start
    if one.state != "rolled back" or len(one.report._undone) != count:
        raise RuntimeError(f"the recovery did not do the work: {one}")
    return seconds
