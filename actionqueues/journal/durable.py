"""Durable commit hooks: which a transaction has, what is recorded of them, and the key of the one that runs.

Stands on values and marks.  Used by what records, recovers, and decides.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Final

from actionqueues.core.hooks import Held
from actionqueues.core.watch import Hook

from .marking import DurableFunction
from .names import name_of, name_of_function
from .places import working_directory
from .store import now
from .values import Values

__all__ = ["ADD_PLAIN_HOOK", "DurableHooks", "current_hook_key", "hook_called", "hook_tried", "running_hook"]

#: The key of the durable hook that is being called.
running_hook: ContextVar[str | None] = ContextVar("actionqueues.journal.running_hook", default=None)


def current_hook_key() -> str | None:
    """An idempotency key for the durable commit hook that is running: the same each time that it is called.

    None outside any.
    """
    return running_hook.get()


#: Records that a hook without a row is called, which another hook has registered.
ADD_PLAIN_HOOK: Final = (
    "UPDATE transactions SET plain_hooks = json_insert(coalesce(plain_hooks, '[]'), '$[#]', ?) WHERE id = ?"
)


class DurableHooks:
    """The durable hooks of one transaction.

    Attributes:
        numbers: the number of each that is due.
        not_called: the numbers of those that have not been called; None before the transaction commits.
    """

    def __init__(self, values: Values) -> None:
        self.numbers: dict[Hook, int] = {}
        self.not_called: set[int] | None = None
        self._values = values
        self._rows: dict[Hook, tuple[str, str, str]] = {}

    def register(self, hook: Hook) -> bool:
        """Take one whose function is durable, as a step that waits for the commit is; returns whether it is.

        Raises:
            NotRecordable: for arguments that are no plain data.
        """
        if isinstance(hook.function, Held):
            name = name_of(hook.function.definition, self._values.path)
        elif isinstance(hook.function, DurableFunction):
            name = name_of_function(hook.function, self._values.path)
        else:
            return False
        arguments = self._values.call(hook.function, hook.args, hook.kwargs, hook.name)
        self._rows[hook] = name, arguments, os.urandom(16).hex()
        return True

    def key(self, hook: Hook) -> str:
        """Its idempotency key."""
        return self._rows[hook][2]

    def commit(self, hooks: Sequence[Hook]) -> list[tuple[int, Hook]]:
        """Number those that are due, by their places among all hooks."""
        due = [(number, hook) for number, hook in enumerate(hooks, 1) if hook in self._rows]
        self.numbers = {hook: number for number, hook in due}
        self.not_called = {number for number, _ in due}
        return due

    def plain(self, hooks: Sequence[Hook]) -> str:
        """The names of those that are not durable, which are called once, as JSON."""
        return json.dumps([self._values.masked(hook.name) for hook in hooks if hook not in self._rows])

    def next_number(self) -> int:
        """The number for one that a hook has registered."""
        return max(self.numbers.values(), default=0) + 1

    def add(self, number: int, hook: Hook) -> None:
        """Another one is due."""
        self.numbers[hook] = number
        if self.not_called is not None:  # pragma: no branch - only then is it added
            self.not_called.add(number)

    def insert(self, db: sqlite3.Connection, tx: int, number: int, hook: Hook) -> None:
        """Record that it is due."""
        statement = "INSERT INTO hooks (tx, number, name, arguments, key, directory) VALUES (?, ?, ?, ?, ?, ?)"
        db.execute(statement, (tx, number, *self._rows[hook], working_directory()))

    def is_last(self, number: int) -> bool:
        """Take away one that has been called; returns whether none is left."""
        left = self.not_called or set()
        left.discard(number)
        return not left


def hook_tried(db: sqlite3.Connection, tx: int, number: int) -> None:
    """A durable hook is about to be called."""
    db.execute("UPDATE hooks SET attempts = attempts + 1 WHERE tx = ? AND number = ?", (tx, number))


def hook_called(db: sqlite3.Connection, tx: int, number: int, error: str | None, *, last: bool) -> None:
    """A durable hook has been called; after the `last` one the transaction has ended, if all have succeeded."""
    if error is None:
        db.execute("UPDATE hooks SET ended = ?, error = NULL WHERE tx = ? AND number = ?", (now(), tx, number))
    else:
        statement = "UPDATE hooks SET error = ? WHERE tx = ? AND number = ? AND ended IS NULL"
        db.execute(statement, (error, tx, number))
    if last:
        db.execute(
            "UPDATE transactions SET owner = NULL, "
            "reason = (SELECT 'commit hook ' || name || ': ' || coalesce(error, 'not called yet') FROM hooks "
            "WHERE tx = transactions.id AND ended IS NULL LIMIT 1), "
            "ended = CASE WHEN EXISTS (SELECT 1 FROM hooks WHERE tx = transactions.id AND ended IS NULL) "
            "THEN NULL ELSE ? END WHERE id = ?",
            (now(), tx),
        )
