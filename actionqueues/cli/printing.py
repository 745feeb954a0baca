"""What the command prints: lines that a terminal can show, JSON, and tables that fit.

Stands on the core's texts, and the labels of the views.  Used by the command.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
from collections.abc import Sequence
from typing import Final

from actionqueues.core.text import one_line
from actionqueues.views.labels import knows_unicode, safe, width_of

__all__ = ["log_nothing", "one_line", "print_json", "print_table", "say", "table", "told_age"]

#: What columns that give way keep; before they keep less than the former, others are left out.
_ENOUGH: Final = 9
_LEAST: Final = 6


def say(text: str) -> None:
    """Print a line, with what the terminal does not know in another form."""
    print(text.encode(sys.stdout.encoding or "utf-8", "backslashreplace").decode(sys.stdout.encoding or "utf-8"))  # noqa: T201 - a command


def log_nothing(options: argparse.Namespace) -> None:
    """Leave out the tracebacks, unless they are wanted: the reasons are printed, and in the file."""
    if not options.traceback:
        logging.getLogger("actionqueues").addHandler(logging.NullHandler())


def told_age(seconds: float) -> str:
    """How long ago that was, in one unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds) // length} {unit}"
    return f"{int(max(seconds, 0))} s"


def print_json(data: object) -> None:
    """Print data as JSON."""
    say(json.dumps(data, indent=2))


def print_table(head: list[str], body: list[list[str]], *, givers: int, spare: Sequence[str] = ()) -> None:
    """Print a table as wide as the terminal."""
    room, mark = shutil.get_terminal_size((100, 24)).columns, "…"
    if not knows_unicode(sys.stdout):  # escapes are wider, and are made before anything is cut
        body, mark = [[safe(cell, ascii_only=True) for cell in row] for row in body], "."
    for line in table(head, body, room=room, givers=givers, spare=spare, mark=mark):
        say(line)


def table(
    head: list[str], body: list[list[str]], *, room: int, givers: int, spare: Sequence[str] = (), mark: str = "…"
) -> list[str]:
    """The lines of a table: so many of the last columns give way, the widest first; the spare ones are left out."""
    rows = [head, *([one_line(cell[: room + 1]) for cell in row] for row in body)]  # which may be long
    for name in spare:
        if sum(_widths(rows, givers, _ENOUGH)) + 2 * (len(rows[0]) - 1) > room:
            place = rows[0].index(name)
            rows = [[*row[:place], *row[place + 1 :]] for row in rows]
    least, widths = _widths(rows, givers, _LEAST), _widths(rows, 0, 0)
    for _ in range(sum(widths) + 2 * (len(widths) - 1) - room):
        widest = max(range(len(widths) - givers, len(widths)), key=lambda place: widths[place] - least[place])
        widths[widest] = max(least[widest], widths[widest] - 1)
    return ["  ".join(map(_cut, row, widths, [mark] * len(row))).rstrip() for row in rows]


def _widths(rows: list[list[str]], givers: int, least: int) -> list[int]:
    """What the columns need, of which the last ones get no more than this."""
    widths = [max(width_of(row[place]) for row in rows) for place in range(len(rows[0]))]
    first = len(widths) - givers
    return [min(width, least) if place >= first else width for place, width in enumerate(widths)]


def _cut(text: str, width: int, mark: str) -> str:
    if width_of(text) > width:
        while width_of(text) >= width:
            text = text[:-1]
        text += mark
    return text + " " * (width - width_of(text))
