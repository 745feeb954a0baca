"""`Runner`: the owner of a log, to which the frames of its steps turn when something is out of the ordinary.

The sync and the async half do the same, one blocking and the other one suspending; what is done is the engine's.
"""

from __future__ import annotations

from _thread import _count, get_ident
from collections.abc import Callable, Coroutine
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, ClassVar

from .attempts import Attempts
from .cancelling import in_scope
from .concurrency import in_greenlet, in_trio
from .drivers import asked, attempted, drive, drive_async, pause, pause_async
from .engine import Rollback
from .errors import AsyncActionInSyncBlock, IllegalOperation, TransactionClosed
from .failing import failing
from .frames import ASYNC_STEPS
from .interceptor import Attempt, ask, attempt
from .owner import current
from .placing import Placing
from .report import UndoFailure
from .requests import Unwinding
from .states import StepState
from .step import (
    AWAITS,
    BARRIER,
    CLOSED,
    FIRST,
    NO_LOG,
    OUTCOME,
    PENDING,
    SCOPED,
    THREAD,
    Entry,
    Log,
    Step,
    step_at,
)
from .telling import first_of

if TYPE_CHECKING:
    from .blockstate import BlockState
    from .lanes import Lane

__all__ = ["Runner"]


class Runner(Placing):
    """The owner of a log of steps."""

    #: What its lanes are, see `lanes.py`.
    _lane: ClassVar[type[Lane]]

    @classmethod
    def use_lanes(cls, lane: type[Lane]) -> None:
        """What its lanes are."""
        cls._lane = lane

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
        self.split()
        if self.interceptor is not None:
            self._start(step, asked(self.interceptor.starting, step))
        step.move(StepState.RUNNING)
        step.attempts = 1
        if step.definition.retry is not None:
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
        error = first_of(*asked)
        if error is not None:
            raise error

    def _attempt(self, step: Step[Any], place: int) -> Any:
        if self.interceptor is None:
            return step.definition.run(step.entry)
        return self._result(attempted(self.interceptor, step), step, place)

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
            self._check_ended_inside(error)
            return True  # interrupted before the step was started, or after it had succeeded
        end = place + 2
        step = step_at(log, end)
        if step.tries is None:
            step.tries = Attempts(step.definition.retry, started)
        thread = get_ident()

        def unwind(rollback: Rollback, whole: bool) -> Unwinding:
            if step.suspends:
                yield from rollback.unwind_step(self, place, whole=whole)
                return
            yield from rollback.unwind_lanes(step.lanes)
            yield from rollback.unwind(self, end - step.size if whole else end, end, thread)

        made = bool(step.lanes) or (not step.suspends and (len(log) > end or self.lanes is not None))
        failed = failing(self, step, error, unwind, made=made, waiting=waiting)
        return drive(failed, self.turn, self.rank(place)) if _count() else drive(failed)

    def _check_ended_inside(self, error: BaseException) -> None:
        """Explain what the frame of a step raises if its body has ended the block: there is no place for its result."""
        at = error.__traceback__
        if isinstance(error, IndexError) and at is not None and at.tb_next is None and self.log is NO_LOG:
            advice = "leave the block where it was entered; to undo everything, raise an exception"
            raise IllegalOperation(f"end {self.label}", "a step of it is running", advice)

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

    def run_suspending(self, step: Step[Any]) -> Any:
        """Run a sync step in a greenlet: while it is suspended, other tasks start steps, as beside an async one."""
        log = self.log
        self.split()
        log[BARRIER] += 1
        step.suspends = True
        try:
            place = len(log)  # noqa: F841 # pyright: ignore[reportUnusedVariable] - `calling_step` looks for it here
            return self.run_here(step)
        finally:
            log[BARRIER] -= 1
            if log[BARRIER]:
                self.ended()

    def elsewhere(self, log: Log, entry: Entry) -> Any:
        """Run a step that the frame could not record: `log` is closed, another thread's, or shared with async steps."""
        if self.forget():
            return entry[-1].call_again(entry)
        step: Step[Any] = Step(entry[-1], entry, StepState.QUEUED)
        if log[THREAD] == get_ident() and log[BARRIER] < CLOSED:
            owner = self.owner_here()
            run = owner.run_suspending if owner.awaits and in_greenlet() else owner.run_here
            if owner is self:
                return run(step)
            token = current.set(owner.log)
            try:
                return run(step)
            finally:
                current.reset(token)
        outer = self.writer() if log[BARRIER] < CLOSED else self
        lane = outer.new_lane(step)
        lane.at_work = True
        outer.enter_lane(lane)
        try:
            self.check_open(step.name)  # after it has been entered: who closes the log then looks for lanes
            token = current.set(lane.log)
            try:
                return lane.run_here(step)
            finally:
                current.reset(token)
        finally:
            lane.at_work = False  # only now: what it did may have been undone at once
            if len(lane.log) == FIRST:
                outer.leave_lane(lane)
            self.ended()

    def new_lane(self, step: Step[Any] | None, of: Runner | None = None, block: BlockState | None = None) -> Lane:
        """Another lane of it, to be entered."""
        return self._lane(self, step, of, block)

    def check_open(self, what: str) -> None:
        """Refuse what comes too late."""
        if self.log[BARRIER] >= CLOSED:
            raise TransactionClosed(what, self.label, self.state)

    def check_loop(self, what: str) -> None:
        """Refuse what would run in another event loop."""

    def refusal(self, name: str) -> AsyncActionInSyncBlock:
        """What is raised for an async action that nothing here can await."""
        return AsyncActionInSyncBlock(name, self.label)

    def otherwise(self, log: Log, entry: Entry) -> Coroutine[Any, Any, Any]:
        """Call an async action where it takes more than to await its step."""
        if self.forget():
            again: Coroutine[Any, Any, Any] = entry[-1].call_again(entry)
            return again
        if not self.awaits:
            raise self.refusal(entry[-1].name)
        step: Any = self.in_scope(entry[-1].name, lambda: self.elsewhere_async(log, entry))
        step.__qualname__ = entry[-1].frame.__qualname__  # what Python calls it if it is never awaited
        return step  # type: ignore[no-any-return] # a coroutine, whose name mypy does not let be set

    async def in_scope(self, name: str, step: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run a step so that whoever ends the block can cancel it, if that takes a scope."""
        if self.log[AWAITS] is not SCOPED or not in_trio():  # otherwise it is about to be refused
            return await step()
        owner = self.outermost
        if owner.scopes is None:
            owner.scopes = {}

        def cancelled() -> TransactionClosed:
            return TransactionClosed(name, self.label, self.state, cancelled=True)

        return await in_scope(owner.scopes, self.log, step, cancelled)

    def ended(self) -> None:
        """A step that ran beside the others has ended after the log was closed."""

    # -- async

    async def run_here_async(self, step: Step[Any]) -> Any:
        """Run an async step that was bound before."""
        log = self.log
        self.split()
        log[BARRIER] += 1  # no signal is looked for between this and the next line
        try:
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
        if len(log) <= place or log[place] is not PENDING:
            self._check_ended_inside(error)
            return True  # likewise
        step = step_at(log, place + 2)
        if step.tries is None:
            step.tries = Attempts(step.definition.retry, started)

        def unwind(rollback: Rollback, whole: bool) -> Unwinding:
            return rollback.unwind_step(self, place, whole=whole)

        if isinstance(error, GeneratorExit):  # nothing can be awaited where a coroutine is being closed
            step.error = error
            step.move(StepState.UNKNOWN)
            closed = IllegalOperation(f"undo {step.name}", "its coroutine was closed", "await it to its end")
            self.doom([UndoFailure(step, closed)])
            return True
        failed = failing(self, step, error, unwind, made=bool(step.lanes), waiting=waiting)
        return await drive_async(failed, self.turn, self.rank(place))

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
            self.check_loop(step.name)
            return await self.owner_here().run_here_async(step)
        raise IllegalOperation(
            f"run {step.name} in {self.label}",
            "that was entered in the event loop of another thread",
            "open a transaction in this one",
        )


# How a task that runs a step is found, and the step that a frame belongs to.
ASYNC_STEPS.update(run.__code__ for run in (Runner.run_here_async, Runner.run_suspending))
