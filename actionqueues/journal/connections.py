"""`Connections`: what a process has open of a journal file, and lets go of at once.

One connection to write through, one to read through, so that no step has to wait for a reader, and the locks that say
who lives.  All are opened when they are first used.

Stands on what opens a file, and on the locks.  Used by the store, which decides what is written when.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from .files import Files
from .forking import close_inherited
from .locks import Lock
from .opening import FAULTS, connect, explained, is_own
from .ownership import OwnerLocks
from .readonly import can_only_be_read, reading

__all__ = ["Connections"]

T = TypeVar("T")


def _text(data: bytes) -> str:
    """The text in a column, whatever the bytes are."""
    return data.decode("utf-8", "backslashreplace")


class Connections:
    """What is open of one file.

    Args:
        path: the file; it is made if it is not there, readable by its owner alone.
        durable: whether a new file is to be found after a power cut.
        busy_timeout: for how many seconds to wait while another process writes.

    Attributes:
        opening: held while something is opened.
        writing: held while the writer is in use.
        reading: held while the reader is in use.
    """

    def __init__(self, path: str, *, durable: bool, busy_timeout: float) -> None:
        self.path = path
        self.durable = durable
        self.busy_timeout = busy_timeout
        self.opening, self.writing, self.reading = Lock(), Lock(), Lock()
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._locks: OwnerLocks | None = None
        self._files: Files | None = None

    def writer(self) -> sqlite3.Connection:
        """The connection to write through.

        Raises:
            JournalError: if the file cannot be opened.
            JournalCorrupt: if it is damaged, or something else.
        """
        db = self._writer
        if db is not None:
            return db
        with self.opening:
            if self._writer is None:  # pragma: no branch - another thread may have opened it meanwhile
                self._writer = self.explained(self._connect)
            return self._writer

    def _connect(self) -> sqlite3.Connection:
        db = connect(self.path, durable=self.durable, busy_timeout=self.busy_timeout)
        db.text_factory = _text
        try:
            self._files = Files(self.path)
        except BaseException:
            db.close()
            raise
        return db

    def locks(self) -> OwnerLocks:
        """The locks of the owners."""
        if self._locks is None:
            self.writer()
            with self.opening:
                if self._locks is None:  # pragma: no branch - likewise
                    locks = self.explained(lambda: OwnerLocks(f"{self.path}-owners"))
                    if self._files is not None:  # pragma: no branch - it is open
                        self._files.add(locks.path, locks.file)
                    self._locks = locks
        return self._locks

    def rows(self, statement: str, parameters: tuple[Any, ...]) -> list[Any] | None:
        """The rows of a query; None if another thread has closed this meanwhile.

        Raises:
            JournalError: if it cannot be answered.
        """
        return self.explained(lambda: self._rows(statement, parameters))

    def _rows(self, statement: str, parameters: tuple[Any, ...]) -> list[Any] | None:
        if self._writer is None and can_only_be_read(self.path):  # pragma: no cover - not by root, who runs the tests
            with reading(self.path) as db:
                db.text_factory = _text
                return db.execute(statement, parameters).fetchall()
        self.writer()
        with self.reading:
            if self._writer is None:
                return None
            self.check(where=True)
            if self._reader is None:
                self._reader = self._another()
            try:
                return self._reader.execute(statement, parameters).fetchall()
            except BaseException:
                self._reader.close()
                self._reader = None
                raise

    def end(self) -> None:
        """Undo what the writer has begun and not committed; there is nothing as a rule."""
        db = self._writer
        if db is not None and db.in_transaction:
            db.execute("ROLLBACK")

    def check(self, *, where: bool) -> None:
        """Refuse a file that nobody else will find, or that has lost what was in it; likewise its log.

        Args:
            where: whether to look if they, and the file of locks, are where they were, which takes longer.
        """
        files = self._files
        shorter = None if files is None else files.check(where=where)
        if files is not None and shorter is not None:
            if not self._is_whole():
                raise files.cut_off(shorter)
            files.accept()

    def _is_whole(self) -> bool:
        """Whether nothing is missing although one of them has become shorter: by a `VACUUM`, or a checkpoint."""
        if os.path.getsize(self.path) < 512:
            return False  # SQLite deletes the log of an empty file
        try:
            with closing(self._another()) as db:
                _, frames, _ = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                (page,) = db.execute("PRAGMA page_size").fetchone()
                whole = not frames or os.path.getsize(f"{self.path}-wal") >= 32 + frames * (24 + page)
                return whole and bool(db.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
        except (sqlite3.Error, UnicodeDecodeError):
            return False

    def _another(self) -> sqlite3.Connection:
        """Another connection; not by the path alone, which would make a new file if it has vanished."""
        there = f"{Path(self.path).as_uri()}?mode=rw"
        options: Any = {"isolation_level": None, "check_same_thread": False, "uri": True}
        db: sqlite3.Connection = sqlite3.connect(there, timeout=self.busy_timeout, **options)
        db.text_factory = _text
        return db

    def written(self) -> None:
        """Something has been committed."""
        if self._files is not None:  # pragma: no branch - it is open
            self._files.written()

    def explained(self, function: Callable[[], T]) -> T:
        """Call this, and say what an error of SQLite, or of the system, means."""
        try:
            return function()
        except FAULTS as error:
            if not is_own(error):
                raise
            raise self.explanation(error) from error

    def explanation(self, error: Exception) -> Exception:
        """What an error of SQLite, or of the system, means."""
        return explained(self.path, error, self.busy_timeout) if isinstance(error, FAULTS) else error

    def close(self) -> None:
        """Close all of them, and let go of the ownership: nobody may be using them.  What is needed is opened anew."""
        reader, self._reader = self._reader, None
        writer, self._writer = self._writer, None
        locks, self._locks = self._locks, None
        files, self._files = self._files, None
        for opened in (reader, writer, locks, files):
            if opened is not None:
                opened.close()

    def close_inherited(self) -> None:  # pragma: no cover - in a child process
        """In a child process: nothing that the parent has open is the child's."""
        close_inherited(self.writing, self._writer)
        close_inherited(self.reading, self._reader)
        if self._locks is not None:
            self._locks.close_inherited()
        if self._files is not None:
            self._files.close()
