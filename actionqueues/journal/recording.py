"""`Recording`: the watch of one transaction, which writes down each of its steps before it runs.

Stands on the seam, whose methods it answers, and on the store.  Used by `Journal`, and by recovery, which goes on with
what another process has written down.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from itertools import count
from typing import Any, Protocol, cast

from actionqueues.core.definition import Definition
from actionqueues.core.requests import Call, Request
from actionqueues.core.states import StepState
from actionqueues.core.step import DEFINITION, VALUES, Step
from actionqueues.core.text import shown
from actionqueues.core.watch import Hook, Watch
from actionqueues.report import Report

from .errors import JournalError
from .locks import Lock
from .marking import DurableFunction
from .names import name_of, name_of_function
from .rows import finish, never_run, set_undo
from .store import Statement, Store, Work, now
from .values import Values, readable

__all__ = ["JournalFile", "Recording", "current_hook_key", "hook_called", "running_hook"]

#: The key of the durable hook that is being called.
running_hook: ContextVar[str | None] = ContextVar("actionqueues.journal.running_hook", default=None)


def current_hook_key() -> str | None:
    """An idempotency key for the durable commit hook that is running: the same each time that it is called.

    None outside any.
    """
    return running_hook.get()


_INTENT = (
    "INSERT INTO steps (tx, number, kind, name, arguments, state, attempts, key, started, ended) "
    "VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?, ?)"
)


class JournalFile(Protocol):
    """A `Journal`, as what writes into it sees it."""

    store: Store
    values: Values

    def finished(self, transaction: int) -> None:
        """A transaction has ended."""


class _Saved(dict[str, Any]):
    """What a step has saved: kept in the file before `step.save` returns."""

    __slots__ = ("_definition", "_number", "_recording")

    def __init__(self, recording: Recording, definition: Definition, number: int) -> None:
        self._recording = recording
        self._definition = definition  # not the step, which refers to this
        self._number = number

    def update(self, /, *args: Any, **kwargs: Any) -> None:
        """Keep them here, for the handler in this process, and in the file."""
        recording, definition = self._recording, self._definition
        saved = {**self, **dict(*args, **kwargs)}
        text = recording.values.saved(saved, f"what {definition.name} saves")
        super().update(saved)
        recording.keep(self._number, text, sync=not definition.is_async)  # no event loop waits for a disk

    def __reduce__(self) -> Any:
        return dict, (dict(self),)


class Recording(Watch):
    """Records one outermost transaction.

    What is recorded before something is done raises if it cannot be, so that it is not done.  What is recorded
    afterwards, while undoing, does not: it is tried again with the next commit, and the report says so.
    """

    def __init__(self, journal: JournalFile, name: str, report: Callable[[], Report]) -> None:
        self.journal = journal
        self.store = journal.store
        self.values = journal.values
        self.name = name
        self.report = report
        self.tx: int | None = None
        self.numbers: dict[Step[Any], int] = {}
        self.undos: dict[int, int] = {}
        self._count = count(1)
        self._beginning = Lock()
        self._intended: set[int] = set()
        self._hooks: dict[Hook, tuple[str, str, str]] = {}
        self._called: dict[Hook, int] = {}
        self._hooks_left = 0
        self._owner = 0

    def entering(self, block: Any) -> None:
        self.store.open()

    # -- steps

    def starting(self, step: Step[Any]) -> Request:
        number = next(self._count)
        kind, name, arguments = self._described(step)
        self._intended.add(number)
        self.numbers[step] = number
        step.saved = _Saved(self, step._record[DEFINITION], number)
        return self._intend(number, kind, name, arguments, step.key, "running")

    def keep(self, number: int, saved: str, *, sync: bool) -> None:
        """Record what a step has saved."""
        statement = Statement("UPDATE steps SET saved = ? WHERE tx = ? AND number = ?", (saved, self.tx, number))
        self.store.write_guarded(statement, sync=sync)

    def _described(self, step: Step[Any]) -> tuple[str, str, str | None]:
        definition: Definition = step._record[DEFINITION]
        if definition.frame is not None:
            name = name_of(definition, self.store.path)
            return "action", name, self.values.arguments(definition, step._record, step.name)
        if definition.is_object:
            return "object", step.name, self.values.arguments(definition, step._record, step.name)
        return "plain", readable(step.name), None

    def _intend(self, number: int, kind: str, name: str, arguments: str | None, key: str, state: str) -> Call:
        started = now()
        ended = None if state == "running" else started
        tx, store = self.tx, self.store
        if tx is not None:
            statement = Statement(_INTENT, (tx, number, kind, name, arguments, state, key, started, ended))
            return Call(lambda: store.write(statement, sync=True))
        return Call(lambda: self._begin((number, kind, name, arguments, state, key, started, ended)))

    def _begin(self, row: tuple[Any, ...]) -> None:
        """The first intents, of one or of several threads: the transaction has to be made with one of them."""
        made: list[int] = []

        def work(db: sqlite3.Connection) -> None:
            tx = self.tx or self._insert(db)
            db.execute(_INTENT, (tx, *row))
            made.append(tx)

        owner = self.store.owner  # before the commit, since giving it is one
        with self._beginning:
            self._owner = owner
            self.store.write(work, sync=True)
            self.store.unfinished.add(made[-1])
            self.tx = made[-1]  # from here on, other threads need not wait for one another

    def _insert(self, db: sqlite3.Connection) -> int:
        row = (readable(self.name), self._owner, now())
        statement = "INSERT INTO transactions (name, state, owner, started) VALUES (?, 'open', ?, ?)"
        return int(db.execute(statement, row).lastrowid or 0)

    def attempting(self, step: Step[Any]) -> Request | None:
        number = self.numbers[step]
        self._intended.discard(number)
        if step.attempts == 1:
            return None
        row = step.attempts, self.tx, number
        statement = "UPDATE steps SET state = 'running', attempts = ?, error = NULL WHERE tx = ? AND number = ?"
        return Call(lambda: self.store.write(lambda db: db.execute(statement, row), sync=True))

    def attempted(self, step: Step[Any], result: object, error: BaseException | None) -> Request:
        number = self.numbers[step]
        if error is None:
            saved = self.values.saved(step.saved, step.name) if step.saved else None
            row = (self._result(step, result), saved, now(), self.tx, number)
            statement = "UPDATE steps SET state = 'done', result = ?, saved = ?, ended = ? WHERE tx = ? AND number = ?"
            return self._call(Statement(statement, row))
        timed_out = step._record[DEFINITION].timeout is not None and isinstance(error, TimeoutError)
        ended = now()
        failed = ("unknown" if timed_out else "failed", self.values.error(error), ended, self.tx, number)
        attempt = (self.tx, number, step.attempts, ended, readable(shown(error)))

        def work(db: sqlite3.Connection) -> None:
            db.execute("UPDATE steps SET state = ?, error = ?, ended = ? WHERE tx = ? AND number = ?", failed)
            db.execute("INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?)", attempt)

        return self._fact(work)

    def _result(self, step: Step[Any], result: object) -> str | None:
        handler = step._record[DEFINITION].handler
        try:
            return self.values.value(result, "result", step.name)
        except JournalError:
            if handler is not None and handler.asks_for("result"):
                raise
            return None

    def recorded(self, step: Step[Any]) -> Request:
        args, kwargs = step._record[VALUES:]
        function = step._record[DEFINITION].function
        name = name_of_function(function, self.store.path)
        arguments = self.values.call(function, args, kwargs, step.name)
        number = next(self._count)
        self.numbers[step] = number
        return self._intend(number, "by hand", name, arguments, step.key, "done")

    def place_of(self, step: Step[Any]) -> tuple[int, int]:
        """The numbers of its transaction, and of itself, in the file."""
        return cast("int", self.tx), self.numbers[step]

    # -- the end

    def committing(self, block: Any, hooks: Sequence[Hook]) -> Request | None:
        due = [(number, hook) for number, hook in enumerate(hooks, 1) if hook in self._hooks]
        if self.tx is None and not due:
            return None
        self._called = {hook: number for number, hook in due}
        self._hooks_left = len(due)
        return Call(lambda: self._commit(due))

    def _commit(self, due: list[tuple[int, Hook]]) -> None:
        made: list[int] = []
        if self.tx is None:
            self._owner = self.store.owner

        def work(db: sqlite3.Connection) -> None:
            tx = self.tx or self._insert(db)
            made.append(tx)
            never_run(db, tx, list(self._intended))
            if not due:
                statement = "UPDATE transactions SET state = 'committed', ended = ?, owner = NULL WHERE id = ?"
                db.execute(statement, (now(), tx))
                return
            db.execute("UPDATE transactions SET state = 'committed' WHERE id = ?", (tx,))
            for number, hook in due:
                row = (tx, number, *self._hooks[hook])
                db.execute("INSERT INTO hooks (tx, number, name, arguments, key) VALUES (?, ?, ?, ?, ?)", row)

        self.store.write(work, sync=True)
        self.tx = made[-1]
        self.store.unfinished.discard(self.tx)
        self.journal.finished(self.tx)

    def rolling_back(self, block: Any, error: BaseException | None) -> Request | None:
        if self.tx is None:
            return None
        row = None if error is None else readable(shown(error)), self.tx
        statement = "UPDATE transactions SET state = 'rolling back', error = ? WHERE id = ?"
        return self._fact(lambda db: db.execute(statement, row), sync=True)

    def undoing(self, step: Step[Any]) -> Request | None:
        number = self.numbers[step]
        attempt = self.undos[number] = self.undos.get(number, 0) + 1
        row = (self.tx, number, attempt, now())
        statement = "INSERT OR REPLACE INTO undos (tx, number, attempt, started) VALUES (?, ?, ?, ?)"
        return self._fact(lambda db: db.execute(statement, row), sync=True)

    def undone(self, step: Step[Any], error: BaseException | None) -> Request | None:
        tx, number = self.place_of(step)
        text = None if error is None else readable(shown(error))
        row = (now(), text, tx, number, self.undos[number])

        def work(db: sqlite3.Connection) -> None:
            db.execute("UPDATE undos SET ended = ?, error = ? WHERE tx = ? AND number = ? AND attempt = ?", row)
            if error is None:
                set_undo(db, tx, number, "undone")

        return self._fact(work)

    def settled(self, step: Step[Any]) -> Request | None:
        tx, number = self.place_of(step)
        state = step.state
        if state is StepState.UNDONE and not step._record[DEFINITION].read_only:
            return None  # that is in the file already, with the attempt
        reason = next((shown(e) for s, e in (*self.report().failures, *self.report().conflicts) if s is step), None)
        return self._fact(lambda db: set_undo(db, tx, number, str(state), reason and readable(reason)))

    def rolled_back(self, block: Any) -> Request | None:
        tx = self.tx
        if tx is None:
            return None

        def work(db: sqlite3.Connection) -> None:
            never_run(db, tx, list(self._intended))
            finish(db, tx)

        def end() -> None:
            self._try(work, sync=True)
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
        if isinstance(hook.function, DurableFunction):
            name = name_of_function(hook.function, self.store.path)
            arguments = self.values.call(hook.function, hook.args, hook.kwargs, hook.name)
            self._hooks[hook] = name, arguments, os.urandom(16).hex()

    def calling_hook(self, hook: Hook) -> Request | None:
        number = self._called.get(hook)
        if number is None:
            return None
        running_hook.set(self._hooks[hook][2])
        statement = "UPDATE hooks SET attempts = attempts + 1 WHERE tx = ? AND number = ?"
        return self._fact(lambda db: db.execute(statement, (self.tx, number)), sync=True)

    def called_hook(self, hook: Hook, error: BaseException | None) -> Request | None:
        tx, number = self.tx, self._called.get(hook)
        if number is None or tx is None:
            return None
        running_hook.set(None)
        self._hooks_left -= 1
        last = not self._hooks_left
        return self._fact(lambda db: hook_called(db, tx, number, error, last=last))

    # -- writing

    def _call(self, work: Work) -> Call:
        """Record an outcome; if that fails, so has the step."""
        return Call(lambda: self.store.write(work, sync=False))

    def _fact(self, work: Work, *, sync: bool = False) -> Call:
        """Record what has happened, whatever comes of that."""
        return Call(lambda: self._try(work, sync=sync))

    def _try(self, work: Work, *, sync: bool) -> None:
        try:
            self.store.write(work, sync=sync)
        except Exception as error:
            self.store.late.append(work)
            self.report().journal_failures.append(error)


def hook_called(db: sqlite3.Connection, tx: int, number: int, error: BaseException | None, *, last: bool) -> None:
    """A durable hook has been called; after the `last` one the transaction has ended, if all have succeeded."""
    if error is None:
        db.execute("UPDATE hooks SET ended = ?, error = NULL WHERE tx = ? AND number = ?", (now(), tx, number))
    else:
        db.execute("UPDATE hooks SET error = ? WHERE tx = ? AND number = ?", (readable(shown(error)), tx, number))
    if last:
        db.execute(
            "UPDATE transactions SET owner = NULL, "
            "reason = (SELECT 'commit hook ' || name || ': ' || coalesce(error, 'not called yet') FROM hooks "
            "WHERE tx = transactions.id AND ended IS NULL LIMIT 1), "
            "ended = CASE WHEN EXISTS (SELECT 1 FROM hooks WHERE tx = transactions.id AND ended IS NULL) "
            "THEN NULL ELSE ? END WHERE id = ?",
            (now(), tx),
        )
