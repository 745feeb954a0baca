"""What is in a journal, for a person or a program to look at.

Stands on the store.  Used by `Journal`, and so by the command.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

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
    steps: tuple[StepEntry, ...] = ()
    hooks: tuple[HookEntry, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        data = self._asdict()
        data["steps"] = [step._asdict() for step in self.steps]
        data["hooks"] = [hook._asdict() for hook in self.hooks]
        return data


_COLUMNS = (
    "id, name, state, owner, started, ended, error, reason, (SELECT count(*) FROM steps WHERE tx = transactions.id)"
)


def entries(store: Store, states: Sequence[str]) -> list[Entry]:
    """All transactions, or those in these states, the oldest first."""
    where = f"WHERE state IN ({', '.join('?' * len(states))}) " if states else ""
    query = f"SELECT {_COLUMNS} FROM transactions {where}ORDER BY id"  # noqa: S608 - constants
    return [Entry(*row) for row in store.read(query, tuple(states))]


def entry_of(store: Store, transaction: int) -> Entry:
    """One transaction with all that belongs to it."""
    rows = store.read(f"SELECT {_COLUMNS} FROM transactions WHERE id = ?", (transaction,))  # noqa: S608 - constants
    if not rows:
        raise LookupError(f"journal {store.path!r}: there is no transaction {transaction}")
    fields, hooks = ", ".join(StepEntry._fields), ", ".join(HookEntry._fields)
    by_number = "WHERE tx = ? ORDER BY number"
    steps = store.read(f"SELECT {fields} FROM steps {by_number}", (transaction,))  # noqa: S608 - constants
    due = store.read(f"SELECT {hooks} FROM hooks {by_number}", (transaction,))  # noqa: S608 - constants
    made = Entry(*rows[0])
    return made._replace(steps=tuple(StepEntry(*row) for row in steps), hooks=tuple(HookEntry(*row) for row in due))
