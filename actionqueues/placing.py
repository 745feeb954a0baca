"""`Placing`: where a record goes, so that going backwards through a log and its lanes gives the order of undoing."""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from .owner import Owner, calling_step
from .step import OWNER, THREAD, Step, step_at
from .turns import Rank

if TYPE_CHECKING:
    from .blockstate import BlockState
    from .lanes import Lane
    from .runner import Runner

__all__ = ["Placing"]


class Placing(Owner):
    """An owner that has others beside it."""

    @property
    def latest(self) -> bool:
        """Whether nothing else in its transaction has been started since the last record of this log."""
        owner: Owner = self
        while owner.outer is not None:
            outer: Owner = owner.outer
            if not outer.lanes or outer.lanes[-1] is not owner or owner.position < len(outer.log):
                return False
            owner = outer
        return True

    def split(self) -> None:
        """Something is about to be recorded here: savepoints that other tasks are in go on in lanes behind it."""
        ahead = cast("Placing | None", self.ahead)
        if ahead is not None:
            ahead.go_on_behind()
            self.ahead = None

    def split_for_thread(self) -> None:
        """Another thread is about to start something: savepoints that others are in go on in lanes behind it."""
        ahead = cast("Placing | None", self.ahead)
        if ahead is None:
            return
        if not ahead.awaits:
            self.split()
            return
        while ahead is not None:  # now, since its task may go on before its event loop has called anything
            ahead.mark_as_split()
            ahead = cast("Placing | None", ahead.ahead)
        self.call_soon(self.split)  # and once more there, since a step that begins at this moment may not see the mark

    def call_soon(self, function: Callable[[], object]) -> None:  # noqa: ARG002 - abstract
        """Let the event loop of its block call something."""
        raise AssertionError  # pragma: no cover - abstract

    def go_on_behind(self) -> None:
        """Something else is about to be started: what is recorded here later has to be undone before that."""

    def mark_as_split(self) -> None:
        """Let the next step here look whether something else has been started since the last one."""

    def rank(self, place: int) -> Rank:
        """Where the step whose outcome belongs at `place` stands among those that have been started."""
        rank = [place + 1]  # a record that begins where a lane does comes after it
        owner: Owner = self
        while owner.outer is not None:
            lanes: list[Owner] = owner.outer.lanes or []
            rank[:0] = owner.position, lanes.index(owner) if owner in lanes else len(lanes)
            owner = owner.outer
        return tuple(rank)

    def owner_here(self) -> Runner:
        """To whom a step that is called here belongs: the async step that calls it, if there is one, or else this."""
        called_by = calling_step(self.log) if self.awaits and self.runs_async else None
        if called_by is None:
            return self.writer()
        log, place = called_by
        owner: Runner = log[OWNER]
        return owner.writer().lane_of(step_at(log, place + 2))

    def lane_of(self, step: Step[Any] | None, of: Runner | None = None, block: BlockState | None = None) -> Lane:
        """A lane, behind everything that has been started so far, for what an async step makes.

        What was started before is undone after it, so a step has another lane whenever something else has been started
        in the meantime.  So has a savepoint, `of`.  `block` is its innermost block, if that is another one than here.
        """
        last: Any = self.lanes[-1] if self.lanes else None
        if last is not None and not last.is_block and last.position == len(self.log):
            lane: Lane = last
            if lane.step is step and lane.of is of and lane.log[THREAD] == get_ident():
                return lane
        lane = self.new_lane(step, of, block)
        self.enter_lane(lane)
        if step is not None:
            step.keep(lane)
        return lane

    def writer(self) -> Runner:
        """Whose log takes what is to be recorded now for this one: its own, or that of a later lane.

        If something else has been started since its last record, that is a lane behind all of it.
        """
        if self.outer is None or self.latest:
            return cast("Runner", self)
        owner: Runner = self.outer
        while not owner.latest:
            owner = owner.outer
        lane = self.continued_in(owner)
        self.keep(lane)
        return lane

    def new_lane(self, step: Step[Any] | None, of: Runner | None, block: BlockState | None) -> Lane:  # noqa: ARG002 - abstract
        """Another lane of it, to be entered."""
        raise AssertionError  # pragma: no cover - abstract

    def continued_in(self, owner: Runner) -> Lane:  # noqa: ARG002 - abstract
        """The lane of `owner` in which it goes on."""
        raise AssertionError  # pragma: no cover - abstract

    def keep(self, lane: Lane) -> None:
        """Remember that what is in this lane, which is another owner's, goes with it, and with what it is a part of."""
        self.remember(lane)
        for step in self.running_sync_steps():
            step.keep(lane)
        around: Placing = self.outer if self.of is None else self.of
        if around is not lane.outer and around.outer is not None:
            around.keep(lane)

    def remember(self, lane: Lane) -> None:
        """Remember that what is in this lane goes with it."""
