"""`to_mermaid`: a report as a Mermaid flowchart, for where text is all that can be kept: issues, wikis, READMEs.

From top to bottom the way forward, in full lines, and the way back in dotted ones.  Whatever a name holds, every sign
in it is written as an entity, so that it is a label and nothing else.

Stands on parts and style.  Used by reports, and by the drawing of plans.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from .boxes import lane_words, word_of
from .labels import clipped
from .letters import duration
from .model import SAVEPOINT, Mark, read
from .parts import Part, parts_of
from .style import ENDED, LIGHT, mark_of, tone_of

__all__ = ["CLASSES", "MOST", "quoted", "short_enough", "to_mermaid"]

#: What Mermaid draws at most is 50 000 letters, with a few for whoever puts it into a page.
MOST: Final = 48_000
#: So many parts in a block, or half as many until all has room.
_PARTS: Final = 40
_NAME: Final = 40
_ERROR: Final = 80

_FRAME: Final = f"fill:{LIGHT.frame},stroke:{LIGHT.frame_edge},color:{LIGHT.text}"

#: The last lines of a flowchart, which say how each tone looks.
CLASSES: Final = [
    f"  classDef {tone} fill:{ground},stroke:{edge},color:{text}" for tone, (text, ground, edge) in LIGHT.tones.items()
]


def to_mermaid(data: Mapping[str, Any]) -> str:
    """What `Report.as_dict()` gives, as a flowchart that GitHub and others draw from text, however large the report is.

    Raises:
        ValueError: `data` is of a format that this version does not know.
    """
    story = read(data)
    return short_enough(lambda most: _Drawing(story.state).draw(parts_of(story, most)), _PARTS)


def short_enough(draw: Callable[[int], str], most: int) -> str:
    """What is drawn of so many parts, or of half as many until Mermaid draws it."""
    text = draw(most)
    while len(text.encode("utf-16-le")) // 2 > MOST:  # as JavaScript counts letters
        most //= 2
        text = draw(most)
    return text


class _Drawing:
    """The lines of a flowchart: first all nodes, each in the frame that it is in, then the arrows between them."""

    def __init__(self, state: str) -> None:
        self._state = state
        self.lines: list[str] = ["flowchart TB"]
        self._names: dict[int, str] = {}  # of each part, by its identity

    def draw(self, whole: Part) -> str:
        """The whole text."""
        self.lines.append('  start(["start"]):::idle')
        self._nodes(whole, "  ")
        last = self._forward(whole, "start")
        if whole.returned:
            last = self._back(whole, "")
        if last and self._state in ENDED:
            tone = tone_of(mark_of(self._state))
            self.lines += [f'  finish(["{quoted(self._state)}"]):::{tone}', f"  {last} {_arrow(whole)} finish"]
        return "\n".join(self.lines + CLASSES) + "\n"

    def _name(self, part: Part) -> str:
        return self._names.setdefault(id(part), f"s{len(self._names) + 1}")

    # -- nodes

    def _nodes(self, frame: Part, indent: str) -> None:
        for part in frame.parts:
            name = self._name(part)
            if part.parts:
                self.lines.append(f'{indent}subgraph {name}["{_heading(part)}"]')
                self.lines.append(f"{indent}  direction TB")
                self._nodes(part, indent + "  ")
                self.lines += [f"{indent}end", f"{indent}style {name} {_FRAME}"]
            else:
                self._node(name, indent, _forward_label(part, lane=frame.kind == "lanes"), part.mark)
            if frame.kind != "lanes" and _has_undo(part):
                self._node(f"{name}u", indent, _undo_label(part), _undo_mark(part))
        if frame.kind == "lanes":
            names = [self._name(part) for part in frame.parts]
            self.lines += [f"{indent}{' ~~~ '.join(names)}"]

    def _node(self, name: str, indent: str, label: str, mark: Mark | None) -> None:
        self.lines.append(f'{indent}{name}["{label}"]:::{tone_of(mark)}')

    # -- arrows

    def _link(self, start: str, arrow: str, end: str) -> str:
        if start:
            self.lines.append(f"  {start} {arrow} {end}")
        return end

    def _forward(self, frame: Part, last: str) -> str:
        """From what is before it to its last part, whose name is the answer, or "" where it turns."""
        before = last
        for part in frame.parts:
            name = self._name(part)
            if not part.started:
                before = self._link(before, "~~~", name)
            elif part.kind == "frame":
                inside = self._forward(part, last)
                last = self._back(part, "") if part.returned else inside
            else:
                last = self._link(last, "-->", name)
                for each in part.parts:
                    self._forward(each, "")
                    if each.returned:
                        self._back(each, "")
                if part.returned and _has_undo(part):
                    last = self._link(last, "-.->", f"{name}u")
            before = last or before
            last = "" if part.turns else last
        return last

    def _back(self, frame: Part, last: str) -> str:
        """From where it turns, or from what is behind it, to the undo of its first part, whose name is the answer."""
        for part in reversed(frame.parts):
            name = self._name(part)
            if part.turns or (last and part.passed):
                if part.kind == "frame":
                    last = self._back(part, last)
                elif part.turns:
                    last = name
                if _has_undo(part):
                    last = self._link(last, "-.->", f"{name}u")
        return last


def _arrow(whole: Part) -> str:
    return "-.->" if whole.returned else "-->"


def _has_undo(part: Part) -> bool:
    if part.kind == "lanes":
        return any(each.back for each in part.parts)
    return part.back is not None and part.kind != "raised"


# -- labels


def quoted(text: str) -> str:
    """With an entity for each sign that Mermaid or HTML could read."""
    plain = (char if char.isalnum() or char in " ,()" or not char.isascii() else f"#{ord(char)};" for char in text)
    return "".join(plain).replace("#92;n", "#92;#8203;n")  # it would break the line, also where it is decoded


def _lines(*lines: str) -> str:
    return "<br/>".join(quoted(line) for line in lines if line)


def _title(part: Part) -> str:
    name, arguments = clipped(part.label, _NAME), clipped(part.arguments, _NAME)
    if part.kind == "more" or not part.forward or not arguments:
        return f"{name} {arguments}".rstrip()
    return f"{name}({arguments})"


def _heading(part: Part) -> str:
    if part.kind == "lanes":
        return f"{len(part.parts)} at the same time"
    kind = "savepoint " if part.forward and part.forward.kind == SAVEPOINT else ""
    return quoted(f"{kind}{_title(part)}: {word_of(part, back=False)}")


def _forward_label(part: Part, *, lane: bool) -> str:
    took = duration(part.forward.seconds if part.forward else None)
    words = " · ".join(filter(None, ("" if part.kind == "raised" else lane_words(part), took)))
    undo = f"then {part.back}" if lane and part.back else ""
    return _lines(_title(part), words, clipped(part.error, _ERROR), undo)


def _undo_label(part: Part) -> str:
    if part.kind == "lanes":
        undone = sum(1 for each in part.parts if each.back is Mark.UNDONE)
        others = sum(1 for each in part.parts if each.back) - undone
        return _lines(f"{undone} undone" + (f", {others} not" if others else ""))
    tries = f"{part.undo_attempts} attempts" if part.undo_attempts > 1 else ""
    return _lines(f"undo of {_title(part)}", word_of(part, back=True), tries, clipped(part.undo_error, _ERROR))


def _undo_mark(part: Part) -> Mark | None:
    if part.kind != "lanes":
        return part.back
    marks = {each.back for each in part.parts if each.back}
    return Mark.UNDONE if marks == {Mark.UNDONE} else Mark.UNDO_FAILED
