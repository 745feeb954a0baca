"""``execute(progress=True)``: a watch that tells the drawing of `progress` how far one transaction or queue is.

It hangs on the seam of that one alone, so it needs no listener, and shows nothing else.

Stands on the seam; imports the drawing once it is wanted.  Used by what executes queued steps.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

from actionqueues.core.log import get_current
from actionqueues.core.requests import Request
from actionqueues.core.states import QueueState, StepState
from actionqueues.core.step import Step
from actionqueues.core.watch import SEAM, Passing

__all__ = ["Showing"]


#: What the states of a classic queue are called where it ends in one.
_ENDS: Final = {
    QueueState.EXECUTE: "stopped by an exception",
    QueueState.EXECUTE_COMPLETE: "executed",
    QueueState.ROLLBACK_COMPLETE: "rolled back",
}


class Showing(Passing):
    """Shows how far `owner` is, until that has ended or `stop` is called: forward, and then backward."""

    def __init__(self, owner: Any, total: int, begun: int) -> None:
        from actionqueues.views.progress import showing  # here, because few programs show anything

        super().__init__(owner.watch)
        self._owner, self._stack = owner, ExitStack()
        self._run = self._stack.enter_context(showing(owner.name, total or None, report=owner.report))
        for _ in range(begun):
            self._run.recorded()

    def stop(self) -> None:
        """It has ended, or nobody looks any more."""
        self._run.state = _ENDS.get(self._owner.state, str(self._owner.state))
        self._stack.close()

    def queued(self, step: Step[Any]) -> None:
        self._run.queued()
        self.inner.queued(step)

    def attempting(self, step: Step[Any]) -> Request | None:
        if step.attempts == 1:
            self._run.started(step, step.name, queued=step._queued is not None, inside=_is_inside())
        else:
            self._run.retried(step, step.name, step.attempts)
        return self.inner.attempting(step)

    def over(self, step: Step[Any], error: BaseException | None) -> None:
        self._run.ended(step, inside=_is_inside())
        self.inner.over(step, error)

    def recorded(self, step: Step[Any]) -> Request | None:
        self._run.recorded()
        return self.inner.recorded(step)

    def rolling_back(self, block: Any, error: BaseException | None) -> Request | None:
        self._run.turned()
        return self.inner.rolling_back(block, error)

    def undoing(self, step: Step[Any]) -> Request | None:
        self._run.undoing(step, step.name)
        return self.inner.undoing(step)

    def settled(self, step: Step[Any]) -> Request | None:
        self._run.settled(step, undone=step.state is StepState.UNDONE)
        return self.inner.settled(step)

    def ended(self, block: Any) -> None:
        self.inner.ended(block)
        if block is self._owner:
            self.stop()


def _is_inside() -> bool:
    """Whether what is done here is done by a step."""
    log = get_current()
    return log is not None and log.record is not None


def _show(owner: Any, log: Any, total: int, begun: int) -> Callable[[], None]:
    made = owner.watch = Showing(owner, total, begun)
    owner.plain = owner.direct = owner.quick = log.direct = False  # from now on, each step goes by the watch
    return made.stop


SEAM.attach_progress(_show)
