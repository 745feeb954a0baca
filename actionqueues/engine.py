"""The core: how a log is unwound.

The protocol is that of `requests.py`: generators that call sync handlers themselves, and yield what has to be waited
for.  The drivers (`drivers.py`) are the only code that knows whether waiting blocks the thread or suspends a task, so
everything here serves sync and async blocks and the classic queue alike.  Nothing of it runs for a step that succeeds.

Undoing goes backwards through a log and its lanes (see `owner.py`).  How far it has come is kept, and moved on before
each handler is called: however often an unwinding is interrupted and begun again, no handler is called twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from inspect import iscoroutine
from typing import Any, cast

from .attempts import Attempts
from .errors import RollbackConflict
from .handler import Handler, unawaited
from .interceptor import Interceptor, ask
from .interrupts import InterruptGuard
from .owner import Owner, lane_after
from .probing import probing
from .report import Report, UndoFailure
from .requests import Attempting, Await, Request, Unwinding, Wait
from .states import UNDOABLE, StepState
from .step import FIRST, PENDING, Step, step_at
from .telling import add_note, first_of, log_error, shown

__all__ = ["Rollback"]


class Rollback:
    """One unwinding of (a part of) a log: of a whole block, of one step that has failed, or of a classic queue.

    Attributes:
        report: where the outcomes go.
        guard: what keeps Ctrl-C away meanwhile.
        owner: whose step is being undone right now.
        end: the place behind the record of that step; None before there is one.
        alone: whether only that record is being undone, and stays in the log.
        interrupts: what was raised that is no `Exception`; the first is to be raised once everything is undone.
        problems: the undos that failed.
        abandoned: the steps that a third Ctrl-C has left.
        told: whether an interceptor knows of it.
        disowned: whether this is a child process of the one that has begun it.
        orphaned: whether the coroutine that waits for it has been closed.
        cut: what has interrupted the unwinding, until the undo that it has hit is accounted for.
    """

    __slots__ = (
        "abandoned",
        "alone",
        "cut",
        "disowned",
        "end",
        "guard",
        "interrupts",
        "orphaned",
        "owner",
        "problems",
        "report",
        "told",
    )

    def __init__(self, report: Report) -> None:
        self.report = report
        self.guard = InterruptGuard()
        self.owner: Owner | None = None
        self.end: int | None = None
        self.alone = False
        self.interrupts: list[BaseException] = []
        self.problems: list[UndoFailure] = []
        self.abandoned: list[Step[Any]] = []
        self.told = False
        self.disowned = self.orphaned = False
        self.cut: BaseException | None = None

    @property
    def step(self) -> Step[Any] | None:
        """The step that is being undone."""
        owner, end = self.owner, self.end
        return None if owner is None or end is None or len(owner.log) < end else step_at(owner.log, end)

    def unwind(self, owner: Owner, start: int = FIRST, lanes_from: int = FIRST, thread: int | None = None) -> Unwinding:
        """Undo what is in the log of `owner` from `start` on, and in its lanes, backwards.

        Args:
            owner: whose steps.
            start: the place of the first record to be undone.
            lanes_from: undo the lanes that began at this place or later.
            thread: leave lanes alone that were begun by other threads: they are no part of a step of this one.
        """
        self._resume()
        stack = [(owner, start, lanes_from, 0)]
        undone = self.report.undone_steps.append
        while stack:
            owner, start, lanes_from, before = stack[-1]
            log, lanes, watch = owner.log, owner.lanes, owner.interceptor
            end = len(log)
            lane = lane_after(lanes, max(end, lanes_from), thread if len(stack) == 1 else None)
            self.owner, self.end = owner, None
            while lane is None and end > start:
                self.end = end  # from here on it counts as tried
                doer = log[end - 1]
                place = end - doer.size
                quick = doer.quick
                if quick is None or log[end - 2] is PENDING or watch is not None:
                    left = self._undo_by_a_call(step_at(log, end), watch)
                    if left is not None:
                        yield from left
                else:
                    try:
                        value = quick(log, place)
                    except BaseException as error:
                        yield from self._undo(step_at(log, end), error, called=True)
                    else:
                        late: BaseException | None = None
                        if value is not None:
                            if doer.awaits_undo:
                                late = yield Await(cast("Awaitable[object]", value), doer.handler.name)
                            elif iscoroutine(value):
                                late = unawaited(value, doer.name)
                        if late is None and log[end - 1] is doer:
                            undone(doer)
                        else:  # it has failed, or somebody has asked for the step
                            yield from self._undo(step_at(log, end), late, called=True)
                end = place
                if lanes:
                    lane = lane_after(lanes, max(end, lanes_from), thread if len(stack) == 1 else None)
            owner.cut_back(end)
            self.owner = self.end = None
            if lane is not None:
                lane.begin_unwinding()
                stack.append((lane, FIRST, FIRST, len(self.problems)))
            else:
                stack.pop()
                if stack:
                    owner.end_unwinding(failed=len(self.problems) > before)
                    stack[-1][0].leave_lane(owner)

    def _resume(self) -> None:
        """If an unwinding has been interrupted, take out of the log what it has tried."""
        self.settle()
        owner, end = self.owner, self.end
        if owner is not None and end is not None and not self.alone and len(owner.log) >= end:
            owner.cut_back(end - owner.log[end - 1].size)
        self.owner = self.end = None
        self.alone = False

    def unwind_step(self, owner: Owner, place: int, *, whole: bool) -> Unwinding:
        """Undo one async step, whose outcome belongs at `place`: what it has made, and itself, if `whole`.

        Its record stays in the log, since others may write behind it.
        """
        yield from self.unwind_lanes(step_at(owner.log, place + 2).lanes)
        if whole:
            self.alone = True
            self.owner, self.end = owner, place + 2
            yield from self._undo(step_at(owner.log, place + 2), watch=owner.interceptor)
            self.owner = self.end = None
            self.alone = False

    def unwind_lanes(self, lanes: list[Any] | None) -> Unwinding:
        """Undo what a step or a savepoint has made where others started steps as well."""
        while lanes:
            lane: Owner = lanes[-1]
            yield from self.unwind(lane)
            del lanes[-1]
            lane.outer.leave_lane(lane)
            lane.release()

    def _undo_by_a_call(self, step: Step[Any], watch: Interceptor | None) -> Unwinding | None:
        """Undo one step, if that takes no more than calling its handler; returns what is left to be done."""
        definition = step.definition
        handler = definition.handler
        if watch is not None or handler is None or not handler.is_plain or definition.overridable:
            return self._undo(step, watch=watch)
        if step.state is not StepState.DONE or (
            definition.frame is None and self.owner is not None and self.owner.awaits
        ):
            return self._undo(step)
        try:
            value = handler.call(step)
        except BaseException as error:
            return self._undo(step, error, called=True)
        if value is not None and iscoroutine(value):
            return self._undo(step, unawaited(value, step.name), called=True)
        step.move(StepState.UNDONE)
        self.report.undone_steps.append(definition)
        return None

    def _undo(
        self,
        step: Step[Any],
        error: BaseException | None = None,
        *,
        called: bool = False,
        watch: Interceptor | None = None,
    ) -> Unwinding:
        """Undo one step, or say why not; if its handler has been `called` already, `error` is what that raised."""
        if step.state not in UNDOABLE:
            return  # it has been undone at once
        if step.state is StepState.RUNNING:
            step.move(StepState.UNKNOWN)  # interrupted between its record and its body, or between that and its outcome
        unknown = step.state is StepState.UNKNOWN and step.definition.probe is not None
        if not (unknown and (yield from probing(step))):
            handler = self._handler_of(step)
            if handler is not None:
                yield from self._attempts(step, handler, error, watch, called=called)
        if watch is not None:
            yield from self.tell(watch.settled, step)

    def tell(self, method: Callable[..., Request | None], *args: object) -> Unwinding:
        """Let an interceptor know; nothing that it raises stops the undoing."""
        error, interrupted = yield from ask(method, *args)
        if error is not None:
            log_error(f"{self.report.name}: {method.__qualname__} failed: {shown(error)}", error)
        raised = [each for each in (error, interrupted) if each is not None]
        self.interrupts += [each for each in raised if not isinstance(each, Exception)]

    def unwind_block(self, owner: Owner, error: BaseException | None) -> Unwinding:
        """Undo everything in a block, because of `error`."""
        watch = owner.interceptor if owner.outer is None else None
        if watch is not None and not self.told:
            self.told = True
            yield from self.tell(watch.rolling_back, owner, error)
        yield from self.unwind_lanes(owner.parts)
        yield from self.unwind(owner)
        if watch is not None:
            yield from self.tell(watch.rolled_back, owner)

    def _handler_of(self, step: Step[Any]) -> Handler | None:
        """What undoes a step; None if nothing does, which has then been reported."""
        try:
            handler = step.definition.handler_of(step.entry)
        except Exception as unusable:  # a subclass overrides the handler with one that cannot be called
            self._failed(step, unusable)
            return None
        if handler is None:
            step.move(StepState.NOT_UNDONE)
            self.report.not_undone.append(step)
        elif handler.needs_result and not step.has_result:
            step.move(StepState.SKIPPED)
            self.report.skipped.append(step)
        else:
            return handler
        return None

    def _attempts(
        self,
        step: Step[Any],
        handler: Handler,
        error: BaseException | None,
        watch: Interceptor | None,
        *,
        called: bool,
    ) -> Unwinding:
        """Call a handler as often as its policy wants; `called`: for the first time already, which raised `error`."""
        attempts = None
        if handler.retry is not None or watch is not None:
            attempts = Attempts(handler.retry)
        if watch is not None and attempts is not None:
            watch.retrying(step, attempts)
        while True:
            if called:
                called = False
            elif watch is None:
                awaitable, error = self._call(step, handler)
                if awaitable is not None:
                    error = yield Await(awaitable, handler.name)
            else:
                error = yield from self._watched_attempt(watch, step, handler)
            if error is None:
                step.move(StepState.UNDONE)
                self.report.undone_steps.append(step.definition)  # not the step, which refers to its error
                return
            broken = self.guard.broken
            if self.disowned:
                raise error  # pragma: no cover - in a child process, where no tracer looks
            if broken is not None and error is broken:
                self._failed(step, broken)
                raise broken
            if attempts is None:
                attempts = Attempts(handler.retry)
            final = isinstance(error, RollbackConflict) or not isinstance(error, Exception)
            if final or not attempts.another(error):
                self._failed(step, error)
                return
            interrupt = yield Wait(attempts.wait)
            if interrupt is not None:
                self.interrupts.append(interrupt)

    def _call(self, step: Step[Any], handler: Handler) -> tuple[Awaitable[object] | None, BaseException | None]:
        """Call a handler once; returns what is still to be awaited, or what it raised."""
        try:
            value = handler.call(step)
        except BaseException as raised:
            return None, raised
        if handler.is_async:
            return cast("Awaitable[object]", value), None
        if value is None or not iscoroutine(value):
            return None, None
        if step.definition.frame is None and self.owner is not None and self.owner.awaits:
            return value, None  # of a plain callable, which nobody has declared to be sync
        return None, unawaited(value, step.name)

    def _watched_attempt(self, watch: Interceptor, step: Step[Any], handler: Handler) -> Attempting:
        """One attempt, with an interceptor asked before and after."""
        error, interrupted = yield from ask(watch.undoing, step)
        if error is not None:
            return error
        awaitable, error = self._call(step, handler)
        if awaitable is not None:
            error = yield Await(awaitable, handler.name)
        late, also = yield from ask(watch.undone, step, error)
        self.interrupts += [each for each in (interrupted, also) if each is not None]
        return first_of(error, late)

    def _failed(self, step: Step[Any], error: BaseException) -> None:
        conflict = isinstance(error, RollbackConflict)
        failure = UndoFailure(step, error)
        step.move(StepState.CONFLICT if conflict else StepState.UNDO_FAILED)
        (self.report.conflicts if conflict else self.report.failures).append(failure)
        self.problems.append(failure)
        if not isinstance(error, Exception):
            self.interrupts.append(error)
        what = "met a conflict" if conflict else "failed"
        log_error(f"{self.report.name}: the undo of {step.name} {what}: {shown(error)}", error)

    def interrupted(self, interrupt: BaseException) -> None:
        """Something (`cut`) has come out of the unwinding itself; what was being undone then counts as tried.

        That is the work of a signal handler that is not the guard's.  The second Ctrl-C through one gets out at once.
        """
        if self.disowned:
            raise interrupt  # pragma: no cover - in a child process, where no tracer looks
        second = any(isinstance(each, KeyboardInterrupt) for each in self.interrupts)
        self._resume()
        if self.guard.broken is None and second and isinstance(interrupt, KeyboardInterrupt):
            self.guard.broken = interrupt
        if self.guard.broken is not None:
            raise interrupt

    def settle(self) -> None:
        """The undo that was cut short counts as tried; told later, if there was no room on the stack for it before."""
        cut, step = self.cut, self.step
        if cut is None:
            return
        if step is not None and step.state in UNDOABLE:
            if step.state is StepState.RUNNING:
                step.move(StepState.UNKNOWN)
            self._failed(step, cut)
        elif not isinstance(cut, Exception):
            self.interrupts.append(cut)
        self.cut = None

    def interrupt(self) -> BaseException | None:
        """What has to be raised now that everything is undone, because it would be lost otherwise."""
        if self.guard.kept is not None:
            return self.guard.kept
        return self.interrupts[0] if self.interrupts else None

    def abandon(self, owner: Owner) -> None:
        """A third Ctrl-C has cut it short: account for what is left."""
        self._resume()
        owners, ended = [owner], list[Owner]()
        while owners:
            owner = owners.pop()
            while len(owner.log) > FIRST:
                step = step_at(owner.log, len(owner.log))
                del owner.log[-step.size :]
                if step.state in UNDOABLE:
                    self.abandoned.append(step)
                    self.report.abandoned.append(step)
            lanes = list(owner.lanes or ())
            ended += lanes
            owners += lanes
        for lane in ended:
            lane.end_unwinding(failed=True)

    def note_on(self, error: BaseException, earlier: Sequence[UndoFailure] = ()) -> None:
        """Tell, on the exception that goes on, what could not be undone, in this rollback or earlier."""
        for failure in earlier:
            add_note(error, _told(failure), once=True)
        for failure in self.problems:
            add_note(error, _told(failure))
        if self.abandoned:
            names = ", ".join(step.name for step in self.abandoned)
            add_note(error, f"the rollback was cut short by a third Ctrl-C; not undone: {names}")


def _told(failure: UndoFailure) -> str:
    what = "met a conflict" if isinstance(failure.error, RollbackConflict) else "failed"
    return f"the undo of {failure.step.name} {what}: {shown(failure.error)}"
