"""`Connections`: what a process has open of a journal file, and lets go of at once.

One connection to write through, one to read through, so that no step has to wait for a reader, and the locks that say
who lives.  All are opened when they are first used.

Stands on what opens a file, and on the locks.  Used by the store, which decides what is written when.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from .errors import JournalError
from .forking import close_inherited
from .locks import Lock
from .opening import connect, explained
from .ownership import OwnerLocks

__all__ = ["Connections"]

T = TypeVar("T")


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
        self._files: dict[str, tuple[int, ...]] = {}  # their numbers, and those of their devices

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
        self._files = {path: os.stat(path)[1:3] for path in (self.path, f"{self.path}-wal")}
        return db

    def locks(self) -> OwnerLocks:
        """The locks of the owners."""
        if self._locks is None:
            self.writer()
            with self.opening:
                if self._locks is None:  # pragma: no branch - likewise
                    locks = self.explained(lambda: OwnerLocks(f"{self.path}-owners"))
                    self._files = {**self._files, locks.path: locks.file}
                    self._locks = locks
        return self._locks

    def rows(self, statement: str, parameters: tuple[Any, ...]) -> list[Any]:
        """The rows of a query.

        Raises:
            JournalError: if it cannot be answered.
        """
        return self.explained(lambda: self._rows(statement, parameters))

    def _rows(self, statement: str, parameters: tuple[Any, ...]) -> list[Any]:
        self.writer()
        with self.reading:
            self.check_place()
            if self._reader is None:
                # Not by its path alone, which would make a new file if it has vanished.
                there = f"{Path(self.path).as_uri()}?mode=rw"
                options: Any = {"isolation_level": None, "check_same_thread": False, "uri": True}
                self._reader = sqlite3.connect(there, timeout=self.busy_timeout, **options)
            try:
                return self._reader.execute(statement, parameters).fetchall()
            except BaseException:
                self._reader.close()
                self._reader = None
                raise

    def check_place(self) -> None:
        """Refuse a file that nobody else will find; its log and its file of locks belong to it."""
        for path, known in self._files.items():
            try:
                found = os.stat(path)[1:3]
            except OSError:
                reason = "has been removed while it was in use; nothing is recorded until the program starts again"
                raise JournalError(self.path, f"{self._called(path)}{reason}") from None
            if found != known:
                raise JournalError(self.path, f"{self._called(path)}has been replaced while it was in use")

    def _called(self, path: str) -> str:
        which = {f"{self.path}-wal": "its log", f"{self.path}-owners": "its file of locks"}
        return f"{which[path]}, {path!r}, " if path in which else ""

    def explained(self, function: Callable[[], T]) -> T:
        """Call this, and say what an error of SQLite, or of the system, means."""
        try:
            return function()
        except (sqlite3.Error, OSError) as error:
            raise self.explanation(error) from error

    def explanation(self, error: sqlite3.Error | OSError) -> JournalError:
        """What such an error means."""
        return explained(self.path, error, self.busy_timeout)

    def close(self) -> None:
        """Close all of them, and let go of the ownership."""
        for db in (self._reader, self._writer):
            if db is not None:
                db.close()
        if self._locks is not None:
            self._locks.close()

    def close_inherited(self) -> None:  # pragma: no cover - in a child process
        """In a child process: nothing that the parent has open is the child's."""
        close_inherited(self.writing, self._writer)
        close_inherited(self.reading, self._reader)
        if self._locks is not None:
            self._locks.close()
