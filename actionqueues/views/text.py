"""`to_text`: a report as a short timeline, forward and then back; `summary`: the same in one line.

Stands on the summary and the timeline.  Used by reports and by the command.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .summary import summary
from .timeline import timeline

__all__ = ["summary", "to_text"]


def to_text(data: Mapping[str, Any], *, width: int = 80, unicode: bool = True) -> str:
    """Draw what `Report.as_dict()` gives: the summary, a line for each step, and then the way back.

    No line is wider than `width` (or 20, if that is less), and nothing in it is obeyed by a terminal.  Very many steps
    of one name are counted; what failed, was left, or was tried again is shown all the same.  Without `unicode`, all of
    it is ASCII.

    Raises:
        ValueError: `data` is of a format that this version does not know.
    """
    lines = timeline(data, width=width, unicode=unicode)
    return "\n".join("".join(text for text, _ in line) for line in lines)
