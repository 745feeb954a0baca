"""`to_text` and `to_mermaid` of a plan: a table, and a flowchart of what will run and of what will undo it.

Stands on labels, and on how Mermaid is written.  Used by plans.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .labels import clipped, counted, knows_unicode, named, safe, width_of, wrapped
from .mermaid import CLASSES, quoted, short_enough

__all__ = ["printed", "to_mermaid", "to_text"]

_LEAST: Final = 40

_HEAD: Final = ("", "step", "arguments", "undone by")

#: A description has room for so many lines, and in a flowchart for so many letters, as a name has.
_LINES: Final = 3
_LETTERS: Final = 80
_NAME: Final = 40


def to_text(data: Mapping[str, Any], *, width: int = 80, unicode: bool = True) -> str:
    """Draw what `Plan.as_dict()` gives: a summary, and a line for each step, with its description below.

    No line is wider than `width` (or 40, if that is less), and nothing in it is obeyed by a terminal.  Without
    `unicode`, all of it is ASCII.
    """
    width = max(width, _LEAST)

    def shown(text: object) -> str:
        return safe(text, ascii_only=not unicode)

    mark = "…" if unicode else "..."
    steps: Sequence[Mapping[str, Any]] = data["steps"]
    lines = [clipped(f"{named(shown(data['name']))}: {_summary(steps)}", width, mark)]
    if not steps:
        return lines[0]
    rows = [_HEAD, *((str(step["number"]), *(shown(text) for text in _cells(step))) for step in steps)]
    widths = [max(width_of(row[place]) for row in rows) for place in range(len(_HEAD))]
    widths[1], widths[3] = min(widths[1], width // 4), min(widths[3], width * 3 // 8)
    widths[2] = min(widths[2], width - widths[0] - widths[1] - widths[3] - 2 * len(_HEAD) + 2)
    lines += ["", _line(rows[0], widths, mark)]
    inside, indent = None, " " * (widths[0] + 2)
    for row, step in zip(rows[1:], steps, strict=True):
        if step["savepoint"] != inside:
            inside = step["savepoint"]
            lines.append(clipped(f"in the savepoint {shown(inside)}:" if inside is not None else "then:", width, mark))
        lines.append(_line(row, widths, mark))
        text = shown(step["description"])
        lines += [f"{indent}{each}" for each in wrapped(text, width - len(indent), most=_LINES, mark=mark)]
        if step["description_error"] is not None:
            lines.append(clipped(f"{indent}its description failed: {shown(step['description_error'])}", width, mark))
    return "\n".join(lines)


def printed(data: Mapping[str, Any]) -> str:
    """The same for ``print``: of ASCII alone where the standard output has no other characters."""
    return to_text(data, unicode=knows_unicode(sys.stdout))


def _summary(steps: Sequence[Mapping[str, Any]]) -> str:
    if not steps:
        return "nothing is queued"
    left = sum(not step["reversible"] for step in steps)
    told = f", {counted(left)} of which cannot be undone" if left else ""
    return f"{counted(len(steps))} step{'' if len(steps) == 1 else 's'} queued{told}"


def _cells(step: Mapping[str, Any]) -> tuple[str, str, str]:
    return named(step["name"]), step["arguments"], _undo(step)


def _undo(step: Mapping[str, Any]) -> str:
    if step["undo"] is not None:
        return str(step["undo"])
    return f"nothing{' to undo' if step['reversible'] else ''}: {step['reason']}"


def _line(row: Sequence[str], widths: Sequence[int], mark: str) -> str:
    cells = [clipped(cell, width, mark) for cell, width in zip(row, widths, strict=True)]
    padded = [cell + " " * (width - width_of(cell)) for cell, width in zip(cells, widths, strict=True)]
    padded[0] = cells[0].rjust(widths[0])
    return "  ".join(padded).rstrip()


def to_mermaid(data: Mapping[str, Any]) -> str:
    """What `Plan.as_dict()` gives, as a flowchart that GitHub and others draw from text, however long the plan is.

    The steps stand below each other, with what will undo each beside it; a dotted arrow leads from a step to one that
    is given its result.
    """
    return short_enough(lambda most: _flowchart(data, most), len(data["steps"]))


def _flowchart(data: Mapping[str, Any], most: int) -> str:
    steps: Sequence[Mapping[str, Any]] = data["steps"][:most]
    lines = ["flowchart TB", f'  start(["{_text(data["name"], _NAME)}"]):::idle']
    last = "start"
    for step in steps:
        name = f"s{step['number']}"
        title = f"{step['number']}. {_text(step['name'], _NAME)}({_text(step['arguments'], _NAME)})"
        said = step["description"] if step["description"] is not None else step["description_error"] or ""
        label = "<br/>".join(filter(None, [title, _text(said, _LETTERS)]))
        tone = "undone" if step["undo"] is not None else "idle" if step["reversible"] else "bad"
        lines += [f'  {name}["{label}"]:::live', f'  {name}u(["{_text(_undo(step), _NAME)}"]):::{tone}']
        lines += [f"  {last} --> {name}", f"  {name} -. undone by .- {name}u"]
        lines += [f"  s{each} -.-> {name}" for each in step["needs"] if each != step["number"] - 1]
        last = name
    if len(data["steps"]) > most:
        lines += [f'  more(["and {len(data["steps"]) - most} more"]):::idle', f"  {last} --> more"]
    return "\n".join(lines + CLASSES) + "\n"


def _text(text: object, width: int) -> str:
    return quoted(clipped(safe(text), width))
