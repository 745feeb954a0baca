"""`Store`: a journal file, as a process sees it, and how its threads share the disk syncs.

SQLite has one writer at a time.  So a process writes through one connection, a thread at a time.  What other threads
bring while one waits for the disk is committed together by the next: with many threads, a sync serves all of them.

A signal handler of the program's own may raise between any two instructions of the main thread, though not within a
call of a function in C.  So nobody has to be told anything for the next commit to work: that ends what is half done.

`synchronous` is set for each commit: FULL for what must survive a power cut, NORMAL for the rest, which the next sync
takes along, and OFF if the journal is to survive processes only.

Stands on the connections.  Used by all that reads and writes rows.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from time import gmtime, strftime, time
from typing import Any, Final, TypeAlias
from weakref import finalize

from actionqueues.core.drivers import drive
from actionqueues.core.requests import Call
from actionqueues.core.text import raise_late
from actionqueues.core.watch import ask
from actionqueues.errors import IllegalOperation

from .connections import Connections
from .errors import JournalError
from .forking import waited_for
from .locks import Lock
from .opening import damaged, is_own
from .ownership import OwnerLocks

__all__ = ["Commit", "Statement", "Store", "Work", "now"]

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


class Commit:
    """Work to be committed, and what has become of that.

    Attributes:
        work: executes the statements; may be called again, if something else in the same commit has failed.
        sync: whether it is to be on disk, and not only with the operating system.
        done: not empty once it is committed.  The very call in C that commits puts something into it, so that a signal
            handler, which may come and raise right after that call, never leaves it unknown.
        error: why it is not committed, and will not be.
    """

    __slots__ = ("done", "error", "sync", "work")

    def __init__(self, work: Work, *, sync: bool) -> None:
        self.work = work
        self.sync = sync
        self.done: Sequence[object] = ()
        self.error: Exception | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing more becomes of it."""
        return bool(self.done) or self.error is not None


#: The stores that could not record yet what has happened: they are not dropped before they have.
_owing: Final[set[Store]] = set()


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
        self._queue: list[Commit] = []
        self.late: list[Commit] = []  # what could not be recorded when it happened
        self._synchronous = -1
        self._owner: int | None = None
        self.unfinished: set[int] = set()  # the transactions of this process that go on
        self.recovering: set[int] = set()  # those that it recovers

    @property
    def in_use(self) -> tuple[Lock, ...]:
        """What is held while a connection is made, written with, and read with."""
        return self._open.opening, self._open.writing, self._open.reading

    def forked(self) -> None:  # pragma: no cover - in a child process
        """In a child process: nothing that the parent has open is the child's."""
        _owing.discard(self)
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
            IllegalOperation: if a transaction is under way, or recovered here, which somebody else would then take for
                that of the dead.
            JournalError: if something that has happened could not be recorded, and still cannot be; it stays open.
        """
        self._refuse_while_busy()
        self.catch_up()
        with self._open.opening, self._open.writing, self._open.reading:
            self._refuse_while_busy()  # nothing begins from here on
            # First, since a signal handler may interrupt the rest: then what is closed is opened again, by a new owner.
            self._owner, self._synchronous = None, -1
            self._open.close()
            self._dropped.detach()
            self._forget()

    @property
    def busy(self) -> set[int]:
        """The transactions that this process works on."""
        return self.unfinished | self.recovering

    def _refuse_while_busy(self) -> None:
        if busy := self.busy:
            raise IllegalOperation(
                f"close the journal {self.path!r}",
                f"transaction {min(busy)} of this process is under way",
                "close it once all of them have ended",
            )

    # -- ownership

    def still_owned(self, owner: int) -> None:
        """Part of a commit that gives something to an owner: nobody holds its lock if the journal was closed since."""
        if owner != self._owner:
            raise JournalError(self.path, "another thread has closed it at this moment; do it again")

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
        self.commit(Commit(work, sync=sync))

    def commit(self, commit: Commit) -> None:
        """Commit it, together with what other threads bring meanwhile; return once it is committed.

        All that wait do so for one lock.  Whoever has it commits all that is there; the others then find that done, or,
        if that was interrupted, do it themselves.

        Raises:
            JournalError: if it is not committed.
            BaseException: what a signal handler of the program's own raises; `commit.done` says what has become of it.
        """
        if self._open.writing.is_mine():
            raise JournalError(
                self.path,
                "this thread is just writing to it: a signal handler that interrupts that cannot use it; let it set a "
                "flag, or raise, and do the work elsewhere",
            )
        try:
            self._queue.append(commit)
            while not commit.done and commit.error is None:
                opened = self._open
                opened.writer()
                with opened.writing:
                    if opened is self._open and not commit.settled:  # it may have been closed meanwhile
                        self._lead(commit)
        except BaseException:
            self.settle(commit)
            raise
        if not commit.done:
            raise_late(commit.error)

    def settle(self, commit: Commit) -> bool:
        """Whether it is committed; if not, it never will be, and nothing of it is left half done."""
        commit.error = JournalError(self.path, "the commit was interrupted")  # first: nobody else begins it now
        writing = self._open.writing
        inside = writing.is_mine()  # in a signal handler: what it has interrupted goes on
        with writing:
            if commit in self._queue:
                self._queue.remove(commit)
            if not inside:
                self._open.end()
        return bool(commit.done)

    def write_guarded(self, work: Work, *, sync: bool) -> None:
        """The same for code that nothing keeps Ctrl-C from: it is raised once that is done."""
        for raised in drive(ask(Call, lambda: self.write(work, sync=sync))):
            if raised is not None:
                raise raised

    def _lead(self, mine: Commit) -> None:
        """Commit what is waiting."""
        batch = self._queue[:]
        count = len(batch)
        if count != 1 or batch[0] is not mine:
            batch = [each for each in batch if not each.settled]
            if mine not in batch:  # pragma: no cover - it was closed meanwhile, and has another queue
                batch.append(mine)
        self._commit_all(batch)
        del self._queue[:count]

    def _commit_all(self, batch: Sequence[Commit]) -> None:
        try:
            self._commit(batch, batch[0].sync if len(batch) == 1 else any(each.sync for each in batch))
        except Exception as error:
            if not is_own(error):
                raise
            if len(batch) == 1:
                batch[0].error = self._open.explanation(error)
            else:
                for each in batch:  # what is wrong with one is no fault of the others
                    self._commit_all([each])

    def _commit(self, batch: Sequence[Commit], sync: bool) -> None:
        db = self._open.writer()
        if db.in_transaction:  # pragma: no cover - of an earlier one, which a signal handler has kept from ending it
            self._open.end()
        self._open.check(where=sync)
        level = _OFF if not self.durable else _FULL if sync else _NORMAL
        if level != self._synchronous:
            self._synchronous = -1  # an interrupt may come before or after
            db.execute(_LEVELS[level])
            self._synchronous = level
        done: list[object] = []
        for each in batch:
            each.done = done
        first = batch[0].work
        if isinstance(first, Statement) and len(batch) == 1 and not self.late:
            done.extend(map(db.execute, (first.text,), (first.row,)))
        else:
            self._commit_many(db, batch, done)
        if sync:
            self._open.written()

    def _commit_many(self, db: sqlite3.Connection, batch: Sequence[Commit], done: list[object]) -> None:
        count = len(self.late)
        late = [each for each in self.late[:count] if not each.done]
        for each in late:
            each.done = done
        try:
            db.execute("BEGIN IMMEDIATE")
            for each in (*late, *batch):
                each.work(db)
            done.extend(map(db.execute, ("COMMIT",)))
        except BaseException:
            self._open.end()
            raise
        if count:
            del self.late[:count]
            if not self.late:  # pragma: no branch - what is owed meanwhile stays
                _owing.discard(self)

    def owe(self, commit: Commit) -> None:
        """Record with the next commit what could not be recorded now, though it has happened."""
        self.late.append(commit)
        _owing.add(self)

    def catch_up(self) -> None:
        """Record what could not be recorded when it happened.

        Raises:
            JournalError: if it still cannot be; who recovers now would undo again what has been undone.
        """
        if not self.late:
            return
        try:
            self.write_guarded(lambda _: None, sync=True)
        except JournalError as error:
            raise JournalError(
                self.path,
                f"{len(self.late)} outcomes could not be recorded, and cannot be now: {error.reason}. "
                "It stays open: close it again once that is mended; if the program ends before, a recovery undoes once "
                "more what has been undone",
            ) from error

    # -- reading

    def read(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        """The rows of a query, through a connection of its own, so that no step has to wait."""
        while (found := self._open.rows(statement, parameters)) is None:
            pass  # another thread has closed it meanwhile: it is opened again
        return found

    def check(self) -> None:
        """Look for damage in the whole file.

        Raises:
            JournalCorrupt: if there is any.
        """
        for (found,) in self.read("PRAGMA quick_check(100)"):
            if found != "ok" and " value in " not in found:  # that is of one row, and stops its own transaction
                raise damaged(self.path, found)  # pragma: no cover - most damage raises while it is looked for
