"""How a journal file is opened: made, recognised, migrated, or refused with what to do; and what its errors mean.

Stands on the schema, and on what is known of files.  Used by the connections.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from . import schema
from .errors import JournalCorrupt, JournalError
from .files import may, refuse_cut_off, refuse_strange, warn_of_readers
from .wal import lost_commits

__all__ = ["FAULTS", "connect", "damaged", "explained", "is_own", "recognised"]

#: So many commits may follow a damaged place after a power cut: those since the last sync, which a disk may have done
#: in any order.  A single thread makes two of them, an outcome and the next intent; several threads may make more.
_UNSYNCED: Final = 8

#: A commit writes whole pages, and most change one row: with the default, 4096 bytes, it takes a twelfth longer.
_PAGE: Final = 1024


def connect(path: str, *, durable: bool, busy_timeout: float) -> sqlite3.Connection:
    """Open a journal file; make it if it is not there.

    Raises:
        JournalError: if it is newer, or cannot be used.
        JournalCorrupt: if it is damaged, or something else; nothing in it has been changed.
        sqlite3.Error, OSError: if it cannot be opened.
    """
    refuse_strange(path, path, *(f"{path}{end}" for end in ("-wal", "-shm", "-journal")))
    refuse_cut_off(path)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        found = os.stat(path)
        if found.st_nlink > 1:
            raise JournalError(
                path,
                f"has {found.st_nlink} names (hard links); SQLite's log, and the file that says which processes live, "
                "go by the name, so that programs under two names would damage it: delete one of them, or make a copy",
            ) from None
        # Otherwise SQLite opens it nevertheless, and makes a log beside it.
        if not may(path, os.W_OK):  # pragma: no cover - root, who runs the tests, may
            raise JournalError(
                path, "it cannot be written to; check its permissions, and those of its folder"
            ) from None
        size = found.st_size
        if 0 < size < 512:
            raise JournalCorrupt(
                path, f"is no SQLite file, or was cut off after {size} bytes; nothing was changed"
            ) from None
        warn_of_readers(path, found.st_mode)
        _check_wal(path)
    db = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None, check_same_thread=False)
    try:
        _prepare(db, path, durable, busy_timeout)
    except BaseException:
        db.close()
        raise
    return db


def _check_wal(path: str) -> None:
    """Refuse what SQLite would cut off silently, and overwrite: commits behind a damaged place of its log."""
    if os.path.exists(f"{path}-shm"):
        return  # somebody has it open, or has died while it was; in the former case it is being written just now
    lost = lost_commits(f"{path}-wal")
    if lost > _UNSYNCED:
        raise JournalCorrupt(
            path,
            f"its log, {path + '-wal'!r}, is damaged, and {lost} commits behind that place would be lost; nothing was "
            "changed: restore the log from a copy; or put a copy of both files aside, delete the log, and compare by "
            "hand what the journal says with the world",
        )


def recognised(db: sqlite3.Connection, path: str) -> tuple[int, int]:
    """What kind of file it is, 0 for one that is to be made a journal, and its version.

    Raises:
        JournalError: if it is newer.
        JournalCorrupt: if it is something else.
    """
    db.execute("BEGIN")  # all of one moment: another process may be making it a journal
    kind = db.execute("PRAGMA application_id").fetchone()[0]
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    db.execute("COMMIT")
    if kind not in (0, schema.APPLICATION_ID) or (kind == 0 and tables):
        raise JournalCorrupt(path, "is a database of something else; give the journal a file of its own")
    if version > schema.VERSION:
        raise JournalError(
            path,
            f"was written by a newer actionqueues (its version is {version}, this one knows {schema.VERSION}); upgrade "
            "actionqueues, or give this program a file of its own",
        )
    return kind, version


def _prepare(db: sqlite3.Connection, path: str, durable: bool, busy_timeout: float) -> None:
    kind, version = recognised(db, path)
    if kind == 0:
        db.execute(f"PRAGMA page_size = {_PAGE}")
    mode = _wal_mode(db, busy_timeout)
    if mode != "wal":  # pragma: no cover - a file system without shared memory
        raise JournalError(path, f"cannot be in WAL mode (it is in {mode!r}); put it on a local disk")
    db.execute(f"PRAGMA wal_autocheckpoint = {4_096_000 // _PAGE}")  # as many bytes as by default
    db.execute("PRAGMA journal_size_limit = 16777216")  # what a burst has left behind is given back
    if kind == 0:
        db.execute("PRAGMA synchronous = FULL")
        schema.create(db)
        if durable:
            _sync_folder(path)
    elif version < schema.VERSION:
        schema.migrate(db, schema.VERSION, schema.MIGRATIONS)


def _wal_mode(db: sqlite3.Connection, busy_timeout: float) -> str:
    """Let it be in WAL mode, for which SQLite does not wait by itself while another process is opening it."""
    end = monotonic() + busy_timeout
    while True:
        try:
            return str(db.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or monotonic() > end:
                raise
        sleep(0.001)


def _is_busy(error: sqlite3.Error) -> bool:
    """Whether somebody else has it locked."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF == sqlite3.SQLITE_BUSY


def _sync_folder(path: str) -> None:
    """A new file is found after a power cut only if its folder is on disk as well."""
    if not hasattr(os, "O_DIRECTORY"):
        return  # pragma: no cover - Windows has no such thing
    folder = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def damaged(path: str, what: object) -> JournalCorrupt:
    """What is raised for a file in which something does not fit."""
    return JournalCorrupt(
        path,
        f"is damaged ({what}); nothing was changed: put a copy of it and of its -wal aside, and see "
        f"`sqlite3 {path} .recover`",
    )


def is_own(error: BaseException) -> bool:
    """Whether SQLite, the system or the journal has raised it, called from the journal's code.

    Otherwise a signal handler of the program's own has, that came by: its `TimeoutError` is an `OSError` as well.
    """
    if isinstance(error, sqlite3.Error):
        return True
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and str(traceback.tb_frame.f_globals.get("__name__")).startswith(f"{__package__}.")


#: What comes of using a file; the last is raised for a message of SQLite that quotes what is no text.
FAULTS: Final = (sqlite3.Error, OSError, UnicodeDecodeError)


def explained(path: str, error: Exception, busy_timeout: float) -> JournalError:
    """What one of the `FAULTS` means for the user."""
    if isinstance(error, OSError):
        return JournalError(path, f"cannot be used: {error}")
    if isinstance(error, UnicodeDecodeError):
        return damaged(path, f"it holds what is no text: {error.object[:60]!r}")
    primary = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if primary == sqlite3.SQLITE_NOTADB:
        return JournalCorrupt(path, f"is no SQLite file, or its beginning is damaged ({error}); nothing was changed")
    if primary == sqlite3.SQLITE_CORRUPT:
        return damaged(path, error)
    advice = {
        sqlite3.SQLITE_BUSY: f"another process has kept it locked for {busy_timeout:g} s",
        sqlite3.SQLITE_FULL: "the disk is full; make room, or put the journal elsewhere",
        sqlite3.SQLITE_READONLY: "it cannot be written to; check its permissions, and those of its folder",
        sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that its folder is there, and its permissions",
        sqlite3.SQLITE_IOERR: "the disk has failed, or is full",
    }.get(primary)
    return JournalError(path, f"{advice} ({error})" if advice else str(error))
