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
from types import GeneratorType
from typing import Any, Protocol

from actionqueues.core.drivers import drive, drive_async
from actionqueues.core.requests import Await, Engine
from actionqueues.core.states import TransactionState
from actionqueues.core.text import log_error, shown
from actionqueues.report import Report

from .damage import ALL_UNFINISHED, DAMAGE, can_own, readable_row, told
from .leftover import Leftover, Recovered, called
from .recording import JournalFile

__all__ = ["Recovery", "Round"]


class Round(Protocol):
    """What a run is one round of, where there are many: one bad transaction stops neither the run nor the next one."""

    @property
    def stopping(self) -> bool:
        """Whether no further transaction is to be begun."""
        ...

    def ended_by(self, leftover: Leftover, error: BaseException) -> Recovered:
        """What has become of one whose recovery was ended by this; or raise it, if it ends the run as well."""
        ...


class Recovery:
    """One run over a journal.

    Args:
        journal: the journal.
        awaits: whether async handlers can be awaited.
        chdir: whether to undo each step in the directory that it was begun in.
        part_of: which round it is, if there are many.
    """

    def __init__(
        self, journal: JournalFile, *, awaits: bool, chdir: bool = False, part_of: Round | None = None
    ) -> None:
        self.journal = journal
        self.store = journal.store
        self.awaits = awaits
        self.chdir = chdir
        self.part_of = part_of
        self.made: dict[str, Any] = {}
        self.taken: list[int] = []
        self.damaged: list[tuple[Any, ...]] = []
        self._held: list[int] = []  # owners whose locks are ours for a moment
        self._open = ExitStack()

    # -- whose it is

    def claim(self, only: Iterable[int]) -> None:
        """Take over what nobody works on: `taken` then has the numbers of the transactions, in order."""
        self.store.catch_up()
        if self.part_of is None:
            self.store.check()
        mine = self.store.owner
        wanted = set(only)
        columns = f"id, owner, state = 'committed', name, {DAMAGE}"
        query = f"SELECT {columns} FROM transactions WHERE id IN ({ALL_UNFINISHED}) ORDER BY id"  # noqa: S608 - constants
        rows = [row for row in self.store.read(query) if not wanted or row[0] in wanted]
        free: set[object] = {None}
        busy = self.store.busy
        try:
            for owner in {row[1] for row in rows if can_own(row[1])} - {mine}:
                if self.store.locks.hold(owner, self._held):
                    free.add(owner)
            free.update(row[1] for row in rows if row[1] is not None and not can_own(row[1]))
            # What is ours, and nobody is busy with, is left from a recovery that could not give it back.
            given_up = [row for row in rows if row[1] == mine and row[0] not in busy and not row[2]]
            rows = [row for row in rows if row[1] in free or row in given_up]
            if rows and self.part_of is not None:  # rounds that find nothing to do need not read the whole file
                self.store.check()
            self.damaged = [(number, owner, name, damage) for number, owner, _, name, damage in rows if damage]
            self._take([row[:2] for row in rows if row[4] is None], mine)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        while self._held:
            self.store.locks.release(self._held[-1])
            self._held.pop()

    def _take(self, rows: list[tuple[int, int | None]], mine: int) -> list[int]:
        taken = self.taken  # known even if an interrupt comes out of the writing

        def work(db: sqlite3.Connection) -> None:
            self.store.still_owned(mine)
            self.store.recovering.difference_update(taken)  # if it is called again
            taken.clear()
            statement = "UPDATE transactions SET owner = ? WHERE id = ? AND owner IS ? AND ended IS NULL"
            for number, owner in rows:
                # Another thread may have taken it since: then it is this process's already, and the row does not tell.
                if number in self.store.recovering:
                    continue
                if db.execute(statement, (mine, number, owner)).rowcount:
                    taken.append(number)
            self.store.recovering.update(taken)

        if rows:
            self.store.write_guarded(work, sync=True)
        return taken

    def close(self) -> None:
        """Leave the resources, and to others what this run has not come to; again, if that was interrupted."""
        try:
            self._let_go()
            self._open.close()
        finally:
            if self.taken:
                self._give_back()

    def _give_back(self) -> None:
        """Leave to others what has not ended: in one commit, so that no thread takes what another one gives back."""
        store, statement = (
            self.store,
            "UPDATE transactions SET owner = NULL WHERE id = ? AND owner = ? AND ended IS NULL",
        )

        def work(db: sqlite3.Connection) -> None:
            db.executemany(statement, [(number, mine) for number in self.taken])
            store.recovering.difference_update(self.taken)

        try:
            mine = store.owner
            store.write_guarded(work, sync=False)
        except BaseException:
            store.recovering.difference_update(self.taken)  # it stays this process's, until a recovery takes it again
            raise
        self.taken.clear()

    # -- running

    def run(self, only: Iterable[int]) -> list[Recovered]:
        """Recover, blocking this thread."""
        try:
            try:
                return drive(self._recovering(only))
            finally:
                self.close()
        except BaseException:
            self.close()  # for what has interrupted that, a signal handler of the program's own
            raise

    async def run_async(self, only: Iterable[int]) -> list[Recovered]:
        """Recover, suspending this task."""
        try:
            try:
                return await drive_async(self._recovering(only))
            finally:
                self.close()
        except BaseException:
            self.close()
            raise

    def _recovering(self, only: Iterable[int]) -> Engine[list[Recovered]]:
        yield from called(lambda: self.claim(only))
        if self.taken:
            yield from self.supplying(self.journal.values.resources)
        done = yield from self.finishing()
        return sorted([*done, *map(self._left_alone, self.damaged)], key=lambda each: each.id)

    def finishing(self) -> Engine[list[Recovered]]:
        """Do what there is to be done about all that was taken."""
        done: list[Recovered] = []
        for number in self.taken:
            if self.part_of is not None and self.part_of.stopping:
                break
            leftover = Leftover(self.journal, self.made, number, awaits=self.awaits, chdir=self.chdir)
            try:
                done.append((yield from leftover.recovering()))
            except BaseException as error:
                if self.part_of is None:
                    raise
                done.append(self.part_of.ended_by(leftover, error))
        return done

    def _left_alone(self, row: tuple[Any, ...]) -> Recovered:
        """A transaction with a damaged row."""
        number, _, name, damage = readable_row(row)
        log_error(f"{self.journal}: transaction {number} is {told(damage)}", None, transaction=str(name), state="stuck")
        return Recovered(number, str(name), "stuck", told(damage), Report(str(name), TransactionState.ROLLING_BACK))

    def supplying(self, names: Iterable[str]) -> Engine[None]:
        """Make these resources again."""
        for name in names:
            yield from self._supply(name, self.journal.values.resources[name])

    def _supply(self, name: str, make: Callable[[], Any]) -> Engine[None]:
        """Make a resource again; without it, what needs it is stuck, and the rest is not."""
        value: Any = None
        error: BaseException | None = None
        try:
            value = make()
            generator = getattr(value, "gen", None)  # of what @contextmanager makes
            if isinstance(value, AbstractContextManager) and isinstance(generator, GeneratorType):
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
