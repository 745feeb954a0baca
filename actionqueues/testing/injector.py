"""`Injector`: the watch that injects the faults of a run, records what happens, and passes everything on.

Stands on the seam of the core.  Used by what plays a scenario.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from threading import current_thread, main_thread
from typing import Any

from actionqueues.core.current import running_step
from actionqueues.core.log import get_current
from actionqueues.core.requests import Await, Request
from actionqueues.core.step import OUTCOME, PENDING, Step
from actionqueues.core.tasks import running_task, sleep
from actionqueues.core.watch import Hook, Passing, Watch

from .calling import call_again
from .chaining import then
from .differences import compare
from .faults import Endless, Fault, Injected, InjectedConflict, Point, Refused, error_for
from .others import Disturb, SomebodyElse
from .record import Run
from .steps import StepRecord

__all__ = ["Injector"]

_BEFORE = (Fault.BEFORE, Fault.BEFORE_TWICE, Fault.BEFORE_ALWAYS)
_AFTER = (Fault.AFTER, Fault.AFTER_TWICE, Fault.AFTER_ALWAYS)
_OFTEN = 1000  # after so many attempts nobody believes in an end


def _delivery() -> Request:
    """Waits where a cancellation is delivered."""
    return Await(sleep(0), "a cancellation")


class Injector(Passing):
    """Stands between one transaction or classic queue and its steps, in front of another watch.

    It is made where that begins, which tells what that is in: nothing, or a step, or just another transaction.
    """

    def __init__(
        self,
        run: Run,
        inner: Watch | None = None,
        *,
        disturb: Disturb | None = None,
        error: Any = None,
    ) -> None:
        super().__init__(inner)
        self.run = run
        self._disturb = disturb
        self._error = error
        log = get_current()
        self._outermost = log is None or getattr(log.block, "left", False)  # or this code has outlived that block
        self._within = running_step(log)
        self._entered_with: object = None
        self._hook_before: object = None

    def _event(self, place: str, event: str, inner: Callable[[], Request | None]) -> Request | None:
        """Something has happened: let the inner watch know, with a moment to be killed in before and after."""
        crash = self.run.crash
        crash(f"{place}.{event}")
        return then(inner(), lambda: crash(f"{place}.{event}+"))

    def entering(self, block: Any) -> None:
        run = self.run
        run.entered += 1
        run.last_block = block.name if self._outermost else run.last_block
        run.repeating = block.name in run.ended_blocks
        if not self._outermost:
            self._entered_with = run.photo()
        self.inner.entering(block)

    # -- bodies

    def starting(self, step: Step[Any]) -> Request | None:
        record = self.run.start(step, running_step(get_current()) or self._within)
        return self._event(record.place, "starting", lambda: self.inner.starting(step))

    def attempting(self, step: Step[Any]) -> Request | None:
        record = self.run.of(step)
        told = self._event(record.place, "attempting", lambda: self.inner.attempting(step))
        return then(told, lambda: then(self._take(record), lambda: self._before_body(record)))

    def _take(self, record: StepRecord) -> Request | None:
        """Let somebody else make what it is about to make."""
        run = self.run
        if run.back is not None and run.armed_at(record.place, Fault.BEFORE):
            take_back, run.back = run.back, None
            try:
                back = take_back(record)
            except Exception:  # what is left will tell
                back = None
            return None if back is None else Await(self._await_all([(None, back)]), "what somebody else has made")
        point = run.armed_at(record.place, Fault.TAKEN)
        if point is None or record.attempts:
            return None
        return SomebodyElse(run, record, self._disturb).make(point)

    def _before_body(self, record: StepRecord) -> Request | None:
        run, step = self.run, record.step
        if record.attempts >= _OFTEN:
            raise Endless(f"{record.name} was attempted {_OFTEN} times")
        point = self._due(record, _BEFORE)
        if point is not None:
            record.attempts += 1
            run.fire(point)
            raise error_for(step, record.definition.retry, self._error)
        point = run.armed_at(record.place, Fault.CANCEL_BEFORE, Fault.CANCEL_INSIDE)
        first = record.attempts == 0 and record.definition.is_async
        cancel = self._what_cancels(record) if point is not None and first else None
        if point is None or cancel is None:
            run.begin(record)
        elif point.fault is Fault.CANCEL_BEFORE:
            record.attempts += 1
            run.fire(point)
            cancel()
            return _delivery()
        elif run.scope is None:
            run.begin(record)
            record.cancelling = asyncio.get_running_loop().call_soon(self._cancel_inside, point, cancel)
        else:  # in trio it is delivered where the body first waits
            run.begin(record)
            self._cancel_inside(point, cancel)
        return None

    def _what_cancels(self, record: StepRecord) -> Callable[[], object] | None:
        """What cancels the running task; None where there is none, or where it is not one of this run."""
        if not record.in_loop:
            return None
        if self.run.scope is not None:
            cancel: Callable[[], object] = self.run.scope.cancel
            return cancel
        task = running_task()
        return None if task is self.run.outer_task else getattr(task, "cancel", None)  # a task of trio's has none

    def _cancel_inside(self, point: Point, cancel: Callable[[], object]) -> None:
        self.run.fire(point)
        cancel()

    def _due(self, record: StepRecord, kinds: Sequence[Fault]) -> Point | None:
        """The fault that is to be injected now into an attempt of a step."""
        run = self.run
        once, twice, always = kinds
        if kinds is _BEFORE and not run.fired and record.place not in run.expected:
            run.arm_next(record.place)
        made = record.attempts if kinds is _BEFORE else record.returned - 1
        point = run.armed_at(record.place, once)
        if point is not None and made == 0:
            return point
        point = run.armed_at(record.place, twice)
        if point is not None and made < 2:
            return point
        for point in run.armed:
            if point.fault is always:
                place = point.place
                later = point in run.fired and record.name == place.partition("#")[0]
                if record.place == place or later:
                    return point
        return None

    def attempted(self, step: Step[Any], result: object, error: BaseException | None) -> Request | None:
        run, record = self.run, self.run.of(step)
        if record.cancelling is not None:
            record.cancelling.cancel()
            record.cancelling = None
        run.end(record, returned=error is None)
        lost, cancel = (None, None) if error is not None else self._lost(record)
        if lost is not None:
            result, error = PENDING, lost
        told = self._event(record.place, "attempted", lambda: self.inner.attempted(step, result, error))

        def lose() -> Request | None:
            if cancel is not None:
                cancel()
                return _delivery() if record.definition.is_async else None
            if lost is not None:
                step._record[OUTCOME] = PENDING
                raise lost
            return None

        return then(told, lose)

    def _lost(self, record: StepRecord) -> tuple[BaseException | None, Callable[[], object] | None]:
        """What is raised although the body has returned; and what cancels its task, which a sync body outlives."""
        run = self.run
        point = self._due(record, _AFTER)
        if point is not None:
            run.fire(point)
            return error_for(record.step, record.definition.retry, self._error), None
        if record.returned > 1:
            return None, None
        point = run.armed_at(record.place, Fault.INTERRUPT)
        # No other thread is ever interrupted; and in a loop that is not the sweep's, all of that would end.
        if point is not None and run.in_main_thread and current_thread() is main_thread():
            run.fire(point)
            return KeyboardInterrupt("injected"), None
        point = run.armed_at(record.place, Fault.CANCEL_AFTER)
        cancel = None if point is None else self._what_cancels(record)
        if point is None or cancel is None:
            return None, None
        run.fire(point)
        return Injected("cancelled") if record.definition.is_async else None, cancel

    def recorded(self, step: Step[Any]) -> Request | None:
        record = self.run.start(step)
        record.by_hand = True
        return self._event(record.place, "recorded", lambda: self.inner.recorded(step))

    # -- the end

    def committing(self, block: Any, hooks: Sequence[Hook]) -> Request | None:
        run = self.run
        run.crash(f"{block.name}.committing")
        if run.refuse and self._outermost:
            run.refused += 1
            if run.refused > _OFTEN:
                run.endless = True
                raise Endless(f"{block.label} was entered again {_OFTEN} times")
            for point in run.armed:
                if point.fault is Fault.COMMIT:
                    run.fire(point)
            raise Refused("the commit was refused, to see whether everything is undone")
        return then(self.inner.committing(block, hooks), lambda: run.crash(f"{block.name}.committing+"))

    def committed(self, block: Any) -> None:
        run = self.run
        self.inner.committed(block)
        if self._outermost:
            run.committed += 1
        else:
            after = run.photo()
            if after is not None and self._entered_with is not None:
                run.independent += compare(self._entered_with, after)
        run.crash(f"{block.name}.committed")

    def calling_hook(self, hook: Hook) -> Request | None:
        run = self.run
        place = run.name(hook.name)
        run.hooks.append(place)
        told = self._event(place, "calling_hook", lambda: self.inner.calling_hook(hook))
        point = run.armed_at(place, Fault.HOOK)
        if point is None:
            self._hook_before = run.photo()
            return told
        run.fire(point)

        def fail() -> Request | None:
            raise Injected("injected")

        return then(told, fail)

    def called_hook(self, hook: Hook, error: BaseException | None) -> Request | None:
        place, after = self.run.hooks[-1], self.run.photo()
        if after is not None and self._hook_before is not None:
            self.run.hook_effects[place] = compare(self._hook_before, after)
        return self._event(place, "called_hook", lambda: self.inner.called_hook(hook, error))

    # -- undoing

    def rolling_back(self, block: Any, error: BaseException | None) -> Request | None:
        return self._event(block.name, "rolling_back", lambda: self.inner.rolling_back(block, error))

    def undoing(self, step: Step[Any]) -> Request | None:
        record = self.run.of(step)
        told = self._event(record.place, "undoing", lambda: self.inner.undoing(step))
        return then(told, lambda: self._before_undo(record))

    def _before_undo(self, record: StepRecord) -> Request | None:
        run, step = self.run, record.step
        record.undone_as = record.undone_as or step.state
        handler = record.definition.handler
        policy = None if handler is None else handler.retry
        point = run.armed_at(record.place, Fault.UNDO, Fault.UNDO_ONCE)
        if point is not None and (point.fault is Fault.UNDO or not record.undo_calls):
            run.fire(point)
            error = error_for(step, policy)
            if len(record.undo_calls) >= _OFTEN:
                error = InjectedConflict("injected")
            record.undo_calls.append(error)
            raise error
        point = run.armed_at(record.place, Fault.STALE)
        if point is not None and self._disturb is not None and point not in run.fired:
            self._make_stale(step, point, self._disturb)
        run.begin_undo(record)
        return None

    def _make_stale(self, step: Step[Any], point: Point, disturb: Disturb) -> None:
        """Change what a step has made, as somebody else would."""
        run = self.run
        before = run.photo()
        try:
            restore = disturb(step)
        except Exception as error:
            run.mistake = error
            return
        run.disturbed = compare(before, run.photo())
        run.restore = restore if callable(restore) else None
        if run.disturbed:
            run.fire(point)

    def undone(self, step: Step[Any], error: BaseException | None) -> Request | None:
        run, record = self.run, self.run.of(step)
        run.end_undo(record, error)
        told = self._event(record.place, "undone", lambda: self.inner.undone(step, error))
        point = run.armed_at(record.place, Fault.TWICE)
        if point is None or error is not None or point in run.fired:
            return told
        run.fire(point)
        return then(told, lambda: self._again(record))

    @staticmethod
    def _again(record: StepRecord) -> Request | None:
        """Call a handler once more; what it raises is kept and not told to the engine."""
        try:
            coroutine = call_again(record.step)
        except Exception as error:
            record.second_call = error
            return None
        if coroutine is None:
            return None
        awaited: Awaitable[object] = coroutine

        async def again() -> None:
            try:
                await awaited
            except Exception as error:
                record.second_call = error

        return Await(again(), record.name)

    def settled(self, step: Step[Any]) -> Request | None:
        record = self.run.of(step)
        record.settled = step.state
        return self._event(record.place, "settled", lambda: self.inner.settled(step))

    def rolled_back(self, block: Any) -> Request | None:
        run = self.run
        told = self._event(block.name, "rolled_back", lambda: self.inner.rolled_back(block))
        run.ended_blocks.add(block.name)
        run.rolled_back = True
        return then(told, self.repair)

    def repair(self) -> Request | None:
        """After the picture for the verdict: do what a person does whom a report has told of failed undos.

        So the world is as it was for the next run, although an undo has been kept from its work.
        """
        run = self.run
        run.after_rollback = run.photo()
        back: object = None
        if run.restore is not None and not run.keeping:
            restore, run.restore, run.seen = run.restore, None, run.after_rollback
            try:
                back = restore()
            except Exception as error:
                run.mistake = error
        coroutines: list[tuple[StepRecord | None, Awaitable[object]]] = []
        if isawaitable(back):
            coroutines.append((None, back))
        for record in reversed(run.records):
            if record.broken and not record.repaired and (run.armed_at_undo or run.disturbed):
                record.repaired = True
                record.look_at_arguments()
                try:
                    coroutine = call_again(record.step)
                except Exception as error:
                    record.second_call = error
                else:
                    coroutines += [] if coroutine is None else [(record, coroutine)]
        return Await(self._await_all(coroutines), "the repair") if coroutines else None

    @staticmethod
    async def _await_all(coroutines: Sequence[tuple[StepRecord | None, Awaitable[object]]]) -> None:
        for record, coroutine in coroutines:
            try:
                await coroutine
            except Exception as error:
                if record is not None:  # otherwise what is left will tell
                    record.second_call = error
