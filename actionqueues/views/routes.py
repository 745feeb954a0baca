"""The arrows: forward from box to box along the executes, down where something failed, and back along the rollbacks.

Between rows the way forward and the way back lie within each other, so that they never cross: forward leaves at the
right and comes in at the left, back the other way round.

Stands on layout.  Used by svg.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from .layout import GAP, INSET, PILL, Layout
from .model import Mark
from .parts import Part, Row

__all__ = ["Arrow", "Point", "arrows_of", "end_of", "start_of"]

Point = tuple[float, float]

#: Beside the rows of a frame, from its edge: the ways back, forward and out.
_OUT: Final = 10
_BACK: Final = 20
_FORWARD: Final = 31


_PASSED: Final = frozenset({Mark.DONE, Mark.RETRIED, Mark.ROLLED_BACK})


class Arrow(NamedTuple):
    """A line from point to point."""

    back: bool
    points: list[Point]
    head: bool = True


def arrows_of(whole: Part, layout: Layout, start: Point, end: Point | None) -> list[Arrow]:
    """All that are to be drawn, from START; to END if it has come so far."""
    router = _Router(layout)
    router.forward(whole, start, None if whole.returned else end)
    if whole.returned:
        router.back(whole, None, end)
    todo = list(whole.parts)
    while todo:
        part = todo.pop()
        todo += part.parts
        router.inside(part)
    return router.found


def start_of(whole: Part) -> Point:
    """Where the arrow from START begins."""
    return 24, whole.y


def end_of(whole: Part) -> Point:
    """Where the arrow to END ends: behind the last part, or below all if it has gone back."""
    if whole.returned:
        return whole.width - 24, whole.y + whole.below - 22
    if not whole.rows:
        return 24 + 2 * GAP, whole.y
    last = whole.rows[-1].parts[-1]
    if not last.started:
        return whole.width - 24, whole.rows[-1].y
    return last.x + last.width + 18, whole.rows[-1].y


class _Router:
    def __init__(self, layout: Layout) -> None:
        self._drop = layout.drop
        self._pill = layout.pill
        self.found: list[Arrow] = []

    def inside(self, part: Part) -> None:
        """Draw what is within a part."""
        if part.kind == "lanes":
            self.lanes(part)
        elif part.kind == "frame":
            ends_here = part.turns or part.returned
            open_end = ends_here or part.mark in (Mark.RUNNING, Mark.UNKNOWN)
            self.forward(part, (part.x, part.y), None if open_end else self.leave(part))
            if part.returned:
                self.back(part, None, self.leave(part))
            elif part.passed:
                self.back(part, None if ends_here else self.back_in(part), self.back_out(part))
        elif part.kind in ("step", "more") and (part.turns or (part.returned and part.back)):
            middle = part.x + part.width / 2
            self.found.append(Arrow(True, [(middle, self._bottom(part)), (middle, part.y + self._drop - PILL / 2)]))

    # -- where arrows meet a part

    def enter(self, part: Part) -> Point:
        return part.x + _inset(part), part.y

    def leave(self, part: Part) -> Point:
        right = part.x + part.width - _inset(part)
        if not part.returned:
            return right, part.rows[-1].y if part.rows else part.y
        if part.kind == "frame":
            return right, part.y + part.below - 12
        return right, part.y + (self._drop if part.back else 0)

    def back_in(self, part: Part) -> Point:
        return part.x + part.width - _inset(part), (part.rows[-1].y if part.rows else part.y) + self._drop

    def back_out(self, part: Part) -> Point:
        if part.kind == "raised":
            return part.x + part.width / 2, part.y + self._drop
        return part.x + _inset(part), part.y + self._drop

    # -- the way forward

    def forward(self, frame: Part, start: Point, end: Point | None) -> None:
        """From box to box; behind the last one on to the end, unless something has ended it."""
        points, row_before = [start], 0
        for number, row in enumerate(frame.rows):
            for part in row.parts:
                if not part.started:
                    continue
                target = self.enter(part)
                points += self._to(frame, points[-1], target, row_before, number)
                self.found.append(Arrow(False, [*points, target], head=part.kind not in ("frame", "lanes")))
                if part.turns:
                    return
                points, row_before = [self.leave(part)], number
        if end and frame.rows and not frame.rows[-1].parts[-1].started:  # around those that never started
            aside, below, beyond = points[0][0] + GAP / 3, frame.rows[row_before].bottom + 7, end[0] - 9
            points += [(aside, points[0][1]), (aside, below), (beyond, below), (beyond, end[1])]
        elif end:
            points += _jog(points[0], end, GAP / 3)
        if end:
            self.found.append(Arrow(False, [*points, end], head=frame.outermost))

    def _to(self, frame: Part, start: Point, target: Point, row_before: int, number: int) -> list[Point]:
        """The corners between two parts."""
        if row_before == number:
            return _jog(start, target, GAP / 3)
        left, right = frame.x + _FORWARD, frame.x + frame.width - _OUT
        low = frame.rows[number].top - 11
        return [(right, start[1]), (right, low), (left, low), (left, target[1])]

    # -- the way back

    def back(self, frame: Part, start: Point | None, end: Point | None) -> None:
        """From the last rollback to the first one, or from where the way forward ended; then out, if it has an end."""
        points: list[Point] = [start] if start else []
        low = False  # whether it runs below the boxes at the moment, by those that it does not stop at
        before: Row | None = None
        right = frame.x + frame.width - _BACK
        for row in reversed(frame.rows):
            below = row.bottom + 7
            if points and before is not None:
                left, between = frame.x + _BACK, before.top - 24
                points += [(left, points[-1][1]), (left, between)]
                low = True
            for part in reversed(row.parts):
                if part.turns:
                    points = self._turn(part)
                    low = False
                elif not points:
                    continue
                elif part.passed:
                    target = self.back_in(part)
                    if low:
                        is_last = before is not None and part is row.parts[-1]
                        beside = right if is_last else part.x + part.width + GAP * 0.6
                        points += [(beside, points[-1][1]), (beside, target[1])]
                    else:
                        points += _jog(points[-1], target, -GAP * 0.4)
                    self.found.append(Arrow(True, [*points, target], head=part.kind != "frame"))
                    points, low = [self.back_out(part)], False
                elif not low:
                    beside = part.x + part.width + GAP * 0.6
                    points += [(beside, points[-1][1]), (beside, below)]
                    low = True
            before = row
        if not points or not end:
            return
        if frame.returned:
            out = frame.x + _OUT
            points += [(out, points[-1][1]), (out, end[1])]
        else:
            points += _jog(points[-1], end, end[0] - points[-1][0] + 8)
        self.found.append(Arrow(True, [*points, end], head=frame.outermost))

    def _turn(self, part: Part) -> list[Point]:
        """How the way back begins at a part."""
        if part.kind != "raised":
            return [self.back_out(part)]
        x, y = self.back_out(part)
        return [(x, self._bottom(part)), (x, y)]

    def _bottom(self, part: Part) -> float:
        """Of its first pill."""
        return part.y - PILL / 2 + (self._pill if part.error else PILL)

    # -- what ran at the same time

    def lanes(self, part: Part) -> None:
        """From the edge into each lane, and out of all if what follows waits for all."""
        started = [lane for lane in part.parts if lane.started]
        self._fan(part.x, part.x + 10, part.y, [self.enter(lane) for lane in started], heads=True)
        if not part.turns and all(lane.mark in _PASSED for lane in part.parts):
            right = part.x + part.width
            self._fan(right, right - 10, part.y, [self.leave(lane) for lane in started], heads=False)

    def _fan(self, edge: float, bus: float, y: float, ends: Sequence[Point], *, heads: bool) -> None:
        """Lines between one point and many, which share a way."""
        for place, end in enumerate(ends):
            corner = [(bus, y if place == len(ends) - 1 else max(y, end[1] - 8)), (bus, end[1])]
            points = [(edge, y), end] if end[1] == y else [*corner, end]
            self.found.append(Arrow(False, points, heads))


def _inset(part: Part) -> float:
    """From its edge to where arrows end: those to a box end at the pill in it."""
    return INSET if part.kind in ("step", "more") else 0


def _jog(start: Point, target: Point, after: float) -> list[Point]:
    """The corners between two points of different heights."""
    if start[1] == target[1]:
        return []
    x = start[0] + after
    return [(x, start[1]), (x, target[1])]
