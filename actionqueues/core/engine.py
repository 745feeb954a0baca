"""What undoing does: a walk backwards through a log, and through what its entries contain.

Everything here is a generator that yields what must be waited for (see `requests.py`), so it serves sync and async
blocks, the classic queue and recovery alike.  Nothing of it runs for a step that succeeds.

How far a walk has come is in the log itself: an entry is taken out of it, and kept in `Rollback.entry`, before its
handler is called.  However often the walk is interrupted and begun again, no handler is called twice, and none is
forgotten.

Stands on handlers, logs and reports.  Used by what fails or ends: steps, blocks, the classic queue, recovery.
"""

from __future__ import annotations

from inspect import iscoroutine
from typing import Any, ClassVar, cast

from actionqueues.errors import RollbackConflict
from actionqueues.report import Report, UndoFailure

from .definition import Definition
from .handler import unawaited
from .interrupts import InterruptGuard
from .log import Log
from .requests import Await, Shielded
from .states import UNDOABLE, StepState
from .step import DEFINITION, OUTCOME, PENDING, Record, Step
from .text import add_note, first_of, log_warning, shown
from .undoer import Undoer
from .watch import Hook, Watch

__all__ = ["Rollback", "note_failure"]

_NO_ROOM = frozenset({RecursionError, MemoryError})


class Rollback(Undoer):
    """One undoing: of a whole block, of one step that has failed, of a classic queue, or of a dead process's work.

    Attributes:
        report: where the outcomes go.
        cause: why it runs: what left the block, or the error of the step; None for an explicit one.
        watch: what has to know of each undo, or None.
        awaits: whether coroutines of plain callables are awaited.
        guard: what keeps Ctrl-C away meanwhile.
        entry: what is being undone right now; it is in no log any more.
        top: what it walks through.
        value: the coroutine that its handler has returned, to be awaited.
        interrupts: what was raised that is no `Exception`; the first is to be raised once everything is undone.
        problems: the undos that failed.
        left: the other steps that it had to leave, each with the reason.
        abandoned: the steps that a third Ctrl-C has left.
        ended: whether everything has been undone that could be.
        dropped: the queued steps whose marks it has met.
        disowned: whether this is a child process of the one that has begun it.
        by_hand: whether it is a ``q.rollback()``.
        cut: what has interrupted the walk, until the undo that it has hit is accounted for.
        dooms: what must not commit any more once an undo has failed: the block of a failed step or savepoint.
        fruitless: how often in a row there was no room, on the stack or in memory, to account for any undo.
    """

    undoes: ClassVar = True

    # What most rollbacks never change is kept in the class.
    top: Log | None = None
    entry: Record | Step[Any] | None = None
    value: Any = None
    left: tuple[tuple[Step[Any], str], ...] = ()
    abandoned: tuple[Step[Any], ...] = ()
    dropped: tuple[Step[Any], ...] = ()
    ended = disowned = by_hand = False
    cut: BaseException | None = None
    dooms: Any = None
    fruitless = 0

    def __init__(
        self, report: Report, cause: BaseException | None = None, watch: Watch | None = None, awaits: bool = False
    ) -> None:
        self.report = report
        self.cause = cause
        self.watch = watch
        self.awaits = awaits
        self.guard = InterruptGuard()
        self.interrupts: list[BaseException] = []
        self.problems: list[UndoFailure] = []

    @property
    def step(self) -> Step[Any] | None:
        """The step that is being undone."""
        entry = self.entry
        if type(entry) is list:
            entry = self.entry = Step(entry, StepState.RUNNING)
        return cast("Step[Any] | None", entry)

    def unwind(self, top: Log, *, whole: bool = False) -> Shielded | None:
        """Undo all that `top` contains, backwards, and, if `whole`, the step whose log it is as well.

        Returns:
            The generator that does it, or None if it is done: because nothing had to be waited for.
        """
        if self.cut is not None:
            self.settle()
        self.top = top
        failed = None if self.watch is not None else self._unwind_quickly(top)
        if top or failed is not None or whole or self.entry is not None:
            return self._unwind(top, failed, whole=whole)
        self.ended = True
        return None

    def _unwind_quickly(self, log: Log) -> BaseException | None:
        """Undo, from the end of a log, what takes one call of a handler each, and stop in front of what takes more.

        Returns:
            What a handler has raised; that one is still `entry`, as it is if somebody has asked for its step.
        """
        undone = self.report._undone.append
        while log:
            entry = log[-1]
            if type(entry) is not list:
                return None
            definition: Definition = entry[DEFINITION]
            quick = definition.quick
            if quick is None or definition.awaits_undo or entry[OUTCOME] is PENDING:
                return None
            self.entry = entry
            log.pop()
            try:
                value = quick(entry)
            except BaseException as error:
                return error
            if value is not None and iscoroutine(value):
                if self.awaits and definition.frame is None:  # a plain callable, which nobody has declared to be sync
                    self.value = value
                    return None
                return unawaited(value, definition.name)
            if self.entry is not entry:
                return None
            undone(definition)
            self.entry = None
        return None

    def _unwind(self, top: Log, failed: BaseException | None, *, whole: bool) -> Shielded:
        """The same, from where it takes more than that."""
        path = [top]
        while path or self.entry is not None:
            if self.entry is not None:  # what has been called quickly, and is not accounted for
                if self.value is not None:
                    value, self.value = self.value, None
                    failed = yield Await(value, cast("Step[Any]", self.step).name)
                yield from self._undo(cast("Step[Any]", self.step), failed, called=True)
                self.entry = failed = None
                continue
            log = path[-1]
            if log:
                entry = log[-1]
                if type(entry) is Log:
                    if entry or entry.record is None or entry.block.is_shut:
                        path.append(entry)
                        continue
                    inner, entry = entry, entry.record  # of a step that has made nothing, as most in an async block
                    self.entry = entry
                    inner.direct, inner.record = False, None
                elif type(entry) is tuple:
                    self._drop(entry[0])
                    log.pop()
                    continue
                elif type(entry) is list and self.watch is None:
                    before = len(log)
                    failed = self._unwind_quickly(log)
                    if len(log) < before:
                        continue
                self.entry = entry
                log.pop()
            else:
                path.pop()
                log.direct = False
                entry = log.record if path or whole else None
                if path and (entry is None or log.block.is_shut):
                    log.block.unwound(log, failed=bool(self.problems))
                if entry is not None:
                    self.entry = entry
                    log.record = None
                if path and path[-1] and path[-1][-1] is log:
                    path[-1].pop()
                if entry is None:
                    continue
            late, called = None, False
            if type(entry) is list and entry[DEFINITION].awaits_undo and self.watch is None:
                quick = entry[DEFINITION].quick
                if quick is not None and entry[OUTCOME] is not PENDING:
                    called = True
                    try:
                        value = quick(entry)
                    except BaseException as error:
                        late = error
                    else:
                        late = yield Await(value, entry[DEFINITION].name)
                    if late is None and self.entry is entry:
                        self.report._undone.append(entry[DEFINITION])
                        self.entry = None
                        continue
            yield from self._undo(cast("Step[Any]", self.step), late, called=called)
            self.entry = None
        if self.dropped:
            self.report.dropped.extend(self.dropped)
            self.dropped = ()
        self.ended = True

    def _drop(self, mark: Any) -> None:
        """What has registered it is being undone."""
        if isinstance(mark, Hook):
            mark.dropped = True
        elif mark.state is StepState.QUEUED:
            mark._move(StepState.DROPPED)
            self.dropped = (mark, *self.dropped)  # the walk meets the last one first

    def interrupted(self, interrupt: BaseException) -> None:
        """Something has come out of the walk itself; what was being undone then counts as tried.

        That is the work of a signal handler that is not the guard's.  The second Ctrl-C through one gets out at once.
        Or there is no room for the walk, on the stack or in memory, and in vain it is not tried for ever.
        """
        if type(interrupt) in _NO_ROOM:
            self.fruitless += 1
            if self.fruitless > 2:
                self.guard.broken = interrupt
                raise interrupt
        if self.disowned:
            raise interrupt  # pragma: no cover - in a child process, where no tracer looks
        second = any(isinstance(each, KeyboardInterrupt) for each in self.interrupts)
        self.settle()
        if self.guard.broken is None and second and isinstance(interrupt, KeyboardInterrupt):
            self.guard.broken = interrupt
        if self.guard.broken is not None:
            raise interrupt

    def settle(self) -> None:
        """The undo that was cut short counts as tried; told later, if there was no room on the stack for it before."""
        if self._is_untouched():
            self.entry = None
        cut, step = self.cut, self.step
        if cut is not None:
            if step is not None and step.state in UNDOABLE:
                if step.state is StepState.RUNNING:
                    step._move(StepState.UNKNOWN)
                self.fruitless = 0
                self._failed(step, cut)
            elif not isinstance(cut, Exception):
                self.interrupts.append(cut)
        self.cut = self.entry = None

    def _is_untouched(self) -> bool:
        """Whether `entry` still stands where it was found: then its handler has not been called."""
        log = self.top
        while log and type(log[-1]) is Log:
            log = log[-1]
        if log is None:
            return False
        found = log[-1] if log else log.record
        return self.entry is not None and (
            found is self.entry or (isinstance(self.entry, Step) and self.entry._record is found)
        )

    def interrupt(self) -> BaseException | None:
        """What has to be raised now that everything is undone, because it would be lost otherwise."""
        return first_of(self.guard.kept, *self.interrupts)

    def abandon(self, top: Log) -> None:
        """A third Ctrl-C has cut it short, or a lack of room: account for what is left."""
        self.settle()
        path = [top]
        while path:
            log = path[-1]
            entry = log.pop() if log else None
            if type(entry) is Log:
                path.append(entry)
                continue
            if not log and entry is None:
                path.pop()
                entry, log.record = log.record, None
                if path:
                    log.block.unwound(log, failed=True)
            if type(entry) is tuple:
                self._drop(entry[0])
            elif entry is not None:
                self.entry = entry
                step, self.entry = self.step, None
                if step is not None and step.state in UNDOABLE:
                    self.abandoned += (step,)
                    self.report.abandoned.append(step)

    def note_on(self, error: BaseException | None) -> None:
        """Tell, in the log and on the exception that goes on, what had to be left."""
        if self.left:
            what = ", ".join(f"{step.name} ({reason})" for step, reason in self.left)
            log_warning(f"{self.report.name}: not undone: {what}")
            if error is not None:
                add_note(error, f"not undone: {what}")
        if error is None:
            return
        for failure in self.problems:
            note_failure(error, failure)
        if self.abandoned:
            names = ", ".join(step.name for step in self.abandoned)
            what = "for lack of room" if type(self.guard.broken) in _NO_ROOM else "by a third Ctrl-C"
            add_note(error, f"the rollback was cut short {what}; not undone: {names}")


def note_failure(error: BaseException, failure: UndoFailure, *, once: bool = False) -> None:
    """Tell, on an exception, of an undo that has failed."""
    what = "met a conflict" if isinstance(failure.error, RollbackConflict) else "failed"
    add_note(error, f"the undo of {failure.step.name} {what}: {shown(failure.error)}", once=once)
