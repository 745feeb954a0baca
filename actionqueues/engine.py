"""The core: what is done when a step fails, and how a log is unwound.

The protocol is that of `requests.py`: generators that call sync handlers themselves, and yield what has to be waited
for.  The drivers (`drivers.py`) are the only code that knows whether waiting blocks the thread or suspends a task, so
everything here serves sync and async blocks and the classic queue alike.  Nothing of it runs for a step that succeeds.

Undoing goes backwards through a log and its lanes (see `owner.py`).  How far it has come is kept, and moved on before
each handler is called: however often an unwinding is interrupted and begun again, no handler is called twice.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
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
from .requests import Attempting, Await, Failing, Request, Undo, Unwinding, Wait
from .states import UNDOABLE, StepState
from .step import FIRST, PENDING, Step, step_at
from .telling import add_note, log_error, shown

__all__ = ["Rollback", "failing"]


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
    """

    __slots__ = (
        "abandoned",
        "alone",
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

    @property
    def step(self) -> Step[Any] | None:
        """The step that is being undone."""
        owner, end = self.owner, self.end
        return None if owner is None or end is None or len(owner.log) < end else step_at(owner.log, end)

    def progress(self) -> object:
        """How far it has come: different whenever it has come further."""
        return self.owner, self.end

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
                    yield from self._undo(step_at(log, end), watch=watch)
                else:
                    try:
                        value = quick(log, place)
                    except BaseException as error:
                        yield from self._undo(step_at(log, end), error)
                    else:
                        if value is not None and iscoroutine(value):
                            yield from self._undo(step_at(log, end), unawaited(value, doer.name))
                        else:
                            undone(doer)
                end = place
                if lanes:
                    lane = lane_after(lanes, max(end, lanes_from), thread if len(stack) == 1 else None)
            if lanes:
                owner.cut_back(end)
            else:
                owner.finished = FIRST, FIRST
                del log[end:]
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
        owner, end = self.owner, self.end
        if owner is not None and end is not None and not self.alone and len(owner.log) >= end:
            owner.cut_back(end - owner.log[end - 1].size)
        self.owner = self.end = None
        self.alone = False

    def unwind_step(self, owner: Owner, place: int, *, whole: bool) -> Unwinding:
        """Undo one async step, whose outcome belongs at `place`: what it has made, and itself, if `whole`.

        Its record stays in the log, since others may write behind it.
        """
        yield from self.unwind_lanes(step_at(owner.log, place + 2))
        if whole:
            self.alone = True
            self.owner, self.end = owner, place + 2
            yield from self._undo(step_at(owner.log, place + 2), watch=owner.interceptor)
            self.owner = self.end = None
            self.alone = False

    def unwind_lanes(self, step: Step[Any]) -> Unwinding:
        """Undo what a step has made where others started steps as well."""
        while step.lanes:
            lane: Owner = step.lanes[-1]
            yield from self.unwind(lane)
            step.lanes.pop()
            lane.outer.leave_lane(lane)
            lane.release()

    def _undo(
        self, step: Step[Any], error: BaseException | None = None, *, watch: Interceptor | None = None
    ) -> Unwinding:
        """Undo one step, or say why not; `error` is what a first attempt of its handler has already raised."""
        if step.state not in UNDOABLE:
            return  # it has been undone at once
        yield from self._try_undo(step, error, watch)
        if watch is not None:
            yield from self.tell(watch.settled, step)

    def tell(self, method: Callable[..., Request | None], *args: object) -> Unwinding:
        """Let an interceptor know; nothing that it raises stops the undoing."""
        error, interrupted = yield from ask(method, *args)
        if error is not None:
            log_error(f"{self.report.name}: {method.__qualname__} failed: {shown(error)}", error)
        self.interrupts += [each for each in (error, interrupted) if each and not isinstance(each, Exception)]

    def unwind_block(self, owner: Owner, error: BaseException | None) -> Unwinding:
        """Undo everything in a block, because of `error`."""
        watch = owner.interceptor if owner.outer is None else None
        if watch is not None and not self.told:
            self.told = True
            yield from self.tell(watch.rolling_back, owner, error)
        while owner.parts:
            part = owner.parts[-1]
            yield from self.unwind(part)
            owner.parts.pop()
            part.outer.leave_lane(part)
            part.release()
        yield from self.unwind(owner)
        if watch is not None:
            yield from self.tell(watch.rolled_back, owner)

    def _try_undo(self, step: Step[Any], error: BaseException | None, watch: Interceptor | None) -> Unwinding:
        if step.state is StepState.RUNNING:
            step.move(StepState.UNKNOWN)  # interrupted between its record and its body, or between that and its outcome
        if step.state is StepState.UNKNOWN and step.definition.probe is not None and (yield from probing(step)):
            return
        try:
            handler = step.definition.handler_of(step.entry)
        except Exception as unusable:  # a subclass overrides the handler with one that cannot be called
            self._failed(step, unusable)
            return
        if handler is None:
            step.move(StepState.NOT_UNDONE)
            self.report.not_undone.append(step)
        elif handler.needs_result and not step.has_result:
            step.move(StepState.SKIPPED)
            self.report.skipped.append(step)
        else:
            yield from self._attempts(step, handler, error, watch)

    def _attempt(self, step: Step[Any], handler: Handler) -> Attempting:
        """Call a handler once; returns what it raised."""
        try:
            value = handler.call(step)
        except BaseException as raised:
            return raised
        if handler.is_async:
            return (yield Await(cast("Coroutine[Any, Any, object]", value), handler.name))
        if not iscoroutine(value):
            return None
        if step.definition.frame is None and self.owner is not None and self.owner.awaits:
            # A plain callable, which nobody has declared to be sync.
            return (yield Await(cast("Coroutine[Any, Any, object]", value), handler.name))
        return unawaited(value, step.name)

    def _watched_attempt(self, watch: Interceptor, step: Step[Any], handler: Handler) -> Attempting:
        """The same, with an interceptor asked before and after."""
        error, interrupted = yield from ask(watch.undoing, step)
        if error is not None:
            return error
        error = yield from self._attempt(step, handler)
        late, also = yield from ask(watch.undone, step, error)
        self.interrupts += [each for each in (interrupted, also) if each is not None]
        return error or late

    def _attempts(
        self, step: Step[Any], handler: Handler, error: BaseException | None, watch: Interceptor | None
    ) -> Unwinding:
        """Call a handler as often as its policy wants."""
        attempts = Attempts(handler.retry)
        if watch is not None:
            watch.retrying(step, attempts)
        while True:
            if error is None:
                if watch is None:
                    error = yield from self._attempt(step, handler)
                else:
                    error = yield from self._watched_attempt(watch, step, handler)
                if error is None:
                    step.move(StepState.UNDONE)
                    self.report.undone_steps.append(step.definition)  # not the step, which refers to its error
                    return
            broken = self.guard.broken
            if self.disowned:
                raise error  # pragma: no cover - in a child process
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
            error = None

    def _failed(self, step: Step[Any], error: BaseException) -> None:
        conflict = isinstance(error, RollbackConflict)
        step.move(StepState.CONFLICT if conflict else StepState.UNDO_FAILED)
        failure = UndoFailure(step, error)
        self.problems.append(failure)
        (self.report.conflicts if conflict else self.report.failures).append(failure)
        if not isinstance(error, Exception):
            self.interrupts.append(error)
        what = "met a conflict" if conflict else "failed"
        log_error(f"{self.report.name}: the undo of {step.name} {what}: {shown(error)}", error)

    def interrupted(self, interrupt: BaseException) -> None:
        """Something has come out of the unwinding itself; what was being undone then counts as tried.

        That is the work of a signal handler that is not the guard's.  The second Ctrl-C through one gets out at once.
        """
        step = self.step
        if self.disowned:
            raise interrupt  # pragma: no cover - likewise
        self._resume()
        known = step is not None and step.state in UNDOABLE
        second = any(isinstance(each, KeyboardInterrupt) for each in self.interrupts)
        if step is not None and known:
            if step.state is StepState.RUNNING:
                step.move(StepState.UNKNOWN)
            self._failed(step, interrupt)
        elif not isinstance(interrupt, Exception):
            self.interrupts.append(interrupt)
        if self.guard.broken is None and second and isinstance(interrupt, KeyboardInterrupt):
            self.guard.broken = interrupt
        if self.guard.broken is not None:
            raise interrupt

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


def failing(
    owner: Owner,
    step: Step[Any],
    error: BaseException,
    unwind: Callable[[Rollback, bool], Unwinding],
    *,
    made: bool,
    waiting: bool,
) -> Failing:
    """The body of a step has raised.  Undo what it has done.

    Args:
        owner: whose step it is.
        step: the step.
        error: what was raised.
        unwind: undoes the steps that its body has made, and the step as well if its second argument is true.
        made: whether its body has made steps.
        waiting: it was raised in the wait for the next attempt, and not by the body.

    Returns:
        Whether the exception is to go on.  Otherwise there is to be another attempt, and only the steps that this one
        has made have been undone.
    """
    step.error = error
    assert step.tries is not None  # noqa: S101 - the caller knows when it was started
    again = not waiting and not owner.ending and step.tries.another(error)
    if again and (not made or (yield from _undoing(owner, step, error, lambda rollback: unwind(rollback, False)))):
        return False
    timed_out = step.definition.timeout is not None and isinstance(error, TimeoutError)
    step.move(StepState.UNKNOWN if timed_out else StepState.FAILED)
    if owner.undo_at_once and not owner.ending:
        yield from _undoing(owner, step, error, lambda rollback: unwind(rollback, True))
    return True


def _undoing(owner: Owner, step: Step[Any], error: BaseException, unwind: Callable[[Rollback], Unwinding]) -> Failing:
    rollback = Rollback(owner.report)
    yield Undo(rollback, lambda: unwind(rollback))
    if rollback.problems:
        rollback.note_on(error)
        owner.doom(rollback.problems)
    elif rollback.guard.broken is not None:  # cut short before anything was undone
        owner.doom([UndoFailure(step, rollback.guard.broken)])
    interrupt = rollback.interrupt()
    again = type(interrupt) is type(error) and not isinstance(error, KeyboardInterrupt | SystemExit)
    if interrupt is not None and not again:  # cancelled again: the first cancellation goes on
        raise interrupt
    return not rollback.problems
