"""`TemporalEngine`: runs the steps of a block in a workflow of Temporal, each attempt and each undo as an activity.

What Temporal has to be told of an activity is said here.  The server tries none again that has run to its end, since
what comes of it, an exception too, is text; it gives one to another worker whose worker has died, which its heartbeats
tell.  Whether a step is tried again is for its policy, in the workflow.

Stands on the seam of the engines, and on temporalio.  Used by programs: ``transaction(engine=TemporalEngine())``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NoReturn

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

from actionqueues.engines.engine import Unit
from actionqueues.errors import IllegalOperation
from actionqueues.journal.serializer import Serializer

from .execution import Execution, current_execution, goes_on_elsewhere
from .payloads import LONGEST, packed, unpacked
from .worker import activity_name

__all__ = ["TemporalEngine"]

#: How the server tries an activity again, or gives it to another worker.
_AGAIN: Final = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))


@dataclass(frozen=True)
class TemporalEngine:
    """Runs the steps of a block as activities of the workflow around it.

    Args:
        start_to_close: how long one attempt may take, heartbeats or not.  It bounds what hangs; the ``timeout=`` of an
            action, or of its rollback, is kept in the activity, and is what a step usually has.
        heartbeat: how soon a worker counts as dead that has not been heard of.  What runs there is then run again by
            another one, with the same key.  Activities give their heartbeats by themselves.
        task_queue: where the activities run, if not where the workflow does.
    """

    start_to_close: timedelta = timedelta(days=30)
    heartbeat: timedelta = timedelta(seconds=10)
    task_queue: str | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return "Temporal"

    @property
    def longest(self) -> int:
        """How many bytes a call or an outcome may have: half of what a server takes, since an undo is given both."""
        return LONGEST

    @property
    def resources(self) -> Mapping[str, Callable[[], Any]]:
        """What the workers supply, by the names of parameters."""
        execution = current_execution.get()
        return {} if execution is None else execution.resources

    @property
    def serializer(self) -> Serializer | None:
        """What turns values into JSON data."""
        execution = current_execution.get()
        return None if execution is None else execution.serializer

    def begin(self, block: Any, *, awaits: bool) -> _Run:
        """A block is about to be entered.

        Raises:
            IllegalOperation: outside a workflow, in a worker without the plugin, or for a block that cannot wait.
        """
        enter = f"enter {block.label}"
        if not workflow.in_workflow():
            advice = "enter it in the code of a workflow, or give it a journal instead of the engine"
            raise IllegalOperation(enter, "this is no workflow of Temporal", advice)
        if not awaits:
            raise IllegalOperation(enter, "a workflow of Temporal waits by `await`", "write `async with transaction()`")
        execution = current_execution.get()
        if execution is None:
            advice = "give it one: Worker(..., plugins=[ActionQueuesPlugin()]), of actionqueues.engines.temporal"
            raise IllegalOperation(enter, "this worker has no ActionQueuesPlugin, so nothing runs its steps", advice)
        return _Run(self, execution, block)


class _Run:
    """Serves one outermost block in one execution of a workflow."""

    awaits = carries = True

    def __init__(self, engine: TemporalEngine, execution: Execution, block: Any) -> None:
        self.engine, self.block = engine, str(block.name)
        self.key = execution.enter(block)
        self._shown = ""

    @property
    def replays(self) -> bool:
        """Whether what the block does now is told by the records, and was told to listeners when it happened."""
        return workflow.in_workflow() and workflow.unsafe.is_replaying()

    def refuse(self, what: str) -> None:
        """Nothing: what is awaited in the block's own event loop, as all its steps are, is in the workflow."""

    async def run(self, unit: Unit) -> str:
        """Run a unit as an activity, to its end; a cancellation that came meanwhile goes on after that."""
        if unit.kind in ("rolling back", "committing"):
            return self._noted()
        engine = self.engine
        activity = workflow.start_activity(
            activity_name(unit),
            packed(unit.request()),
            result_type=RawValue,
            task_queue=engine.task_queue,
            start_to_close_timeout=engine.start_to_close,
            heartbeat_timeout=engine.heartbeat,
            retry_policy=_AGAIN,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=f"{self.block}: {unit.name}",
        )
        interrupt: asyncio.CancelledError | None = None
        while not activity.done():
            try:
                await asyncio.wait((activity,))
            except asyncio.CancelledError as error:
                if goes_on_elsewhere(error):
                    raise
                if interrupt is None:
                    interrupt = error
                    activity.cancel()
        text = self._ended(unit, activity, cancelled=interrupt is not None)
        if interrupt is not None:
            unit.late = text or None
            raise interrupt
        return text

    def _ended(self, unit: Unit, activity: asyncio.Task[RawValue], *, cancelled: bool) -> str:
        """What came of an activity; nothing of one that was `cancelled` while no worker had it."""
        try:
            return unpacked(activity.result())
        except ActivityError as error:
            if cancelled and is_cancelled_exception(error):
                return ""
            # An operator has ended it, or the server has, because its time is up or for what it returned.
            return unit.failed(error, workflow.time())

    def _noted(self) -> str:
        """Nothing to run: that the block is rolled back follows from the records, each time they are read.

        If the workflow's code does not fail there any more, what it does next is not what is recorded, the undo, and
        Temporal refuses to go on with that version of it.
        """
        moment = workflow.time()
        return json.dumps({"began": moment, "ended": moment})

    def pause(self, seconds: float) -> NoReturn:  # pragma: no cover - no step runs here that is not awaited
        """Refused."""
        raise IllegalOperation(f"wait {seconds} seconds", "a workflow of Temporal waits by `await`", "await the step")

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        """Wait by a timer of the server."""
        return workflow.sleep(seconds, summary=f"{self.block}: wait for the next attempt")

    def is_control_flow(self, error: BaseException) -> bool:
        """Whether the worker gives up this execution, and the workflow goes on later, here or in another worker."""
        return goes_on_elsewhere(error)

    def show(self, state: str) -> None:
        """Tell operators, in the workflow's current details, in a line of this block's own."""
        lines = workflow.get_current_details().splitlines()
        line = f"{self.block}: {state}"
        if self._shown in lines:
            lines[lines.index(self._shown)] = line
        else:
            lines.append(line)
        self._shown = line
        workflow.set_current_details("\n".join(lines))
