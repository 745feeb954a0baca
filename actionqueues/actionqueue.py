"""The classic API: `ActionQueue`, an explicit queue of actions that the caller executes and rolls back."""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable
from typing import Any, TypeVar

from .aqstatemachine import AQStateMachine
from .drivers import pause, roll_back
from .engine import Rollback
from .errors import ActionRetryException, IllegalOperation
from .owner import close, current, get_current
from .queueing import Adding, fill_in
from .report import Report
from .runner import Runner
from .states import QueueState
from .step import FIRST, THREAD, WATCHED, Step

__all__ = ["ActionQueue", "ActionRetryException"]

T = TypeVar("T")


class ActionQueue(Runner, Adding):
    """A queue of actions: add them, execute them in order, and roll them back if one has failed.

    ``add`` takes any object with ``execute`` and ``rollback``, and decorated functions with their arguments.  An
    exception from an action stops the queue and comes out of `execute` unchanged; the caller then calls `rollback`,
    having logged it, say.  Nothing is undone before that.
    """

    __module__ = "actionqueues"
    name = "action queue"

    def __init__(self) -> None:
        self._actions: list[Step[Any]] = []
        self._state_machine = AQStateMachine()
        self._rollback: Rollback | None = None
        self.log = [0 if self.interceptor is None else WATCHED, get_ident(), self, False]
        self.plain = True
        self._report = Report(self.name, QueueState.INIT)

    @property
    def report(self) -> Report:
        """What has happened; in its `failures` are the rollbacks that raised."""
        self._report.state = self.state
        return self._report

    @property
    def state(self) -> QueueState:
        """How far it has come."""
        return self._state_machine.state

    @property
    def label(self) -> str:
        """What messages call it."""
        return "this action queue"

    def _add(self, step: Step[Any]) -> Step[Any]:
        step.definition.refuse_async(self)
        self._state_machine.transition_to_add()
        self._actions.append(step)
        return step

    def execute(self) -> None:
        """Execute all actions, in the order in which they were added.

        Raises:
            BaseException: whatever an action raises; the ones after it are not executed.  Call `rollback` then.
            IllegalOperation: if nothing has been added, or it has been executed before.
        """
        self._state_machine.transition_to_execute()
        try:
            self.log[THREAD] = get_ident()
            self.surrounding = get_current()
            current.set(self.log)
            for step in self._actions:
                fill_in(step)
                self.run_here(step)
        finally:
            self._detach()
        self._state_machine.transition_to_execute_complete()

    def _detach(self) -> None:
        if get_current() is self.log:
            current.set(self.surrounding)

    def rollback(self) -> None:
        """Roll back every action whose `execute` was called, the one that raised included, in reverse order.

        A rollback that raises does not stop the others, and is not raised from here: it is logged with its traceback
        and listed in `report`.

        Raises:
            KeyboardInterrupt, SystemExit: if one was raised in a rollback, after all the others have run.
            IllegalOperation: if nothing has been executed, or it has been rolled back before.
        """
        try:
            self._roll_back(again=False)
        except IllegalOperation:
            raise
        except BaseException:  # what is to come out, or an interrupt between two lines
            self._roll_back(again=True)
            raise

    def _roll_back(self, *, again: bool) -> None:
        """Roll back, or go on with it where it was interrupted."""
        if again and self.state is QueueState.ROLLBACK_COMPLETE:
            return
        if not again or self.state is not QueueState.ROLLBACK:
            if get_current() is self.log and self.running() is not None:
                advice = "raise an exception in the action, and roll back where that is caught"
                raise IllegalOperation("roll back this queue", "it is being executed", advice)
            self._state_machine.transition_to_rollback()
        rollback = self._rollback = self._rollback or Rollback(self.report)
        close(self)
        self._detach()  # if an interrupt has kept `execute` from it
        try:
            roll_back(rollback, lambda: rollback.unwind(self))
        finally:
            if rollback.guard.broken is not None:
                rollback.abandon(self)
            if len(self.log) == FIRST:  # pragma: no branch - an undo that was cut short has raised
                self._state_machine.transition_to_rollback_complete()
                self.release()
        interrupt = rollback.interrupt()
        if interrupt is not None:
            raise interrupt

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
