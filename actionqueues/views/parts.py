"""`Part`: what stands in a picture, a box for each step, a frame for what contains others, and what they hold.

Of many parts a block shows some, and in one box how many more there are; what is nested too deep is one box, too.  So a
picture is small however large the report is, and time is linear.

Stands on folding and the model.  Used by layout, routes and svg.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from .folding import Fold, folded
from .labels import counted
from .model import TOGETHER, Mark, Node, Story

__all__ = ["Part", "Row", "parts_of"]

#: So deep are frames drawn within each other.
_DEEPEST: Final = 4
#: So many parts are drawn in one block, and so many full blocks, after which those that follow stay closed.
_MOST: Final = 60
_BLOCKS: Final = 4

_NOT_STARTED: Final = frozenset({Mark.QUEUED, Mark.NEVER_STARTED})
_BROKEN: Final = frozenset({Mark.FAILED, Mark.ROLLED_BACK})
#: After these nothing more can have been tried.
_CUT_SHORT: Final = frozenset({Mark.UNKNOWN, Mark.RUNNING})


@dataclass(slots=True)
class Row:
    """Parts beside each other in a frame."""

    parts: list[Part]
    y: float = 0  #: of the line of the executes
    top: float = 0
    bottom: float = 0


@dataclass(slots=True)
class Part:
    """A box ("step", "more": others that are not shown), a frame, lanes ("lanes" of "lane"), or an error ("raised")."""

    kind: str
    label: str
    arguments: str = ""
    mark: Mark = Mark.DONE
    back: Mark | None = None  #: what has become of its undo
    forward: Node | None = None
    undo: Node | None = None  #: its node on the way back
    words: str = ""  #: instead of the mark's, of others that are not shown
    back_words: str = ""
    bar: tuple[float, float] | None = None  #: when it ran, of the time in which others ran with it: begin and length
    error: str = ""
    undo_error: str = ""  #: or why it was left
    parts: list[Part] = field(default_factory=list["Part"])

    outermost: bool = False
    started: bool = True
    turns: bool = False  #: here the way forward ends and the way back begins
    returned: bool = False  #: rolled back by itself, and what follows went on
    passed: bool = False  #: the way back of the block around it leads through it

    rows: list[Row] = field(default_factory=list[Row])  #: of a frame, once it is laid out
    width: float = 0
    above: float = 0  #: what of it is above the line of the executes
    below: float = 0
    x: float = 0
    y: float = 0  #: of the line of the executes, where it comes in

    @property
    def attempts(self) -> int:
        """How often it was tried."""
        return self.forward.attempts if self.forward else 0

    @property
    def undo_attempts(self) -> int:
        """How often its undo was tried."""
        return self.undo.attempts if self.undo else 0


def parts_of(story: Story, most: int = _MOST) -> Part:
    """The whole as one frame that contains the rest: in each block at most so many parts, in all five times as many."""
    return _Reader(story, most).whole()


class _Reader:
    """Makes parts of the nodes of a story."""

    def __init__(self, story: Story, most: int) -> None:
        self._story = story
        self._nodes = story.forward
        self._undos = {node.source: node for node in story.back if node.kind != TOGETHER}
        self._most = most
        self._left = most * _BLOCKS
        self._inside: dict[int, list[Node | Fold]] = {}
        for in_lanes, (first, last) in enumerate(((3, 1), (16, 4))):  # lanes are low: more of them have room
            for item in folded(self._nodes, first=first, last=last):
                if in_lanes == (item.parent >= 0 and self._nodes[item.parent].kind == TOGETHER):
                    self._inside.setdefault(item.parent, []).append(item)

    def whole(self) -> Part:
        story = self._story
        whole = Part("frame", story.name, outermost=True)
        whole.parts = self._shown(-1, 0)
        whole.returned = story.state.startswith("roll") or story.state in ("stuck", "undone later")
        _find_ways(whole, broken=whole.returned, error=story.error)
        return whole

    def _shown(self, place: int, depth: int) -> list[Part]:
        """What is drawn of the parts of one block."""
        items = self._inside.get(place, [])
        self._left -= min(len(items), self._most)
        if len(items) <= self._most:
            return [self._part(item, depth) for item in items]
        shown, hidden, last = items[: self._most - 2], items[self._most - 2 : -1], items[-1]
        return [*(self._part(item, depth) for item in shown), self._more(hidden), self._part(last, depth)]

    def _part(self, item: Node | Fold, depth: int) -> Part:
        if isinstance(item, Fold):
            return self._more([item])
        undo = self._undos.get(item.place)
        part = Part(
            "step",
            item.label.strip() or item.kind,
            item.arguments,
            item.mark,
            item.back,
            forward=item,
            undo=undo,
            error=item.error,
            undo_error=(undo.error or undo.reason) if undo else item.reason,
            started=item.mark not in _NOT_STARTED,
            passed=item.back is not None,
        )
        if item.end == item.place + 1:
            return part
        inside = self._inside[item.place]
        if depth >= _DEEPEST or self._left <= 0:
            hidden = sum(len(each.hidden) if isinstance(each, Fold) else 1 for each in inside)
            part.arguments = f"{counted(hidden)} inside"
            if item.kind == TOGETHER:
                part.label = "at the same time"
            return part
        part.parts = self._shown(item.place, depth + 1)
        if item.kind == TOGETHER:
            _set_lanes(part)
        else:
            part.kind = "frame"
            _find_ways(part, broken=item.mark in _BROKEN, error=item.error)
        part.passed = part.passed or any(each.passed for each in part.parts)
        return part

    def _more(self, hidden: Sequence[Node | Fold]) -> Part:
        """In the place of parts that are not shown."""
        nodes = [
            self._nodes[place]
            for item in hidden
            for place in (item.hidden if isinstance(item, Fold) else (item.place,))
        ]
        names = dict.fromkeys(node.label or node.kind for node in nodes)
        few = list(names)[:3]
        marks = Counter(node.mark for node in nodes).most_common()
        backs = Counter(node.back for node in nodes if node.back).most_common()
        return Part(
            "more",
            f"{counted(len(nodes))} more",
            "of " + ", ".join(few) + (", …" if len(names) > len(few) else ""),
            marks[0][0],
            backs[0][0] if backs else None,
            words=_told(marks),
            back_words=_told(backs),
            started=any(node.mark not in _NOT_STARTED for node in nodes),
            passed=bool(backs),
        )


def _set_lanes(lanes: Part) -> None:
    """Make lanes of what it contains, and see when each ran, if that is known."""
    lanes.kind = "lanes"
    lanes.started = any(part.started for part in lanes.parts)
    for part in lanes.parts:
        if part.kind == "frame" and part.mark in _BROKEN:
            part.returned, part.passed = True, False
        elif part.kind in ("step", "more"):
            part.kind = "lane"
    nodes = [part.forward for part in lanes.parts if part.forward]
    times = [time for node in nodes for time in (node.started, node.ended) if time is not None]
    if not times or max(times) <= min(times):
        return
    first, whole = min(times), max(times) - min(times)
    for part in lanes.parts:
        if part.forward and part.forward.started is not None:
            start = (part.forward.started - first) / whole
            end = 1.0 if part.forward.ended is None else (part.forward.ended - first) / whole
            part.bar = start, max(end - start, 0)


def _told(marks: Iterable[tuple[Mark, int]]) -> str:
    return ", ".join(f"{counted(number)} {mark}" for mark, number in marks)


def _find_ways(frame: Part, *, broken: bool, error: str) -> None:
    """See where in it the way forward ends, which parts have gone back by themselves, and which the way back passes."""
    started = [part for part in frame.parts if part.started]
    last = started[-1] if started else None
    if broken and not (last and _ends_in(last, error)):
        label, mark = ("exception", Mark.FAILED) if error else ("rollback()", Mark.ROLLED_BACK)
        if error.startswith("UndoRequested("):  # nothing has failed
            label, mark = "undo", Mark.ROLLED_BACK
        last = Part("raised", label, mark=mark, error=error, passed=True)
        started.append(last)
    frame.parts = started + [part for part in frame.parts if not part.started]  # what never started stands behind
    for part in frame.parts:
        if broken and part is last:
            part.turns = part.passed = True
        elif part.mark in _BROKEN and part.kind != "more":
            part.returned, part.passed = True, False


def _ends_in(part: Part, error: str) -> bool:
    """Whether what made a block go back has happened in this part, the last one."""
    if part.kind == "lanes":
        return any(_ends_in(each, "") for each in part.parts)
    if part.mark in _CUT_SHORT:
        return True
    return part.mark in _BROKEN and (not error or not part.error or part.error == error)
