"""`Leftover`: one transaction that a dead process has left, undone in pieces of bounded size, or its hooks called.

What is undone after it has committed is a leftover too, once the file says that it is being rolled back.

Like all that the engine decides it is a generator of requests, so that one text serves programs with an event loop and
without.  Who dies in it leaves it to the next recovery: what has been undone is in the file.

Stands on the engine, and on the recording that it goes on with.  Used by recovery.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import Any, cast

from actionqueues.core.engine import Rollback
from actionqueues.core.hooks import HookRun
from actionqueues.core.log import Owner, new_log
from actionqueues.core.requests import Call, Engine, Shielded
from actionqueues.core.states import TransactionState
from actionqueues.core.telling import log_rolled_back
from actionqueues.core.text import first_of, listed, log_warning
from actionqueues.core.watch import SEAM, Watch, ask
from actionqueues.errors import CommitHookFailed
from actionqueues.report import Report

from .again import Again, HookAgain, RecordingAgain
from .fingerprints import has_changed
from .places import Place, back_again
from .recording import JournalFile
from .repeating import Repetition, repetition_of
from .reporting import steps_of
from .requested import UndoRequested
from .restoring import Restoring
from .rows import LEFT, StepRow, chunk
from .values import RecordedError

__all__ = ["Leftover", "Recovered", "called", "told_changed"]


@dataclass
class Recovered:
    """What a recovery, or `Journal.undo`, has done about one transaction.

    Attributes:
        id: its number in the journal.
        name: its name.
        state: how it is now: ``rolled back``, ``committed`` (its durable hooks have been called), ``undone later`` (it
            had committed, and somebody has asked for that to be undone), ``stuck``, or ``waiting`` for
            ``recover_async``, because undoing it takes an event loop.
        reason: why it is stuck or waits, or None.
        report: what has been undone, and what not.
        repeated_by: the number of a transaction of the same name that has committed since, and has made a step with the
            same arguments, or None: the undo may have hit what that has made.
        changed: the names of the steps whose undo is another code in this program than in the one that has made them.
    """

    __module__ = "actionqueues.journal"

    id: int
    name: str
    state: str
    reason: str | None
    report: Report = field(repr=False)
    repeated_by: int | None = None
    changed: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing is left to a person: it has ended, and everything was undone."""
        return self.state in ("rolled back", "committed", "undone later") and self.report.clean

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What notebooks show."""
        return self.report._repr_mimebundle_(include, exclude)

    def __str__(self) -> str:
        undone = f", {len(self.report.undone)} undone" if self.report.undone else ""
        steps = [*self.report.not_undone, *self.report.skipped]
        left = f", not undone: {listed(steps, lambda step: step.name)}" if steps else ""
        reason = f", {self.reason}" if self.reason else ""
        again = f", though {self.repeated_by} has done the same again since" if self.repeated_by else ""
        changed = f", {told_changed(self.changed)}" if self.changed else ""
        return f"{self.id} {self.name}: {self.state}{undone}{left}{reason}{again}{changed}"


def told_changed(names: Sequence[str]) -> str:
    """What is said of steps that are undone by other code than was recorded with them."""
    which, have = ("handler", "has") if len(names) == 1 else ("handlers", "have")
    return f"the {which} of {listed(names, str)} {have} changed since"


def _changed_among(steps: Sequence[Again]) -> dict[str, None]:
    """The names of those that are undone by other code than was recorded with them, the last one first."""
    undone = [(row, step) for row, step, refused in reversed(steps) if refused is None]
    return {step.name: None for row, step in undone if has_changed(row.fingerprint, step)}


def called(function: Callable[[], object]) -> Engine[None]:
    """Call what may block; raise what that has raised, or what has interrupted it."""
    error = first_of(*(yield from ask(Call, function)))
    if error is not None:
        raise error


class Leftover(Owner):
    """One transaction, while it is recovered.  In the place of its block, it has the log that the steps are put into.

    Args:
        journal: the file.
        made: the resources that there are, by name.
        tx: its number.
        awaits: whether async handlers can be awaited.
        chdir: whether to change to the directories that its steps were begun in.
    """

    name: str
    state: str
    report: Report
    cause: RecordedError | UndoRequested | None
    directory: str | None
    recording: RecordingAgain
    restoring: Restoring
    repetition: Repetition | None = None

    def __init__(self, journal: JournalFile, made: Mapping[str, Any], tx: int, *, awaits: bool, chdir: bool) -> None:
        self.journal = journal
        self.store = journal.store
        self.made = made
        self.tx = tx
        self.name, self.report = "", Report("", TransactionState.ROLLING_BACK)  # until it has been read
        self.chdir = chdir
        self.awaits = awaits
        self.log = new_log(None, self, get_ident(), direct=False)
        self._below = 1 << 62
        self._ended = self._needs_loop = False
        self._requested = False
        self._changed: dict[str, None] = {}

    def recovering(self) -> Engine[Recovered]:
        """Undo it, or call its hooks, unless that takes an event loop that is not there; raise what interrupts that."""
        made: list[Recovered] = []
        yield from called(self._begin)
        if self._needs_loop:
            reason = "undoing it takes an event loop: await journal.recover_async()"
            return Recovered(self.tx, self.name, "waiting", reason, self.report)
        watch = self.watch = cast("Watch", SEAM.watch(self, lambda _: self.recording, trace=False))
        watch.recovering(self)
        with back_again():
            error = yield from self._calling_hooks() if self.state == "committed" else self._undoing()
        watch.ended(self)
        if error is not None:
            raise error
        yield from called(lambda: made.append(self._recovered()))
        return made[0]

    def _begin(self) -> None:
        """Read what is known of it, and say that it is being rolled back, before the first undo."""
        query = "SELECT name, state, error, started, directory, origin, requested FROM transactions WHERE id = ?"
        self.name, self.state, error, started, self.directory, origin, requested = self.store.read(query, (self.tx,))[0]
        self._requested = requested is not None
        self.restoring = Restoring(self.journal.values, self.made, Place(self.directory, chdir=self.chdir))
        committed = self.state == "committed"
        self.report = Report(self.name, TransactionState.COMMITTED if committed else TransactionState.ROLLING_BACK)
        self.report.origin = origin
        self.report.kind, self.report.id = "recovery", self.tx
        self.report._later = partial(steps_of, self.store, self.tx)
        self.recording = RecordingAgain(self.journal, self.tx, self.name, self.report)
        self._needs_loop = not self.awaits and self._looks_for_async()
        if not committed and not self._needs_loop:
            self._look_for_repetition(started)
        if self.state == "open" and not self._needs_loop:
            error = "its process died"
            statement = "UPDATE transactions SET state = 'rolling back', error = ? WHERE id = ?"
            self.store.write_guarded(lambda db: db.execute(statement, (error, self.tx)), sync=True)
        self.report._cause = error
        self.cause = None if error is None else RecordedError(error)  # None: `q.rollback()` was called
        if requested is not None:
            self.cause = UndoRequested.from_json(requested)

    def _look_for_repetition(self, started: str) -> None:
        """Warn of undoing what somebody has done again since, whose effect may be the same thing."""
        found = self.repetition = repetition_of(self.store, self.tx, self.name, started)
        if found is not None:
            advice = "undo that first" if self._requested else "recover before a job is run again"
            log_warning(
                f"{self.store.path}: transaction {self.tx}, {self.name!r}, is being undone, though transaction "
                f"{found.id} of the same name has committed since, with {found.step} of the same arguments: look "
                f"whether what that has made is still there; {advice}, or tell effects apart by step.key",
                transaction=self.name,
                step=found.step,
                state=self.state,
            )

    def _looks_for_async(self) -> bool:
        """Whether a handler or a hook that is due is async."""
        if self.state == "committed":
            query = "SELECT DISTINCT 'by hand', name, NULL FROM hooks WHERE tx = ? AND ended IS NULL"
        else:
            one = "max(CASE kind WHEN 'object' THEN arguments END)"  # of each name, one: it tells the class
            query = f"SELECT kind, name, {one} FROM steps WHERE tx = ? AND {LEFT} GROUP BY 1, 2"  # noqa: S608 - constants
        return any(self.restoring.is_async(*row) for row in self.store.read(query, (self.tx,)))

    def _recovered(self) -> Recovered:
        query = "SELECT state, reason, ended FROM transactions WHERE id = ?"
        state, reason, ended = self.store.read(query, (self.tx,))[0]
        if state == "committed" and ended is None:
            state = "stuck"
        repeated_by = None if self.repetition is None else self.repetition.id
        return Recovered(self.tx, self.name, state, reason, self.report, repeated_by, tuple(self._changed))

    # -- undoing

    def _undoing(self) -> Engine[BaseException | None]:
        """Undo it, however often that is interrupted; returns what is to be raised."""
        watch = cast("Watch", self.watch)
        rollback = Rollback(self.report, cause=self.cause, watch=watch, awaits=self.awaits)
        yield from rollback.to_its_end(lambda: self._unwinding(rollback))
        if rollback.disowned:  # pragma: no cover - in a child process, where no tracer looks
            return rollback.interrupt()
        rollback.log_left()
        failed = TransactionState.ROLLED_BACK_WITH_FAILURES
        undone = TransactionState.UNDONE_LATER if self._requested else TransactionState.ROLLED_BACK
        self.report.state = failed if self.report.failed else undone
        yield from rollback.tell(watch.rolled_back, self)
        log_rolled_back(self.report)
        return rollback.interrupt()

    def _unwinding(self, rollback: Rollback) -> Shielded:
        """Undo it piece by piece; if that is interrupted, it is begun again and goes on where it was."""
        while not self._ended:
            yield from rollback.unwind(self.log, more=True)
            rows: list[StepRow] = []
            raised = yield from ask(Call, partial(self._read, rows))
            rollback.interrupts += [error for error in raised if error is not None]
            try:
                if rows:
                    restoring = self._restoring_at(rows[0].directory)
                    steps = [Again(row, *restoring.step(row)) for row in reversed(rows)]
                    self._changed |= _changed_among(steps)
                    self.recording.expect(steps)
                    self.log.extend(each.step for each in steps)
                    self._below = rows[-1].number
            except BaseException as error:  # of a class of the program's, or of a signal handler: not tried again now
                rollback.interrupts.append(error)
            self._ended = not self.log
        rollback.ended = True

    def _read(self, rows: list[StepRow]) -> None:
        found = chunk(self.store, self.tx, self._below)
        rows += takewhile(lambda row: row.directory == found[0].directory, found)

    def _restoring_at(self, directory: str | None) -> Restoring:
        """What makes again what was begun in a directory, which is changed to if that is wanted."""
        place = Place(self.directory if directory is None else directory, chdir=self.chdir)
        place.enter()
        return Restoring(self.journal.values, self.made, place)

    # -- hooks

    def _calling_hooks(self) -> Engine[BaseException | None]:
        """Call the durable hooks that have not been called; returns what is to be raised."""
        run = HookRun(self.report, f"the transaction {self.name!r}", self.watch)
        yield from called(lambda: self._read_hooks(run))
        yield from run.to_its_end(run.calls)
        error = run.result()
        return None if isinstance(error, CommitHookFailed) else error  # that is in the report, and in the file

    def _read_hooks(self, run: HookRun) -> None:
        query = (
            "SELECT number, name, arguments, key, directory FROM hooks WHERE tx = ? AND ended IS NULL ORDER BY number"
        )
        rows = self.store.read(query, (self.tx,))
        run.hooks = [HookAgain(self._restoring_at, row, last=place == len(rows)) for place, row in enumerate(rows, 1)]
