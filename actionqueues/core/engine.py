"""What undoing does: a walk backwards through a log, and through what its entries contain.

Everything here is a generator that yields what must be waited for (see `requests.py`), so it serves sync and async
blocks, the classic queue and recovery alike.  Nothing of it runs for a step that succeeds.

How far a walk has come is in the log itself: an entry is taken out of it, and kept in `Rollback.entry`, before its
handler is called.  However often the walk is interrupted and begun again, no handler is called twice, and none is
forgotten.

Stands on handlers, logs and reports.  Used by what fails or ends: steps, blocks, the classic queue, recovery.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import isawaitable
from types import CoroutineType
from typing import Any, ClassVar, cast

from actionqueues.errors import RollbackConflict
from actionqueues.report import Report, UndoFailure

from .attempts import Attempts
from .definition import Definition, unawaited_undo
from .handler import Handler
from .interrupts import InterruptGuard, is_exit
from .log import Log, Owner, count_steps, logs_in
from .probing import probing
from .requests import Asking, Await, Request, Shield, Shielded
from .states import UNDOABLE, StepState
from .step import DEFINITION, OUTCOME, PENDING, Record, Step, step_of
from .telling import cut_short, failed, fields, log_left, log_retry
from .text import counted, first_of, log_error, log_warning, shown
from .tracebacks import from_theirs
from .watch import Hook, Watch, pause_before, tell

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
        path: that, and those around it, from the one that the walk has begun with.
        entry: what is being undone right now; it is in no log any more.
        problems: the undos that failed.
        left: the other steps that it had to leave.
        left_before: whether it has met something that was undone before, but not all of it.
        abandoned: the steps that a third Ctrl-C has left, or that there was no room for, on the stack or in memory.
        dropped: the queued steps whose marks it has met.
        by_hand: whether it is a ``q.rollback()``.
        kept: how often the report was told what it undoes.
        dooms: what must not commit any more once an undo has failed: the block of a failed step or savepoint.
        main: what it is a part of, if it is.
    """

    undoes: ClassVar[bool] = True

    # What most rollbacks never change is kept in the class.
    log: Log | None = None
    path: Sequence[Log] = ()
    entry: Record | Step[Any] | None = None
    abandoned: tuple[Step[Any], ...] = ()
    left_before = by_hand = False
    dropped: tuple[Step[Any], ...] = ()
    kept = 0
    dooms: Owner | None = None
    main: Rollback | None = None

    def __init__(
        self, report: Report, cause: BaseException | None = None, watch: Watch | None = None, awaits: bool = False
    ) -> None:
        self.report = report
        self.cause = cause
        self.watch, self.awaits = watch, awaits
        self.guard = InterruptGuard()
        self.interrupts = []
        self.problems: list[UndoFailure] = []
        self.left: list[Step[Any]] = []

    @property
    def left_something(self) -> bool:
        """Whether it had to leave anything, or has met what was undone before, but not all of it."""
        return bool(self.left or self.problems or self.left_before)

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
        self.path = path
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
                            elif type(value) is CoroutineType:
                                error = unawaited_undo(value, definition, definition.handler_of(entry))
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
        elif mark is None:
            self.left_before = True
        elif type(mark) is Step and mark.state is StepState.QUEUED:
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
        elif self.watch is not None and self.watch.left_in(step) is StepState.UNDONE:
            self._done(step)
        elif not (
            step.state is StepState.UNKNOWN
            and definition.probe is not None
            and (yield from probing(self.report, step, definition, self.watch))
        ):
            handler = self._handler_of(step, definition)
            if handler is not None:
                yield from self._attempts(step, handler, error, called=called)
        if self.watch is not None:
            yield from self.tell(self.watch.settled, step)

    def tell(self, method: Callable[..., Request | None], *args: object) -> Shielded:
        """Let a watch know; nothing that it raises stops the undoing."""
        error, interrupted = yield from tell(method, *args)
        if error is not None and self._is_control_flow(error):
            raise error
        if error is not None:
            known = fields(self.report, next((each for each in args if isinstance(each, Step)), None))
            log_error(f"{self.report.name}: {method.__qualname__} failed: {shown(error)}", error, **known)
            if isinstance(error, Exception):
                error = None
        self.interrupts += [each for each in (error, interrupted) if each is not None]

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
            self.left.append(step)
        elif handler.needs_result and not step.has_result:
            step._move(StepState.SKIPPED)
            self.report.skipped.append(step)
            self.left.append(step)
            handler = None
        return handler

    def _attempts(self, step: Step[Any], handler: Handler, error: BaseException | None, *, called: bool) -> Shielded:
        """Call a handler as often as its policy wants; `called`: for the first time already, which raised `error`."""
        attempts = Attempts(handler.retry, watch=self.watch)
        if self.watch is not None:
            self.watch.retrying(step, attempts)
        while True:
            if not called:
                error = yield from self._attempt(step, handler)
            called = False
            if error is None:
                self._done(step)
                return
            if self.disowned or self._is_control_flow(error):
                raise error
            broken = self.guard.broken
            if broken is not None and error is broken:
                self._failed(step, broken, attempts.made + 1)
                raise broken
            final = isinstance(error, RollbackConflict) or not isinstance(error, Exception)
            if final or not attempts.another(error):
                self._failed(step, cast("BaseException", first_of(attempts.instead, error)), attempts.made + final)
                return
            log_retry(self.report, step, f"the undo of {step.name}", attempts, error)
            interrupt = yield pause_before(self.watch, attempts.wait)
            if interrupt is not None:
                self.interrupts.append(interrupt)

    def _done(self, step: Step[Any]) -> None:
        step._move(StepState.UNDONE)
        self.report._undone.append(step._record[DEFINITION])  # not the step, which refers to its error

    def _attempt(self, step: Step[Any], handler: Handler) -> Asking[BaseException | None]:
        """Call a handler once, with the watch asked before and after; returns what it raised."""
        watch, interrupted = self.watch, None
        if watch is not None:
            error, interrupted = yield from tell(watch.undoing, step)
            if error is not None:
                self.interrupts += [interrupted] if interrupted is not None else []
                return error
        error, definition = None, step._record[DEFINITION]
        try:
            value: Any = handler.call(step) if watch is None else watch.run_undo(step, handler)
        except BaseException as raised:
            error = raised
        else:
            if handler.is_async or self._may_await(definition, value) or (watch is not None and watch.awaits):
                error = yield Await(value, handler.name)
            elif type(value) is CoroutineType:
                error = unawaited_undo(value, definition, handler)
        if watch is None:
            return error
        late, also = yield from tell(watch.undone, step, error)
        self.interrupts += [each for each in (interrupted, also) if each is not None]
        return first_of(error, late)

    def _is_control_flow(self, error: BaseException) -> bool:
        """Whether the engine has interrupted the rollback, which then goes on wherever that runs the block next."""
        if self.watch is not None and self.watch.is_control_flow(error):
            self.guard.disowned = True
        return self.disowned

    def _failed(self, step: Step[Any], error: BaseException, attempt: int | None = None) -> None:
        from_theirs(error)
        conflict = isinstance(error, RollbackConflict)
        failure, failures = UndoFailure(step, error), self.report.conflicts if conflict else self.report.failures
        step._move(StepState.CONFLICT if conflict else StepState.UNDO_FAILED)
        failures.append(failure)
        self.problems.append(failure)
        if self.dooms is not None:
            self.dooms.doom([failure])
        if not isinstance(error, Exception):
            self.interrupts.append(error)
        known = fields(self.report, step, attempt)
        log_error(f"{self.report.name}: {failed(failure)}", error, event_name="step_left", **known)

    # -- what interrupts it, and its end

    def interrupted(self, interrupt: BaseException) -> None:
        """Something has come out of the walk itself; what was being undone then counts as tried.

        That is the work of a signal handler that is not the guard's, whose second Ctrl-C gets out at once.  Or there is
        no room for the walk, on the stack or in memory: then it is cut short, as by a third Ctrl-C.
        """
        if self.disowned or self._is_control_flow(interrupt):
            raise interrupt
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
                    step = step_of(entry)
                    if step.state in UNDOABLE:  # pragma: no branch - otherwise it was interrupted there
                        self.abandoned += (step,)
                        self.report.abandoned.append(step)
            if log is not top and log.record is None:
                log.block.unwound(log, self)
            log.clear()
            log.record = None
        self.report.dropped.extend(self.dropped)
        self.path = ()
        self.report._cut_short = "for lack of room" if isinstance(self.guard.broken, _NO_ROOM) else "by a third Ctrl-C"

    def log_left(self) -> None:
        """Tell, in the log, what it had to leave."""
        log_left(self.report, self.left)
        if self.abandoned:
            log_warning(f"{self.report.name}: {cut_short(self.report, self.abandoned)}", **fields(self.report))

    def release(self) -> None:
        """Let go of what leads back to its block, which would wait for the collector."""
        self.cause = self.log = None
        self.path = ()

    def in_hand(self) -> int:
        """How many steps are being undone right now, and are in no log any more."""
        entry, last = self.entry, self.log[-1] if self.log else None
        return entry is not None and last is not entry and not (type(last) is Log and last.record is entry)

    def under_way(self) -> tuple[str, dict[str, Any]] | None:
        top = self.path[0] if self.path else None
        own = None if top is None else top.record  # a step that is to be tried again is running still
        count = self.in_hand() + (isinstance(own, Step) and own.state != StepState.RUNNING)
        count += 0 if top is None else count_steps(top)
        steps, them = ("1 step", "it") if count == 1 else (f"{counted(count)} steps", "them")
        text = f"{self.report.name}: undoing {steps}; twice more to abandon {them}"
        return (text, fields(self.report)) if count else None
