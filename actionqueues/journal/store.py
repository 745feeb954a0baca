"""`Store`: a journal file, as a process sees it, and how its threads share the disk syncs.

SQLite has one writer at a time.  So a process writes through one connection, a thread at a time.  What other threads
bring while one waits for the disk is committed together by the next: with many threads, a sync serves all of them.

`synchronous` is set for each commit: FULL for what must survive a power cut, NORMAL for the rest, which the next sync
takes along, and OFF if the journal is to survive processes only.

Stands on the connections.  Used by all that reads and writes rows.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import gmtime, strftime, time
from typing import Any, Final, TypeAlias
from weakref import finalize

from actionqueues.core.drivers import drive
from actionqueues.core.requests import Call
from actionqueues.core.watch import ask
from actionqueues.errors import IllegalOperation

from .connections import Connections
from .errors import JournalError
from .forking import waited_for
from .locks import Lock
from .opening import damaged
from .ownership import OwnerLocks

__all__ = ["Statement", "Store", "Work", "now"]

#: Executes statements of one commit.
Work: TypeAlias = Callable[[sqlite3.Connection], object]


class Statement:
    """The one statement of a commit: SQLite then begins and ends it by itself, which costs two calls less."""

    __slots__ = ("row", "text")

    def __init__(self, text: str, row: tuple[Any, ...]) -> None:
        self.text = text
        self.row = row

    def __call__(self, db: sqlite3.Connection) -> None:
        """Execute it, as a part of a larger commit."""
        db.execute(self.text, self.row)


_OFF, _NORMAL, _FULL = 0, 1, 2
_LEVELS: Final = tuple(f"PRAGMA synchronous = {level}" for level in (_OFF, _NORMAL, _FULL))

_latest: tuple[int, str] = (-1, "")


def now() -> str:
    """The time for people: UTC, to the millisecond."""
    global _latest  # noqa: PLW0603 - a text takes longer than a step without a disk, and serves many of them
    moment = int(time() * 1000)
    known, text = _latest
    if known != moment:
        text = f"{strftime('%Y-%m-%d %H:%M:%S', gmtime(moment // 1000))}.{moment % 1000:03d}"
        _latest = moment, text
    return text


class _Ticket:
    """Work of one thread that waits to be committed."""

    __slots__ = ("done", "error", "gate", "sync", "work")

    def __init__(self, work: Work, sync: bool) -> None:
        self.work = work
        self.sync = sync
        self.done = False
        self.error: BaseException | None = None
        self.gate = threading.Lock()
        self.gate.acquire()


class Store:
    """A journal file, as this process sees it.

    Args:
        path: the file; it is made if it is not there, readable by its owner alone.
        durable: whether commits that say so wait for the disk.
        busy_timeout: for how many seconds to wait while another process writes.
    """

    def __init__(self, path: str, *, durable: bool = True, busy_timeout: float = 10.0) -> None:
        self.path = path
        self.durable = durable
        self.busy_timeout = busy_timeout
        self._forget()
        waited_for(self)

    def _forget(self) -> None:
        self._open = Connections(self.path, durable=self.durable, busy_timeout=self.busy_timeout)
        # A program that drops it without closing it should not run out of open files.  Its transactions would keep it.
        self._dropped = finalize(self, self._open.close)
        self._dropped.atexit = False  # threads may go on, and need the locks
        self._mutex = Lock()
        self._queue: list[_Ticket] = []
        self.late: list[Work] = []  # what could not be recorded when it happened
        self._led = False
        self._synchronous = -1
        self._owner: int | None = None
        self.unfinished: set[int] = set()  # the transactions of this process that go on

    @property
    def in_use(self) -> tuple[Lock, ...]:
        """What is held while a connection is made, written with, and read with."""
        return self._open.opening, self._open.writing, self._open.reading

    def forked(self) -> None:  # pragma: no cover - in a child process
        """In a child process: nothing that the parent has open is the child's."""
        self._dropped.detach()
        self._open.close_inherited()
        self._forget()

    def open(self) -> None:
        """Open the file, unless it is open.

        Raises:
            JournalError: if that is not possible.
            JournalCorrupt: if it is damaged, or something else.
        """
        self._open.writer()

    def close(self) -> None:
        """Close the file, and let go of the ownership.  It is opened again when it is needed.

        Raises:
            IllegalOperation: if a transaction is under way, which somebody else would then take for that of the dead.
        """
        if self.unfinished:
            raise IllegalOperation(
                f"close the journal {self.path!r}",
                f"transaction {min(self.unfinished)} of this process is under way",
                "close it once all of them have ended",
            )
        if self.late:
            with suppress(JournalError):  # the reports of those whom it concerns have told of it
                self.write_guarded(lambda _: None, sync=True)
        with self._open.opening:
            self._dropped()
            self._forget()

    # -- ownership

    @property
    def locks(self) -> OwnerLocks:
        """The locks of the owners."""
        return self._open.locks()

    @property
    def owner(self) -> int:
        """The number under which this process owns transactions; given at the first use."""
        if self._owner is not None:
            return self._owner
        locks = self.locks
        with self._open.opening:
            if self._owner is None:  # pragma: no branch - another thread may have been given it meanwhile
                self._owner = self._open.explained(lambda: self._new_owner(locks))
        return self._owner

    def _new_owner(self, locks: OwnerLocks) -> int:
        import sys

        # Without its arguments, which may be secrets.
        program = next(iter(sys.argv), "").encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")[:500]
        made: list[int] = []
        row = (os.getpid(), program, now())

        def work(db: sqlite3.Connection) -> None:
            made.append(db.execute("INSERT INTO owners (pid, program, started) VALUES (?, ?, ?)", row).lastrowid or 0)

        while True:
            self.write(work, sync=False)
            if locks.hold(made[-1]):  # pragma: no branch - always so, but for a number that was used before
                return made[-1]

    # -- writing

    def write(self, work: Work, *, sync: bool) -> None:
        """Commit `work`, together with what other threads bring meanwhile; return once it is committed.

        Args:
            work: executes the statements; may be called again, if something else in the same commit has failed.
            sync: whether to wait until it is on disk, and not only with the operating system.

        Raises:
            JournalError: if it is not committed.
        """
        ticket: _Ticket | None = None
        leads = False
        try:
            with self._mutex:
                if self._led:
                    ticket = _Ticket(work, sync)
                    self._queue.append(ticket)
                else:
                    self._led = leads = True
            if ticket is None:
                try:
                    self._commit((work,), sync)
                except (sqlite3.Error, OSError) as error:
                    raise self._open.explanation(error) from error
                return
        finally:
            if leads:
                self._pass_on()
        interrupt = self._wait(ticket)
        if not ticket.done:
            self._lead()
        if interrupt is not None:
            raise interrupt
        if ticket.error is not None:
            raise ticket.error

    def write_guarded(self, work: Work, *, sync: bool) -> None:
        """The same for code that nothing keeps Ctrl-C from: it is raised once that is done."""
        for raised in drive(ask(Call, lambda: self.write(work, sync=sync))):
            if raised is not None:
                raise raised

    @staticmethod
    def _wait(ticket: _Ticket) -> BaseException | None:
        """Wait to be done, or to lead; what a signal handler raises meanwhile must not leave the others without one."""
        interrupt: BaseException | None = None
        while True:
            try:
                ticket.gate.acquire()
            except BaseException as raised:
                interrupt = raised
            else:
                return interrupt

    def _lead(self) -> None:
        """Commit what is waiting, and leave what comes meanwhile to the first of those who have brought it."""
        with self._mutex:
            batch, self._queue = self._queue, []
        try:
            self._commit_all(batch)
        finally:
            for ticket in batch:
                if not ticket.done:
                    ticket.error = JournalError(self.path, "the commit was interrupted")
                    ticket.done = True
                ticket.gate.release()
            self._pass_on()

    def _pass_on(self) -> None:
        with self._mutex:
            if self._queue:
                self._queue[0].gate.release()
            else:
                self._led = False

    def _commit_all(self, batch: list[_Ticket]) -> None:
        try:
            self._commit([ticket.work for ticket in batch], any(ticket.sync for ticket in batch))
        except Exception as error:
            if len(batch) == 1:
                batch[0].error = self._open.explanation(error) if isinstance(error, sqlite3.Error | OSError) else error
            else:
                for ticket in batch:  # what is wrong with one is no fault of the others
                    self._commit_all([ticket])
        for ticket in batch:
            ticket.done = True

    def _commit(self, works: Sequence[Work], sync: bool) -> None:
        db = self._open.writer()
        with self._open.writing:
            if sync:
                self._open.check_place()
            level = _OFF if not self.durable else _FULL if sync else _NORMAL
            if level != self._synchronous:
                db.execute(_LEVELS[level])
                self._synchronous = level
            first = works[0]
            if isinstance(first, Statement) and len(works) == 1 and not self.late:
                db.execute(first.text, first.row)
            else:
                self._commit_many(db, works)

    def _commit_many(self, db: sqlite3.Connection, works: Sequence[Work]) -> None:
        db.execute("BEGIN IMMEDIATE")
        try:
            late = len(self.late)
            for work in (*self.late[:late], *works):
                work(db)
            db.execute("COMMIT")
            if late:
                del self.late[:late]
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    # -- reading

    def read(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        """The rows of a query, through a connection of its own, so that no step has to wait."""
        return self._open.rows(statement, parameters)

    def check(self) -> None:
        """Look for damage in the whole file.

        Raises:
            JournalCorrupt: if there is any.
        """
        found = self.read("PRAGMA quick_check(1)")[0][0]
        if found != "ok":
            raise damaged(self.path, found)
