"""The classic API: `ActionQueue`, an explicit queue of actions that the caller executes and rolls back.

Stands on the same log, engine and drivers as a block.  Used by programs.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .aqstatemachine import AQStateMachine
from .core.definition import Definition
from .core.drivers import drive, pause
from .core.engine import Rollback
from .core.frames import place_of_caller
from .core.interrupts import protected_from_start
from .core.kept import cause_of, keep, kept_step, standing_in
from .core.log import LEFT, Log, Owner, get_current, new_log, set_current
from .core.options import check_flag
from .core.queue import Adding, is_action_class, refuse_async, run_queued
from .core.requests import Engine
from .core.states import QueueState, StepState
from .core.step import DEFINITION, PENDING, VALUES, Step
from .core.telling import left_something, log_rolled_back
from .core.tracebacks import shorten
from .core.waiting import waited_for
from .core.watch import SEAM, Watch
from .errors import ActionRetryException, IllegalOperation, TransactionClosed
from .report import Report

__all__ = ["ActionQueue", "ActionRetryException"]

T = TypeVar("T")

_QUEUED = StepState.QUEUED
_new = object.__new__


def _unrecorded(_owner: object) -> Watch | None:
    """No journal records a classic queue, nor does the default one."""
    return None


class _Executed(Owner):
    """The owner of the log of a queue: nothing in it is undone before its caller says so."""

    name, label = "action queue", "this action queue"
    undo_at_once = False

    def __init__(self, machine: AQStateMachine, report: Report) -> None:
        self._machine, self.report, self.running = machine, report, {}
        self.watch = SEAM.watch(self, _unrecorded) if SEAM.used else None
        self.direct = self.watch is None

    @property
    def state(self) -> QueueState:
        return self._machine.state

    def refuse(self, log: Log, what: str) -> BaseException | None:
        if self.state is QueueState.EXECUTE:
            return None
        how = "has been executed" if self.state is QueueState.EXECUTE_COMPLETE else "has been rolled back"
        advice = "call it while that executes, or in a transaction of its own"
        return TransactionClosed(what, self.label, self.state, how=how, advice=advice)


class ActionQueue(Adding):
    """A queue of actions: add them, execute them in order, and roll them back if one has failed.

    ``add`` takes any object with ``execute`` and ``rollback``, and decorated functions with their arguments.  An
    exception from an action stops the queue and comes out of `execute` unchanged; the caller then calls `rollback`,
    having logged it, say.  Nothing is undone before that.
    """

    __module__ = "actionqueues"

    def __init__(self) -> None:
        self._actions: list[Step[Any]] = []
        self._classes: dict[type, Definition] = {}  # of the action objects in it
        self._state_machine = AQStateMachine()
        self._report = Report("action queue", QueueState.INIT)
        self._report.kind, self._report._live = "queue", standing_in(self, ActionQueue._standing)
        self._owner = _Executed(self._state_machine, self._report)
        self._log = new_log(None, self._owner, get_ident(), direct=self._owner.direct)
        self._rollback: Rollback | None = None
        self._executing = self._progress = False

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What notebooks show."""
        return self.report._repr_mimebundle_(include, exclude)

    @property
    def report(self) -> Report:
        """What has happened; in its `failures` are the rollbacks that raised."""
        report = self._report
        report.state = self.state
        return report

    def _standing(self) -> list[Any]:
        """What there is: what has been begun, and what waits."""
        return [*keep(self._log), *[kept_step(step, []) for step in self._actions if step.state is _QUEUED]]

    @property
    def state(self) -> QueueState:
        """How far it has come."""
        return self._state_machine.state

    if not TYPE_CHECKING:  # pragma: no branch - what `Adding` declares

        def add(self, /, *args, **kwargs):
            """As in `Adding`; another object of a class that is here already needs no look at the class."""
            definition = None
            if len(args) == 1 and not kwargs and self._state_machine.state is QueueState.ADD:
                definition = self._classes.get(type(args[0]))
            if definition is None:
                step = Adding.add(self, *args, **kwargs)
                step._queued = place_of_caller()
                return step
            step = _new(Step)
            step._record = [PENDING, definition, args[0]]
            step._state = _QUEUED
            step._fill = False
            step.attempts = 0
            step._tries = step._key = step._saved = step.error = None
            step._queued = place_of_caller()
            self._actions.append(step)
            if self._owner.watch is not None:
                self._owner.watch.queued(step)
            return step

    def _add(self, step: Step[Any]) -> Step[Any]:
        definition = step._record[DEFINITION]
        refuse_async(definition, self._owner)
        self._state_machine.transition_to_add()
        if definition.is_object:
            action: object = step._record[VALUES]
            if is_action_class(type(action)):
                self._classes[type(action)] = definition
        self._actions.append(step)
        if self._owner.watch is not None:
            self._owner.watch.queued(step)
        return step

    if TYPE_CHECKING:

        def execute(self) -> None:
            """Execute all actions: as it is declared in 0.8, for classes that override it."""

    else:

        def execute(self, *, progress=False):
            """Execute all actions, in the order in which they were added.

            Args:
                progress: whether stderr shows how far it is, and how far the rollback is, if there is one.

            Raises:
                BaseException: whatever an action raises; the ones after it are not executed.  Call `rollback` then.
                IllegalOperation: if nothing has been added, or it has been executed before.
            """
            check_flag("execute(progress=...)", progress)
            self._state_machine.transition_to_execute()
            log, around, stop = self._log, get_current(), None
            if progress:
                self._progress, stop = True, SEAM.show(self._owner, log, len(self._actions), 0)
            watch = self._owner.watch
            if watch is not None:
                watch.entering(self._owner)
            try:
                try:
                    self._executing = True
                    log.thread = get_ident()
                    self._owner.surrounding = around
                    set_current(log)
                    for step in self._actions:
                        run_queued(log, step)
                finally:
                    self._leave(around)
            except BaseException as error:
                self._leave(around)  # again, in case it was interrupted
                if stop is not None:
                    stop()  # nobody knows whether it will be rolled back
                shorten(error)
                raise
            self._state_machine.transition_to_execute_complete()
            if watch is not None:
                self._report.state = self.state
                watch.committed(self._owner)
                watch.ended(self._owner)

    def _leave(self, around: Log | None) -> None:
        """Make what surrounds its execution the current log again."""
        if get_current() is self._log:
            set_current(around)
        self._owner.surrounding = None
        self._executing = False

    @protected_from_start
    def rollback(self) -> None:
        """Roll back every action whose `execute` was called, the one that raised included, in reverse order.

        A rollback that raises does not stop the others, and is not raised from here: it is logged with its traceback
        and listed in `report`.

        Raises:
            KeyboardInterrupt, SystemExit: if one was raised in a rollback, after all the others have run.
            IllegalOperation: if nothing has been executed, or it has been rolled back before.
        """
        try:
            try:
                self._roll_back(again=False)
            except IllegalOperation:
                raise
            except BaseException:  # what is to come out, or an interrupt between two lines
                self._roll_back(again=True)
                raise
        except IllegalOperation:
            raise
        except BaseException:
            self._roll_back(again=True)
            raise

    def _roll_back(self, *, again: bool) -> None:
        """Roll back, or go on with it where it was interrupted."""
        if again and self.state is QueueState.ROLLBACK_COMPLETE:
            return
        if not again or self.state is not QueueState.ROLLBACK:
            if self._executing:
                advice = "raise an exception in the action, and roll back where that is caught"
                raise IllegalOperation("roll back this queue", "it is being executed", advice)
            self._state_machine.transition_to_rollback()
        if self._rollback is None:  # pragma: no branch - otherwise it goes on where it was interrupted
            if self._progress:
                begun = sum(step.state is not _QUEUED for step in self._actions)
                SEAM.show(self._owner, self._log, 0, begun)
            self._rollback = Rollback(self.report, watch=self._owner.watch)
        self._log.direct = False
        interrupt = drive(self._undoing(self._rollback))
        if interrupt is not None:
            raise interrupt

    def _undoing(self, rollback: Rollback) -> Engine[BaseException | None]:
        if self._owner.running:  # in threads that an action has started
            yield from waited_for(self._owner, None, rollback.interrupts)
        watch, error = self._owner.watch, next((s.error for s in self._actions if s.error is not None), None)
        if self._report._kept is None and rollback.kept < 2:  # as in a block
            rollback.kept += 1
            self._report._cause = None if error is None else cause_of(error)
            self._report._kept = self._standing() if watch is None else ()
        if watch is not None:
            yield from rollback.tell(watch.rolling_back, self._owner, error)
        yield from rollback.to_its_end(lambda: rollback.unwind(self._log))
        if rollback.guard.broken is not None:
            rollback.abandon(self._log)
        rollback.log_left()
        around = get_current()
        if around is not None and left_something(self.report, rollback):
            around.block.real.put(around, LEFT)
        if self.state is QueueState.ROLLBACK:  # pragma: no branch - otherwise an interrupt came after that
            self._state_machine.transition_to_rollback_complete()
            self._report.state = self.state
            if watch is not None:
                told = watch.rolled_back if rollback.guard.broken is None else watch.abandoned
                yield from rollback.tell(told, self._owner)
                yield from rollback.tell(watch.ended, self._owner)
            log_rolled_back(self._report)
        return rollback.interrupt()

    def execute_with_retries(self, action: T, f: Callable[[T], object]) -> None:
        """Call ``f(action)``, again as often as it raises `ActionRetryException`, after the wait that this names.

        Raises:
            BaseException: whatever else `f` raises.
        """
        while True:
            try:
                f(action)
            except ActionRetryException as retry:
                wait = retry.ms_backoff / 1000
            else:
                return
            pause(wait)

    def __repr__(self) -> str:
        count, outcomes = len(self._actions), self.report.outcomes
        return f"<ActionQueue {self.state}: {count} action{'' if count == 1 else 's'}{outcomes and ', ' + outcomes}>"
