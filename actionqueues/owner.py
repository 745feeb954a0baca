"""Who owns a log, what works beside it, and which step is running here.

A log (see `step.py`) has one writer.  What works beside it has a log of its own, a *lane*, which remembers how long the
log was when it began: a savepoint, and a step in another thread.  Going backwards through a log and its lanes by these
places gives the order in which the steps were started.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Final, Protocol

from .errors import NoTransaction
from .report import Report, UndoFailure
from .step import FIRST, OWNER, PENDING, THREAD, Log, Step, step_at

__all__ = ["Owner", "Undoing", "current", "current_step", "get_current", "running_step", "undoing"]


class Undoing(Protocol):
    """A rollback, while it calls handlers."""

    @property
    def step(self) -> Step[Any] | None:
        """The step that is being undone."""


#: The log of the block around the running code, or None outside any.
current: ContextVar[Log | None] = ContextVar("actionqueues.current", default=None)
get_current: Final = current.get

#: The rollback that is calling a handler in this context, or None.
undoing: ContextVar[Undoing | None] = ContextVar("actionqueues.undoing", default=None)


class Owner:
    """Whose log it is: a transaction, a classic queue, or a step that runs beside the others of its block.

    Attributes:
        name: what it is called in reports.
        log: the records of its steps.
        lanes: what works beside that log, in order of start.
        position: as a lane of another owner, how long the log of that was when it began.
        step: as a lane for one step, that step.
        left: the place behind what is left to be undone; None for the end of the log.
        report: where outcomes go.
        surrounding: the log that was current when it began, or None.
        plain: whether it has nothing but records in its log.
        undo_at_once: whether a step that raises is undone before its exception goes on.
    """

    # Kept in the class: most owners never change most of them.
    name: str
    log: Log
    lanes: list[Owner] | None = None
    position = FIRST
    step: Step[Any] | None = None
    left: int | None = None
    surrounding: Log | None = None
    undo_at_once = False
    plain: bool
    _links: list[Step[Any]] | None = None

    @property
    def report(self) -> Report:
        """Where outcomes go."""
        raise AssertionError  # pragma: no cover - abstract

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.name

    def link(self, step: Step[Any]) -> None:
        """Remember a step that still has to be told what became of it."""
        self.plain = False
        if self._links is None:
            self._links = []
        self._links.append(step)

    def settle(self) -> None:
        """Tell them, before the log goes."""
        for step in self._links or ():
            step.settle()
        for lane in self.lanes or ():
            lane.settle()

    def enter_lane(self, lane: Owner) -> None:
        """Let something work beside the log."""
        lane.position = len(self.log)
        self.plain = False
        if self.lanes is None:
            self.lanes = []
        self.lanes.append(lane)

    def leave_lane(self, lane: Owner) -> None:
        """It has been undone."""
        if self.lanes is not None and lane in self.lanes:
            self.lanes.remove(lane)

    def count_steps(self) -> int:
        """How many steps it holds, those of its lanes included."""
        place, count = len(self.log), 0
        while place > FIRST:
            place -= self.log[place - 1].size
            count += 1
        return count + sum(lane.count_steps() for lane in self.lanes or ())

    def running(self) -> Step[Any] | None:
        """The innermost step that the calling thread is running in its log, or the one that the lane is for."""
        log = self.log
        if log[THREAD] != get_ident():
            return self.step
        place = len(log)
        while place > FIRST:
            owner = log[place - 1]
            if log[place - 2] is PENDING:
                return step_at(log, place)
            place -= owner.size
        return None

    def doom(self, problems: Sequence[UndoFailure]) -> None:
        """Undos have failed in a transaction that goes on."""

    def begin_unwinding(self) -> None:
        """As a part of the rollback of the outer transaction, its own steps are about to be undone."""

    def end_unwinding(self) -> None:
        """All its steps have been undone."""


def running_step() -> Step[Any] | None:
    """The innermost step whose body is running here, or None."""
    log = get_current()
    while log is not None:
        owner: Owner = log[OWNER]
        step = owner.running()
        if step is not None:
            return step
        log = owner.surrounding
    return None


def current_step() -> Step[Any]:
    """The step whose body or rollback handler is running: the innermost one.

    Raises:
        NoTransaction: if none is, as in an action that was called outside any block.
    """
    step = running_step()
    if step is not None:
        return step
    rollback = undoing.get()
    step = None if rollback is None else rollback.step
    if step is None:
        advice = (
            "an action called there is the plain function and no step; call the action inside `with transaction():`"
        )
        raise NoTransaction("current_step()", advice)
    return step
