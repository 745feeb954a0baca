"""`Running`: the watch of a block on an engine, which runs each attempt, undo and hook as a unit of that.

What every engine needs is done here, once: units are numbered, keys derived, outcomes read, the clock of retry policies
taken from the records, so that each execution of a workflow decides as the one before it did; and what an engine cannot
give is refused before anything has happened.

Stands on the seam of the core.  Used by `attaching.py`.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from itertools import count
from time import monotonic, time
from typing import Any, Final, cast

from actionqueues.core.attempts import Attempts
from actionqueues.core.handler import Handler
from actionqueues.core.log import count_steps, get_current
from actionqueues.core.requests import Await, Request, Wait
from actionqueues.core.states import StepState
from actionqueues.core.step import DEFINITION, Step
from actionqueues.core.text import shown
from actionqueues.core.watch import Hook, Watch
from actionqueues.errors import IllegalOperation
from actionqueues.journal.values import Missing

from .before import Before
from .carrying import Carrier, Outcome
from .engine import Engine, Kind, Run, Unit
from .errors import NotCarried, RolledBackBefore, WorkflowCancelled
from .requesting import Requests
from .units import ENDING, Work, performing

__all__ = ["Running"]

#: Seconds by which what cancels a unit again may come later than it did in the execution that was recorded.
_PATIENCE: Final = 10.0

#: Makes what a unit has returned, or raises what it has raised, of what came of it.
_Settle = Callable[[Work, Outcome], Any]


class Running(Watch):
    """Runs one outermost block on an engine."""

    runs = True

    def __init__(self, engine: Engine, block: Any) -> None:
        self.engine, self.block = engine, block
        self.here: Run = engine.begin(block, awaits=block.awaits)
        self.awaits = self.here.awaits
        given = (getattr(engine, name, None) for name in ("serializer", "resources", "longest"))
        self.carrier = Carrier(engine.name, *given)
        self.requests = Requests(self.carrier) if self.here.carries else None
        self._units, self._steps = count(1), count(1)
        self._random = random.Random(self.here.key)  # noqa: S311 - the same in each execution
        self._clock = 0.0
        self._began = 0.0, 0.0  # the first unit: by the clock of the records, and when this execution was there
        self._flow: list[BaseException] = []  # what the engine has raised that is its own control flow
        self._before = Before()
        self._late: dict[Step[Any], BaseException] = {}  # what has cancelled steps that ended all the same
        self._states: dict[Step[Any], StepState] = {}  # of steps that were not run, and of those that may have been
        self._undo_attempts: dict[Step[Any], Attempts] = {}
        self._to_undo = self._settled = 0
        self._why = ""

    # -- before a step

    def is_elsewhere(self) -> bool:
        return bool(getattr(self.here, "is_elsewhere", bool)())

    def entering(self, block: Any) -> None:
        self.here.show("running")

    def queued(self, step: Step[Any]) -> None:
        self._refuse_in_a_unit(f"queue {step.name}")
        if self.requests is not None:
            self.requests.check_name(step)

    def calling_here(self, step: Step[Any]) -> None:
        if self.awaits:
            advice = (
                f"make it an `async def` and await it, or queue it: q.add({step.name}, ...), and then await q.execute()"
            )
            raise IllegalOperation(
                f"call {step.name} in {self.block.label}", f"{self.engine.name} runs what is awaited", advice
            )

    def starting(self, step: Step[Any]) -> None:
        self._check(step)
        if self._before.error is not None:
            raise self._before.error
        if self.requests is not None:
            self.requests.check(step)
        step._key = f"{self.here.key}-{next(self._steps)}"

    def _check(self, step: Step[Any]) -> None:
        """Refuse what the engine could not run again: it knows the steps of the block, and nothing inside them."""
        log = get_current()
        while log is not None and log.block.real.root is self.block:
            record = log.record
            if isinstance(record, Step) and record is not step and record.state is StepState.RUNNING:
                what = f"on {self.engine.name} {record.name}, which calls it, is run and recorded as one"
                advice = f"call it in the block, or the plain function, {step.name}.__wrapped__"
                raise IllegalOperation(f"run the step {step.name}", what, advice)
            log = log.up
        self.here.refuse(f"run the step {step.name}")

    def _refuse_in_a_unit(self, what: str) -> None:
        """Refuse what the work of a unit does to the block: an execution that has its outcome does not do it again."""
        unit = performing.get()
        if unit is not None and unit.carrier is self.carrier:
            state = f"on {self.engine.name} {unit.name}, which does that, is run and recorded as one"
            raise IllegalOperation(what, state, "do it in the block, with what the step returns")

    def recorded(self, step: Step[Any]) -> None:
        self._refuse_in_a_unit(f"record the undo {step.name}")
        step._key = f"{self.here.key}-{next(self._steps)}"
        if self.requests is not None:
            self.requests.check(step)

    def registering(self, hook: Hook) -> None:
        self._refuse_in_a_unit(f"register the commit hook {hook.name}")
        if self.requests is not None:
            self.requests.check_hook(hook)

    # -- units

    def run_step(self, step: Step[Any]) -> Any:
        definition = step._record[DEFINITION]
        if definition.hold is not None:
            return definition.run(step._record)  # it registers a hook with this block, in each execution
        is_async = definition.is_async or self._may_be_async(definition)
        work = self._work("step", step.name, partial(definition.run, step._record), is_async=is_async, step=step)
        return self._done(work, self._of_step, Requests.of_step)

    def run_undo(self, step: Step[Any], handler: Handler) -> Any:
        is_async = handler.is_async or self._may_be_async(step._record[DEFINITION])
        work = self._work("undo", f"undo {step.name}", partial(handler.call, step), is_async=is_async, step=step)
        return self._done(work, self._of_undo, Requests.of_undo)

    def run_probe(self, step: Step[Any], probe: Handler) -> Any:
        call, is_async = partial(probe.call, step), probe.is_async
        work = self._work("probe", f"look for {step.name}", call, is_async=is_async, step=step)
        return self._done(work, self._of_undo, Requests.of_undo)

    def run_hook(self, hook: Hook) -> Any:
        work = self._work("hook", f"on commit {hook.name}", hook.call, is_async=self.block.awaits)
        return self._done(work, self._of_undo, lambda requests, work: requests.of_hook(work, hook))

    def _may_be_async(self, definition: Any) -> bool:
        """A plain callable, of which nobody knows, is awaited where anything can be."""
        return bool(self.block.awaits) and definition.frame is None

    def _work(
        self, kind: Kind, name: str, call: Callable[[], Any], *, is_async: bool, step: Step[Any] | None = None
    ) -> Work:
        number = next(self._units)
        key = f"{self.here.key}-unit-{number}"
        if step is not None:
            key = step.key if kind == "step" else step.undo_key
        flow = self.here.is_control_flow
        return Work(self.carrier, kind, name, number, key, call, is_async=is_async, step=step, is_control_flow=flow)

    def _done(self, work: Work, settle: _Settle, ask: Callable[[Requests, Work], str] | None = None) -> Any:
        """Let the engine run a unit; returns what came of it, or what is to be awaited for that.

        Where calls are carried, `ask` makes the request of it.
        """
        if self.requests is not None and ask is not None:
            work.asked = partial(ask, self.requests, work)
        try:
            answer = self.here.run(cast("Unit", work))
        except BaseException as error:
            self._note(error, work)
            raise
        if isinstance(answer, str):
            return settle(work, self._read(answer))
        return self._awaited(work, cast("Coroutine[Any, Any, str]", answer), settle)

    async def _awaited(self, work: Work, answer: Coroutine[Any, Any, str], settle: _Settle) -> Any:
        try:
            text = await answer
        except BaseException as error:
            self._note(error, work)
            if work.late is not None and isinstance(error, asyncio.CancelledError):
                try:
                    value = settle(work, self._read(work.late))
                except (Exception, asyncio.CancelledError) as failed:
                    raise error from failed
                if work.kind == "step" and work.step is not None:
                    self._late[work.step] = error
                    return value
            raise
        outcome = self._read(text)
        if outcome.get("stopped") is True and not (work.ran or self.here.carries):
            await self._stopped_again(outcome)
        return settle(work, outcome)

    async def _stopped_again(self, outcome: Outcome) -> None:
        """Wait for what has cancelled a unit in an earlier execution, a time-out or a task that fails, to do so again.

        In this one that may come later, since what was recorded takes no time, but not later after the beginning of the
        block than it came then.  What does not come again, such as the end of the program, came from outside the block.
        """
        began, here = self._began
        await asyncio.sleep(max(0.0, here + outcome["ended"] - began - monotonic()) + _PATIENCE)

    def attempted(self, step: Step[Any], result: object, error: BaseException | None) -> None:
        late = self._late.pop(step, None)
        if late is not None:  # who has called it sees that it was cancelled, so it is undone, with its result
            raise late

    def _note(self, error: BaseException, work: Work | None = None) -> None:
        """Know the control flow of the engine again, which is all that it raises by itself, with two exceptions."""
        if isinstance(error, RolledBackBefore):
            self._before.error = error
            if work is not None and work.kind == "step" and work.step is not None:
                self._not_run(work.step)
        elif not isinstance(error, asyncio.CancelledError) or self.here.is_control_flow(error):
            self._flow.append(error)

    def is_news(self) -> bool:
        return not getattr(self.here, "replays", False)

    def is_control_flow(self, error: BaseException) -> bool:
        return (
            isinstance(error, ENDING) or any(error is each for each in self._flow) or self.here.is_control_flow(error)
        )

    # -- what came of a unit

    def _read(self, text: str) -> Outcome:
        outcome = self.carrier.read(text)
        if not self._clock:
            self._began = outcome["began"], monotonic()
        self._clock = max(self._clock, outcome["ended"])
        return outcome

    def _of_step(self, work: Work, outcome: Outcome) -> Any:
        step = cast("Step[Any]", work.step)
        if step._tries is not None and step.attempts == 1:
            step._tries.started = outcome["began"]
        if not work.ran:
            step._key = outcome.get("key", step._key)
            if "arguments" in outcome:
                self.carrier.put_back(step, outcome["arguments"])
            if "saved" in outcome:
                step.saved.update(self.carrier.saved_of(outcome["saved"]))
        if "cancelled" in outcome:
            if outcome.get("maybe_done"):
                self._states[step] = StepState.UNKNOWN
            else:
                self._not_run(step)
            raise WorkflowCancelled(self.carrier.value_of(outcome["cancelled"]))
        if outcome.get("undone"):
            self._states[step] = StepState.UNDONE
        return self._value(work, outcome)

    def _of_undo(self, work: Work, outcome: Outcome) -> Any:
        attempts = None if work.step is None else self._undo_attempts.get(work.step)
        if attempts is not None and attempts.made == 0:
            attempts.started = outcome["began"]
        return self._value(work, outcome)

    def _value(self, work: Work, outcome: Outcome) -> Any:
        if outcome.get("stopped"):
            raise asyncio.CancelledError if work.error is None else work.error
        if "error" in outcome:
            raise work.error if work.error is not None else self.carrier.error_of(outcome["error"])
        if work.ran or "result" not in outcome:
            return work.live if work.ran else None
        value = self.carrier.value_of(outcome["result"])
        if isinstance(value, Missing):
            raise NotCarried(f"the result of {work.name} cannot be read: {value.reason}", work.name)
        return value

    def _not_run(self, step: Step[Any]) -> None:
        """An attempt was not made; what those before it have done, if it is not the first, is there to be undone."""
        if step.attempts == 1:
            self._states[step] = StepState.DROPPED

    def left_in(self, step: Step[Any]) -> StepState | None:
        return self._states.get(step)

    # -- the ends

    def committing(self, block: Any, hooks: Sequence[Hook]) -> Request | None:
        if self._before.error is not None:
            raise self._before.error
        return self._noted(self._note_work("committing"))

    def committed(self, block: Any) -> None:
        self.here.show("committed")

    def rolling_back(self, block: Any, error: BaseException | None) -> Request | None:
        self._to_undo = count_steps(block.log)
        self._why = "by q.rollback()" if error is None else shown(error)
        self.here.show(f"rolling back: {self._why}; undone 0 of {self._to_undo}")
        return None if self._before.covers() else self._note_of(error, 0)

    def going_back(self, log: Any, error: BaseException | None) -> Request | None:
        part = count_steps(log)
        return self._note_of(error, part) if part and not self._before.covers() else None

    def undoing(self, step: Step[Any]) -> Request | None:
        return self._note_of(self._before.error, 0) if self._before.is_through() else None

    def _note_of(self, error: BaseException | None, part: int) -> Request | None:
        work = self._note_work("rolling back")
        work.why, work.part = error, part
        return self._noted(work)

    def _note_work(self, kind: Kind) -> Work:
        return self._work(kind, kind, lambda: None, is_async=self.block.awaits)

    def _noted(self, work: Work) -> Request | None:
        """Put a note into the records."""
        answer = self._done(work, self._of_note)
        return Await(answer, work.name) if work.is_async or self.awaits else None

    def _of_note(self, work: Work, outcome: Outcome) -> None:
        """Nothing comes of it, but for a cancellation that was noticed before the commit."""
        if "cancelled" in outcome:
            raise WorkflowCancelled(self.carrier.value_of(outcome["cancelled"]))
        if work.kind == "rolling back" and not (work.ran or self.here.carries):
            self._before.found(work.part, RolledBackBefore.recorded(json.dumps(outcome)))

    def retrying(self, step: Step[Any], attempts: Attempts) -> None:
        self._undo_attempts[step] = attempts

    def settled(self, step: Step[Any]) -> None:
        self._undo_attempts.pop(step, None)
        self._before.settled()
        if self._why:
            self._settled += 1
            self.here.show(f"rolling back: {self._why}; undone {self._settled} of {self._to_undo}")

    def rolled_back(self, block: Any) -> None:
        self.here.show(f"rolled back: {self._why}")

    # -- time and chance

    def waiting(self, seconds: float) -> Wait:
        if seconds <= 0:
            return Wait(0)  # no engine has to keep that, and its timers may be slow to come
        return Wait(seconds, self._pause, self._sleep)

    def _pause(self, seconds: float) -> None:
        try:
            self.here.pause(seconds)
        except BaseException as error:
            self._note(error)
            raise

    async def _sleep(self, seconds: float) -> None:
        try:
            await self.here.sleep(seconds)
        except BaseException as error:
            self._note(error)
            raise

    def now(self) -> float:
        return self._clock or time()

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)
