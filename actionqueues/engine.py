"""The core: what is done when a step fails, and how a log is unwound.

The protocol.  What has to happen after a failure is a generator, an `Unwinding`.  It calls sync handlers itself, and
yields a `Wait` whenever something has to be waited for; its driver does the waiting and sends back what came of it.
Outcomes are sent as values, never thrown, since a `StopIteration` thrown into a generator would be lost.  The drivers
(`drivers.py`) are the only code that knows whether waiting blocks the thread or suspends a task, so everything here
serves sync and async blocks and the classic queue alike.  Nothing of it runs for a step that succeeds.

Undoing goes backwards through a log and its lanes (see `owner.py`).  How far it has come is kept, and moved on before
each handler is called: however often an unwinding is interrupted and begun again, no handler is called twice.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeAlias

from .errors import RollbackConflict
from .handler import Handler
from .interrupts import InterruptGuard
from .owner import Owner
from .report import Report, UndoFailure
from .retry import Policy, next_wait
from .states import UNDOABLE, StepState
from .step import FIRST, PENDING, THREAD, Step, step_at

__all__ = ["Attempts", "Rollback", "Unwinding", "Wait", "log_error"]


@dataclass(frozen=True, slots=True)
class Wait:
    """A request to the driver: go on in so many seconds.  Answered with None, or with what interrupted the wait."""

    seconds: float


#: A generator of requests; returns nothing, and is sent the answers.
Unwinding: TypeAlias = Generator[Wait, BaseException | None, None]


class Attempts:
    """Counts the attempts of one body or one undo, and says whether there is to be another."""

    __slots__ = ("made", "policy", "started", "wait")

    def __init__(self, policy: Policy | None, started: float | None = None) -> None:
        self.policy = policy
        self.started = monotonic() if started is None else started
        self.made = 0
        self.wait = 0.0

    def another(self, error: BaseException) -> bool:
        """Whether there is to be another attempt, `wait` seconds from now; otherwise `error` gets a note."""
        self.made += 1
        elapsed = monotonic() - self.started
        try:
            wait = next_wait(self.policy, self.made, error, elapsed)
        except Exception as broken:
            error.add_note(f"actionqueues: not retried, because the retry policy failed: {broken!r}")
            return False
        if wait is None:
            if self.made > 1:
                error.add_note(f"actionqueues: gave up after {self.made} attempts in {elapsed:.3g} s")
            return False
        self.wait = wait
        return True


class Rollback:
    """One unwinding of (a part of) a log: of a whole block, of one step that has failed, or of a classic queue.

    Attributes:
        report: where the outcomes go.
        guard: what keeps Ctrl-C away meanwhile.
        owner: whose step is being undone right now.
        end: the place behind the record of that step.
        left: the place behind what is left of that log.
        interrupts: what was raised that is no `Exception`; the first is to be raised once everything is undone.
        problems: the undos that failed.
        abandoned: the steps that a third Ctrl-C has left.
    """

    __slots__ = ("abandoned", "end", "guard", "interrupts", "left", "owner", "problems", "report")

    def __init__(self, report: Report) -> None:
        self.report = report
        self.guard = InterruptGuard()
        self.owner: Owner | None = None
        self.end = self.left = FIRST
        self.interrupts: list[BaseException] = []
        self.problems: list[UndoFailure] = []
        self.abandoned: list[Step[Any]] = []

    @property
    def step(self) -> Step[Any] | None:
        """The step that is being undone."""
        return None if self.owner is None else step_at(self.owner.log, self.end)

    def unwind(self, owner: Owner, start: int = FIRST, thread: int | None = None) -> Unwinding:
        """Undo what is in the log of `owner` from `start` on, and in its lanes that began then, backwards.

        Args:
            owner: whose steps.
            start: the place of the first record to be undone.
            thread: leave lanes alone that were begun by other threads: they are no part of a step of this one.
        """
        if self.owner is not None:  # this goes on with one that was interrupted
            self.owner.left = self.left
        stack = [(owner, start)]
        undone = self.report.undone_steps.append
        while stack:
            owner, start = stack[-1]
            log, lanes = owner.log, owner.lanes
            end = self.left = len(log) if owner.left is None else owner.left
            lane = _lane_after(lanes, max(end, start), thread)
            self.owner = owner
            while lane is None and end > start:
                doer = log[end - 1]
                self.end = end
                self.left = place = end - doer.size  # from here on it counts as tried
                quick = doer.quick
                if quick is None or log[end - 2] is PENDING:
                    yield from self._undo(step_at(log, end))
                else:
                    try:
                        quick(log, place)
                    except BaseException as error:
                        step = step_at(log, end)
                        yield from self._undo(step, error)
                    else:
                        undone(doer)
                end = place
                if lanes:
                    lane = _lane_after(lanes, max(end, start), thread)
            owner.left = self.left
            self.owner = None
            if lane is not None:
                lane.begin_unwinding()
                stack.append((lane, FIRST))
            else:
                del log[start:]
                owner.left = None
                stack.pop()
                if stack:
                    owner.end_unwinding()
                    stack[-1][0].leave_lane(owner)

    def _undo(self, step: Step[Any], error: BaseException | None = None) -> Unwinding:
        """Undo one step, or say why not; `error` is what a first attempt of its handler has already raised."""
        if step.state is StepState.RUNNING:
            step.move(StepState.UNKNOWN)  # interrupted between its record and its body, or between that and its outcome
        try:
            handler = step.definition.handler_of(step.entry)
        except TypeError as unusable:  # a subclass overrides the handler with one that cannot be called
            self._failed(step, unusable)
            return
        if handler is None:
            step.move(StepState.NOT_UNDONE)
            self.report.not_undone.append(step)
        elif handler.needs_result and not step.has_result:
            step.move(StepState.SKIPPED)
            self.report.skipped.append(step)
        else:
            yield from self._attempts(step, handler, error)

    def _attempts(self, step: Step[Any], handler: Handler, error: BaseException | None) -> Unwinding:
        """Call a handler as often as its policy wants."""
        attempts = Attempts(handler.retry)
        while True:
            if error is None:
                try:
                    handler.call(step)
                except BaseException as raised:
                    error = raised
                else:
                    step.move(StepState.UNDONE)
                    self.report.undone_steps.append(step)
                    return
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
        log_error(f"{self.report.name}: the undo of {step.name} {what}: {error!r}", error)

    def interrupted(self, interrupt: KeyboardInterrupt) -> None:
        """An interrupt has come out of the unwinding itself; what was being undone then counts as tried."""
        step = self.step
        if step is None or step.state not in UNDOABLE:
            self.interrupts.append(interrupt)
        else:
            self._failed(step, interrupt)

    def interrupt(self) -> BaseException | None:
        """What has to be raised now that everything is undone, because it would be lost otherwise."""
        if self.guard.kept is not None:
            return self.guard.kept
        return self.interrupts[0] if self.interrupts else None

    def abandon(self, owner: Owner) -> None:
        """A third Ctrl-C has cut it short: account for what is left."""
        if self.owner is not None:
            self.owner.left, self.owner = self.left, None
        log = owner.log
        place = len(log) if owner.left is None else owner.left
        while place > FIRST:
            step = step_at(log, place)
            place -= step.size
            if step.state in UNDOABLE:
                self.abandoned.append(step)
        del log[FIRST:]
        for lane in reversed(owner.lanes or ()):
            self.abandon(lane)
            lane.end_unwinding()

    def note_on(self, error: BaseException) -> None:
        """Tell, on the exception that goes on, what could not be undone."""
        for step, problem in self.problems:
            what = "conflict" if isinstance(problem, RollbackConflict) else "failed"
            error.add_note(f"actionqueues: the undo of {step.name} {what}: {problem!r}")
        if self.abandoned:
            names = ", ".join(step.name for step in self.abandoned)
            error.add_note(f"actionqueues: the rollback was cut short by a third Ctrl-C; not undone: {names}")


def _lane_after(lanes: list[Owner] | None, place: int, thread: int | None) -> Owner | None:
    """The last lane that began after the record that ends at `place`."""
    for lane in reversed(lanes or ()):
        if lane.position < place:
            break
        if thread is None or lane.log[THREAD] == thread:
            return lane
    return None


def log_error(message: str, error: BaseException) -> None:
    """Log a failure that does not get out as an exception, with its traceback."""
    from logging import getLogger  # here, because most programs never fail to roll back

    getLogger("actionqueues").error(message, exc_info=error)
