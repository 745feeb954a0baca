"""The loops that run what the engine asks for, and `Runner`, the owner of a log in sync code, which starts them.

The only file that sleeps.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable, Sequence
from time import sleep
from typing import TYPE_CHECKING, Any

from .engine import Attempts, Rollback, Unwinding
from .errors import AsyncActionInSyncBlock, TransactionClosed
from .hooks import HookRun
from .owner import Owner, current, undoing
from .report import Report, UndoFailure
from .states import StepState
from .step import BARRIER, FIRST, OUTCOME, PENDING, Entry, Step, step_at

if TYPE_CHECKING:
    from .block import Block

__all__ = ["Lane", "Runner", "pause", "roll_back", "run_hooks"]


def drive(unwinding: Unwinding) -> None:
    """Run an unwinding to its end, blocking this thread while it waits."""
    answer: BaseException | None = None
    while True:
        try:
            request = unwinding.send(answer)
        except StopIteration:
            return
        answer = None
        try:
            sleep(request.seconds)
        except BaseException as interrupt:
            answer = interrupt


def pause(seconds: float) -> None:
    """Block this thread for a while."""
    sleep(seconds)


def roll_back(rollback: Rollback, unwind: Callable[[], Unwinding]) -> None:
    """Run an unwinding to its end, outside any block, and without being cut short by Ctrl-C."""
    outside = current.set(None)
    inside = undoing.set(rollback)
    try:
        rollback.guard.begin()
        while True:
            try:
                return drive(unwind())
            except KeyboardInterrupt as interrupt:
                if rollback.guard.broken is not None:
                    raise
                rollback.interrupted(interrupt)  # by a signal handler of the program's own: go on with the rest
    finally:
        rollback.guard.end()
        undoing.reset(inside)
        current.reset(outside)


def run_hooks(run: HookRun) -> None:
    """Call the commit hooks, all of them, and raise what they raised; Ctrl-C does not cut them short either."""
    try:
        run.guard.begin()
        run.calls()
    finally:
        run.guard.end()
    run.result()


class Runner(Owner):
    """The owner of a log in sync code: the frames of its steps turn to it when something is out of the ordinary."""

    @property
    def block(self) -> Block | None:
        """The transaction that it belongs to, or is; None for a classic queue."""
        return None

    def run_here(self, step: Step[Any]) -> Any:
        """Run a step that was bound before: what the frame of a direct call does, for one that was queued."""
        step.move(StepState.RUNNING)
        step.attempts = 1
        log = self.log
        place = len(log)
        try:
            log += (PENDING, step)
            result = log[place] = step.entry[OUTCOME] = step.definition.run(step.entry)
        except BaseException as error:
            if self.failed(place, error):
                raise
        else:
            return result
        return self.again(place)

    def failed(self, place: int, error: BaseException, started: float | None = None, *, waiting: bool = False) -> bool:
        """The body of the step whose outcome belongs at `place` has raised `error`: undo what it did.

        Args:
            place: where the outcome belongs.
            error: what was raised.
            started: when the first attempt was started, if the policy wants to know.
            waiting: it was raised in the wait for the next attempt, and not by the body.

        Returns:
            Whether the exception is to go on.  Otherwise there is to be another attempt, and only the steps that this
            one has made have been undone.
        """
        log = self.log
        if len(log) <= place or log[place] is not PENDING:
            return True  # interrupted before the step was started, or after it had succeeded
        end = place + 2
        step = step_at(log, end)
        step.error = error
        if step.tries is None:
            step.tries = Attempts(step.definition.retry, started)
        if not waiting and step.tries.another(error) and self._undo(end, error):
            return False
        step.move(StepState.FAILED)
        if self.undo_at_once:
            self._undo(end - step.size, error)
        return True

    def _undo(self, start: int, error: BaseException) -> bool:
        """Undo everything from `start` on, made by this thread; whether that could be done."""
        if len(self.log) == start and not self.lanes:
            return True
        rollback = Rollback(self.report)
        thread = get_ident()
        roll_back(rollback, lambda: rollback.unwind(self, start, thread))
        if rollback.problems:
            rollback.note_on(error)
            self.doom(rollback.problems)
        interrupt = rollback.interrupt()
        if interrupt is not None:
            raise interrupt
        return not rollback.problems

    def again(self, place: int) -> Any:
        """Make the further attempts of a step whose policy wants them."""
        log = self.log
        step = step_at(log, place + 2)
        while True:
            waiting = True
            try:
                assert step.tries is not None  # noqa: S101 - `failed` has set it
                sleep(step.tries.wait)
                step.attempts += 1
                waiting = False
                result = log[place] = step.entry[OUTCOME] = step.definition.run(step.entry)
            except BaseException as error:
                if self.failed(place, error, waiting=waiting):
                    raise
            else:
                step.error = None
                return result

    def elsewhere(self, entry: Entry) -> Any:
        """Run a step that must not be recorded in this log, because that is closed or another thread's."""
        if self.log[BARRIER]:
            raise TransactionClosed(entry[-1].name, self.label, self.state)
        step: Step[Any] = Step(entry[-1], entry, StepState.QUEUED)
        lane = Lane(self, step)
        self.enter_lane(lane)
        token = current.set(lane.log)
        try:
            return lane.run_here(step)
        finally:
            current.reset(token)
            if len(lane.log) == FIRST:
                self.leave_lane(lane)

    def start(self, entry: Entry) -> Any:
        """Refuse the call of an async action: nothing here can await it."""
        raise AsyncActionInSyncBlock(entry[-1].name, self.label)

    @property
    def state(self) -> str:
        """How far it has come."""
        raise AssertionError  # pragma: no cover - abstract


class Lane(Runner):
    """A step in another thread than the one that writes the log of its block: the steps it makes are recorded here."""

    def __init__(self, outer: Runner, step: Step[Any]) -> None:
        self.outer = outer
        self.step = step
        self.name = outer.name
        self.log = [False, get_ident(), self]
        self.plain = True
        self.surrounding = outer.log
        self.undo_at_once = outer.undo_at_once

    @property
    def report(self) -> Report:
        """Where outcomes go."""
        return self.outer.report

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.outer.label

    @property
    def state(self) -> str:
        """How far it has come."""
        return self.outer.state

    @property
    def block(self) -> Block | None:
        """The transaction that it belongs to."""
        return self.outer.block

    def doom(self, problems: Sequence[UndoFailure]) -> None:
        """Undos have failed in a transaction that goes on."""
        self.outer.doom(problems)
