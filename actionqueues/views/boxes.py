"""What parts look like: boxes with two pills, frames, lanes with a bar of time, and arrows, as elements of SVG.

Stands on layout, letters and style.  Used by svg.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from .labels import width_of
from .layout import CARD, INSET, PILL, Layout
from .letters import duration, fitted, word_width, xml
from .model import SAVEPOINT, Mark
from .parts import Part
from .routes import Arrow, Point
from .style import ICONS, icon_of, tone_of

__all__ = ["arrow", "at", "box", "chip", "drawn", "icon", "lane_words", "text", "word_of"]

_CHIP: Final = 20
_WORD: Final = 11.5
_LANE_PILL: Final = 108
#: A lane that is so wide has room for a bar of time.
_WITH_TRACK: Final = 500

#: What a pill says where there is no mark to say.
_NOT_TRIED: Final = "not called"


def at(number: float) -> str:
    """A coordinate, as short as it can be."""
    return f"{number:.1f}".removesuffix(".0")


def text(x: float, y: float, content: str, classes: str, *, room: float = 0) -> str:
    """A line; what no font is sure to set as wide as expected is kept within its room."""
    if room and not content.isascii():
        # a nested picture hides what goes beyond it
        inner = f'<text y="14" class="{classes}">{xml(content)}</text>'
        return f'<svg x="{at(x)}" y="{at(y - 14)}" width="{at(room)}" height="19">{inner}</svg>'
    return f'<text x="{at(x)}" y="{at(y)}" class="{classes}">{xml(content)}</text>'


def icon(x: float, y: float, mark: Mark | None, size: float = 8) -> str:
    """A disc with the sign of a mark."""
    tone, scale = tone_of(mark), f" scale({at(size / 8)})" if size != 8 else ""
    return (
        f'<g transform="translate({at(x)} {at(y)}){scale}"><circle r="8" class="aq-{tone}-box"/>'
        f'<path d="{ICONS[icon_of(mark)]}" class="aq-icon aq-{tone}-icon"/></g>'
    )


def box(x: float, y: float, width: float, height: float, classes: str, radius: float = 7) -> str:
    """A rectangle with round corners."""
    return (
        f'<rect x="{at(x)}" y="{at(y)}" width="{at(width)}" height="{at(height)}" rx="{at(radius)}" class="{classes}"/>'
    )


def chip(right: float, y: float, mark: Mark | None, words: str, tone: str = "") -> tuple[str, float]:
    """A mark and a word in a round box that ends at `right`, and where it begins."""
    width = 23 + word_width(words, _WORD) + 9
    left = right - width
    shown = box(left, y - _CHIP / 2, width, _CHIP, f"aq-{tone or tone_of(mark)}-box", _CHIP / 2)
    shown += icon(left + 12, y, mark, 6.5)
    return shown + text(left + 23, y + 4, words, f"aq-word aq-{tone or tone_of(mark)}"), left


def drawn(whole: Part, layout: Layout) -> Iterator[str]:
    """All parts, what contains others before them."""
    todo = list(reversed(whole.parts))
    while todo:
        part = todo.pop()
        todo += reversed(part.parts)
        yield "<g>"
        yield f"<title>{xml(_told(part))}</title>"
        if part.kind == "frame":
            yield from _frame(part)
        elif part.kind == "lanes":
            yield from _lanes(part)
        elif part.kind == "lane":
            yield from _lane(part)
        elif part.kind == "raised":
            yield from _pill(part.x, part.y, "", part, layout, layout.pill)
        else:
            yield from _card(part, layout)
        yield "</g>"


def _told(part: Part) -> str:
    """All that is known of it, as words."""
    if part.kind == "lanes":
        return f"{len(part.parts)} at the same time"
    name = f"{part.label}({part.arguments})" if part.arguments and part.forward else f"{part.label} {part.arguments}"
    words = [part.words or str(part.mark)]
    if part.attempts > 1:
        words.append(f"{part.attempts} attempts")
    if part.error:
        words.append(part.error)
    if part.back_words or part.back:
        words.append(f"then {part.back_words or part.back}")
    if part.undo_attempts > 1:
        words.append(f"{part.undo_attempts} attempts of the undo")
    if part.undo_error:
        words.append(part.undo_error)
    return f"{name.strip()}: {', '.join(words)}"


# -- a step's box


def _card(part: Part, layout: Layout) -> Iterator[str]:
    top, bottom = part.y - layout.above, part.y + layout.below
    faint = "" if part.started else " aq-dash"
    if part.kind == "more":
        yield box(part.x + 6, top - 6, CARD - 6, bottom - top, "aq-card")
        yield box(part.x + 3, top - 3, CARD - 3, bottom - top, "aq-card")
    yield box(part.x, top, CARD, bottom - top, f"aq-card{faint}", 9)
    if part.attempts > 1:
        yield from _loop(part.x + CARD / 2, top, f"{part.attempts} attempts", -1)
    if part.undo_attempts > 1:
        yield from _loop(part.x + CARD / 2, bottom, f"{part.undo_attempts} attempts", 1)
    left, room = part.x + INSET + 2, CARD - 2 * INSET - 2
    for line in layout.name(part):
        top += 15
        yield text(left, top + 5, line, "aq-name " + ("aq-text" if part.started else "aq-soft"), room=room)
    if part.arguments:
        yield text(left, top + 19, fitted(part.arguments, room, 10.5), "aq-mono aq-soft", room=room)
    yield from _pill(part.x + INSET, part.y, "execute", part, layout, layout.pill)
    yield from _pill(part.x + INSET, part.y + layout.drop, "rollback", part, layout, layout.undo_pill)


def _pill(x: float, y: float, verb: str, part: Part, layout: Layout, height: float) -> Iterator[str]:
    back = verb == "rollback"
    mark, error = (part.back, part.undo_error) if back else (part.mark, part.error)
    words = word_of(part, back=back)
    tone, faint = tone_of(mark), "" if mark and part.started else " aq-dash"
    width, top = CARD - 2 * INSET, y - PILL / 2
    yield box(x, top, width, height if error else PILL, f"aq-{tone}-box{faint}", 6)
    yield icon(x + 14, y, mark)
    if verb:
        node = part.undo if back else part.forward
        yield text(x + 28, y - 4, verb, "aq-small aq-soft")
        if took := duration(node.seconds if node else None):
            yield text(x + width - 6, y - 4, took, "aq-small aq-soft aq-end")
        if part.kind == "more":
            yield text(x + 28, y + 9, fitted(words, width - 30, 9.6), f"aq-tight aq-{tone}")
        else:
            yield text(x + 28, y + 10, words, f"aq-word aq-{tone}")
    else:
        yield text(x + 28, y + 4, part.label, f"aq-word aq-{tone}")
    for number, line in enumerate(layout.error(error)):
        yield text(x + 7, y + PILL / 2 + 9 + 13 * number, line, f"aq-mono aq-{tone}", room=width - 12)


def word_of(part: Part, *, back: bool) -> str:
    """What a pill says."""
    if back:
        return part.back_words or (str(part.back) if part.back else _NOT_TRIED)
    if part.mark is Mark.DONE and part.forward and part.forward.kind == SAVEPOINT:
        return "released"
    return part.words or (str(Mark.DONE) if part.mark is Mark.RETRIED else str(part.mark))


def _loop(x: float, y: float, words: str, way: int) -> Iterator[str]:
    """An arrow that leads back to where it comes from, above a box or, with 1, below."""
    tip = y
    yield (
        f'<path d="M{at(x + 40)} {at(y)}C{at(x + 40)} {at(y + 26 * way)} {at(x - 40)} {at(y + 26 * way)} {at(x - 40)} '
        f'{at(tip)}" class="aq-line aq-{"back" if way > 0 else "way"}"/>'
    )
    yield _head((x - 40, tip), (0, -way), back=way > 0)
    yield text(x, y + (5.5 if way < 0 else 12.5) * way, words, "aq-small aq-soft aq-mid")


# -- frames and lanes


def _frame(part: Part) -> Iterator[str]:
    top = part.y - part.above
    yield box(part.x, top, part.width, part.above + part.below, "aq-frame", 10)
    right = part.x + part.width - 8
    if part.back:
        shown, right = chip(right, top + 16, part.back, str(part.back))
        yield shown
        right -= 6
    shown, right = chip(right, top + 16, part.mark, word_of(part, back=False))
    yield shown
    yield from _named(part, part.x + 12, top + 20, right - part.x - 20)


def _named(part: Part, x: float, y: float, room: float) -> Iterator[str]:
    """Its kind, its name and its arguments in one line."""
    kind = part.forward.kind if part.forward and part.forward.kind not in ("step", part.label) else ""
    if kind:
        yield text(x, y, kind, "aq-small aq-soft")
        x, room = x + word_width(kind, 10) + 4, room - word_width(kind, 10) - 4
    name = fitted(part.label, room, 12)
    yield text(x, y, name, "aq-name " + ("aq-text" if part.started else "aq-soft"), room=room)
    taken = width_of(name) * 7.5 + 8
    if part.arguments and room - taken > 40:
        arguments = fitted(part.arguments, room - taken, 10.5)
        yield text(x + taken, y, arguments, "aq-mono aq-soft", room=room - taken)


def _lanes(part: Part) -> Iterator[str]:
    top = part.y - part.above
    yield box(part.x, top, part.width, part.above + part.below, "aq-frame", 10)
    number = sum(1 for each in part.parts if each.kind != "more")
    yield text(part.x + 12, top + 19, f"{number} at the same time", "aq-small aq-soft")


def _lane(part: Part) -> Iterator[str]:
    top, height, right = part.y - part.above, part.above + part.below, part.x + part.width - 6
    yield box(part.x, top, part.width, height, "aq-card" + ("" if part.started else " aq-dash"), 6)
    for mark, words in ((part.back, word_of(part, back=True)), (part.mark, lane_words(part))):
        right -= _LANE_PILL
        tone = tone_of(mark)
        yield box(right, top + 4, _LANE_PILL, 22, f"aq-{tone}-box" + ("" if mark and part.started else " aq-dash"), 5)
        yield icon(right + 13, top + 15, mark, 6.5)
        yield text(right + 25, top + 19, fitted(words, _LANE_PILL - 25, 11), f"aq-word aq-{tone}")
        right -= 6
    room = (right - part.x - 14) / (2 if part.width >= _WITH_TRACK else 1)
    yield from _named(part, part.x + 9, top + 19, room)
    if part.width >= _WITH_TRACK and part.bar:
        left, width = part.x + 14 + room, room - 4
        start, length = part.bar
        yield box(left, top + 13.5, width, 3, "aq-track", 1.5)
        yield box(left + start * width, top + 11, max(length * width, 3), 8, f"aq-{tone_of(part.mark)}-bar", 3)
    if error := " · ".join(filter(None, (part.error, part.undo_error))):
        tone = "bad" if part.error else tone_of(part.back)
        yield text(
            part.x + 9, top + 34, fitted(error, part.width - 20, 10.5), f"aq-mono aq-{tone}", room=part.width - 20
        )


def lane_words(part: Part) -> str:
    """What a pill says where there is no room for a loop."""
    if part.attempts < 2 or part.words:
        return word_of(part, back=False)
    words = {Mark.RETRIED: "{} attempts", Mark.FAILED: "failed, {}\N{MULTIPLICATION SIGN}", Mark.RUNNING: "attempt {}"}
    return words.get(part.mark, str(part.mark)).format(part.attempts)


# -- arrows


def arrow(each: Arrow) -> str:
    """A line with round corners, and its head."""
    kind = "back" if each.back else "way"
    points = [p for i, p in enumerate(each.points) if i == 0 or p != each.points[i - 1]]
    path = f"M{at(points[0][0])} {at(points[0][1])}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        (x1, y1), (x2, y2) = _near(corner, before), _near(corner, after)
        path += f"L{at(x1)} {at(y1)}Q{at(corner[0])} {at(corner[1])} {at(x2)} {at(y2)}"
    (fx, fy), (x, y) = points[-2], points[-1]
    way = (x > fx) - (x < fx), (y > fy) - (y < fy)
    if not each.head:
        return f'<path d="{path}L{at(x)} {at(y)}" class="aq-line aq-{kind}"/>'
    line = f'<path d="{path}L{at(x - way[0] * 4)} {at(y - way[1] * 4)}" class="aq-line aq-{kind}"/>'
    return line + _head((x, y), way, back=each.back)


def _near(corner: Point, other: Point, radius: float = 6) -> Point:
    """Where the line to a corner leaves off."""
    length = abs(corner[0] - other[0]) + abs(corner[1] - other[1])
    part = min(radius, length / 2) / length
    return corner[0] + (other[0] - corner[0]) * part, corner[1] + (other[1] - corner[1]) * part


def _head(tip: Point, way: Sequence[int], *, back: bool) -> str:
    """A triangle that points in one of four ways."""
    (x, y), (dx, dy) = tip, way
    a, b = (x - dx * 7 - dy * 4, y - dy * 7 - dx * 4), (x - dx * 7 + dy * 4, y - dy * 7 + dx * 4)
    kind = "back" if back else "way"
    return f'<path d="M{at(x)} {at(y)}L{at(a[0])} {at(a[1])}L{at(b[0])} {at(b[1])}Z" class="aq-{kind}-head"/>'
