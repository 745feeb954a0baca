"""Who owns a log, what works beside it, and which step of it is running here.

A log (see `step.py`) has one writer.  What works beside it has a log of its own, a *lane*, which remembers how long the
log was when it began: a savepoint, and a step in another thread.  Going backwards through a log and its lanes by these
places gives the order in which the steps were started.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from contextvars import ContextVar, Token
from typing import Any, Final, Protocol, TypeVar

from .concurrency import frames_of_task
from .definition import Definition
from .frames import ASYNC_STEPS
from .interceptor import Interceptor
from .report import Report, UndoFailure
from .states import StepState
from .step import AWAITS, BARRIER, CLOSED, FIRST, NO_LOG, OWNER, PENDING, RUNNING, THREAD, Log, Step, step_at
from .turns import Turns

__all__ = [
    "Owner",
    "Undoing",
    "calling_step",
    "close",
    "current",
    "get_current",
    "lane_after",
    "set_back",
    "undoing",
]

T = TypeVar("T")


def _definition(owner: Any) -> Definition:
    """The definition behind what stands in a record."""
    definition: Definition = owner.definition if isinstance(owner, Step) else owner
    return definition


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


def set_back(variable: ContextVar[T], token: Token[T]) -> None:
    """Let a variable have the value again that it had before a coroutine has set it."""
    with suppress(ValueError):  # the coroutine is being closed in another context, as one that is collected is
        variable.reset(token)


class Owner:
    """Whose log it is: a transaction, a classic queue, or a step that runs beside the others of its block.

    Attributes:
        name: what it is called in reports.
        log: the records of its steps.
        lanes: what works beside that log, in order of start.
        parts: lanes of the outer one in which it goes on, after something else has been started there.
        of: as such a part, what it goes on with.
        position: as a lane of another owner, how long the log of that was when it began.
        outer: as a lane, whose lane it is.
        report: where outcomes go.
        shared: whether other threads may enter and leave lanes, here or further in.
        finished: two places of the log between which no step is running: what need not be searched again.
        surrounding: the log that was current when it began, or None.
        plain: whether it has nothing but records in its log.
        ending: whether everything in it is about to be undone, so that a step that raises now is left to that.
        is_block: whether it is a transaction or a savepoint.
        awaits: whether async steps can be run in it.
        undo_at_once: whether a step that raises is undone before its exception goes on.
        turns: lets one undoing at a time go on, in the outermost owner.
        scopes: what cancels the steps that run in trio, in the outermost owner, and their logs.
        task: in async code, the task that has entered it; in trio, only of a savepoint.
        leaver: the task that leaves it.
        ahead: the only savepoint that is open in it, while that may record without looking around.
        interceptor: what stands between it and its steps, or None.
    """

    # Kept in the class: most owners never change most of them.
    name: str
    log: Log
    lanes: list[Owner] | None = None
    parts: list[Any] | None = None
    of: Any = None
    position = FIRST
    outer: Any = None  # an `Owner`; declared as what it is where it is known
    surrounding: Log | None = None
    shared = False
    finished = (FIRST, FIRST)
    awaits = False
    undo_at_once = False
    ending = False
    is_block = False
    plain: bool
    interceptor: Interceptor | None = None
    turns: Turns | None = None
    scopes: dict[Any, Log] | None = None
    task: object = None
    leaver: object = None
    ahead: Owner | None = None
    _links: list[Step[Any]] | None = None

    @property
    def report(self) -> Report:
        """Where outcomes go."""
        raise AssertionError  # pragma: no cover - abstract

    @property
    def block(self) -> Owner | None:
        """The innermost transaction that it belongs to, or is; None for a classic queue."""
        return None  # pragma: no cover - abstract

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.name  # pragma: no cover - abstract

    def forget(self) -> bool:
        """Be current here no longer, if it has been left in another context than it was entered in, this one."""
        return False

    def link(self, step: Step[Any]) -> None:
        """Remember a step that still has to be told what became of it."""
        self.plain = False
        if self._links is None:
            self._links = []
        self._links.append(step)

    def release(self) -> None:
        """Let go of all that was recorded, having told the steps that were asked for what became of them."""
        owners: list[Owner] = [self]
        while owners:
            owner = owners.pop()
            if owner._links is not None:
                for step in owner._links:
                    step.settle()
                owner._links = None
            if owner.lanes is not None:
                owners += owner.lanes
                owner.lanes = None
            if owner.log is not NO_LOG:
                owner.finished = FIRST, FIRST
                del owner.log[FIRST:]
                owner.log[AWAITS] = False  # a call in a context that still has it is looked at when it is made
                owner.log = NO_LOG

    def enter_lane(self, lane: Owner) -> None:
        """Let something work beside the log, from its end on."""
        self.plain = False
        if lane.log[THREAD] != self.log[THREAD]:
            owner: Owner | None = self
            while owner is not None:
                owner.shared = True
                owner = owner.outer
            self.split_for_thread()
        if not self.shared:
            self._append_lane(lane)
            return
        with self.turn.lock:  # so that the places of lanes never go back
            self._append_lane(lane)

    def cut_back(self, end: int) -> None:
        """Take what is behind `end` out of the log.  The lanes that began there stay behind everything before it."""
        self.finished = FIRST, FIRST
        if self.lanes is None:
            del self.log[end:]
            return
        with self.turn.lock if self.shared else nullcontext():
            del self.log[end:]
            for lane in reversed(self.lanes or ()):
                if lane.position <= end:
                    break
                lane.position = end

    def split_for_thread(self) -> None:
        """Another thread is about to start something: savepoints that others are in go on in lanes behind it."""

    def _append_lane(self, lane: Owner) -> None:
        if self.lanes is None:
            self.lanes = []
        lane.position = len(self.log)
        self.lanes.append(lane)

    @property
    def runs_async(self) -> bool:
        """Whether an async step of it is running, or one that suspends."""
        if self.log[BARRIER] & RUNNING:
            return True
        return self.parts is not None and any(part.log[BARRIER] & RUNNING for part in self.parts)

    @property
    def busy(self) -> bool:
        """Whether a step is running beside it that its end has to wait for."""
        owners: list[Owner] = [self]
        while owners:
            owner = owners.pop()
            if owner.log[BARRIER] & RUNNING or (owner is not self and owner.runs_beside(self.leaver)):
                return True
            owners += owner.lanes or ()
            owners += owner.parts or ()
        return False

    def runs_beside(self, leaver: object) -> bool:  # noqa: ARG002 - abstract
        """Whether the end of a block, which this task leaves, has to wait for it, for all that its log tells."""
        return False  # pragma: no cover - abstract

    def leave_lane(self, lane: Owner) -> None:
        """It has been undone."""
        lanes = self.lanes
        if lanes is None:
            return
        if not self.shared and lanes and lanes[-1] is lane:
            lanes.pop()  # the common case, without searching; only where no other thread can come between
        elif lane in lanes:
            lanes.remove(lane)

    def count_steps(self) -> int:
        """How many steps it holds, those of its lanes included."""
        count = 0
        owners: list[Owner] = [self]
        while owners:
            owner = owners.pop()
            place = len(owner.log)
            while place > FIRST:
                place -= owner.log[place - 1].size
                count += 1
            owners += owner.lanes or ()
        return count

    def holds(self, log: Log) -> bool:
        """Whether a log is its own, or that of a step or block in it."""
        owner: Owner | None = log[OWNER]
        while owner is not None and owner is not self:
            owner = owner.of or owner.outer
        return owner is self

    def step_names(self) -> list[str]:
        """The names of the steps in its own log, in order of start."""
        names: list[str] = []
        place = len(self.log)
        while place > FIRST:
            owner = self.log[place - 1]
            names.append(owner.name)
            place -= owner.size
        return names[::-1]

    @property
    def idle(self) -> bool:
        """Whether no step of it is running, as far as is known without searching."""
        return self.finished == (FIRST, len(self.log)) and not self.runs_async

    def running(self) -> Step[Any] | None:
        """The innermost step of it that the calling frame belongs to."""
        log = self.log
        if log[THREAD] == get_ident():
            step = self._running_sync_step()
            if step is not None:
                return step
        if not self.runs_async:
            return None
        called_by = calling_step(log)
        return None if called_by is None else step_at(called_by[0], called_by[1] + 2)

    def running_sync_steps(self) -> list[Step[Any]]:
        """The steps of its own log whose bodies are running in this thread."""
        log = self.log
        found: list[Step[Any]] = []
        if log[THREAD] != get_ident() or self._running_sync_step() is None:
            return found
        place = len(log)
        while place > FIRST:
            owner = log[place - 1]
            if log[place - 2] is PENDING and not _definition(owner).is_async and not step_at(log, place).suspends:
                found.append(step_at(log, place))
            place -= owner.size
        return found

    def _running_sync_step(self) -> Step[Any] | None:
        log = self.log
        place = end = len(log)
        floor, top = self.finished if self.finished[1] <= end else (FIRST, FIRST)
        while place > FIRST:
            if place == top > floor:
                place = floor
                continue
            owner = log[place - 1]
            if log[place - 2] is PENDING and not _definition(owner).is_async:
                step = step_at(log, place)
                if step.state is StepState.RUNNING and not step.suspends:
                    if end - place >= top - floor:  # otherwise the longer stretch is worth more
                        self.finished = place, end
                    return step
            place -= owner.size
        self.finished = FIRST, end
        return None

    @property
    def outermost(self) -> Owner:
        """The owner that all the others in its transaction are lanes of."""
        owner: Owner = self
        while owner.outer is not None:
            owner = owner.outer
        return owner

    @property
    def turn(self) -> Turns:
        """Lets one undoing at a time go on in a transaction."""
        owner = self.outermost
        if owner.turns is None:
            owner.__dict__.setdefault("turns", Turns())  # other threads may be doing the same
        turns: Turns = owner.__dict__["turns"]
        return turns

    def doom(self, problems: Sequence[UndoFailure]) -> None:
        """Undos have failed in a transaction that goes on."""

    def hand_up(self, interrupt: BaseException) -> bool:  # noqa: ARG002 - async blocks may
        """Whether an interrupt that was kept while a step was undone at once is left to the end of the block."""
        return False

    def begin_unwinding(self) -> None:
        """As a part of the rollback of the outer transaction, its own steps are about to be undone."""

    def end_unwinding(self, *, failed: bool) -> None:
        """All its steps have been undone, except those whose undo `failed`."""


def close(owner: Owner, *, spare_others: bool = False) -> None:
    """Let no more steps be recorded, in the log or beside it; `spare_others`: except in blocks that others are in."""
    if owner.lanes is None and owner.parts is None and not spare_others:
        if owner.log[BARRIER] < CLOSED:
            owner.log[BARRIER] += CLOSED
        return
    owners, leaver = [owner], owner.leaver
    while owners:
        owner = owners.pop()
        block = owner.block if spare_others else None
        if owner.log[BARRIER] < CLOSED and not (block is not None and block.runs_beside(leaver)):
            owner.log[BARRIER] += CLOSED
            owners += owner.lanes or ()
            owners += owner.parts or ()


def lane_after(lanes: list[Owner] | None, place: int, thread: int | None) -> Owner | None:
    """The last lane that began after the record that ends at `place`."""
    for lane in reversed(lanes or ()):
        if lane.position < place:
            break
        if thread is None or lane.log[THREAD] == thread:
            return lane
    return None


def calling_step(log: Log) -> tuple[Log, int] | None:
    """The async step on whose behalf the caller runs: the log of its record, and the place of its outcome there.

    An async step does not announce itself in the context, which would cost more than all the rest of it.  It is found
    by its frame on the stack of the task, and so only by what runs in the same task; a task or thread that it has
    started works beside it.
    """
    for frame in frames_of_task(sys._getframe(1)):
        if frame.f_code in ASYNC_STEPS:
            variables = frame.f_locals
            found: Log = variables["log"]
            if _is_within(found, log) and "place" in variables:
                return found, variables["place"]
    return None


def _is_within(inner: Log, log: Log) -> bool:
    """Whether `inner` is `log`, or that of a lane of its owner, of whatever depth."""
    owner: Owner | None = inner[OWNER]
    while owner is not None:
        if owner.log is log:
            return True
        owner = owner.of or owner.outer
    return False
