"""The rows of a timeline: what stands beside each other for a step, and which brackets are in the margin.

Stands on folding and on the model.  Used by the timeline, which knows how much room there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from .folding import Fold, folded
from .labels import counted, named
from .model import TOGETHER, Mark, Node, Story, children_of

__all__ = ["CLOSES", "FREE", "GOES_ON", "OPENS", "Row", "sections"]

#: What is in the margin at one level: the bracket of what ran at the same time, or nothing.
FREE, OPENS, GOES_ON, CLOSES = range(4)

#: Marks that their signs do not say.
_WORDS: Final = {
    Mark.UNKNOWN: "outcome unknown",
    Mark.RUNNING: "running",
    Mark.QUEUED: "queued",
    Mark.NEVER_STARTED: "never started",
    Mark.ROLLED_BACK: "rolled back",
    Mark.UNDOING: "running",
    Mark.UNDO_FAILED: "undo failed",
    Mark.CONFLICT: "conflict",
    Mark.SKIPPED: "skipped",
    Mark.LEFT: "left",
    Mark.NOT_LANDED: "never happened",
    Mark.ABANDONED: "abandoned",
}

_HOOK_MARKS: Final = {"done": Mark.DONE, "failed": Mark.FAILED}


@dataclass(slots=True)
class Row:
    """A step, or what stands in its place."""

    mark: Mark | None  #: None where some are folded
    label: str
    arguments: str = ""
    facts: str = ""  #: its fate if its mark does not say it, attempts, duration
    detail: str = ""  #: an error, a reason
    margin: list[int] = field(default_factory=lambda: [FREE])  #: for each level
    closes: list[int] = field(default_factory=list[int])  #: the levels whose bracket ends in its last line


def sections(story: Story, deepest: int) -> list[tuple[str, list[Row]]]:
    """The way forward, the way back, and what else there is to tell, each under its heading; none of them is empty."""
    hooks = [
        Row(_HOOK_MARKS.get(state, Mark.LEFT), named(name), facts="" if state in _HOOK_MARKS else state, detail=error)
        for name, state, error in story.hooks
    ]
    others = [Row(Mark.LEFT, named(name), facts="never awaited") for name in story.never_awaited]
    others += [Row(Mark.LEFT, "not recorded", detail=text) for text in story.journal_failures]
    found = {
        "": _rows(story.forward, deepest),
        "rolling back": _rows(story.back, deepest),
        "commit hooks": hooks,
        "besides": others,
    }
    return [(heading, rows) for heading, rows in found.items() if rows]


def _rows(nodes: Sequence[Node], deepest: int) -> list[Row]:
    rows: list[Row] = []
    margin = [FREE]  # of the next row
    around: list[Node] = []  # what contains the next row

    def leave(parent: int) -> None:
        """End what does not contain the next row."""
        while around and around[-1].place != parent:
            if around.pop().kind == TOGETHER:
                margin[-1] = FREE
                if len(margin) <= deepest:
                    rows[-1].closes.append(len(margin) - 1)
            else:
                margin.pop()

    for item in folded(nodes):
        leave(item.parent)
        if isinstance(item, Node) and item.kind == TOGETHER:
            margin[-1] = OPENS
            around.append(item)
            continue
        row = _folded(item) if isinstance(item, Fold) else _row(item, nodes)
        row.margin = margin[:deepest]
        rows.append(row)
        if margin[-1] == OPENS:
            margin[-1] = GOES_ON
        if isinstance(item, Node) and item.end > item.place + 1:
            around.append(item)
            margin.append(FREE)
    leave(-1)
    return rows


def _folded(fold: Fold) -> Row:
    marks = [f"{counted(number)} {mark}" for mark, number in fold.marks]
    if len(marks) == 1:
        marks = [] if fold.marks[0][0] in (Mark.DONE, Mark.UNDONE) else [str(fold.marks[0][0])]
    told = f" ({', '.join(marks)})" if marks else ""
    return Row(None, f"{counted(fold.times)} more of {', '.join(map(named, fold.labels))}{told}")


def _row(node: Node, nodes: Sequence[Node]) -> Row:
    detail = _detail(node, nodes)
    word = _WORDS.get(node.mark, "failed" if node.mark is Mark.FAILED and not node.error else "")
    if detail and word:
        word, detail = "", f"{word}: {detail}"
    kind = "" if node.kind == "step" else node.kind
    attempts = f"{counted(node.attempts)} attempts" if node.attempts > 1 else ""
    facts = [", ".join(filter(None, (kind, word))), attempts, _took(node.seconds)]
    return Row(node.mark, named(node.label), node.arguments.strip(), "  ".join(filter(None, facts)), detail)


def _detail(node: Node, nodes: Sequence[Node]) -> str:
    """Its error, unless that came out of what it contains; or why it was left."""
    error = node.error.strip()
    if error and any(inner.error == node.error for inner in children_of(nodes, node.place)):
        error = ""
    if error and node.mark in (Mark.RUNNING, Mark.RETRIED, Mark.QUEUED, Mark.UNDOING):
        error = f"after {error}"
    return error or (node.reason.strip() if node.mark in (Mark.LEFT, Mark.SKIPPED, Mark.ABANDONED) else "")


def _took(seconds: float | None) -> str:
    """As people say it: to two digits or so."""
    if seconds is None:
        return ""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.0005 else "<1 ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    if (whole := round(seconds)) < 3600:
        return f"{whole // 60} min {whole % 60} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours < 24 else f"{counted(hours // 24)} d {hours % 24} h"
