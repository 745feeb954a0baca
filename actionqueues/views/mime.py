"""`mimebundle`: what a notebook shows of a report: the page's part, the picture, and as text.

Stands on html, svg and text.  Used by reports.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any, Final

from .html import STYLE, fragment
from .svg import to_svg
from .text import to_text

__all__ = ["mimebundle"]


def _part_with_style(data: Mapping[str, Any]) -> str:
    return f"<style>{STYLE}</style>\n{fragment(data)}"


_MAKERS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "text/plain": to_text,
    "text/html": _part_with_style,
    "image/svg+xml": to_svg,
}


def mimebundle(
    data: Mapping[str, Any], include: Container[str] | None = None, exclude: Container[str] | None = None
) -> dict[str, str]:
    """What `Report.as_dict()` gives, as `_repr_mimebundle_` returns it: by MIME type, those that are asked for.

    Raises:
        ValueError: `data` is of a format that this version does not know.
    """
    return {
        kind: make(data)
        for kind, make in _MAKERS.items()
        if (not include or kind in include) and not (exclude and kind in exclude)
    }
