"""What is in a journal, for a person or a program to look at.

Stands on the store.  Used by `Journal`, and so by the command.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .damage import DAMAGE, can_own, readable_row, told
from .errors import JournalError
from .ownership import lives
from .store import Store

__all__ = ["Entry", "HookEntry", "StepEntry", "entries", "entry_of"]


class StepEntry(NamedTuple):
    """A step, as the file has it; see the comments of the schema."""

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
    undo: str | None
    reason: str | None
    started: str
    ended: str | None
    undone: str | None
    handler: str | None


class HookEntry(NamedTuple):
    """A durable commit hook, as the file has it."""

    number: int
    name: str
    arguments: str
    key: str
    attempts: int
    ended: str | None
    error: str | None


class Entry(NamedTuple):
    """A transaction, as the file has it.

    Attributes:
        live: whether a live process is working on it; None if nobody can tell.
        steps: empty in a list of transactions.
        hooks: likewise.
    """

    id: int
    name: str
    state: str
    owner: int | None
    started: str
    ended: str | None
    error: str | None
    reason: str | None
    step_count: int
    live: bool | None = False
    steps: tuple[StepEntry, ...] = ()
    hooks: tuple[HookEntry, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        data = self._asdict()
        data["steps"] = [step._asdict() for step in self.steps]
        data["hooks"] = [hook._asdict() for hook in self.hooks]
        return data


_COUNT = "(SELECT count(*) FROM steps WHERE tx = transactions.id)"
_COLUMNS = f"id, name, state, owner, started, ended, error, reason, {_COUNT}, {DAMAGE}"


def _entry(row: Sequence[Any]) -> Entry:
    """The entry of a row; a damaged one is stuck, and says so."""
    *columns, damage = readable_row(row)
    entry = Entry(*columns)
    if damage is None:
        return entry
    name, started = str(entry.name), str(entry.started)
    error = entry.error if entry.error is None else str(entry.error)
    state, owner = "stuck", entry.owner if can_own(entry.owner) else None
    reason = told(damage)
    return entry._replace(name=name, state=state, owner=owner, started=started, ended=None, error=error, reason=reason)


def entries(store: Store, states: Sequence[str]) -> list[Entry]:
    """All transactions, or those in these states, the oldest first."""
    where = f"WHERE state IN ({', '.join('?' * len(states))}) OR {DAMAGE} IS NOT NULL " if states else ""
    query = f"SELECT {_COLUMNS} FROM transactions {where}ORDER BY id"  # noqa: S608 - constants
    found = [_entry(row) for row in store.read(query, tuple(states))]
    return _with_life(store, [entry for entry in found if not states or entry.state in states])


def _with_life(store: Store, found: list[Entry]) -> list[Entry]:
    """The same, with whether a live process is working on each."""
    owners = {each.owner for each in found if each.owner is not None and each.ended is None}
    try:
        alive: dict[int, bool | None] = {owner: store.locks.is_held(owner) for owner in owners}
    except JournalError:  # what can be read can be shown, though no file of locks can be made, or written to
        alive = lives(f"{store.path}-owners", owners)
    return [
        each._replace(live=False if each.owner is None or each.ended is not None else alive[each.owner])
        for each in found
    ]


def entry_of(store: Store, transaction: int) -> Entry:
    """One transaction with all that belongs to it."""
    rows = store.read(f"SELECT {_COLUMNS} FROM transactions WHERE id = ?", (transaction,))  # noqa: S608 - constants
    if not rows:
        raise LookupError(f"journal {store.path!r}: there is no transaction {transaction}")
    fields, hooks = ", ".join(StepEntry._fields), ", ".join(HookEntry._fields)
    by_number = "WHERE tx = ? ORDER BY number"
    steps = store.read(f"SELECT {fields} FROM steps {by_number}", (transaction,))  # noqa: S608 - constants
    due = store.read(f"SELECT {hooks} FROM hooks {by_number}", (transaction,))  # noqa: S608 - constants
    (made,) = _with_life(store, [_entry(rows[0])])
    return made._replace(
        steps=tuple(StepEntry(*readable_row(row)) for row in steps),
        hooks=tuple(HookEntry(*readable_row(row)) for row in due),
    )
