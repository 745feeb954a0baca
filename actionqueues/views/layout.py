"""Where everything in a picture stands: parts in rows, as letters of a text, on the line of their executes.

A part has a width, and a height above and below that line; in a row all lines meet.  The line of the rollbacks is
`Layout.drop` below it, the same in the whole picture.  What does not fit begins another row; a frame with more than one
row has one for itself.

Stands on parts and letters.  Used by routes and svg.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .letters import broken
from .parts import Part, Row

__all__ = ["CARD", "GAP", "INSET", "LOOP", "PILL", "WIDEST", "Layout"]

CARD: Final = 134  #: the width of a step's box
INSET: Final = 8  #: from its edge to the pills in it
GAP: Final = 25  #: between two in a row
PILL: Final = 34  #: the height of one without an error
_MARGIN: Final = 42  #: beside rows: for START and END, and the ways between rows
_TURN: Final = 38  #: below a row: for the ways to the next one
WIDEST: Final = 880 - 2 * 12  #: a page of GitHub has room for so much

_SIDE: Final = 16  #: beside the only row of a frame
_HEAD: Final = 30  #: of a frame: its name
_EXIT: Final = 18  #: below: the way out of what has gone back by itself
_LAST_EXIT: Final = 36  #: likewise, with the error above it
_LINE: Final = 13  #: the height of a line of small letters
LOOP: Final = 22  #: the arrow of a retry above a box, or below
_LANE: Final = 30
_LANE_GAP: Final = 6
_LANES_SIDE: Final = 28


class Layout:
    """Places a whole and all that is in it."""

    def __init__(self, whole: Part) -> None:
        boxes = list(_boxes(whole))
        self.names = max((len(self.name(part)) for part in boxes), default=1)
        self.has_arguments = any(part.arguments for part in boxes)
        self.errors = max((len(self.error(part.error)) for part in boxes), default=0)
        self.undo_errors = max((len(self.error(part.undo_error)) for part in boxes), default=0)

        self.pill = PILL + self.errors * _LINE + (3 if self.errors else 0)
        self.undo_pill = PILL + self.undo_errors * _LINE + (3 if self.undo_errors else 0)
        self.drop = self.pill + 28
        self.head = 12 + self.names * 15 + (14 if self.has_arguments else 0) + 3
        self.above = self.head + PILL / 2
        self.below = self.drop - PILL / 2 + self.undo_pill + INSET
        self._measure(whole, WIDEST)
        self._place(whole, 0, whole.above)

    @staticmethod
    def name(part: Part) -> list[str]:
        """In lines, as a box has room for them."""
        return broken(part.label, CARD - 2 * INSET - 2, 12, most=2)

    @staticmethod
    def error(text: str) -> list[str]:
        """In lines, as a pill has room for them."""
        return broken(text, CARD - 2 * INSET - 14, 10, most=3)

    def _measure(self, part: Part, room: float) -> None:
        """Set its size, and break it into rows."""
        if part.kind == "lanes":
            self._measure_lanes(part, room)
        elif part.kind == "frame":
            self._measure_frame(part, room)
        elif part.kind == "lane":
            part.above, part.below = _LANE / 2, _LANE / 2 + (_LINE if part.error or part.undo_error else 0)
        elif part.kind == "raised":
            part.width, part.above, part.below = CARD - 2 * INSET, PILL / 2, self.drop
        else:
            part.width = CARD
            part.above = self.above + (LOOP if part.attempts > 1 else 0)
            part.below = self.below + (LOOP if part.undo_attempts > 1 else 0)

    def _measure_frame(self, frame: Part, room: float) -> None:
        inner = room - 2 * _MARGIN
        rows: list[list[Part]] = []
        taken = inner
        for part in frame.parts:
            self._measure(part, inner)
            if taken + GAP + part.width > inner or len(part.rows) > 1:
                rows.append([])
                taken = -GAP
            rows[-1].append(part)
            taken = inner if len(part.rows) > 1 else taken + GAP + part.width
        height: float = 0 if frame.outermost else _HEAD
        for parts in rows:
            row = Row(parts)
            row.top = height + (_TURN if frame.rows else 0)
            row.y = row.top + max(part.above for part in parts)
            row.bottom = height = row.y + max(part.below for part in parts)
            frame.rows.append(row)
        left, right = self.margins(frame)
        widest = max((sum(part.width + GAP for part in parts) - GAP for parts in rows), default=GAP)
        frame.width = max(left + widest + right, 0 if frame.outermost else self._header(frame))
        frame.above = frame.rows[0].y if rows else PILL / 2
        if _leaves_below(frame):
            height += _LAST_EXIT if frame.outermost else _EXIT
        frame.below = max(height - frame.above + 10, PILL)

    @staticmethod
    def _header(frame: Part) -> float:
        return min(len(frame.label) * 7.5 + len(frame.arguments) * 6.6, 200) + 130 + (100 if frame.back else 0)

    @staticmethod
    def margins(frame: Part) -> tuple[float, float]:
        """What is left free beside its rows."""
        if frame.outermost or len(frame.rows) > 1:
            return _MARGIN, _MARGIN
        return _SIDE + (10 if _leaves_below(frame) else 0), _SIDE

    def _measure_lanes(self, lanes: Part, room: float) -> None:
        for part in lanes.parts:
            self._measure(part, room - 2 * _LANES_SIDE)
        widest = max(part.width for part in lanes.parts)
        if len(lanes.parts) > 4 or widest:
            lanes.width = max(widest + 2 * _LANES_SIDE, min(room, 4 * CARD + 3 * GAP))
        else:
            lanes.width = min(room, 3 * CARD + 2 * GAP)
        for part in lanes.parts:
            part.width = part.width or lanes.width - 2 * _LANES_SIDE
        height = sum(part.above + part.below + _LANE_GAP for part in lanes.parts)
        lanes.above = _HEAD + lanes.parts[0].above
        lanes.below = max(_HEAD + height + 6 - lanes.above, self.drop + PILL / 2 + INSET)

    def _place(self, part: Part, x: float, y: float) -> None:
        """Set where it and all that it contains are: its left edge, and its line."""
        part.x, part.y = x, y
        top = y - part.above
        if part.kind == "lanes":
            top += _HEAD
            for each in part.parts:
                self._place(each, x + _LANES_SIDE, top + each.above)
                top += each.above + each.below + _LANE_GAP
        for row in part.rows:
            row.y, row.top, row.bottom = row.y + top, row.top + top, row.bottom + top
            left = x + self.margins(part)[0]
            for each in row.parts:
                self._place(each, left, row.y)
                left += each.width + GAP


def _leaves_below(frame: Part) -> bool:
    """Whether what goes on behind it begins at its rollbacks: it has gone back by itself."""
    return frame.kind == "frame" and frame.returned


def _boxes(whole: Part) -> Iterator[Part]:
    todo = [whole]
    while todo:
        part = todo.pop()
        todo += part.parts
        if part.kind in ("step", "more", "raised"):
            yield part
