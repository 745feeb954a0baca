"""The undo of one step: who does it, how often it is tried, and what is told of it.

Stands on handlers and reports.  Used by the walk through a log (`engine.py`), whose base this is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutine
from typing import Any, cast

from actionqueues.errors import NotLanded, RollbackConflict
from actionqueues.report import Report, UndoFailure

from .attempts import Attempts
from .definition import Definition
from .handler import Handler, unawaited
from .interrupts import InterruptGuard
from .requests import Asking, Await, Request, Shielded, Wait
from .states import UNDOABLE, StepState
from .step import DEFINITION, OUTCOME, Step
from .text import first_of, log_error, shown
from .watch import Watch, ask

__all__ = ["Undoer"]


class Undoer:
    """What a rollback needs to undo one step; `Rollback` says what its attributes mean."""

    report: Report
    watch: Watch | None
    awaits: bool
    guard: InterruptGuard
    interrupts: list[BaseException]
    problems: list[UndoFailure]
    left: tuple[tuple[Step[Any], str], ...] = ()
    disowned = False
    dooms: Any = None

    def _awaited(self, value: Any, handler: Handler, definition: Definition) -> Asking[BaseException | None]:
        """Await what a handler has returned, if it may be awaited; returns what came of it."""
        # A plain callable, of which nobody knows whether it is async, is awaited where anything can be.
        if handler.is_async or (definition.frame is None and self.awaits):
            return (yield Await(value, handler.name))
        return unawaited(value, definition.name)

    def _undo(self, step: Step[Any], error: BaseException | None = None, *, called: bool = False) -> Shielded:
        """Undo one step, or say why not; if its handler has been `called` already, `error` is what that raised."""
        if step.state not in UNDOABLE:
            return  # it has been undone at once
        if step.state is StepState.RUNNING:
            step._move(StepState.UNKNOWN)  # interrupted between its record and its body, or between that and its result
        definition: Definition = step._record[DEFINITION]
        if definition.read_only:
            step._move(StepState.UNDONE)
        elif not (
            step.state is StepState.UNKNOWN and definition.probe is not None and (yield from _probing(step, definition))
        ):
            handler = self._handler_of(step, definition)
            if handler is not None:
                yield from self._attempts(step, handler, error, called=called)
        if self.watch is not None:
            yield from self.tell(self.watch.settled, step)

    def tell(self, method: Callable[..., Request | None], *args: object) -> Shielded:
        """Let a watch know; nothing that it raises stops the undoing."""
        error, interrupted = yield from ask(method, *args)
        if error is not None:
            log_error(f"{self.report.name}: {method.__qualname__} failed: {shown(error)}", error)
        self.interrupts += [
            each for each in (error, interrupted) if each is not None and not isinstance(each, Exception)
        ]

    def _handler_of(self, step: Step[Any], definition: Definition) -> Handler | None:
        """What undoes a step; None if nothing does, which has then been reported."""
        try:
            handler = definition.handler_of(step._record)
        except Exception as unusable:  # a subclass overrides the handler with one that cannot be called
            self._failed(step, unusable)
            return None
        if handler is None:
            step._move(StepState.NOT_UNDONE)
            self.report.not_undone.append(step)
            self.left += ((step, "irreversible" if definition.irreversible else "no rollback handler"),)
        elif handler.needs_result and not step.has_result:
            step._move(StepState.SKIPPED)
            self.report.skipped.append(step)
            self.left += ((step, f"{handler.name} needs its result, which it does not have"),)
        else:
            return handler
        return None

    def _attempts(self, step: Step[Any], handler: Handler, error: BaseException | None, *, called: bool) -> Shielded:
        """Call a handler as often as its policy wants; `called`: for the first time already, which raised `error`."""
        attempts = Attempts(handler.retry)
        if self.watch is not None:
            self.watch.retrying(step, attempts)
        while True:
            if not called:
                error = yield from self._attempt(step, handler)
            called = False
            if error is None:
                step._move(StepState.UNDONE)
                self.report._undone.append(step._record[DEFINITION])  # not the step, which refers to its error
                return
            if self.disowned:
                raise error  # pragma: no cover - in a child process, where no tracer looks
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

    def _attempt(self, step: Step[Any], handler: Handler) -> Asking[BaseException | None]:
        """Call a handler once, with the watch asked before and after; returns what it raised."""
        watch, interrupted = self.watch, None
        if watch is not None:
            error, interrupted = yield from ask(watch.undoing, step)
            if error is not None:
                return error
        error = value = None
        try:
            value = handler.call(step)
        except BaseException as raised:
            error = raised
        if error is None and (handler.is_async or (value is not None and iscoroutine(value))):
            error = yield from self._awaited(value, handler, step._record[DEFINITION])
        if watch is None:
            return error
        late, also = yield from ask(watch.undone, step, error)
        self.interrupts += [each for each in (interrupted, also) if each is not None]
        return first_of(error, late)

    def _failed(self, step: Step[Any], error: BaseException) -> None:
        conflict = isinstance(error, RollbackConflict)
        failure = UndoFailure(step, error)
        step._move(StepState.CONFLICT if conflict else StepState.UNDO_FAILED)
        (self.report.conflicts if conflict else self.report.failures).append(failure)
        self.problems.append(failure)
        if self.dooms is not None:
            self.dooms.doom([failure])
        if not isinstance(error, Exception):
            self.interrupts.append(error)
        what = "met a conflict" if conflict else "failed"
        log_error(f"{self.report.name}: the undo of {step.name} {what}: {shown(error)}", error)


def _probing(step: Step[Any], definition: Definition) -> Asking[bool]:
    """Ask the probe of a step (``@fn.landed``) what became of it.

    Returns:
        Whether it never happened, so that there is nothing to undo.  Otherwise it is done, with the result that the
        probe has returned, or, if that has failed, still unknown.
    """
    probe = definition.probe
    assert probe is not None  # noqa: S101 - the caller has looked
    error: BaseException | None = None
    result: Any = None
    try:
        result = probe.call(step)
    except BaseException as raised:
        error = raised
    if error is None and probe.is_async:
        asked = Await(cast("Awaitable[object]", result), probe.name)
        error = yield asked
        result = asked.result
    if error is None:
        step._record[OUTCOME] = result
        step._move(StepState.DONE)
    elif isinstance(error, NotLanded):
        step._move(StepState.NOT_LANDED)
        return True
    elif isinstance(error, Exception):
        log_error(f"the probe {probe.name} of {step.name} failed, so it counts as maybe done: {shown(error)}", error)
    else:
        raise error
    return False
