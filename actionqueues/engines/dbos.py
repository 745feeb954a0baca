"""`DBOSEngine`: a block whose steps and undos are steps that DBOS records in PostgreSQL.

    @DBOS.workflow()
    def sign_up(email):
        with transaction("sign-up", engine=DBOSEngine()):
            user = create_user(email)
            charge(user, 900)

If the process dies, DBOS executes the workflow again: what was recorded does not run a second time, and the block goes
on, or goes on undoing.  `README.md` beside this file says what has to be set for that.

Stands on DBOS and on the Protocols of engines.  Used by programs, which give it to a transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

from dbos import DBOS, StepReservation, WorkflowStatus
from dbos import error as errors

from actionqueues.core.text import log_warning
from actionqueues.errors import IllegalOperation

from .async_bodies import Body
from .beside_loop import Here, beside_the_loop
from .dbos_cancelling import Message, cancel, cancel_async, message_in, undo, undo_async
from .errors import RolledBackBefore

if TYPE_CHECKING:
    from actionqueues.journal.serializer import Serializer

    from .engine import Unit

__all__ = ["DBOSEngine", "cancel", "cancel_async", "undo", "undo_async"]

#: Seconds after which it is logged that a step of an execution before this one is waited for.
_LONG: Final = 10.0

#: The name of the note that tells that a block is being rolled back.
_ROLLING_BACK: Final = "rolling back"

#: The kinds of units that do not run any more once somebody has asked for a cancellation.
_FORWARD: Final = ("step", "committing")

#: What serves the block in whose present execution a unit has been run to its end, before what this context does next.
_went_on: Final[ContextVar[_Run | None]] = ContextVar("actionqueues.engines.dbos.went_on", default=None)

#: The steps that run in this process, by workflow and number, and what tells that one has ended.
_running: Final[dict[tuple[str, int], Event]] = {}


@dataclass(frozen=True)
class DBOSEngine:
    """Runs the steps of a block as steps of the DBOS workflow around it, sync or async.

    Attributes:
        notice_within: seconds within which a block whose steps are short notices that `cancel` was called.  Looking
            costs a third of what DBOS takes for a step, so only with 0 every step looks; the first of a block always
            does, so does one that starts so many seconds after the last look, and so does the commit.
        serializer: what turns arguments, results and errors into JSON, if it is not the usual one.
    """

    notice_within: float = 0.1
    serializer: Serializer | None = None

    def __post_init__(self) -> None:
        if not self.notice_within >= 0:
            raise ValueError(f"DBOSEngine(notice_within=...) takes seconds, 0 or more, not {self.notice_within!r}")

    @property
    def name(self) -> str:
        """What messages call it."""
        return "DBOS"

    def begin(self, block: Any, *, awaits: bool) -> _Run:
        """A block is about to be entered in a workflow."""
        what = f"enter {block.label}"
        if DBOS.workflow_id is None:
            advice = "enter it in a function with @DBOS.workflow(), in the thread or task that DBOS runs that in"
            raise IllegalOperation(what, "no DBOS workflow is around it, so nothing would be recorded", advice)
        if DBOS.step_id is not None:
            state = "a DBOS step is around it, which DBOS runs and records as one"
            raise IllegalOperation(what, state, "enter it in the workflow itself, where each of its steps is recorded")
        return _Run(self)


class _Run:
    """Serves one outermost block in one execution of a workflow: see `Run`."""

    awaits = carries = False

    def __init__(self, engine: DBOSEngine) -> None:
        self._engine = engine
        self._workflow_id = cast("str", DBOS.workflow_id)
        # Its number tells this block from others of the workflow, and is drawn again by each execution.
        self.key = f"{self._workflow_id}-{DBOS.reserve_step().step_id}"
        self._looked: float | None = None
        self._looking = asyncio.Lock()  # so that steps which start together all know what the first one finds
        self._message: Message | None = None
        self._replayed = False  # whether a unit has come from the records
        self._again = False  # whether the workflow was executed before

    def refuse(self, what: str) -> None:
        if DBOS.step_id is not None:
            state = "a DBOS step is running here, which DBOS records as one"
            raise IllegalOperation(what, state, "do it in the workflow itself")
        if self.is_elsewhere():
            state = f"it is called in another workflow, {DBOS.workflow_id}, which DBOS runs and records by itself"
            advice = "give that a block of its own, transaction(engine=DBOSEngine()), or call its function.__wrapped__"
            raise IllegalOperation(what, state, advice)
        if DBOS.workflow_id != self._workflow_id:
            state = "DBOS does not know that this thread belongs to the workflow, and would not record it"
            advice = "do it in the workflow's own thread, or start the thread by asyncio.to_thread"
            raise IllegalOperation(what, state, advice)

    def is_elsewhere(self) -> bool:
        """Whether this is called in another workflow, such as a child of this one: that has blocks of its own."""
        return DBOS.workflow_id not in (None, self._workflow_id)

    # -- units

    def run(self, unit: Unit) -> str | Awaitable[str]:
        # Here, so that steps that start together are numbered in the order of their calls.
        reserved = DBOS.reserve_step()
        if unit.is_async:
            return self._run_async(unit, reserved)
        try:
            text = beside_the_loop(lambda here: reserved.run({"name": unit.name}, self._perform, unit, here))
        except errors.DBOSUnexpectedStepError as unexpected:
            if not self._was_rolled_back(unexpected):
                raise
            raise RolledBackBefore.recorded(beside_the_loop(lambda _: self._output(reserved))) from None
        self._after(unit)
        return text

    async def _run_async(self, unit: Unit, reserved: StepReservation) -> str:
        body = Body(unit.perform_async)
        # In a task of its own, since a cancellation must not come between the end of the work and its record.
        recording = asyncio.create_task(reserved.run_async({"name": unit.name}, self._perform_async, unit, body))
        cancelled = await body.ended(recording)
        try:
            text = recording.result()
        except errors.DBOSUnexpectedStepError as unexpected:
            if not self._was_rolled_back(unexpected):
                raise
            raise RolledBackBefore.recorded(await asyncio.to_thread(self._output, reserved)) from None
        self._after(unit)
        if cancelled is not None:
            unit.late = text
            raise cancelled
        return text

    def _after(self, unit: Unit) -> None:
        if unit.ran:
            _went_on.set(self)
        else:
            self._replayed = True

    def _perform(self, unit: Unit, here: Here) -> str:
        """What DBOS runs and records."""
        with _alone(self._workflow_id) as before:
            if before is not None:
                _wait(before, unit.name)
            if self._looks(unit):
                self._find(_found(self._workflow_id))
            return self._noticed(unit) or here(unit.perform)

    async def _perform_async(self, unit: Unit, body: Body) -> str:
        with _alone(self._workflow_id) as before:
            if before is not None:
                await asyncio.to_thread(_wait, before, unit.name)
            async with self._looking:
                if self._looks(unit):
                    self._find(await _found_async(self._workflow_id))
            return self._noticed(unit) or await body.run()

    # -- cancelling

    def _looks(self, unit: Unit) -> bool:
        """Whether it is time to look for a message, before a unit that need not run."""
        if unit.kind not in _FORWARD or self._message is not None:
            return False
        if unit.kind == "committing" or self._looked is None:
            return True
        return monotonic() - self._looked >= self._engine.notice_within

    def _find(self, status: WorkflowStatus | None) -> None:
        if status is None:
            return
        self._looked, self._message = monotonic(), message_in(status)
        internal = (status.queue_name or "").startswith("_dbos")  # where DBOS puts what it executes again
        self._again = internal or (status.recovery_attempts or 1) > 1

    def _noticed(self, unit: Unit) -> str | None:
        """What to record instead of running a unit, if somebody has asked for that."""
        message = self._message
        if message is None or unit.kind not in _FORWARD:
            return None
        # DBOS keeps no record that a step has begun, so one in an execution that is not the first may have, unless it
        # comes after one that this execution was the first to bring to its end.
        again = message.cut_short or self._replayed or self._again
        return unit.cancelled(message.reason, maybe_done=again and _went_on.get() is not self)

    # -- failures

    def is_control_flow(self, error: BaseException) -> bool:
        if isinstance(error, errors.DBOSBaseException):  # cancelled, or executed elsewhere
            return True
        if isinstance(error, asyncio.CancelledError):
            return _is_shutting_down()
        if isinstance(error, (errors.DBOSUnexpectedStepError, errors.DBOSStepNondeterminismError)):
            return bool(error.inputs[0] == self._workflow_id)  # and not that of a workflow that a step has waited for
        return False

    def _was_rolled_back(self, unexpected: errors.DBOSUnexpectedStepError) -> bool:
        """Whether DBOS has found, where a step was to be run, that the block was being rolled back at this point."""
        workflow_id, _step, asked_for, recorded = unexpected.inputs
        return workflow_id == self._workflow_id and recorded == _ROLLING_BACK != asked_for

    def _output(self, reserved: StepReservation) -> str:
        """What was recorded under a number; asked for outside the context of the workflow, which would record that."""
        steps = Context().run(DBOS.list_workflow_steps, self._workflow_id)
        return next(str(each["output"]) for each in steps if each["function_id"] == reserved.step_id)

    # -- the rest

    def pause(self, seconds: float) -> None:
        beside_the_loop(lambda _: DBOS.sleep(seconds))

    def sleep(self, seconds: float) -> Awaitable[None]:
        return DBOS.sleep_async(seconds)

    def show(self, state: str) -> None:
        """Nothing: the names of steps in ``DBOS.list_workflow_steps`` tell it, and another write would cost as much."""


def _found(workflow_id: str) -> WorkflowStatus | None:
    try:
        return DBOS.list_workflows(workflow_ids=[workflow_id], load_input=False, load_output=False)[0]
    except Exception as error:
        _log_not_found(error)
        return None


async def _found_async(workflow_id: str) -> WorkflowStatus | None:
    try:
        found = await DBOS.list_workflows_async(workflow_ids=[workflow_id], load_input=False, load_output=False)
        return found[0]
    except Exception as error:
        _log_not_found(error)
        return None


def _log_not_found(error: Exception) -> None:
    """The step runs as if nobody had asked: the next one looks again."""
    log_warning(f"DBOS could not be asked whether the workflow is to be cancelled: {error!r}")


def _is_shutting_down() -> bool:
    """Whether DBOS is being destroyed, which cancels all async workflows; they go on in the next process.

    DBOS has no public way to ask for that.
    """
    from dbos import _dbos  # here, so that nothing else depends on it

    instance = getattr(_dbos, "_dbos_global_instance", None)
    return instance is None or not getattr(instance, "_initialized", True)


@contextmanager
def _alone(workflow_id: str) -> Generator[Event | None, None, None]:
    """Be known as what runs this step of DBOS's in this process; yields what another execution of it is known by.

    One that was cancelled, or recovered elsewhere, may still be running it.
    """
    key, mine = (workflow_id, cast("int", DBOS.step_id)), Event()
    before = _running.get(key)
    _running[key] = mine
    try:
        yield before
    finally:
        mine.set()
        if _running.get(key) is mine:
            del _running[key]


def _wait(before: Event, name: str) -> None:
    while not before.wait(_LONG):
        what = "which an execution of the workflow that DBOS has given up is still running in this process"
        log_warning(f"waiting for more than {_LONG:g} seconds for {name} to end, {what}")
