"""Reading a journal that cannot be written to: a copy on a read-only disk, or a file of somebody else.

SQLite wants to write beside a file even in order to read it, unless it is told that nobody does.  What an older version
has written is read in a copy in memory, which is brought up to date.

Stands on what opens a file.  Used by the connections.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from .files import may, refuse_cut_off
from .opening import recognised
from .schema import MIGRATIONS, VERSION, migrate

__all__ = ["can_only_be_read", "reading"]


def can_only_be_read(path: str) -> bool:
    """Whether there is a file that this process may read, and it may not write to it, or to its folder."""
    return (
        os.path.isfile(path) and may(path, os.R_OK) and not (may(path, os.W_OK) and may(os.path.dirname(path), os.W_OK))
    )


@contextmanager
def reading(path: str) -> Generator[sqlite3.Connection, None, None]:
    """A connection to read through, closed at the end.

    Raises:
        JournalError: if it is no journal, or was cut off.
        sqlite3.Error, OSError: if it cannot be read either.
    """
    refuse_cut_off(path)
    log = f"{path}-wal"
    if os.path.exists(f"{path}-shm"):
        try:
            with _connected(path, "mode=ro") as db:  # with others, who have it open
                yield db
                return
        except sqlite3.OperationalError as error:  # pragma: no cover - root may always
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise
    if not (os.path.exists(log) and os.path.getsize(log)):
        with _connected(path, "mode=ro&immutable=1") as db:
            yield db
        return
    with tempfile.TemporaryDirectory(prefix="actionqueues-") as folder:
        copy = os.path.join(folder, "journal.db")
        shutil.copyfile(path, copy)
        shutil.copyfile(log, f"{copy}-wal")
        with _connected(copy, "mode=rw") as db:
            yield db


@contextmanager
def _connected(path: str, options: str) -> Generator[sqlite3.Connection, None, None]:
    connecting: Any = {"isolation_level": None, "uri": True}
    with closing(sqlite3.connect(f"{Path(path).as_uri()}?{options}", **connecting)) as db:
        kind, version = recognised(db, path)
        if not kind or version == VERSION:
            yield db
            return
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as newer:
            db.backup(newer)
            migrate(newer, VERSION, MIGRATIONS)
            yield newer
