"""What is in a journal, for a person or a program to look at.

Stands on the store and the statements.  Used by `Journal`, and so by the command.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, Protocol

from actionqueues.core.options import did_you_mean

from .damage import ALL_UNFINISHED, DAMAGE, STATES, can_own, readable_row, told
from .errors import JournalError
from .ownership import OwnerLocks, lives
from .rows import columns_of
from .store import Store

__all__ = [
    "Entry", "HookEntry", "Source", "StepEntry", "current_entries", "entries", "entry_of", "has_only_conflicts",
    "latest_steps",
]  # fmt: skip


class Source(Protocol):
    """Where entries are read from: a `Store`, or a file that is only read."""

    path: str

    @property
    def locks(self) -> OwnerLocks:
        """Those of the owners; raises `JournalError` if they cannot be used."""
        ...

    def read(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        """The rows of a query."""
        ...


class StepEntry(NamedTuple):
    """A step, as the file has it; see the comments of the schema.

    Attributes:
        undo_attempts: how often its handler has been called.
        undo_started: when that was done first.
        undo_ended: when the last of these calls ended; None also if the process died in it.
        undo_error: what the last of them raised, as text.
    """

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
    undo_attempts: int = 0
    undo_started: str | None = None
    undo_ended: str | None = None
    undo_error: str | None = None


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
        origin: what it is called in a trace, the W3C ``traceparent`` of its span, or None.
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
    origin: str | None = None
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
_COLUMNS = f"id, name, state, owner, started, ended, error, reason, {_COUNT}, origin, {DAMAGE}"


def _entry(row: Sequence[Any]) -> Entry:
    """The entry of a row; a damaged one is stuck, and says so."""
    *columns, damage = readable_row(row)
    entry = Entry(*columns)
    if damage is None:
        return entry
    texts: Any = {field: str(getattr(entry, field)) for field in ("name", "started")}
    texts |= {field: str(value) for field in ("error", "origin") if (value := getattr(entry, field)) is not None}
    owner = entry.owner if can_own(entry.owner) else None
    return entry._replace(state="stuck", owner=owner, ended=None, reason=told(damage), **texts)


def entries(store: Store, states: Sequence[str]) -> list[Entry]:
    """All transactions, or those in these states, the oldest first."""
    for state in states:
        if state not in STATES:
            meant = did_you_mean(str(state), STATES)
            raise ValueError(f"no transaction is {state!r:.80}{meant}; the states are {', '.join(STATES)}")
    where = f"WHERE state IN ({', '.join('?' * len(states))}) OR {DAMAGE} IS NOT NULL " if states else ""
    query = f"SELECT {_COLUMNS} FROM transactions {where}ORDER BY id"  # noqa: S608 - constants
    found = [_entry(row) for row in store.read(query, tuple(states))]
    return _with_life(store, [entry for entry in found if not states or entry.state in states])


_CURRENT = f"""
SELECT {_COLUMNS} FROM transactions WHERE id IN (
    {ALL_UNFINISHED}
    UNION SELECT id FROM transactions WHERE id > ?
    UNION SELECT value FROM json_each(?)
    UNION SELECT * FROM (SELECT id FROM transactions WHERE ended IS NOT NULL ORDER BY ended DESC LIMIT ?)
) ORDER BY id
"""  # noqa: S608 - constants


def current_entries(store: Source, *, ended: int = 0, after: int = 1 << 62, also: Collection[int] = ()) -> list[Entry]:
    """The transactions that somebody watches, the oldest first; the time that it takes does not grow with the file.

    Args:
        store: where they are.
        ended: so many of those that ended last, besides all that have not ended.
        after: and all with a larger number than this.
        also: and these.
    """
    return _with_life(store, [_entry(row) for row in store.read(_CURRENT, (after, json.dumps([*also]), ended))])


def latest_steps(store: Store, transactions: Collection[int]) -> dict[int, str]:
    """The name of the step that each of these has started last."""
    latest = "(SELECT name FROM steps WHERE tx = value ORDER BY number DESC LIMIT 1)"
    query = f"SELECT value, {latest} FROM json_each(?)"  # noqa: S608 - constants
    return {number: str(name) for number, name in store.read(query, (json.dumps([*transactions]),)) if name is not None}


def _with_life(store: Source, found: list[Entry]) -> list[Entry]:
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


def has_only_conflicts(entry: Entry) -> bool:
    """Whether it is stuck with conflicts alone: a person decides about these, and no recovery tries them again."""
    left = {
        step.undo
        for step in entry.steps
        if step.undo in ("undo failed", "conflict")
        or (step.undo is None and step.state != "never run")
        or (step.undo == "skipped" and step.state in ("running", "unknown"))
    }
    return entry.state == "stuck" and left == {"conflict"}


def entry_of(store: Store, transaction: int) -> Entry:
    """One transaction with all that belongs to it."""
    rows = store.read(f"SELECT {_COLUMNS} FROM transactions WHERE id = ?", (transaction,))  # noqa: S608 - constants
    if not rows:
        raise LookupError(f"journal {store.path!r}: there is no transaction {transaction}")
    fields = columns_of(StepEntry._fields)
    hooks = ", ".join(HookEntry._fields)
    by_number = "WHERE tx = ? ORDER BY number"
    steps = store.read(f"SELECT {fields} FROM steps {by_number}", (transaction,))  # noqa: S608 - constants
    due = store.read(f"SELECT {hooks} FROM hooks {by_number}", (transaction,))  # noqa: S608 - constants
    (made,) = _with_life(store, [_entry(rows[0])])
    return made._replace(
        steps=tuple(StepEntry(*readable_row(row)) for row in steps),
        hooks=tuple(HookEntry(*readable_row(row)) for row in due),
    )
