"""The statements that write and read the rows, each with its reason to be.

Stands on the store.  Used by what records, recovers, and decides.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from .store import Store, now

__all__ = ["LEFT", "PIECE", "StepRow", "chunk", "columns_of", "finish", "never_run", "set_undo"]

#: The steps that a rollback still has to undo, or a person has to look at.
LEFT: Final = (
    "(undo IS NULL AND state != 'never run' OR undo = 'undo failed' OR undo = 'conflict' "
    "OR undo = 'skipped' AND state IN ('running', 'unknown'))"
)

#: How many steps are in memory at once.
PIECE: Final = 500

#: What a step has besides its row: from those of the attempts to undo it.
_UNDOS: Final = "FROM undos WHERE undos.tx = steps.tx AND undos.number = steps.number"
_OF_UNDOS: Final = {
    "undo_attempts": f"(SELECT count(*) {_UNDOS})",
    "undo_started": f"(SELECT min(started) {_UNDOS})",
    "undo_ended": f"(SELECT ended {_UNDOS} ORDER BY attempt DESC LIMIT 1)",
    "undo_error": f"(SELECT error {_UNDOS} ORDER BY attempt DESC LIMIT 1)",
}


class StepRow(NamedTuple):
    """What the file says about a step."""

    number: int
    kind: str
    name: str
    arguments: str | None
    state: str
    result: str | None
    saved: str | None
    error: str | None
    attempts: int
    key: str
    handler: str | None
    directory: str | None
    fingerprint: str | None
    undo_attempts: int
    undo_started: str | None


def columns_of(fields: Iterable[str]) -> str:
    """What to select for these fields of a step."""
    return ", ".join(_OF_UNDOS.get(name, name) for name in fields)


def chunk(store: Store, tx: int, below: int) -> list[StepRow]:
    """The last steps below a number that are to be undone, the last one first; not what somebody else has changed."""
    which = f"tx = ? AND number < ? AND {LEFT} AND undo IS NOT 'conflict' ORDER BY number DESC LIMIT {PIECE}"
    rows = store.read(f"SELECT {columns_of(StepRow._fields)} FROM steps WHERE {which}", (tx, below))  # noqa: S608 - constants
    return [StepRow(*row) for row in rows]


def finish(db: sqlite3.Connection, tx: int) -> None:
    """A rollback has come to its end: it is rolled back, or undone later, or stuck for a reason."""
    left = db.execute(
        f"SELECT name, undo, reason, count(*) OVER () FROM steps WHERE tx = ? AND {LEFT} "  # noqa: S608 - constants
        "ORDER BY number DESC LIMIT 1",
        (tx,),
    ).fetchone()
    if left is None:
        state = "CASE WHEN requested IS NULL THEN 'rolled back' ELSE 'undone later' END"
        db.execute(
            f"UPDATE transactions SET state = {state}, ended = ?, owner = NULL, reason = NULL WHERE id = ?",  # noqa: S608 - constants
            (now(), tx),
        )
        return
    name, undo, reason, count = left
    told = f"{name}: {reason or undo or 'not undone yet'}" + (f" (and {count - 1} more)" if count > 1 else "")
    db.execute("UPDATE transactions SET state = 'stuck', owner = NULL, reason = ? WHERE id = ?", (told, tx))


def never_run(db: sqlite3.Connection, tx: int, numbers: list[int]) -> None:
    """Their intent was recorded, but they were refused before their body started."""
    for number in numbers:
        db.execute("UPDATE steps SET state = 'never run' WHERE tx = ? AND number = ?", (tx, number))


def set_undo(db: sqlite3.Connection, tx: int, number: int, undo: str, reason: str | None = None) -> None:
    """What became of the undo of a step."""
    values: tuple[Any, ...] = (undo, reason, now(), tx, number)
    db.execute("UPDATE steps SET undo = ?, reason = ?, undone = ? WHERE tx = ? AND number = ?", values)
