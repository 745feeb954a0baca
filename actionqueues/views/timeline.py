"""The timeline of a report as lines of pieces, each a text and what it is: `text` joins them, `coloured` colours them.

Stands on rows and on the summary.  Used by the views as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from .labels import clipped, width_of, wrapped
from .model import Mark, Story, read
from .rows import CLOSES, FREE, GOES_ON, OPENS, Row, sections
from .summary import summarised

__all__ = ["Line", "Piece", "timeline"]

#: A text, and what it is: of a sign the mark, of labels and details the mark behind a colon ("detail:failed"), of the
#: summary "state:good" ("plain", "left", "bad"); otherwise "heading", "margin", "arguments", "facts", "fold", or "".
Piece: TypeAlias = tuple[str, str]
Line: TypeAlias = list[Piece]

_BAD: Final = frozenset({Mark.UNDO_FAILED, Mark.CONFLICT, Mark.ABANDONED})

#: No line is narrower, and no more levels are indented.
_NARROWEST: Final = 20
_DEEPEST: Final = 12

#: As many lines a summary takes, or an error.
_MOST_LINES: Final = 4

#: What is told in the place of steps that nobody has kept.
_NOT_KEPT: Final = "its steps were not kept: transaction(trace=True) keeps them"

#: Arguments are not worth less room than this, if they need more.
_FEW: Final = 8

#: So much of the width labels may take before arguments begin behind them, not in a column.
_COLUMN: Final = 0.4


class _Signs(NamedTuple):
    """What lines are drawn with."""

    more: str  #: a text goes on
    brackets: dict[int, str]
    marks: dict[Mark, str]


_MARKS: Final = {
    Mark.DONE: "✓+",
    Mark.RETRIED: "↻~",
    Mark.FAILED: "✗x",
    Mark.UNKNOWN: "??",
    Mark.RUNNING: "▸>",
    Mark.QUEUED: "·.",
    Mark.NEVER_STARTED: "·.",
    Mark.ROLLED_BACK: "↶<",
    Mark.UNDOING: "▸>",
    Mark.UNDONE: "↶<",
    Mark.UNDO_FAILED: "✗x",
    Mark.CONFLICT: "≠#",
    Mark.SKIPPED: "!!",
    Mark.LEFT: "!!",
    Mark.NOT_LANDED: "∅0",
    Mark.ABANDONED: "!!",
}
_UNICODE: Final = _Signs(
    "…",
    {FREE: "  ", OPENS: "┌ ", GOES_ON: "│ ", CLOSES: "└ "},
    {mark: signs[0] for mark, signs in _MARKS.items()},
)
_ASCII: Final = _Signs(
    "...",
    {FREE: "  ", OPENS: ", ", GOES_ON: "| ", CLOSES: "` "},
    {mark: signs[1] for mark, signs in _MARKS.items()},
)


def timeline(data: Mapping[str, Any], *, width: int = 80, unicode: bool = True) -> Iterator[Line]:
    """The lines, without their ends; none is wider than `width`, and none ends in a blank.

    Raises:
        ValueError: `data` is of a format that this version does not know.
    """
    signs = _UNICODE if unicode else _ASCII
    width = max(width, _NARROWEST)
    story = read(data, ascii_only=not unicode)
    style = f"state:{_outcome(story)}"
    line = summarised(story, data, unicode=unicode)
    for place, text in enumerate(wrapped(line, width - 2, most=_MOST_LINES, mark=signs.more)):
        yield [*[("  ", "margin")][:place], (text, style)]
    if not story.steps_known and not story.forward:
        for text in wrapped(_NOT_KEPT, width - 2, most=_MOST_LINES, mark=signs.more):
            yield [("  ", "margin"), (text, "facts")]
    if not story.forward:
        return
    yield []
    found = sections(story, min(_DEEPEST, width // 8))
    every = [row for _, rows in found for row in rows]
    column = min(max(map(_head, every)), int(width * _COLUMN))
    right = min(width, max(_whole(row, column) for row in every))
    for heading, rows in found:
        if heading:
            yield [(heading, "heading")]
        for row in rows:
            yield from _lines(row, column, right, width, signs)


def _outcome(story: Story) -> str:
    """What the summary's colour is to say."""
    if story.state == "stuck" or any(node.mark in _BAD for node in story.back):
        return "bad"
    if not story.clean or any(state == "failed" for _, state, _ in story.hooks):
        return "left"
    return "good" if story.state in ("committed", "released", "execute complete") else "plain"


def _head(row: Row) -> int:
    """How wide it is up to its arguments."""
    return 0 if row.mark is None else 2 * len(row.margin) + 2 + width_of(row.label)


def _whole(row: Row, column: int) -> int:
    """How wide it is if it has all the room that it needs."""
    width = _head(row)
    if row.arguments:
        width = max(width, column) + 2 + width_of(row.arguments)
    return width + (2 + width_of(row.facts) if row.facts else 0)


def _lines(row: Row, column: int, right: int, width: int, signs: _Signs) -> Iterator[Line]:
    """The lines of a row: facts stand at the right, and what has no room beside the label goes below it."""
    used = 2 * len(row.margin)
    below: list[Piece] = []
    if row.mark is None:
        folded = clipped(row.label, width - used - 2 * len(signs.more) - 2, signs.more)
        lines: list[Line] = [[(f"{signs.more} {folded} {signs.more}", "fold")]]
    else:
        label = clipped(row.label, right - used - 2, signs.more)
        line: Line = [(signs.marks[row.mark] + " ", row.mark), (label, f"label:{row.mark}")]
        at = used + 2 + width_of(label)
        end = right - width_of(row.facts)
        if row.facts and end < at + 2:
            room = width - used - 4
            below, end = [(text, "facts") for text in wrapped(row.facts, room, most=2, mark=signs.more)], right
        start = max(at, column) + 2
        room = end - start - 2 * bool(row.facts and not below)
        if row.arguments and room >= min(_FEW, width_of(row.arguments)):
            arguments = clipped(row.arguments, room, signs.more)
            line += [(" " * (start - at), ""), (arguments, "arguments")]
            at = start + width_of(arguments)
        if row.facts and not below:
            line += [(" " * (end - at), ""), (row.facts, "facts")]
        lines = [line]
        detail = wrapped(row.detail, width - used - 4, most=_MOST_LINES, mark=signs.more)
        below += [(text, f"detail:{row.mark}") for text in detail]
        lines += [[("    ", ""), piece] for piece in below]
    for place, line in enumerate(lines):
        margin = [GOES_ON if place and each == OPENS else each for each in row.margin]
        if place == len(lines) - 1:
            for level in row.closes:
                margin[level] = CLOSES
        yield [("".join(signs.brackets[each] for each in margin), "margin"), *line]
