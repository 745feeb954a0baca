"""The layout of a journal file, its version, and how an older file becomes a newer one.

Stands on SQLite alone.  Used by what opens a file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

__all__ = ["APPLICATION_ID", "MIGRATIONS", "SCHEMA", "VERSION", "create", "migrate"]

#: Marks the file as a journal of this package, for us and for `file`: "aqjl".
APPLICATION_ID: Final = 0x61716A6C

#: The version of `SCHEMA`, kept in ``PRAGMA user_version``.
VERSION: Final = 4

SCHEMA: Final = """
-- Times are UTC, as text, and only for people: the order is that of the numbers.
-- Everything that was a value of the program is JSON; errors are text.

-- One row for each process that has written here.  It holds a lock on the byte of this number in the file
-- "<journal>-owners" as long as it lives; the other columns only tell a person who it was.
CREATE TABLE owners (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    pid      INTEGER NOT NULL,
    program  TEXT NOT NULL,
    started  TEXT NOT NULL
);

-- One row for each outermost transaction that has started a step.
CREATE TABLE transactions (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    name     TEXT NOT NULL,
    state    TEXT NOT NULL,      -- open, rolling back, committed, rolled back, undone later, or stuck, for a person
    owner    INTEGER,            -- who works on it; null once nobody does
    started  TEXT NOT NULL,
    ended    TEXT,               -- null: there is something left to do
    error    TEXT,               -- why it was rolled back
    reason   TEXT,               -- why it is stuck
    directory TEXT,              -- where its process worked at its first step; null: an older version has written it
    origin   TEXT,               -- what it is called in a trace, the W3C traceparent of its span; null: in none
    requested TEXT,              -- JSON: who wants it undone after it has committed, and why; null: nobody
    plain_hooks TEXT             -- JSON: the names of its commit hooks without rows; null: an older version committed
);

-- What there is to do is found without reading what is done.
CREATE INDEX unfinished ON transactions (id) WHERE ended IS NULL;
CREATE INDEX finished ON transactions (ended) WHERE ended IS NOT NULL;

-- One row for each step, written before its body starts; undone in descending order of the numbers.
CREATE TABLE steps (
    tx         INTEGER NOT NULL REFERENCES transactions (id),
    number     INTEGER NOT NULL, -- from 1, in order of start
    kind       TEXT NOT NULL,    -- action, object, plain (nothing to undo), or by hand (q.on_rollback)
    name       TEXT NOT NULL,    -- module:qualname, or the name that the action was given
    arguments  TEXT,             -- JSON object
    state      TEXT NOT NULL,    -- running, done, failed, unknown (given up after its time-out), never run
    result     TEXT,             -- JSON; null: none, or one that is no plain data
    saved      TEXT,             -- JSON object: what step.save() has kept
    error      TEXT,             -- JSON: what the last attempt raised
    attempts   INTEGER NOT NULL, -- how often its body was started
    key        TEXT NOT NULL,    -- step.key
    undo       TEXT,             -- undone, undo failed, conflict, skipped, not undone, not landed; null: not tried
    reason     TEXT,             -- why recovery could not undo it, or who has decided
    started    TEXT NOT NULL,
    ended      TEXT,             -- when its body had ended
    undone     TEXT,             -- when its undo had ended
    handler    TEXT,             -- the name of its undo; empty: it had none; null: an older version has written it
    directory  TEXT,             -- where its process worked when it began; null: in that of the transaction
    fingerprint TEXT,            -- of the code of its undo; null: it has none, or an older version has written it
    PRIMARY KEY (tx, number)
) WITHOUT ROWID;

-- One row for each attempt of a body that failed; one that succeeded is in the step's own row.
CREATE TABLE attempts (
    tx       INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    attempt  INTEGER NOT NULL,
    ended    TEXT NOT NULL,
    error    TEXT NOT NULL,
    PRIMARY KEY (tx, number, attempt)
) WITHOUT ROWID;

-- One row for each attempt of an undo, written before its handler is called.
CREATE TABLE undos (
    tx       INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    attempt  INTEGER NOT NULL,
    started  TEXT NOT NULL,
    ended    TEXT,               -- null: the process died in it
    error    TEXT,
    PRIMARY KEY (tx, number, attempt)
) WITHOUT ROWID;

-- One row for each durable commit hook, written with the commit.
CREATE TABLE hooks (
    tx         INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    name       TEXT NOT NULL,
    arguments  TEXT NOT NULL,    -- JSON: [args, kwargs]
    key        TEXT NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    ended      TEXT,             -- null: not called yet, or not with success
    error      TEXT,             -- what the last attempt raised
    directory  TEXT,             -- where its process worked at the commit; null: in that of the transaction
    PRIMARY KEY (tx, number)
) WITHOUT ROWID;
"""

#: The script that leads to a version from the one before it.
MIGRATIONS: Final[dict[int, str]] = {
    2: """
ALTER TABLE transactions ADD COLUMN directory TEXT;
ALTER TABLE steps ADD COLUMN handler TEXT;
ALTER TABLE steps ADD COLUMN directory TEXT;
ALTER TABLE hooks ADD COLUMN directory TEXT;
""",
    3: "ALTER TABLE transactions ADD COLUMN origin TEXT;",
    4: """
ALTER TABLE transactions ADD COLUMN requested TEXT;
ALTER TABLE transactions ADD COLUMN plain_hooks TEXT;
ALTER TABLE steps ADD COLUMN fingerprint TEXT;
""",
}


@contextmanager
def _one_transaction(db: sqlite3.Connection) -> Generator[None, None, None]:
    """All that is done meanwhile, or nothing of it."""
    try:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("COMMIT")
    except BaseException:
        # An interrupt may have come behind the commit, and SQLite ends a transaction itself where the disk is full.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def migrate(db: sqlite3.Connection, to: int, migrations: dict[int, str]) -> None:
    """Bring a file from one version to another, in one transaction."""
    with _one_transaction(db):
        # Another process may have done it meanwhile.
        version = db.execute("PRAGMA user_version").fetchone()[0]
        for step in range(version + 1, to + 1):
            _run(db, migrations[step])
        db.execute(f"PRAGMA user_version = {to}")


def create(db: sqlite3.Connection) -> None:
    """Make an empty file a journal, in one transaction."""
    with _one_transaction(db):
        if db.execute("PRAGMA application_id").fetchone()[0] == 0:
            _run(db, SCHEMA)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {VERSION}")


def _run(db: sqlite3.Connection, script: str) -> None:
    """Run the statements of a script inside the open transaction, which `executescript` would end."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            db.execute(statement)
            statement = ""
