"""The transactions of a journal as notebooks show them: as text and as a table.

Stands on the labels.  Used by `Journal`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Any, Final

from .labels import safe, width_of

__all__ = ["MOST", "mimebundle"]

#: As many transactions are shown.
MOST: Final = 50

_HEAD: Final = ("id", "name", "state", "started", "steps", "why")


def mimebundle(
    title: str,
    entries: Sequence[Mapping[str, Any]],
    count: int,
    include: Collection[str] | None,
    exclude: Collection[str] | None,
) -> dict[str, str]:
    """The transactions: those that have not ended before the others, each the newest first.

    Args:
        title: what stands above them.
        entries: what `as_dict` gives for each of those that may be shown, the oldest first.
        count: how many there are.
        include: only these types, if any are named.
        exclude: not these types.
    """
    shown = sorted(entries, key=lambda entry: (entry["ended"] is not None, -entry["id"]))[:MOST]
    rows = [_row(entry) for entry in shown]
    more = f"… and {count - len(rows)} more" if count > len(rows) else ""
    made = {"text/plain": _text(title, rows, more), "text/html": _html(title, rows, more)}
    return {
        kind: text for kind, text in made.items() if (not include or kind in include) and kind not in (exclude or ())
    }


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    state = "running" if entry["live"] and entry["state"] == "open" else entry["state"]
    why = entry["reason"] or entry["error"] or ""
    values = (entry["id"], entry["name"], state, str(entry["started"])[:19], entry["step_count"], why)
    return tuple(safe(str(value)) for value in values)


def _text(title: str, rows: Sequence[Sequence[str]], more: str) -> str:
    table = [_HEAD, *rows]
    widths = [max(width_of(row[place]) for row in table) for place in range(len(_HEAD))]
    lines = [
        "  ".join(cell + " " * (width - width_of(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    return "\n".join([safe(title), *lines, *([more] if more else [])])


def _html(title: str, rows: Sequence[Sequence[str]], more: str) -> str:
    head = "".join(f"<th scope='col'>{cell}</th>" for cell in _HEAD)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    caption = f"<caption>{escape(safe(title))}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" + (more and f"<p>{more}</p>")
