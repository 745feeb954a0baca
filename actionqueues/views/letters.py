"""Texts in a picture: cut to fit a width that no browser has told, broken where a reader would, safe within XML.

Names and errors are set in a font of one width, so that how much fits can be known.

Stands on labels.  Used by layout, svg and html.
"""

from __future__ import annotations

from html import escape
from typing import Final

from .labels import clipped, width_of

__all__ = ["broken", "duration", "fitted", "room", "word_width", "xml"]

#: The width of a letter in a font of one width, in ems; the widest of those in use.
_LETTER: Final = 0.62

_NARROW: Final = "ijlftr .,:;'()[]!|"
_WIDE: Final = "mwMW@%"


def xml(text: str) -> str:
    """For content and for attributes; the characters that XML forbids are not in a text that is safe to show."""
    return escape(text)


def room(width: float, size: float) -> int:
    """How many letters of this size fit."""
    return max(int(width / (size * _LETTER)), 1)


def fitted(text: str, width: float, size: float) -> str:
    """It, or its beginning and "…"."""
    return clipped(text, room(width, size))


def broken(text: str, width: float, size: float, *, most: int) -> list[str]:
    """In lines, broken behind blanks and signs where that leaves no line too empty; the last one may end in "…"."""
    places = room(width, size)
    lines: list[str] = []
    while width_of(text) > places and len(lines) < most - 1:
        head = clipped(text, places, "")
        cut = 1 + max(head.rfind(sign) for sign in " (,._-/:=")
        cut = cut if cut > len(head) // 3 else len(head)
        cut = cut or 1  # a letter that is wider than the line
        lines.append(text[:cut].rstrip())
        text = text[cut:].lstrip()
    return [*lines, clipped(text, places)] if text else lines


def word_width(text: str, size: float) -> float:
    """About how wide words in a proportional font are, rather too wide."""
    narrow, wide = (sum(map(text.count, letters)) for letters in (_NARROW, _WIDE))
    return ((width_of(text) - narrow - wide) * 0.68 + narrow * 0.4 + wide * 1.05) * size


def duration(seconds: float | None) -> str:
    """In at most seven letters; "" for none."""
    if seconds is None:
        return ""
    if seconds < 0.001:
        return "<1 ms"
    for limit, unit, name in ((1, 0.001, "ms"), (100, 1, "s"), (6000, 60, "min"), (360_000, 3600, "h")):
        if seconds < limit:
            number = seconds / unit
            return f"{number:.1f} {name}" if number < 9.95 and name != "ms" else f"{number:.0f} {name}"
    return f"{min(seconds / 86400, 99999):.0f} d"
