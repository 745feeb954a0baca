"""`Recording`: the watch of one transaction, which writes down each of its steps before it runs.

Stands on the seam, whose methods it answers, and on the store.  Used by `Journal`, and by recovery, which goes on with
what another process has written down.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Protocol, cast

from actionqueues.core.requests import Call, Request
from actionqueues.core.states import StepState
from actionqueues.core.step import DEFINITION, Step
from actionqueues.core.watch import Hook, Watch
from actionqueues.errors import RetryError
from actionqueues.report import Report

from .describing import Described, described_by_hand, described_step
from .durable import ADD_PLAIN_HOOK, DurableHooks, hook_called, hook_tried, running_hook
from .errors import JournalError, NotRecordable, NotRestorable
from .locks import Lock
from .places import working_directory
from .reading import needs
from .rows import finish, never_run, set_undo
from .saved import Saved
from .store import Commit, Statement, Store, Work, now
from .values import Values

__all__ = ["JournalFile", "Recording"]

_INTENT = (
    "INSERT INTO steps (tx, number, kind, name, arguments, handler, fingerprint, state, attempts, key, directory, "
    "started, ended) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?)"
)


class JournalFile(Protocol):
    """A `Journal`, as what writes into it sees it."""

    store: Store
    values: Values

    def finished(self, transaction: int) -> None:
        """A transaction has ended."""


def _nothing(_: sqlite3.Connection) -> None:
    """What there is to be committed before a transaction has begun, or is to end."""


class Recording(Watch):
    """Records one outermost transaction.

    What is recorded before something is done raises if it cannot be, so that it is not done.  What is recorded
    afterwards, while undoing, does not: it is tried again with the next commit, and the report says so.
    """

    raises = JournalError

    def __init__(self, journal: JournalFile, name: str, report: Callable[[], Report]) -> None:
        self.journal, self.store = journal, journal.store
        self.values = journal.values.of_one()
        self.name, self.report = name, report
        self.numbers: dict[Step[Any], int] = {}
        self.undos: dict[int, int] = {}
        self._count = count(1)
        self._beginning = Lock()
        self._directory: list[str | None] = []  # where it has begun; where a step does elsewhere, that says so
        self._made: list[int] = []  # its number in the file, the last one, once it is there
        self._first = self._last = Commit(_nothing, sync=True)  # what puts it there, and what commits it
        self._intended: set[int] = set()
        self.hooks = DurableHooks(self.values)
        self._owner = 0
        self.hidden, self.masked = self.values.redact, self.values.masked

    @property
    def tx(self) -> int | None:
        """The number of the transaction in the file, once it is there."""
        return self._made[-1] if self._first.done else None

    id = tx  # pyright: ignore[reportIncompatibleMethodOverride] - a property all the same

    def entering(self, block: Any) -> None:
        self.store.open()

    # -- steps

    def starting(self, step: Step[Any]) -> Request:
        number = next(self._count)
        described = described_step(self.values, step)
        self._intended.add(number)
        self.numbers[step] = number
        step.saved = Saved(self.values, self.keep, step._record[DEFINITION], number)
        return self._intend(number, described, step.key, "running")

    def keep(self, number: int, saved: str, *, sync: bool) -> None:
        """Record what a step has saved."""
        statement = Statement("UPDATE steps SET saved = ? WHERE tx = ? AND number = ?", (saved, self.tx, number))
        self.store.write_guarded(statement, sync=sync)

    def _intend(self, number: int, described: Described, key: str, state: str) -> Call:
        started = now()
        directory = working_directory()
        if not self._directory:
            self._directory.append(directory)  # several threads may come to that, and the first of them counts
        elsewhere = None if directory == self._directory[0] else directory
        row = (number, *described, state, key, elsewhere, started, None if state == "running" else started)
        tx, store = self.tx, self.store
        if tx is not None:
            statement = Statement(_INTENT, (tx, *row))
            return Call(lambda: store.write(statement, sync=True))
        return Call(lambda: self._begin(row))

    def _begin(self, row: tuple[Any, ...]) -> None:
        """The first intents, of one or of several threads: the transaction has to be made with one of them."""
        owner = self.store.owner  # before the commit, since giving it is one
        with self._beginning:
            if self.tx is None:
                self._owner = owner
                self._make(lambda db, tx: db.execute(_INTENT, (tx, *row)))
                return
        self.store.write(Statement(_INTENT, (self.tx, *row)), sync=True)

    def _make(self, more: Callable[[sqlite3.Connection, int], object]) -> None:
        """Put the transaction into the file, and more in the same commit."""
        made: list[int] = []

        def work(db: sqlite3.Connection) -> None:
            self.store.still_owned(self._owner)
            made.append(self._insert(db))
            self.store.unfinished.add(made[-1])
            more(db, made[-1])

        first = Commit(work, sync=True)
        self._made, self._first = made, first
        try:
            self.store.commit(first)
        finally:
            if not first.done:
                self.store.unfinished.difference_update(made)

    def _insert(self, db: sqlite3.Connection) -> int:
        directory = (self._directory or [working_directory()])[0]
        kept = self.values.masked(text) if isinstance(text := self.report().origin, str) else None  # a listener sets it
        row = (self.values.masked(self.name), self._owner, now(), directory, kept)
        columns = "(name, state, owner, started, directory, origin)"
        return int(db.execute(f"INSERT INTO transactions {columns} VALUES (?, 'open', ?, ?, ?, ?)", row).lastrowid or 0)  # noqa: S608 - constants

    def attempting(self, step: Step[Any]) -> Request | None:
        number = self.numbers[step]
        self._intended.discard(number)
        if step.attempts == 1:
            return None
        row = step.attempts, self.tx, number
        statement = "UPDATE steps SET state = 'running', attempts = ?, error = NULL, result = NULL "
        statement += "WHERE tx = ? AND number = ?"
        return Call(lambda: self.store.write(lambda db: db.execute(statement, row), sync=True))

    def attempted(self, step: Step[Any], result: object, error: BaseException | None) -> Request:
        number = self.numbers[step]
        if error is None:
            try:
                saved = self.values.saved(step.saved, f"what {step.name} saves") if step.saved else None
                row = (self._result(step, result), saved, now(), self.tx, number)
            except NotRecordable as refused:
                return self._unrecordable(number, [refused])
            statement = "UPDATE steps SET state = 'done', result = ?, saved = ?, ended = ? WHERE tx = ? AND number = ?"
            return self._call(Statement(statement, row))
        timed_out = step._record[DEFINITION].timeout is not None and isinstance(error, TimeoutError)
        ended = now()
        result_there: str | None = None
        saved_there: str | None = None
        with suppress(NotRecordable):  # as far as it is not in the file already
            saved_there = self.values.saved(step.saved, f"what {step.name} saves") if step.saved else None
        if isinstance(error, RetryError):  # which its handler is given
            with suppress(NotRecordable):
                result_there = self._result(step, error.result)
        state = "unknown" if timed_out else "failed"
        failed = (state, self.values.error(error), result_there, saved_there, ended, self.tx, number)
        attempt = (self.tx, number, step.attempts, ended, self.values.text(error))

        def work(db: sqlite3.Connection) -> None:
            columns = "state = ?, error = ?, result = ?, saved = coalesce(?, saved), ended = ?"
            db.execute(f"UPDATE steps SET {columns} WHERE tx = ? AND number = ?", failed)  # noqa: S608 - constants
            db.execute("INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?)", attempt)

        return self._fact(work)

    def _unrecordable(self, number: int, refused: list[NotRecordable]) -> Call:
        """Fail a step that is done: it is undone with what it has returned, which this process still has."""
        row = self.values.error(refused[0]), now(), self.tx, number
        statement = "UPDATE steps SET state = 'done', error = ?, ended = ? WHERE tx = ? AND number = ?"

        def fail() -> None:
            self._try(Statement(statement, row), sync=False)
            raise refused.pop()  # which no frame of its own traceback holds then

        return Call(fail)

    def _result(self, step: Step[Any], result: object) -> str | None:
        name = step.name.rpartition(".")[2]
        try:
            return self.values.value(result, name if name in self.values.redact else "result", step.name)
        except NotRecordable:
            if needs(step, "result"):
                raise
            return None

    def recorded(self, step: Step[Any]) -> Request:
        described = described_by_hand(self.values, step)
        number = next(self._count)
        self.numbers[step] = number
        return self._intend(number, described, step.key, "done")

    def place_of(self, step: Step[Any]) -> tuple[int, int]:
        """The numbers of its transaction, and of itself, in the file."""
        return cast("int", self.tx), self.numbers[step]

    # -- the end

    def committing(self, block: Any, hooks: Sequence[Hook]) -> Request | None:
        due = self.hooks.commit(hooks)
        if self.tx is None and not due:
            return None
        return Call(lambda: self._commit(due, self.hooks.plain(hooks)))

    def _commit(self, due: list[tuple[int, Hook]], plain: str) -> None:
        def work(db: sqlite3.Connection, tx: int) -> None:
            never_run(db, tx, list(self._intended))
            end = "" if due else "ended = ?, owner = NULL, "
            statement = f"UPDATE transactions SET state = 'committed', {end}plain_hooks = ? WHERE id = ?"  # noqa: S608 - constants
            db.execute(statement, (*([] if due else [now()]), plain, tx))
            for number, hook in due:
                self.hooks.insert(db, tx, number, hook)
            self.store.unfinished.discard(tx)

        tx = self.tx
        if tx is None:
            self._owner = self.store.owner
            self._make(work)
        else:
            self._last = Commit(lambda db: work(db, tx), sync=True)
            self.store.commit(self._last)
        self.journal.finished(self._made[-1])

    def rolling_back(self, block: Any, error: BaseException | None) -> Request | None:
        for begun in (self._first, self._last):
            if begun.work is not _nothing and not begun.done:
                self.store.settle(begun)  # a signal handler has interrupted what waited for it
        tx = self.tx
        if tx is None:
            return None
        row = None if error is None else self.values.text(error), self._owner, tx
        # It has committed if what interrupted that came after it.
        statement = "UPDATE transactions SET state = 'rolling back', error = ?, ended = NULL, owner = ? WHERE id = ?"
        self.store.unfinished.add(tx)
        return self._fact(lambda db: db.execute(statement, row), sync=True)

    def undoing(self, step: Step[Any]) -> Request | None:
        if step not in self.numbers:
            return None  # what was done by hand, and could not be recorded
        number = self.numbers[step]
        attempt = self.undos[number] = self.undos.get(number, 0) + 1
        row = (self.tx, number, attempt, now())
        statement = "INSERT OR REPLACE INTO undos (tx, number, attempt, started) VALUES (?, ?, ?, ?)"
        return self._fact(lambda db: db.execute(statement, row), sync=True)

    def undone(self, step: Step[Any], error: BaseException | None) -> Request | None:
        if step not in self.numbers:
            return None
        tx, number = self.place_of(step)
        text = None if error is None else self.values.text(error)
        row = (now(), text, tx, number, self.undos[number])

        def work(db: sqlite3.Connection) -> None:
            db.execute("UPDATE undos SET ended = ?, error = ? WHERE tx = ? AND number = ? AND attempt = ?", row)
            if error is None:
                set_undo(db, tx, number, "undone")

        return self._fact(work)

    def settled(self, step: Step[Any]) -> Request | None:
        if step not in self.numbers:
            return None
        tx, number = self.place_of(step)
        state = step.state
        if state is StepState.UNDONE and not step._record[DEFINITION].read_only:
            return None  # that is in the file already, with the attempt
        values = self.values
        errors = [error for failed, error in (*self.report().failures, *self.report().conflicts) if failed is step]
        told = [values.masked(e.reason) if isinstance(e, NotRestorable) else values.text(e) for e in errors]
        reason = told[0] if told else None
        return self._fact(lambda db: set_undo(db, tx, number, str(state), reason))

    def rolled_back(self, block: Any) -> Request | None:
        tx = self.tx
        if tx is None:
            return None

        def work(db: sqlite3.Connection) -> None:
            never_run(db, tx, list(self._intended))
            finish(db, tx)

        def end() -> None:
            try:
                self._try(work, sync=True)
            finally:
                self.store.unfinished.discard(tx)
            self.journal.finished(tx)

        return Call(end)

    def abandoned(self, block: Any) -> None:
        row = ("a third Ctrl-C has cut the rollback short", self.tx)
        statement = "UPDATE transactions SET state = 'stuck', owner = NULL, reason = ? WHERE id = ?"
        self._try(Statement(statement, row), sync=False)
        self.store.unfinished.discard(self.tx or 0)

    # -- hooks

    def registering(self, hook: Hook) -> None:
        if self.hooks.register(hook) and self.hooks.not_called is not None:  # a hook has registered it
            number = self.hooks.next_number()

            def more(db: sqlite3.Connection, tx: int) -> None:
                statement = "UPDATE transactions SET state = 'committed', ended = NULL, owner = ? WHERE id = ?"
                db.execute(statement, (self._owner, tx))
                self.hooks.insert(db, tx, number, hook)
                self.store.unfinished.discard(tx)

            self._owner, tx = self._owner or self.store.owner, self.tx
            if tx is None:
                self._make(more)
            else:
                self.store.write_guarded(lambda db: more(db, tx), sync=True)
            self.hooks.add(number, hook)
        elif self.hooks.not_called is not None and self.tx is not None:
            self._try(Statement(ADD_PLAIN_HOOK, (self.values.masked(hook.name), self.tx)), sync=False)

    def calling_hook(self, hook: Hook) -> Request | None:
        number, tx = self.hooks.numbers.get(hook), self.tx
        if number is None or tx is None:
            return None
        running_hook.set(self.hooks.key(hook))
        return self._fact(lambda db: hook_tried(db, tx, number), sync=True)

    def called_hook(self, hook: Hook, error: BaseException | None) -> Request | None:
        number, tx = self.hooks.numbers.get(hook), self.tx
        if number is None or tx is None:
            return None
        running_hook.set(None)
        last, text = self.hooks.is_last(number), None if error is None else self.values.text(error)
        return self._fact(lambda db: hook_called(db, tx, number, text, last=last))

    # -- writing

    def _call(self, work: Work) -> Call:
        """Record an outcome; if that fails, so has the step."""
        return Call(lambda: self.store.write(work, sync=False))

    def _fact(self, work: Work, *, sync: bool = False) -> Call:
        """Record what has happened, whatever comes of that."""
        return Call(lambda: self._try(work, sync=sync))

    def _try(self, work: Work, *, sync: bool) -> None:
        commit = Commit(work, sync=sync)
        try:
            self.store.commit(commit)
        except BaseException as error:
            if not commit.done:
                self.store.owe(commit)
            failure = error if isinstance(error, JournalError) else commit.error
            if failure is None or failure is not error:
                raise  # a signal handler of the program's own has raised it
            self.report().journal_failures.append(failure)
