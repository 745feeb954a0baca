"""What undoing does: a walk backwards through a log, and through what its entries contain.

Everything here is a generator that yields what must be waited for (see `requests.py`), so it serves sync and async
blocks, the classic queue and recovery alike.  Nothing of it runs for a step that succeeds.

How far a walk has come is in the log itself: an entry is taken out of it, and kept in `Rollback.entry`, before its
handler is called.  However often the walk is interrupted and begun again, no handler is called twice, and none is
forgotten.

Stands on handlers, logs and reports.  Used by what fails or ends: steps, blocks, the classic queue, recovery.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable, iscoroutine
from typing import Any, ClassVar, cast

from actionqueues.errors import NotLanded, RollbackConflict
from actionqueues.report import Report, UndoFailure

from .attempts import Attempts
from .definition import Definition
from .handler import Handler, unawaited
from .interrupts import InterruptGuard
from .log import Log, Owner, logs_in
from .requests import Asking, Await, Request, Shield, Shielded, Wait
from .states import UNDOABLE, StepState
from .step import DEFINITION, OUTCOME, PENDING, Record, Step
from .text import add_note, first_of, log_error, log_warning, shown
from .watch import Hook, Watch, ask

_NO_ROOM = (RecursionError, MemoryError)


class Rollback(Shield):
    """One undoing: of a whole block, of one step that has failed, of a classic queue, or of a dead process's work.

    Attributes:
        report: where the outcomes go.
        cause: why it runs: what left the block, or the error of the step; None for an explicit one.
        watch: what has to know of each undo, or None.
        awaits: whether coroutines of plain callables are awaited.
        guard: what keeps Ctrl-C away meanwhile.
        log: the one that it is in.
        entry: what is being undone right now; it is in no log any more.
        problems: the undos that failed.
        left: the other steps that it had to leave, each with the reason.
        abandoned: the steps that a third Ctrl-C has left, or that there was no room for, on the stack or in memory.
        dropped: the queued steps whose marks it has met.
        by_hand: whether it is a ``q.rollback()``.
        dooms: what must not commit any more once an undo has failed: the block of a failed step or savepoint.
    """

    undoes: ClassVar[bool] = True

    # What most rollbacks never change is kept in the class.
    log: Log | None = None
    entry: Record | Step[Any] | None = None
    left: tuple[tuple[Step[Any], str], ...] = ()
    abandoned: tuple[Step[Any], ...] = ()
    dropped: tuple[Step[Any], ...] = ()
    by_hand = False
    dooms: Owner | None = None

    def __init__(
        self, report: Report, cause: BaseException | None = None, watch: Watch | None = None, awaits: bool = False
    ) -> None:
        self.report = report
        self.cause = cause
        self.watch = watch
        self.awaits = awaits
        self.guard = InterruptGuard()
        self.interrupts = []
        self.problems: list[UndoFailure] = []

    @property
    def step(self) -> Step[Any] | None:
        """The step that is being undone."""
        entry = self.entry
        if type(entry) is list:
            entry = self.entry = Step(entry, StepState.RUNNING)
        return cast("Step[Any] | None", entry)

    # -- the walk

    def unwind(self, top: Log, *, whole: bool = False, more: bool = False) -> Shielded:
        """Undo all that `top` contains, backwards, and, if `whole`, the step whose log it is as well.

        That is the end of it, unless there is `more` to be done.
        """
        path, undone = [top], self.report._undone.append
        while path:
            log = self.log = path[-1]
            entry = log[-1] if log else None
            if type(entry) is list:
                self.entry = entry
                log.pop()
            elif type(entry) is Log:
                if entry:
                    path.append(entry)
                    continue
                inner, entry = entry, entry.record
                if entry is None:
                    inner.block.unwound(inner, self)
                    if log and log[-1] is inner:
                        log.pop()
                    continue
                self.entry = entry
                log.pop()
                inner.direct, inner.record = False, None
            elif type(entry) is tuple:
                self._drop(entry[0])
                log.pop()
                continue
            elif entry is not None:
                self.entry = entry
                log.pop()
            elif whole and log is top and log.record is not None:
                self.entry = entry = log.record
                log.record = None
            else:
                path.pop()
                continue
            error, called = None, False
            if type(entry) is list and self.watch is None and entry[OUTCOME] is not PENDING:
                definition: Definition = entry[DEFINITION]
                quick = definition.quick
                if quick is not None:
                    called = True
                    try:
                        value: Any = quick(entry)
                    except BaseException as raised:
                        error = raised
                    else:
                        if value is not None:
                            if definition.awaits_undo or self._may_await(definition, value):
                                error = yield Await(value, definition.name)
                            elif iscoroutine(value):
                                error = unawaited(value, definition.name)
                        if error is None and self.entry is entry:  # otherwise its handler has asked for the `Step`
                            undone(definition)
                            self.entry = None
                            continue
            yield from self._undo(cast("Step[Any]", self.step), error, called=called)
            self.entry = error = None
        if self.dropped:
            self.report.dropped.extend(self.dropped)
            self.dropped = ()
        self.ended = not more

    def _may_await(self, definition: Definition, value: object) -> bool:
        """A plain callable, of which nobody knows whether it is async, is awaited where anything can be."""
        return self.awaits and definition.frame is None and isawaitable(value)

    def _drop(self, mark: Any) -> None:
        """What has registered it is being undone."""
        if isinstance(mark, Hook):
            mark.dropped = True
        elif mark.state is StepState.QUEUED:
            mark._move(StepState.DROPPED)
            self.dropped = (mark, *self.dropped)  # the walk meets the last one first

    # -- one step

    def _undo(self, step: Step[Any], error: BaseException | None = None, *, called: bool = False) -> Shielded:
        """Undo one step, or say why not; if its handler has been `called` already, `error` is what that raised."""
        if step.state not in UNDOABLE:
            return  # pragma: no cover - an interrupt has left it in the log although it is accounted for
        if step.state is StepState.RUNNING:
            step._move(StepState.UNKNOWN)  # interrupted between its record and its body, or between that and its result
        definition: Definition = step._record[DEFINITION]
        if definition.read_only:
            step._move(StepState.UNDONE)
        elif not (
            step.state is StepState.UNKNOWN and definition.probe is not None and (yield from _probing(step, definition))
        ):
            handler = self._handler_of(step, definition)
            if handler is not None:
                yield from self._attempts(step, handler, error, called=called)
        if self.watch is not None:
            yield from self.tell(self.watch.settled, step)

    def tell(self, method: Callable[..., Request | None], *args: object) -> Shielded:
        """Let a watch know; nothing that it raises stops the undoing."""
        error, interrupted = yield from ask(method, *args)
        if error is not None:
            log_error(f"{self.report.name}: {method.__qualname__} failed: {shown(error)}", error)
        self.interrupts += [
            each for each in (error, interrupted) if each is not None and not isinstance(each, Exception)
        ]

    def _handler_of(self, step: Step[Any], definition: Definition) -> Handler | None:
        """What undoes a step; None if nothing does, which has then been reported."""
        try:
            handler = definition.handler_of(step._record)
        except Exception as unusable:  # a subclass overrides the handler with one that cannot be called
            self._failed(step, unusable)
            return None
        if handler is None:
            step._move(StepState.NOT_UNDONE)
            self.report.not_undone.append(step)
            self.left += ((step, "irreversible" if definition.irreversible else "no rollback handler"),)
        elif handler.needs_result and not step.has_result:
            step._move(StepState.SKIPPED)
            self.report.skipped.append(step)
            self.left += ((step, f"{handler.name} needs its result, which it does not have"),)
            handler = None
        return handler

    def _attempts(self, step: Step[Any], handler: Handler, error: BaseException | None, *, called: bool) -> Shielded:
        """Call a handler as often as its policy wants; `called`: for the first time already, which raised `error`."""
        attempts = Attempts(handler.retry)
        if self.watch is not None:
            self.watch.retrying(step, attempts)
        while True:
            if not called:
                error = yield from self._attempt(step, handler)
            called = False
            if error is None:
                step._move(StepState.UNDONE)
                self.report._undone.append(step._record[DEFINITION])  # not the step, which refers to its error
                return
            if self.disowned:
                raise error  # pragma: no cover - in a child process, where no tracer looks
            broken = self.guard.broken
            if broken is not None and error is broken:
                self._failed(step, broken)
                raise broken
            final = isinstance(error, RollbackConflict) or not isinstance(error, Exception)
            if final or not attempts.another(error):
                self._failed(step, error)
                return
            interrupt = yield Wait(attempts.wait)
            if interrupt is not None:
                self.interrupts.append(interrupt)

    def _attempt(self, step: Step[Any], handler: Handler) -> Asking[BaseException | None]:
        """Call a handler once, with the watch asked before and after; returns what it raised."""
        watch, interrupted = self.watch, None
        if watch is not None:
            error, interrupted = yield from ask(watch.undoing, step)
            if error is not None:
                return error
        error, definition = None, step._record[DEFINITION]
        try:
            value: Any = handler.call(step)
        except BaseException as raised:
            error = raised
        else:
            if handler.is_async or self._may_await(definition, value):
                error = yield Await(value, handler.name)
            elif iscoroutine(value):
                error = unawaited(value, definition.name)
        if watch is None:
            return error
        late, also = yield from ask(watch.undone, step, error)
        self.interrupts += [each for each in (interrupted, also) if each is not None]
        return first_of(error, late)

    def _failed(self, step: Step[Any], error: BaseException) -> None:
        conflict = isinstance(error, RollbackConflict)
        failure, failures = UndoFailure(step, error), self.report.conflicts if conflict else self.report.failures
        step._move(StepState.CONFLICT if conflict else StepState.UNDO_FAILED)
        failures.append(failure)
        self.problems.append(failure)
        if self.dooms is not None:
            self.dooms.doom([failure])
        if not isinstance(error, Exception):
            self.interrupts.append(error)
        what = "met a conflict" if conflict else "failed"
        log_error(f"{self.report.name}: the undo of {step.name} {what}: {shown(error)}", error)

    # -- what interrupts it, and its end

    def interrupted(self, interrupt: BaseException) -> None:
        """Something has come out of the walk itself; what was being undone then counts as tried.

        That is the work of a signal handler that is not the guard's, whose second Ctrl-C gets out at once.  Or there is
        no room for the walk, on the stack or in memory: then it is cut short, as by a third Ctrl-C.
        """
        if self.disowned:
            raise interrupt  # pragma: no cover - in a child process, where no tracer looks
        no_room, pressed = isinstance(interrupt, _NO_ROOM), isinstance(interrupt, KeyboardInterrupt)
        again = pressed and any(isinstance(each, KeyboardInterrupt) for each in self.interrupts)
        if self.guard.broken is None and (again or no_room):
            self.guard.broken = interrupt
        found: Any = (self.log[-1] if self.log else self.log.record) if self.log is not None else None
        if self.entry is (found.record if type(found) is Log else found):
            self.entry = None  # it has not been taken out yet, let alone called
        if not no_room:  # otherwise there is none for this either, but where it ends
            self.settle(interrupt)
        if self.guard.broken is not None:
            raise interrupt

    def settle(self, interrupt: BaseException) -> None:
        """Account for what was being undone when it was interrupted."""
        step = self.step
        if step is not None and step.state in UNDOABLE:
            if step.state is StepState.RUNNING:
                step._move(StepState.UNKNOWN)
            self._failed(step, interrupt)
        else:
            self.interrupts.append(interrupt)
        self.entry = None

    def interrupt(self) -> BaseException | None:
        """What has to be raised now that everything is undone, because it would be lost otherwise.

        If the task was cancelled again meanwhile, that is none: the first cancellation, its `cause`, goes on.
        """
        news = [each for each in self.interrupts if is_exit(each) or type(each) is not type(self.cause)]
        return first_of(self.guard.broken, self.guard.kept, *news)

    def abandon(self, top: Log) -> None:
        """A third Ctrl-C has cut it short, or a lack of room: account for what is left."""
        if self.entry is not None and self.guard.broken is not None:
            self.settle(self.guard.broken)
        for log in list(logs_in(top)):
            for entry in (*reversed(log), log.record):
                if type(entry) is tuple:
                    self._drop(entry[0])
                elif entry is not None and type(entry) is not Log:
                    step = entry if isinstance(entry, Step) else Step(entry, StepState.RUNNING)
                    if step.state in UNDOABLE:  # pragma: no branch - otherwise it was interrupted there
                        self.abandoned += (step,)
                        self.report.abandoned.append(step)
            if log is not top and log.record is None:
                log.block.unwound(log, self)
            log.clear()
            log.record = None
        self.report.dropped.extend(self.dropped)

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
            what = "for lack of room" if isinstance(self.guard.broken, _NO_ROOM) else "by a third Ctrl-C"
            add_note(error, f"the rollback was cut short {what}; not undone: {names}")


def is_exit(error: BaseException | None) -> bool:
    """Whether it ends the program, and is not to be lost in favour of a cancellation."""
    return isinstance(error, KeyboardInterrupt | SystemExit)


def note_failure(error: BaseException, failure: UndoFailure, *, once: bool = False) -> None:
    """Tell, on an exception, of an undo that has failed."""
    what = "met a conflict" if isinstance(failure.error, RollbackConflict) else "failed"
    add_note(error, f"the undo of {failure.step.name} {what}: {shown(failure.error)}", once=once)


def _probing(step: Step[Any], definition: Definition) -> Asking[bool]:
    """Ask the probe of a step (``@fn.landed``) what became of it.

    Returns:
        Whether it never happened, so that there is nothing to undo.  Otherwise it is done, with the result that the
        probe has returned, or, if that has failed, still unknown.
    """
    probe = cast("Handler", definition.probe)
    error: BaseException | None = None
    result: Any = None
    try:
        result = probe.call(step)
    except BaseException as raised:
        error = raised
    if error is None and probe.is_async:
        asked = Await(cast("Awaitable[object]", result), probe.name)
        error = yield asked
        result = asked.result
    if error is None:
        step._record[OUTCOME] = result
        step._move(StepState.DONE)
    elif isinstance(error, NotLanded):
        step._move(StepState.NOT_LANDED)
        return True
    elif isinstance(error, Exception):
        log_error(f"the probe {probe.name} of {step.name} failed, so it counts as maybe done: {shown(error)}", error)
    else:
        raise error
    return False
