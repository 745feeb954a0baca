"""What a person decides, and what is forgotten.

Stands on the store, and on the statements.  Used by `Journal`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final

from actionqueues.errors import IllegalOperation

from .damage import DAMAGE
from .durable import hook_called
from .inspecting import entry_of
from .rows import LEFT, finish, set_undo
from .store import Store, now
from .values import readable

__all__ = ["abandon", "prune", "resolve", "resolve_hook"]

#: How many transactions are deleted in one commit, so that nobody has to wait long.
_AT_ONCE: Final = 100


def resolve(store: Store, transaction: int, step: int, *, undone: bool) -> None:
    """Record a decision about a step."""
    what = f"resolve step {step} of transaction {transaction} in {store.path!r}"

    def work(db: sqlite3.Connection) -> Exception | None:
        row = db.execute("SELECT undo, state FROM steps WHERE tx = ? AND number = ?", (transaction, step)).fetchone()
        if row is None:
            return LookupError(f"cannot {what}: there is no such step")
        owner, state, ended, wrong = _found(db, transaction) or (None, None, None, "there is no such row")
        if wrong is not None:
            return _refused_as_damaged(what, wrong)
        if owner is not None or state != "stuck":
            advice = f"only what is stuck is decided; {_way(state, ended)}"
            return IllegalOperation(what, _told_state(state, owner), advice)
        query = f"SELECT 1 FROM steps WHERE tx = ? AND number = ? AND {LEFT}"  # noqa: S608 - constants
        if db.execute(query, (transaction, step)).fetchone() is None:
            return IllegalOperation(what, f"it is {row[0] or row[1]}", "there is nothing to decide about it")
        set_undo(db, transaction, step, "undone" if undone else "not undone", "decided by a person")
        finish(db, transaction)
        return None

    _decide(store, transaction, what, work)


def resolve_hook(store: Store, transaction: int, hook: int) -> None:
    """Record that a hook need not be called."""
    what = f"resolve hook {hook} of transaction {transaction} in {store.path!r}"

    def work(db: sqlite3.Connection) -> Exception | None:
        query = (
            f"SELECT owner, (SELECT ended FROM hooks WHERE tx = id AND number = ?), {DAMAGE} FROM transactions "  # noqa: S608 - constants
            "WHERE id = ? AND EXISTS (SELECT 1 FROM hooks WHERE tx = id AND number = ?)"
        )
        row = db.execute(query, (hook, transaction, hook)).fetchone()
        if row is None:
            return LookupError(f"cannot {what}: there is no such hook")
        owner, ended, wrong = row
        if wrong is not None:
            return _refused_as_damaged(what, wrong)
        if owner is not None or ended is not None:
            state = "it has ended" if ended is not None else "a process owns the transaction"
            return IllegalOperation(what, state, "only what recovery could not call is decided")
        hook_called(db, transaction, hook, None, last=True)
        return None

    _decide(store, transaction, what, work)


def abandon(store: Store, transaction: int, why: Any) -> None:
    """Record that all that is left of a transaction stays as it is, steps and hooks, in one commit."""
    what = f"abandon transaction {transaction} in {store.path!r}"
    if not isinstance(why, str):
        raise TypeError(f"journal.abandon(why=...) takes a text, not {why!r:.80}")
    reason = f"abandoned: {readable(why)}"

    def work(db: sqlite3.Connection) -> Exception | None:
        row = _found(db, transaction)
        if row is None:
            return LookupError(f"cannot {what}: there is no such transaction")
        owner, state, ended, wrong = row
        if wrong is not None:
            return _refused_as_damaged(what, wrong)
        if owner is not None or ended is not None or state not in ("stuck", "committed"):
            return IllegalOperation(what, _told_state(state, owner), _way(state, ended))
        if state == "stuck":
            query = f"SELECT number FROM steps WHERE tx = ? AND {LEFT}"  # noqa: S608 - constants
            for (number,) in db.execute(query, (transaction,)).fetchall():
                set_undo(db, transaction, number, "not undone", reason)
            finish(db, transaction)
            db.execute("UPDATE transactions SET reason = ? WHERE id = ?", (reason, transaction))
        else:
            statement = "UPDATE hooks SET ended = ?, error = ? WHERE tx = ? AND ended IS NULL"
            db.execute(statement, (now(), reason, transaction))
            db.execute("UPDATE transactions SET ended = ?, reason = ? WHERE id = ?", (now(), reason, transaction))
        return None

    _decide(store, transaction, what, work)


def _found(db: sqlite3.Connection, transaction: int) -> Any:
    """The owner of a transaction, its state, when it ended, and what is wrong with its row."""
    query = f"SELECT owner, state, ended, {DAMAGE} FROM transactions WHERE id = ?"  # noqa: S608 - constants
    return db.execute(query, (transaction,)).fetchone()


def _decide(store: Store, transaction: int, what: str, work: Callable[[sqlite3.Connection], Exception | None]) -> None:
    """Commit a decision; raise what `work` returns, which has changed nothing then.

    If a live process is at it, that is what keeps it from being decided.
    """
    answer: list[Exception | None] = []

    def once(db: sqlite3.Connection) -> None:
        answer[:] = [work(db)]  # the last one counts: it may be called again

    store.write_guarded(once, sync=True)
    (refused,) = answer
    if isinstance(refused, IllegalOperation) and entry_of(store, transaction).live:
        advice = "wait for that to end, or end it, and then do it"
        raise IllegalOperation(what, "a live process is working on it", advice)
    if refused is not None:
        raise refused


def _told_state(state: object, owner: object) -> str:
    tried = ", and the process that was trying it again has died" if state == "stuck" and owner is not None else ""
    return f"the transaction is {state}{tried}"


def _way(state: object, ended: object) -> str:
    if ended is None:
        return "recover it first"
    return "there is nothing to decide about it" + ("; to take it back, undo it" if state == "committed" else "")


def _refused_as_damaged(what: str, damage: str) -> IllegalOperation:
    return IllegalOperation(what, f"it is damaged: {damage}", "mend that row first: sqlite3 FILE")


def prune(store: Store, before: datetime, write: Callable[..., None]) -> int:
    """Delete finished transactions that ended before that moment, and dead owners; returns how many transactions.

    Args:
        store: the file.
        before: the moment.
        write: `store.write`, or `store.write_guarded`.
    """
    limit = before.isoformat(" ", "milliseconds")[:23]  # like the times in the file
    total = 0
    while True:
        gone: list[int] = []

        def work(db: sqlite3.Connection, gone: list[int] = gone) -> None:
            gone.clear()
            query = "SELECT id FROM transactions WHERE ended >= '1' AND ended <= ? LIMIT ?"  # '0', say, is no time
            gone += [row[0] for row in db.execute(query, (limit, _AT_ONCE))]
            for table in ("steps", "attempts", "undos", "hooks"):
                db.executemany(f"DELETE FROM {table} WHERE tx = ?", [(each,) for each in gone])  # noqa: S608 - constants
            db.executemany("DELETE FROM transactions WHERE id = ?", [(each,) for each in gone])

        write(work, sync=False)
        total += len(gone)
        if len(gone) < _AT_ONCE:
            _prune_owners(store, limit, write)
            return total


def _prune_owners(store: Store, limit: str, write: Callable[..., None]) -> None:
    """Delete those who are dead and own nothing: a program that is started again and again leaves one each time."""
    owning = "SELECT owner FROM transactions WHERE ended IS NULL AND owner IS NOT NULL"
    query = f"SELECT id FROM owners WHERE id > 0 AND started <= ? AND id NOT IN ({owning})"  # noqa: S608 - constants
    owners = [row[0] for row in store.read(query, (limit,))]
    for place in range(0, len(owners), _AT_ONCE):
        dead: list[int] = []
        try:
            for owner in owners[place : place + _AT_ONCE]:
                store.locks.hold(owner, dead)
            write(partial(_delete_owners, dead=dead), sync=False)
        finally:
            for owner in dead:
                store.locks.release(owner)


def _delete_owners(db: sqlite3.Connection, dead: list[int]) -> None:
    db.executemany("DELETE FROM owners WHERE id = ?", [(owner,) for owner in dead])
