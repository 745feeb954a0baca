"""Texts of the user's as they can be shown: nothing that a terminal would obey, nothing that breaks a line.

Stands on nothing.  Used by all views.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final
from unicodedata import category, combining, east_asian_width

__all__ = ["clipped", "counted", "knows_unicode", "named", "safe", "width_of", "wrapped"]

#: So much of a text is looked at: more of it has no room in any view.
_LONGEST: Final = 2000

#: So many marks may stand on one character.
_HIGHEST: Final = 4

#: Asks for the form of a character that takes two places.
_EMOJI: Final = "\N{VARIATION SELECTOR-16}"


def safe(text: object, *, ascii_only: bool = False) -> str:
    r"""On one line: control characters, escapes, marks of direction, lone surrogates and the like as ``\x1b``.

    None is nothing.
    """
    shown = text if type(text) is str else "" if text is None else str(text)
    if len(shown) > _LONGEST:
        shown = shown[:_LONGEST] + "…"
    if shown.isascii():
        return shown if shown.isprintable() else "".join(map(_escaped, shown))
    if ascii_only:
        return "".join(map(_escaped, shown.replace("…", "...")))
    return "".join(_unstacked(char if char.isprintable() else _escaped(char) for char in shown))


def knows_unicode(file: object) -> bool:
    """Whether what is printed there may have any character, so that a drawing need not be made of ASCII.

    What has no encoding, as `StringIO`, keeps them as they are; so does what is no file, such as None.
    """
    encoding = getattr(file, "encoding", None) or "utf-8"
    try:
        return codecs.lookup(encoding).name.startswith("utf")
    except LookupError:  # of a file of somebody else's making
        return False


def _escaped(char: str) -> str:
    if char.isascii() and char.isprintable():
        return char
    return " " if category(char) == "Zs" else ascii(char)[1:-1]  # the blanks of other scripts are blanks


def _unstacked(texts: Iterable[str]) -> Iterator[str]:
    """With no more marks above or below a character than scripts have: more of them would reach into other lines."""
    stacked = 0
    for text in texts:
        stacked = stacked + 1 if len(text) == 1 and not _places(text) else 0
        yield text if stacked <= _HIGHEST else ascii(text)[1:-1]


def width_of(text: str) -> int:
    """How many places of a terminal it takes: letters of East Asia take two, marks above or below others take none."""
    return len(text) if text.isascii() else sum(map(_places, text))


@lru_cache(maxsize=4096)
def _places(char: str) -> int:
    if combining(char) or (category(char) in ("Mn", "Me") and char != _EMOJI):
        return 0
    return 2 if east_asian_width(char) in "WF" else 1


def clipped(text: str, width: int, mark: str = "…") -> str:
    """It, or as much of its beginning as fits, and a mark that it goes on."""
    return text if width_of(text) <= width else _split(text, width - len(mark))[0].rstrip() + mark[: max(width, 0)]


def _split(text: str, width: int) -> tuple[str, str]:
    """What fits of one that does not, and the rest."""
    place, taken = 0, _places(text[0])
    while taken <= width:
        place += 1
        taken += _places(text[place])
    return text[:place], text[place:]


def wrapped(text: str, width: int, *, most: int, mark: str = "…") -> list[str]:
    """In lines, broken at blanks where there are some; of more lines than these, the last one goes on in the mark."""
    lines: list[str] = []
    text = text.strip()
    while len(lines) < most - 1 and width_of(text) > width:
        fits, rest = _split(text, width)
        blank = fits.rfind(" ") if not rest.startswith(" ") else len(fits)
        if blank > len(fits) // 2:
            fits, rest = text[:blank], text[blank:]
        lines.append(fits.rstrip())
        text = rest.lstrip()
    return [*lines, clipped(text, width, mark)] if text else lines


def counted(number: int) -> str:
    """A number that may be large, as people read it: ``1 990``."""
    return f"{number:_}".replace("_", " ")


def named(label: str) -> str:
    """A name that is safe, without blanks around it; one that would not be seen is told in words."""
    return label.strip() or "(no name)"
