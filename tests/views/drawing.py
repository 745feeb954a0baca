"""What holds of all reports that are drawn as text."""

from __future__ import annotations

from typing import Any
from unicodedata import category, east_asian_width

from actionqueues.views.text import to_text

__all__ = ["check", "drawn"]


def drawn(data: dict[str, Any], **options: Any) -> str:
    """Behind a line of its own, so that a test shows it as it is; checked for what holds of all drawings."""
    text = to_text(data, **options)
    check(text, options.get("width", 80))
    return f"\n{text}\n"


def check(text: str, width: int) -> None:
    assert text.encode("utf-8")
    for line in text.split("\n"):
        assert line == line.rstrip()
        assert line.isprintable(), ascii(line)
        assert places(line) <= width, line


def places(text: str) -> int:
    """As a terminal counts them, found anew here."""
    marks = sum(category(char) in ("Mn", "Me") for char in text)
    return len(text) - marks + sum(east_asian_width(char) in "WF" for char in text)
