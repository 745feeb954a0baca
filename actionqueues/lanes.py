"""`Lane`: a log beside the log of a block, of what is started while others start steps."""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .report import Report, UndoFailure
from .runner import Runner
from .step import AWAITS, BARRIER, SPLIT, THREAD, WATCHED, Step

if TYPE_CHECKING:
    from .blockstate import BlockState

__all__ = ["Lane"]


class Lane(Runner):
    """The log of what one step makes while other steps write the log of its block."""

    outer: Runner

    def __init__(
        self,
        outer: Runner,
        step: Step[Any] | None,
        of: Runner | None = None,
        block: BlockState | None = None,
    ) -> None:
        self.outer = outer
        self.of = of  # the savepoint, or the lane of a thread, that it goes on with
        self._block = block or outer.block
        self.at_work = False  # a step in another thread than its block's
        self.step = step
        self.name = outer.name
        outermost, thread = outer.outermost, get_ident()
        barrier = 0 if outer.interceptor is None else WATCHED
        barrier += SPLIT if outermost.shared or outermost.log[THREAD] != thread else 0
        self.log = [barrier, thread, self, outer.log[AWAITS]]
        self.plain = True
        self.awaits = outer.awaits
        self.interceptor = outer.interceptor
        self.surrounding = outer.log
        self.undo_at_once = outer.undo_at_once

    @property
    def report(self) -> Report:
        """Where outcomes go."""
        return self.outer.report

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.outer.label

    @property
    def state(self) -> str:
        """How far it has come."""
        return self.outer.state

    @property
    def block(self) -> BlockState | None:
        """The innermost transaction that it belongs to."""
        return self._block

    def runs_beside(self, leaver: object) -> bool:  # noqa: ARG002 - threads do
        """Whether its step is running in another thread; one in a task is counted by the outer log."""
        return self.at_work

    def continued_in(self, owner: Runner) -> Lane:
        """The lane of `owner` in which it goes on."""
        if self.log[BARRIER] & SPLIT:
            return owner.lane_of(None, self, self._block)
        return owner.lane_of(self.step, self.of, self._block)

    def remember(self, lane: Lane) -> None:
        """Remember that what is in this lane goes with it."""
        if self.step is not None:
            self.step.keep(lane)

    def end_unwinding(self, *, failed: bool) -> None:  # noqa: ARG002 - told to blocks
        """All its steps have been undone."""
        if self.step is not None and self.step.lanes:
            self.step.lanes = [lane for lane in self.step.lanes if lane is not self]
        self.release()

    def ended(self) -> None:
        """A step has ended after the log was closed."""
        self.outer.ended()

    @property
    def ending(self) -> bool:  # type: ignore[override] # that of its block
        """Whether everything in its block is about to be undone."""
        return self.outer.ending if self._block is None else self._block.ending

    def doom(self, problems: Sequence[UndoFailure]) -> None:
        """Undos have failed in a transaction that goes on."""
        self.outer.doom(problems)


Runner.use_lanes(Lane)
