"""`Runner`: the owner of a log, to which the frames of its steps turn when something is out of the ordinary.

The sync and the async half do the same, one blocking and the other one suspending; what is done is the engine's.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Sequence
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from .drivers import drive, drive_async, pause, pause_async
from .engine import Attempts, Rollback, failing
from .errors import AsyncActionInSyncBlock, IllegalOperation, TransactionClosed
from .frames import ASYNC_STEPS
from .interceptor import Attempt, ask, attempt
from .owner import Owner, calling_step, current
from .report import Report, UndoFailure
from .requests import Unwinding
from .states import StepState
from .step import BARRIER, CLOSED, FIRST, OUTCOME, OWNER, PENDING, RUNNING, THREAD, WATCHED, Entry, Log, Step, step_at

if TYPE_CHECKING:
    from .blockstate import BlockState

__all__ = ["Lane", "Runner", "close"]


class Runner(Owner):
    """The owner of a log of steps."""

    awaits = False  # whether async steps can be run in it

    @property
    def block(self) -> BlockState | None:
        """The transaction that it belongs to, or is; None for a classic queue."""
        return None

    @property
    def state(self) -> str:
        """How far it has come."""
        raise AssertionError  # pragma: no cover - abstract

    # -- sync

    def run_here(self, step: Step[Any]) -> Any:
        """Run a step that was bound before: what the frame of a direct call does, for one that was queued."""
        if self.interceptor is not None:
            self._start(step, drive(ask(self.interceptor.starting, step)))
        step.move(StepState.RUNNING)
        step.attempts = 1
        step.tries = Attempts(step.definition.retry)
        log = self.log
        place = len(log)
        try:
            log += (PENDING, step)
            result = log[place] = step.entry[OUTCOME] = self._attempt(step, place)
        except BaseException as error:
            if self.failed(place, error):
                raise
        else:
            return result
        return self.again(place)

    def _start(self, step: Step[Any], asked: tuple[BaseException | None, BaseException | None]) -> None:
        """An interceptor has been asked whether a step may be started."""
        try:
            self._allow(asked)
        except BaseException:
            step.move(StepState.DROPPED)
            self.report.dropped.append(step)
            raise

    @staticmethod
    def _allow(asked: tuple[BaseException | None, BaseException | None]) -> None:
        error = asked[0] or asked[1]
        if error is not None:
            raise error

    def _attempt(self, step: Step[Any], place: int) -> Any:
        if self.interceptor is None:
            return step.definition.run(step.entry)
        return self._result(drive(attempt(self.interceptor, step)), step, place)

    def _result(self, made: Attempt, step: Step[Any], place: int) -> Any:
        if made.error is not None:
            raise made.error
        if made.interrupted is not None:
            self.log[place] = step.entry[OUTCOME] = made.result  # it is done, whatever else is raised
            raise made.interrupted
        return made.result

    def failed(self, place: int, error: BaseException, started: float | None = None, *, waiting: bool = False) -> bool:
        """The body of the step whose outcome belongs at `place` has raised; returns whether that is to go on."""
        log = self.log
        if len(log) <= place or log[place] is not PENDING:
            return True  # interrupted before the step was started, or after it had succeeded
        end = place + 2
        step = step_at(log, end)
        if step.tries is None:
            step.tries = Attempts(step.definition.retry, started)
        thread = get_ident()

        def unwind(rollback: Rollback, whole: bool) -> Unwinding:
            return rollback.unwind(self, end - step.size if whole else end, end, thread)

        made = len(log) > end or self.lanes is not None
        return drive(failing(self, step, error, unwind, made=made, waiting=waiting))

    def again(self, place: int) -> Any:
        """Make the further attempts of a step whose policy wants them."""
        log = self.log
        step = step_at(log, place + 2)
        while True:
            waiting = True
            try:
                pause(step.wait)
                step.attempts += 1
                waiting = False
                result = log[place] = step.entry[OUTCOME] = self._attempt(step, place)
            except BaseException as error:
                if self.failed(place, error, waiting=waiting):
                    raise
            else:
                step.error = None
                return result

    def elsewhere(self, log: Log, entry: Entry) -> Any:
        """Run a step that the frame could not record: `log` is closed, another thread's, or shared with async steps."""
        step: Step[Any] = Step(entry[-1], entry, StepState.QUEUED)
        if log[THREAD] == get_ident() and log[BARRIER] < CLOSED:
            owner = self.owner_here()
            if owner is self:
                return self.run_here(step)
            token = current.set(owner.log)
            try:
                return owner.run_here(step)
            finally:
                current.reset(token)
        lane = Lane(self, step)
        self.enter_lane(lane)
        try:
            self.check_open(step.name)  # after it has been entered: who closes the log then looks for lanes
            token = current.set(lane.log)
            try:
                return lane.run_here(step)
            finally:
                current.reset(token)
        finally:
            lane.foreign = False  # only now: what it did may have been undone at once
            if len(lane.log) == FIRST:
                self.leave_lane(lane)
            self.ended()

    def owner_here(self) -> Runner:
        """To whom a step that is called here belongs: the async step that calls it, if there is one, or else this."""
        called_by = calling_step(self.log) if self.log[BARRIER] & RUNNING else None
        if called_by is None:
            return self
        log, place = called_by
        owner: Runner = log[OWNER]
        return owner.lane_of(step_at(log, place + 2), place)

    def lane_of(self, step: Step[Any], place: int) -> Runner:
        """The lane of an async step whose outcome belongs at `place`, made now if it has none."""
        lane = self.lane_at(place)
        if lane is None:
            lane = Lane(self, step)
            self.enter_lane(lane, place + 2)
        return lane

    def lane_at(self, place: int) -> Lane | None:
        """The lane of the async step whose outcome belongs at `place`, if it has one."""
        for lane in self.lanes or ():
            if isinstance(lane, Lane) and lane.position == place + 2 and lane.step is step_at(self.log, place + 2):
                return lane
        return None

    def check_open(self, what: str) -> None:
        """Refuse what comes too late."""
        if self.log[BARRIER] >= CLOSED:
            raise TransactionClosed(what, self.label, self.state)

    def refusal(self, name: str) -> AsyncActionInSyncBlock:
        """What is raised for an async action that nothing here can await."""
        return AsyncActionInSyncBlock(name, self.label)

    def ended(self) -> None:
        """A step that ran beside the others has ended after the log was closed."""

    # -- async

    async def run_here_async(self, step: Step[Any]) -> Any:
        """Run an async step that was bound before."""
        log = self.log
        try:
            log[BARRIER] += 1
            if self.interceptor is not None:
                self._start(step, await drive_async(ask(self.interceptor.starting, step)))
            step.move(StepState.RUNNING)
            step.attempts = 1
            step.tries = Attempts(step.definition.retry)
            place = len(log)
            try:
                log += (PENDING, step)
                result = log[place] = step.entry[OUTCOME] = await self._attempt_async(step, place)
            except BaseException as error:
                if await self.failed_async(place, error):
                    raise
            else:
                return result
            return await self.again_async(place)
        finally:
            log[BARRIER] -= 1
            if log[BARRIER]:
                self.ended()

    async def _attempt_async(self, step: Step[Any], place: int) -> Any:
        if self.interceptor is not None:
            return self._result(await drive_async(attempt(self.interceptor, step)), step, place)
        value = step.definition.run(step.entry)
        return await value if isawaitable(value) else value

    async def failed_async(
        self, place: int, error: BaseException, started: float | None = None, *, waiting: bool = False
    ) -> bool:
        """The body of the async step whose outcome belongs at `place` has raised; returns whether that is to go on."""
        log = self.log
        if len(log) <= place or log[place] is not PENDING or isinstance(error, GeneratorExit):
            return True  # likewise; and nothing can be awaited where a coroutine is being closed
        step = step_at(log, place + 2)
        if step.tries is None:
            step.tries = Attempts(step.definition.retry, started)
        made = self.lane_at(place)

        def unwind(rollback: Rollback, whole: bool) -> Unwinding:
            return rollback.unwind_step(self, place, made, whole=whole)

        return await drive_async(failing(self, step, error, unwind, made=made is not None, waiting=waiting))

    async def again_async(self, place: int) -> Any:
        """Make the further attempts of an async step whose policy wants them."""
        log = self.log
        step = step_at(log, place + 2)
        while True:
            waiting = True
            try:
                await pause_async(step.wait)
                step.attempts += 1
                waiting = False
                result = log[place] = step.entry[OUTCOME] = await self._attempt_async(step, place)
            except BaseException as error:
                if await self.failed_async(place, error, waiting=waiting):
                    raise
            else:
                step.error = None
                return result

    async def elsewhere_async(self, log: Log, entry: Entry) -> Any:
        """Run an async step that the frame could not record, for the same reasons."""
        step: Step[Any] = Step(entry[-1], entry, StepState.QUEUED)
        self.check_open(step.name)
        if log[THREAD] == get_ident():
            return await self.owner_here().run_here_async(step)
        raise IllegalOperation(
            f"run {step.name} in {self.label}",
            "that was entered in the event loop of another thread",
            "open a transaction in this one",
        )


# How a task that runs a step is found, and the step that a frame belongs to.
ASYNC_STEPS.add(Runner.run_here_async.__code__)


def close(owner: Owner, *, spare_others: bool = False) -> None:
    """Let no more steps be recorded, in the log or beside it; `spare_others`: except in blocks that others are in."""
    owners = [owner]
    while owners:
        owner = owners.pop()
        if owner.log[BARRIER] < CLOSED and not (spare_others and owner.runs_elsewhere and not isinstance(owner, Lane)):
            owner.log[BARRIER] += CLOSED
            owners += owner.lanes or ()


class Lane(Runner):
    """The log of what one step makes while other steps write the log of its block."""

    outer: Runner

    def __init__(self, outer: Runner, step: Step[Any] | None) -> None:
        self.outer = outer
        self.foreign = outer.log[THREAD] != get_ident()
        self.step = step
        self.name = outer.name
        self.log = [0 if outer.interceptor is None else WATCHED, get_ident(), self, outer.awaits]
        self.plain = True
        self.awaits = outer.awaits
        self.interceptor = outer.interceptor
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
    def block(self) -> BlockState | None:
        """The transaction that it belongs to."""
        return self.outer.block

    @property
    def runs_elsewhere(self) -> bool:
        """Whether its step is running in another thread; one in a task is counted by the outer log."""
        return self.foreign and self.step is not None

    def end_unwinding(self, *, failed: bool) -> None:  # noqa: ARG002 - told to blocks
        """All its steps have been undone."""
        self.release()

    def ended(self) -> None:
        """A step has ended after the log was closed."""
        self.outer.ended()

    @property
    def ending(self) -> bool:  # type: ignore[override]
        """Whether everything in its block is about to be undone."""
        return self.outer.ending

    def doom(self, problems: Sequence[UndoFailure]) -> None:
        """Undos have failed in a transaction that goes on."""
        self.outer.doom(problems)
