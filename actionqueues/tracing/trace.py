"""`Trace`: the watch that keeps what happens in a transaction, with times, in its report, and tells listeners.

It stands between the transaction and the watch that records it, if there is one: that is asked first where it may
refuse, and is told of what has happened after the trace.

Stands on listening, entries and the seam.  Used by whatever begins: blocks, classic queues, recovery.
"""

from __future__ import annotations

from itertools import count
from time import time
from typing import Any
from weakref import WeakKeyDictionary

from actionqueues import events
from actionqueues.core.entries import StepReport, frozen_record
from actionqueues.core.kept import reason_of, told_of
from actionqueues.core.log import get_current
from actionqueues.core.requests import Request
from actionqueues.core.states import StepState, TransactionState
from actionqueues.core.step import DEFINITION, Step
from actionqueues.core.watch import SEAM, Hook, Passing, Watch
from actionqueues.report import Report

from .listening import tell_all

__all__ = ["Trace"]


class _Nothing(BaseException):
    """What a trace that stands alone raises by itself: whatever comes out of it has interrupted it."""


class Trace(Passing):
    """Serves one outermost transaction, queue or recovery, and passes everything on to `inner`.

    Attributes:
        report: that of the transaction.
        entries: what is known of each step, by the step; of each savepoint, by its block.
    """

    def __init__(self, report: Report, inner: Watch | None) -> None:
        super().__init__(inner)
        self.report = report
        self.raises = _Nothing if inner is None else inner.raises
        # Weak: a step refers to its error, whose traceback holds the frames that hold this.
        self.entries: WeakKeyDictionary[Any, StepReport] = WeakKeyDictionary()
        self._undo_errors: WeakKeyDictionary[Step[Any], BaseException] = WeakKeyDictionary()
        self._steps: list[StepReport] = []
        self._queued: list[StepReport] = []
        self._waiting: dict[StepReport | None, int] = {}  # how many of those that they contain are queued
        self._undoing: set[Step[Any]] = set()
        self._hook: Hook | None = None
        self._phase = ""
        self.error: BaseException | None = None
        self._count = count(1)
        report._traced, report._masked = self._steps, self.masked

    def _tell(self, cls: Any, *values: Any) -> None:
        if SEAM.listeners and self.inner.is_news():
            tell_all(cls(self.report, time(), *values))

    def _once(self, phase: str) -> bool:
        """Whether it has come to this phase only now: what is interrupted while it tells, is asked to tell it again."""
        before, self._phase = self._phase, phase
        return before != phase

    def _open(self) -> None:
        self.report.started = time()
        self._tell(events.TransactionOpened)

    def entering(self, block: Any) -> None:
        self.inner.entering(block)
        new = block.state == TransactionState.NEW
        self.report.state = TransactionState.OPEN if new else block.state  # as it is once this has returned
        try:
            self._open()
        except BaseException:  # of a listener, or of a signal handler that came by: it is not entered
            self._tell(events.TransactionEnded)
            raise

    def recovering(self, owner: Any) -> None:
        self._open()
        if owner.state != TransactionState.COMMITTED:  # otherwise its hooks are called
            self.error, self._phase = owner.cause, "rolling back"
            self._tell(events.TransactionRollingBack, owner.cause)
        self.inner.recovering(owner)

    # -- steps

    def _entry(self, step: Step[Any]) -> StepReport:
        """What is known of a step; made once."""
        entry = self.entries.get(step)
        if entry is None:
            entry = self.entries[step] = told_of(frozen_record(step._record), str(step.state))
            entry.hidden = self.hidden
            entry.parent = self._around()
            if step.state is StepState.QUEUED:
                self._siblings(entry).append(entry)
                self._queued.append(entry)
                self._waiting[entry.parent] = self._waiting.get(entry.parent, 0) + 1
            else:
                self._put(entry)
        return entry

    def _put(self, entry: StepReport) -> None:
        """Put what has started behind what has started before it, and what waits behind all of that."""
        siblings, waiting = self._siblings(entry), self._waiting.get(entry.parent, 0)
        siblings.insert(len(siblings) - waiting, entry)

    def _siblings(self, entry: StepReport) -> list[StepReport]:
        return self._steps if entry.parent is None else entry.parent.contains

    def _around(self) -> StepReport | None:
        """The step or savepoint that what is done here belongs to."""
        log = get_current()
        while log is not None and log.block.real.root.report is not self.report:
            log = log.up
        while log is not None:
            block = log.block.real
            if log.record is not None:
                return self.entries.get(log.record)
            if getattr(block, "log", None) is log and block.root is not block:
                return self._savepoint(block)
            log = log.up
        return None

    def _savepoint(self, block: Any) -> StepReport:
        entry = self.entries.get(block)
        if entry is None:
            entry = self.entries[block] = StepReport("savepoint", block.name, str(block.state))
            entry.number, entry.started = next(self._count), time()
            block.report._traced, block.report._masked = entry.contains, self.masked
            log = block.log.up
            around = self.entries.get(log.record) if log.record is not None else None
            if around is None and log.block.real.root is not log.block.real:
                around = self._savepoint(log.block.real)
            entry.parent = around
            self._put(entry)
        return entry

    def queued(self, step: Step[Any]) -> None:
        self.inner.queued(step)
        entry = self._entry(step)
        entry.queued, entry.attempts = time(), 0
        self._tell(events.StepQueued, entry)

    def attempting(self, step: Step[Any]) -> Request | None:
        entry = self._entry(step)
        if entry.state == StepState.QUEUED:
            self._waiting[entry.parent] -= 1  # the first of those that wait, behind what has started
        entry.state, entry.attempts, entry.key = "running", step.attempts, step._key
        if self.report.id is None:
            self.report.id = self.inner.id
        if step.attempts == 1:
            entry.number, entry.started = next(self._count), time()
            self._tell(events.StepStarted, entry)
        else:
            self._tell(events.StepRetried, entry, step.error, step.attempts)
        return self.inner.attempting(step)

    def attempted(self, step: Step[Any], result: object, error: BaseException | None) -> Request | None:
        entry = self._entry(step)
        entry.ended, entry.key = time(), step._key
        if error is not None:
            entry.error = self.report._text(error)
        return self.inner.attempted(step, result, error)

    def over(self, step: Step[Any], error: BaseException | None) -> None:
        entry = self._entry(step)
        told, entry.key = entry.state != "running", step._key
        if error is None:
            entry.state, entry.error = "done", None
        else:
            entry.state = str(step.state) if step.state in (StepState.UNKNOWN, StepState.DROPPED) else "failed"
            entry.error = self.report._text(error)
        if not told and error is None:
            self._tell(events.StepDone, entry)
        elif not told:
            self._tell(events.StepFailed, entry, error)
        self.inner.over(step, error)

    def recorded(self, step: Step[Any]) -> Request | None:
        entry = self._entry(step)
        entry.number = next(self._count)
        entry.started = entry.ended = time()
        self._tell(events.StepDone, entry)
        return self.inner.recorded(step)

    # -- the end

    def committed(self, block: Any) -> None:
        self.inner.committed(block)
        self.report.state = block.state
        self._over()
        self._phase = "committed"
        self._tell(events.TransactionCommitted)

    def _over(self) -> None:
        self.report.ended = time()
        if self.report.id is None:
            self.report.id = self.inner.id

    def rolling_back(self, block: Any, error: BaseException | None) -> Request | None:
        self.error = error
        if self._once("rolling back"):
            self._tell(events.TransactionRollingBack, error)
        return self.inner.rolling_back(block, error)

    def undoing(self, step: Step[Any]) -> Request | None:
        entry = self._entry(step)
        if step not in self._undoing:
            self._undoing.add(step)
            entry.undo, entry.undo_attempts = "running", entry.undo_attempts + 1
            if entry.undo_started is None:
                entry.undo_started = time()
            self._tell(events.StepUndoing, entry, entry.undo_attempts)
        return self.inner.undoing(step)

    def undone(self, step: Step[Any], error: BaseException | None) -> Request | None:
        entry = self._entry(step)
        self._undoing.discard(step)
        entry.undo_ended, entry.key = time(), step._key
        entry.undo_error = None
        if error is not None:
            entry.undo_error, self._undo_errors[step] = self.report._text(error), error
        return self.inner.undone(step, error)

    def settled(self, step: Step[Any]) -> Request | None:
        entry = self._entry(step)
        self._undoing.discard(step)
        if entry.state == "running":
            entry.state = "unknown"  # an interrupt has kept it from being told how it has ended
        if not step._record[DEFINITION].read_only and entry.undo != str(step.state):
            self._settle(step, entry)
        return self.inner.settled(step)

    def _settle(self, step: Step[Any], entry: StepReport) -> None:
        entry.undo = str(step.state)
        if step.state is StepState.UNDONE:
            self._tell(events.StepUndone, entry)
        elif step.state is not StepState.NOT_LANDED:
            error = self._undo_errors.pop(step, None)
            failed = step.state in (StepState.UNDO_FAILED, StepState.CONFLICT)
            entry.reason = f"its undo raised {entry.undo_error}" if failed else reason_of(step)
            self._tell(events.StepLeft, entry, error, entry.reason)

    def rolled_back(self, block: Any) -> Request | None:
        self._over()
        error, self.error, failed = self.error, None, self.report.failed
        if self.report.state == TransactionState.ROLLING_BACK:  # as it is once this has returned
            ends = TransactionState.ROLLED_BACK, TransactionState.ROLLED_BACK_WITH_FAILURES
            self.report.state = ends[failed]
        if self._once("rolled back"):
            self._tell(events.TransactionStuck if failed else events.TransactionRolledBack, error)
        return self.inner.rolled_back(block)

    def abandoned(self, block: Any) -> None:
        for step, raised in (*self.report.failures, *self.report.conflicts):
            if self._entry(step).undo == "running":  # what was being done was cut short
                self._undo_errors[step], self._entry(step).undo_error = raised, self.report._text(raised)
                self._settle(step, self._entry(step))
        for step in self.report.abandoned:
            entry = self._entry(step)
            entry.undo, entry.reason = "abandoned", self.report._why
            self._tell(events.StepLeft, entry, None, entry.reason)
        self._over()
        error, self.error = self.error, None
        self.report.state = TransactionState.ROLLED_BACK_WITH_FAILURES
        if self._once("rolled back"):  # pragma: no branch - unless it was interrupted while it told of that
            self._tell(events.TransactionStuck, error)
        self.inner.abandoned(block)

    def ended(self, block: Any) -> None:
        report = block.report
        if report is self.report:
            for entry in self._queued:
                if entry.state == "queued":
                    entry.state = "dropped"
            self._queued.clear()
            if self._once("ended"):
                self._tell(events.TransactionEnded)
        else:
            savepoint = self.entries.get(block)
            if savepoint is None and report.state != TransactionState.RELEASED:
                savepoint = self._savepoint(block)  # that has failed with nothing in it
            if savepoint is not None:
                savepoint.state, savepoint.ended, savepoint.error = str(report.state), time(), report.error
        self.inner.ended(block)

    def calling_hook(self, hook: Hook) -> Request | None:
        self._hook = hook
        return self.inner.calling_hook(hook)

    def called_hook(self, hook: Hook, error: BaseException | None) -> Request | None:
        if self._hook is hook:
            self._hook = None
            self._tell(events.HookCalled, hook.name, error)
        return self.inner.called_hook(hook, error)


def _traced(owner: Any, watch: Watch | None) -> Watch:
    return Trace(owner.report, watch)


SEAM.attach_trace(_traced)
