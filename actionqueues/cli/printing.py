"""What the command prints: lines that a terminal can show, JSON, and tables that fit.

Stands on nothing.  Used by the command.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from typing import Final
from unicodedata import east_asian_width

__all__ = ["one_line", "print_json", "print_table", "say"]

#: What columns that give way keep; before they keep less than the former, others are left out.
_ENOUGH: Final = 9
_LEAST: Final = 6


def say(text: str) -> None:
    """Print a line, with what the terminal does not know in another form."""
    print(text.encode(sys.stdout.encoding or "utf-8", "backslashreplace").decode(sys.stdout.encoding or "utf-8"))  # noqa: T201 - a command


def print_json(data: object) -> None:
    """Print data as JSON."""
    say(json.dumps(data, indent=2))


def one_line(text: str) -> str:
    """On one line, and nothing that a terminal would obey."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def print_table(head: list[str], body: list[list[str]], *, givers: int, spare: Sequence[str] = ()) -> None:
    """As wide as the terminal: so many of the last columns give way, the widest first; the spare ones are left out."""
    room = shutil.get_terminal_size((100, 24)).columns
    rows = [head, *([one_line(cell[: room + 1]) for cell in row] for row in body)]  # which may be long
    for name in spare:
        if sum(_widths(rows, givers, _ENOUGH)) + 2 * (len(rows[0]) - 1) > room:
            place = rows[0].index(name)
            rows = [[*row[:place], *row[place + 1 :]] for row in rows]
    least, widths = _widths(rows, givers, _LEAST), _widths(rows, 0, 0)
    for _ in range(sum(widths) + 2 * (len(widths) - 1) - room):
        widest = max(range(len(widths) - givers, len(widths)), key=lambda place: widths[place] - least[place])
        widths[widest] = max(least[widest], widths[widest] - 1)
    for row in rows:
        cells = (_cut(cell, width) for cell, width in zip(row, widths, strict=True))
        say("  ".join(cells).rstrip())


def _widths(rows: list[list[str]], givers: int, least: int) -> list[int]:
    """What the columns need, of which the last ones get no more than this."""
    widths = [max(_width(row[place]) for row in rows) for place in range(len(rows[0]))]
    first = len(widths) - givers
    return [min(width, least) if place >= first else width for place, width in enumerate(widths)]


def _width(text: str) -> int:
    """How many places of a terminal it takes: letters of East Asia take two."""
    return len(text) if text.isascii() else sum(1 + (east_asian_width(char) in "WF") for char in text)


def _cut(text: str, width: int) -> str:
    if _width(text) > width:
        while _width(text) >= width:
            text = text[:-1]
        text += "…"
    return text + " " * (width - _width(text))
