"""Undoing what dead processes have left: whose it is, in which order, and how it ends.

A recovery first takes over everything whose owner is dead, in one commit; from then on it is this process's, and
nobody else touches it.  Each transaction is then undone by the engine, like any other, in pieces of bounded size.
"""

from __future__ import annotations

import inspect
import sqlite3
from _thread import get_ident
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from actionqueues.attempts import Attempts
from actionqueues.block import Block
from actionqueues.concurrency import in_worker_thread, shielded
from actionqueues.drivers import roll_back, roll_back_async, run_hooks, run_hooks_async
from actionqueues.engine import Rollback
from actionqueues.errors import CommitHookFailed
from actionqueues.hooks import Hook, HookRun
from actionqueues.owner import Owner
from actionqueues.report import Report
from actionqueues.requests import Call, Request, Unwinding
from actionqueues.states import StepState, TransactionState
from actionqueues.step import OUTCOME, WATCHED, Step
from actionqueues.telling import log_error, shown

from .errors import NotRestorable
from .names import function_called
from .recording import Recording, hook_called, running_hook
from .restoring import Blocked, Restoring
from .rows import LEFT, StepRow, chunk, finish
from .values import readable

if TYPE_CHECKING:
    from .journal import Journal

__all__ = ["Recovered", "Recovery"]

#: How many steps are in memory at once.
_PIECE = 500


@dataclass
class Recovered:
    """What a recovery has done about one transaction.

    Attributes:
        id: its number in the journal.
        name: its name.
        state: how it is now: ``rolled back``, ``committed`` (its durable hooks have been called), ``stuck``, or
            ``waiting`` for ``recover_async``, because undoing it takes an event loop.
        reason: why it is stuck or waits, or None.
        report: what has been undone, and what not.
    """

    __module__ = "actionqueues.journal"

    id: int
    name: str
    state: str
    reason: str | None
    report: Report = field(repr=False)

    @property
    def clean(self) -> bool:
        """Whether nothing is left to do."""
        return self.state in ("rolled back", "committed")

    def __str__(self) -> str:
        reason = f", {self.reason}" if self.reason else ""
        undone = f", {len(self.report.undone_steps)} undone" if self.report.undone_steps else ""
        return f"{self.id} {self.name}: {self.state}{undone}{reason}"


class _Again(Recording):
    """Records an undoing that another process has begun."""

    def __init__(self, journal: Journal, tx: int, name: str, report: Report) -> None:
        super().__init__(journal, name, lambda: report)
        self.tx = tx
        self.first: dict[int, str] = {}

    def retrying(self, step: Step[Any], attempts: Attempts) -> None:
        number = self.numbers[step]
        attempts.made = self.undos.get(number, 0)
        if number in self.first:
            since = datetime.now(UTC) - datetime.fromisoformat(self.first[number]).replace(tzinfo=UTC)
            attempts.started = monotonic() - max(0.0, since.total_seconds())  # unless the clock has jumped back

    def undoing(self, step: Step[Any]) -> Request | None:
        return None if isinstance(step.definition, Blocked) else super().undoing(step)

    def undone(self, step: Step[Any], error: BaseException | None) -> Request | None:
        return None if isinstance(step.definition, Blocked) else super().undone(step, error)

    def settled(self, step: Step[Any]) -> Request | None:
        tx, number = self.tx, self.numbers[step]
        definition = step.definition
        if isinstance(definition, Blocked):
            row = (readable(definition.reason.reason), tx, number)
            return self._fact(lambda db: db.execute("UPDATE steps SET reason = ? WHERE tx = ? AND number = ?", row))
        if step.state is StepState.SKIPPED and step.error is None and tx is not None:
            reason = "nobody knows whether it has happened, and its undo needs its result"
            return self._fact(lambda db: _skip(db, reason, tx, number))
        return super().settled(step)


def _skip(db: sqlite3.Connection, reason: str, tx: int, number: int) -> None:
    db.execute("UPDATE steps SET undo = 'skipped', reason = ? WHERE tx = ? AND number = ?", (reason, tx, number))


class _Steps(Owner):
    """The log of a piece of a transaction, while it is being undone."""

    plain = False

    def __init__(self, name: str, awaits: bool, watch: _Again) -> None:
        self.name = name
        self.log = [WATCHED, get_ident(), self, awaits]
        observe: Any = Block.observe  # what tests watch transactions with
        self.interceptor = watch if observe is None else observe(self, watch)


class Recovery:
    """One run over a journal.

    Args:
        journal: the journal.
        awaits: whether async handlers can be awaited.
    """

    def __init__(self, journal: Journal, *, awaits: bool) -> None:
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
        done: list[Recovered] = []
        try:
            self.claim(only)
            for name, make in self.journal.values.resources.items():
                self._supply(name, make)
            for number in self.taken:
                one = self._begin(number)
                if one.reason is None:
                    self._recover(one)
                done.append(self._end(one))
        finally:
            self.close()
        return done

    async def run_async(self, only: Iterable[int]) -> list[Recovered]:
        """Recover, suspending this task."""
        done: list[Recovered] = []
        try:
            await shielded(lambda: in_worker_thread(lambda: self.claim(only)))
            for name, make in self.journal.values.resources.items():
                self._supply(name, make)
                if inspect.isawaitable(self.made.get(name)):
                    self.made[name] = await self.made[name]
            for number in self.taken:
                one = self._begin(number)
                await self._recover_async(one)
                done.append(self._end(one))
        finally:
            self.close()
        return done

    def _supply(self, name: str, make: Callable[[], Any]) -> None:
        """Make a resource again; without it, what needs it is stuck, and the rest is not."""
        try:
            value = make()
            if isinstance(value, AbstractContextManager) and hasattr(value, "gen"):  # made by @contextmanager
                value = self._open.enter_context(value)
        except Exception as error:
            log_error(f"the resource {name!r} of {self.journal} could not be made: {shown(error)}", error)
        else:
            self.made[name] = value

    def _begin(self, number: int) -> _One:
        name, state = self.store.read("SELECT name, state FROM transactions WHERE id = ?", (number,))[0]
        one = _One(self, number, name, state)
        if not self.awaits and one.needs_loop():
            one.reason = "undoing it takes an event loop: await journal.recover_async()"
        return one

    def _recover(self, one: _One) -> None:
        if one.state == "committed":
            with suppress(CommitHookFailed):  # which is in the report, and in the file
                run_hooks(one.hooks(), lambda: None)
            return
        one.begin()
        try:
            roll_back(one.rollback, one.unwinding)
        finally:
            one.finish()

    async def _recover_async(self, one: _One) -> None:
        if one.state == "committed":
            with suppress(CommitHookFailed):  # likewise
                await run_hooks_async(one.hooks(), lambda: None)
            return
        one.begin()
        try:
            await roll_back_async(one.rollback, one.unwinding)
        finally:
            one.finish()

    def _end(self, one: _One) -> Recovered:
        interrupt = one.rollback.interrupt()
        if interrupt is not None:
            raise interrupt
        if one.reason is not None:
            return Recovered(one.tx, one.name, "waiting", one.reason, one.report)
        query = "SELECT state, reason, ended FROM transactions WHERE id = ?"
        state, reason, ended = self.store.read(query, (one.tx,))[0]
        if state == "committed" and ended is None:
            state = "stuck"
        return Recovered(one.tx, one.name, state, reason, one.report)


class _One:
    """One transaction, while it is recovered."""

    def __init__(self, recovery: Recovery, tx: int, name: str, state: str) -> None:
        self.recovery = recovery
        self.store = recovery.store
        self.tx = tx
        self.name = name
        self.state = state
        self.reason: str | None = None
        self.report = Report(
            name, TransactionState.COMMITTED if state == "committed" else TransactionState.ROLLING_BACK
        )
        self.rollback = Rollback(self.report)
        self.watch = _Again(recovery.journal, tx, name, self.report)
        self.steps = _Steps(name, recovery.awaits, self.watch)
        self._below = 1 << 62

    def needs_loop(self) -> bool:
        """Whether a handler or a hook that is due is async."""
        restoring = self.recovery.restoring
        if self.state == "committed":
            query = "SELECT DISTINCT 'by hand', name, NULL FROM hooks WHERE tx = ? AND ended IS NULL"
        else:
            one = "max(CASE kind WHEN 'object' THEN arguments END)"  # of each name, one: it tells the class
            query = f"SELECT kind, name, {one} FROM steps WHERE tx = ? AND {LEFT} GROUP BY 1, 2"  # noqa: S608 - constants
        return any(restoring.is_async(*row) for row in self.store.read(query, (self.tx,)))

    def begin(self) -> None:
        """Say that it is being rolled back, before the first undo."""
        if self.state == "open":
            statement = "UPDATE transactions SET state = 'rolling back', error = 'its process died' WHERE id = ?"
            self.store.write_guarded(lambda db: db.execute(statement, (self.tx,)), sync=True)

    def unwinding(self) -> Unwinding:
        """Undo it, piece by piece; if that is interrupted, it goes on where it was."""
        while True:
            yield from self.rollback.unwind(self.steps)
            rows: list[StepRow] = []
            error = yield Call(partial(self._read, rows))
            if error is not None:
                raise error
            if not rows:
                return
            self.watch.numbers.clear()
            self.watch.undos.clear()
            self.watch.first.clear()
            for row in reversed(rows):
                step = self.recovery.restoring.step(row)
                self.watch.numbers[step] = row.number
                self.watch.undos[row.number] = row.undos
                if row.first_undo is not None:
                    self.watch.first[row.number] = row.first_undo
                self.steps.log += (step.entry[OUTCOME], step)
            self._below = rows[-1].number

    def _read(self, rows: list[StepRow]) -> None:
        rows += chunk(self.store, self.tx, self._below, _PIECE)

    def finish(self) -> None:
        """It is rolled back, or stuck."""
        self.watch._try(lambda db: finish(db, self.tx), sync=True)
        clean = self.report.clean
        self.report.state = TransactionState.ROLLED_BACK if clean else TransactionState.ROLLED_BACK_WITH_FAILURES

    def hooks(self) -> HookRun:
        """The durable hooks that have not been called yet."""
        run = HookRun(self.report, f"the transaction {self.name!r}", _Hooks(self))
        query = "SELECT number, name, arguments, key FROM hooks WHERE tx = ? AND ended IS NULL ORDER BY number"
        rows = self.store.read(query, (self.tx,))
        for place, row in enumerate(rows, 1):
            run.hooks.append(_Called(self, row, last=place == len(rows)))
        return run


class _Called(Hook):
    """A durable hook, called again."""

    __slots__ = ("_one", "key", "last", "number", "row")

    def __init__(self, one: _One, row: tuple[int, str, str, str], *, last: bool) -> None:
        super().__init__(self._function, (), {}, None)
        self._one = one
        self.number, self.name, _, self.key = row
        self.row = row
        self.last = last

    def _function(self) -> object:
        restoring = self._one.recovery.restoring
        function = function_called(self.name, restoring.path)
        try:
            args, kwargs = restoring.values.called(self.row[2], restoring.made)
        except ValueError as error:
            raise NotRestorable(restoring.path, f"the hook {self.name} cannot be read: {error}") from error
        return function(*args, **kwargs)


class _Hooks(_Again):
    """Records hooks that are called again."""

    def __init__(self, one: _One) -> None:
        super().__init__(one.recovery.journal, one.tx, one.name, one.report)

    def calling_hook(self, hook: Hook) -> Request | None:
        called = cast("_Called", hook)
        running_hook.set(called.key)
        statement = "UPDATE hooks SET attempts = attempts + 1 WHERE tx = ? AND number = ?"
        return self._fact(lambda db: db.execute(statement, (self.tx, called.number)), sync=True)

    def called_hook(self, hook: Hook, error: BaseException | None) -> Request | None:
        tx, called = self.tx or 0, cast("_Called", hook)
        running_hook.set(None)
        return self._fact(lambda db: hook_called(db, tx, called.number, error, last=called.last))
