"""Recovery: whose it is what dead processes have left, and one run over it.

A recovery first takes over everything whose owner is dead, in one commit; from then on it is this process's, and
nobody else touches it.  Each transaction is then undone by the engine, like any other.

Stands on the store, which knows who lives, and on leftovers.  Used by `Journal`.
"""

from __future__ import annotations

import inspect
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from actionqueues.core.drivers import drive, drive_async
from actionqueues.core.requests import Await, Engine
from actionqueues.core.text import log_error, shown

from .leftover import Leftover, Recovered, called
from .recording import JournalFile
from .restoring import Restoring

__all__ = ["Recovery"]


class Recovery:
    """One run over a journal.

    Args:
        journal: the journal.
        awaits: whether async handlers can be awaited.
    """

    def __init__(self, journal: JournalFile, *, awaits: bool) -> None:
        self.journal = journal
        self.store = journal.store
        self.awaits = awaits
        self.made: dict[str, Any] = {}
        self.taken: list[int] = []
        self._open = ExitStack()
        self.restoring = Restoring(journal.values, self.made)

    # -- whose it is

    def claim(self, only: Iterable[int]) -> None:
        """Take over what nobody works on: `taken` then has the numbers of the transactions, in order."""
        self.store.check()
        mine = self.store.owner
        wanted = set(only)
        rows = self.store.read("SELECT id, owner FROM transactions WHERE ended IS NULL ORDER BY id")
        rows = [row for row in rows if not wanted or row[0] in wanted]
        held: list[int] = []
        free: set[int | None] = {None}
        try:
            for owner in {row[1] for row in rows} - {None, mine}:
                if self.store.locks.hold(owner):
                    held.append(owner)
                    free.add(owner)
            self._take([row for row in rows if row[1] in free], mine)
        finally:
            for owner in held:
                self.store.locks.release(owner)

    def _take(self, rows: list[tuple[int, int | None]], mine: int) -> list[int]:
        taken = self.taken  # known even if an interrupt comes out of the writing

        def work(db: sqlite3.Connection) -> None:
            taken.clear()
            statement = "UPDATE transactions SET owner = ? WHERE id = ? AND owner IS ? AND ended IS NULL"
            for number, owner in rows:
                if db.execute(statement, (mine, number, owner)).rowcount:
                    taken.append(number)

        if rows:
            self.store.write_guarded(work, sync=True)
        return taken

    def close(self) -> None:
        """Leave the resources, and to others what this run has not come to."""
        try:
            self._open.close()
        finally:
            if self.taken:
                left = [(number, self.store.owner) for number in self.taken]
                statement = "UPDATE transactions SET owner = NULL WHERE id = ? AND owner = ? AND ended IS NULL"
                self.store.write_guarded(lambda db: db.executemany(statement, left), sync=False)

    # -- running

    def run(self, only: Iterable[int]) -> list[Recovered]:
        """Recover, blocking this thread."""
        try:
            return drive(self._recovering(only))
        finally:
            self.close()

    async def run_async(self, only: Iterable[int]) -> list[Recovered]:
        """Recover, suspending this task."""
        try:
            return await drive_async(self._recovering(only))
        finally:
            self.close()

    def _recovering(self, only: Iterable[int]) -> Engine[list[Recovered]]:
        yield from called(lambda: self.claim(only))
        for name, make in self.journal.values.resources.items():
            yield from self._supply(name, make)
        done: list[Recovered] = []
        for number in self.taken:
            leftover = Leftover(self.journal, self.restoring, number, awaits=self.awaits)
            done.append((yield from leftover.recovering()))
        return done

    def _supply(self, name: str, make: Callable[[], Any]) -> Engine[None]:
        """Make a resource again; without it, what needs it is stuck, and the rest is not."""
        value: Any = None
        error: BaseException | None = None
        try:
            value = make()
            if isinstance(value, AbstractContextManager) and hasattr(value, "gen"):  # made by @contextmanager
                value = self._open.enter_context(value)
        except Exception as raised:
            error = raised
        if inspect.iscoroutine(value) or (self.awaits and inspect.isawaitable(value)):
            asked = Await(value, f"the resource {name!r}")
            error = yield asked
            value = asked.result
        if error is None:
            self.made[name] = value
        elif isinstance(error, Exception):
            log_error(f"the resource {name!r} of {self.journal} could not be made: {shown(error)}", error)
        else:
            raise error
