"""What a person decides, and what is forgotten."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Final

from actionqueues.errors import IllegalOperation

from .recording import hook_called
from .rows import LEFT, finish, set_undo
from .store import Store

__all__ = ["prune", "resolve", "resolve_hook"]

#: How many transactions are deleted in one commit, so that nobody has to wait long.
_AT_ONCE: Final = 100


def resolve(store: Store, transaction: int, step: int, *, undone: bool) -> None:
    """Record a decision about a step."""
    what = f"resolve step {step} of transaction {transaction} in {store.path!r}"
    refused: list[Exception] = []

    def work(db: sqlite3.Connection) -> None:
        refused.clear()
        row = db.execute("SELECT undo, state FROM steps WHERE tx = ? AND number = ?", (transaction, step)).fetchone()
        if row is None:
            refused.append(LookupError(f"cannot {what}: there is no such step"))
            return
        owner, state = db.execute("SELECT owner, state FROM transactions WHERE id = ?", (transaction,)).fetchone()
        query = f"SELECT 1 FROM steps WHERE tx = ? AND number = ? AND {LEFT}"  # noqa: S608 - constants
        if owner is not None or state != "stuck":
            refused.append(
                IllegalOperation(what, f"the transaction is {state}", "only what is stuck is decided; recover it first")
            )
        elif db.execute(query, (transaction, step)).fetchone() is None:
            refused.append(IllegalOperation(what, f"it is {row[0] or row[1]}", "there is nothing to decide about it"))
        else:
            set_undo(db, transaction, step, "undone" if undone else "not undone", "decided by a person")
            finish(db, transaction)

    store.write_guarded(work, sync=True)
    if refused:
        raise refused[0]


def resolve_hook(store: Store, transaction: int, hook: int) -> None:
    """Record that a hook need not be called."""
    what = f"resolve hook {hook} of transaction {transaction} in {store.path!r}"
    refused: list[Exception] = []

    def work(db: sqlite3.Connection) -> None:
        refused.clear()
        query = (
            "SELECT owner, hooks.ended FROM hooks JOIN transactions ON transactions.id = hooks.tx "
            "WHERE tx = ? AND number = ?"
        )
        row = db.execute(query, (transaction, hook)).fetchone()
        if row is None:
            refused.append(LookupError(f"cannot {what}: there is no such hook"))
        elif row[0] is not None or row[1] is not None:
            state = "it has ended" if row[1] is not None else "a process owns the transaction"
            refused.append(IllegalOperation(what, state, "only what recovery could not call is decided"))
        else:
            hook_called(db, transaction, hook, None, last=True)

    store.write_guarded(work, sync=True)
    if refused:
        raise refused[0]


def prune(store: Store, before: datetime) -> int:
    """Delete finished transactions that ended before that moment; returns how many."""
    limit = before.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]  # milliseconds, like the times in the file
    total = 0
    while True:
        gone: list[int] = []

        def work(db: sqlite3.Connection, gone: list[int] = gone) -> None:
            gone.clear()
            query = "SELECT id FROM transactions WHERE ended <= ? LIMIT ?"
            gone += [row[0] for row in db.execute(query, (limit, _AT_ONCE))]
            for table in ("steps", "attempts", "undos", "hooks"):
                db.executemany(f"DELETE FROM {table} WHERE tx = ?", [(each,) for each in gone])  # noqa: S608 - constants
            db.executemany("DELETE FROM transactions WHERE id = ?", [(each,) for each in gone])

        store.write_guarded(work, sync=False)
        total += len(gone)
        if len(gone) < _AT_ONCE:
            return total
