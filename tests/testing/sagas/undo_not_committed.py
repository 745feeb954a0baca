"""The undo writes to a database, and does not commit that."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from actionqueues import action, transaction
from actionqueues.testing import Bug, database

from .saga import Saga

FOUND = ("after@insert", "insert", Bug.INCOMPLETE)


def make(mended: bool) -> Saga:
    """The saga."""
    path = Path(tempfile.mkdtemp()) / "app.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE users (name TEXT PRIMARY KEY)")

    @action
    def insert(name: str) -> None:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("INSERT INTO users VALUES (?)", (name,))

    @insert.rollback
    def delete(name: str) -> None:
        with closing(sqlite3.connect(path)) as db:
            db.execute("DELETE FROM users WHERE name = ?", (name,))
            if mended:
                db.commit()

    def scenario() -> None:
        with transaction():
            insert("ada")

    return Saga(scenario, database(path))
