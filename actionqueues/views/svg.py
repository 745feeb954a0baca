"""`to_svg`: a report as a picture.

A box for each step, in two storeys: its execute above, its rollback below.  Arrows lead forward along the executes, at
a failure down, and back along the rollbacks.  The picture stands alone: no script, no font, no address; it is light or
dark as the reader's system is, and a screen reader is told in its title and description what happened.  The same report
gives the same picture, byte by byte, and several can stand in one page.

Stands on boxes, routes and style.  Used by html, mime, reports and the command.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, Final

from .boxes import arrow, at, box, chip, drawn, icon, text
from .labels import counted
from .layout import Layout
from .letters import duration, fitted, xml
from .model import SAVEPOINT, TOGETHER, Mark, Story, read
from .parts import Part, parts_of
from .routes import Point, arrows_of, end_of, start_of
from .style import ENDED, STYLE, mark_of
from .summary import summarised

__all__ = ["picture", "to_svg"]

_EDGE: Final = 12  #: around all
_HEAD: Final = 62  #: the name, and what it is
_NARROWEST: Final = 420
_LINE: Final = 20  #: of what is told below


def to_svg(data: Mapping[str, Any]) -> str:
    """What `Report.as_dict()` gives, as a picture of its own: light and dark, at most 880 pixels wide.

    Raises:
        ValueError: `data` is of a format that this version does not know.
    """
    return picture(read(data), data, style=STYLE)


def picture(story: Story, data: Mapping[str, Any], *, style: str = "") -> str:
    """The same of one that has been read, with this style sheet in it."""
    whole = parts_of(story)
    layout = Layout(whole)
    told = summarised(story, data, unicode=True)
    notes = list(_notes(story))
    width = max(whole.width + 2 * _EDGE, _NARROWEST)
    if not whole.parts or width > whole.width + 2 * _EDGE:
        whole.width = width - 2 * _EDGE
    height = _HEAD + whole.above + whole.below + 6 + len(notes) * _LINE + (4 if notes else 0)

    content = [box(0.5, 0.5, width - 1, height - 1, "aq-page", 12), *_heading(story, width)]
    content.append(f'<g transform="translate({_EDGE} {_HEAD})">')
    content += drawn(whole, layout)
    start, end = start_of(whole), end_of(whole) if story.state in ENDED else None
    content += map(arrow, arrows_of(whole, layout, start, end))
    content += _ends(story, whole, start, end)
    content.append("</g>")
    top = _HEAD + whole.above + whole.below + 12
    for number, note in enumerate(notes):
        content += _note(note, top + number * _LINE, width)
    body = "\n".join(content)

    name = "aq" + sha256(body.encode()).hexdigest()[:10]
    size = f'width="{at(width)}" height="{at(height)}" viewBox="0 0 {at(width)} {at(height)}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} class="aq-svg" role="img" '
        f'aria-labelledby="{name}-title {name}-desc">\n'
        f'<title id="{name}-title">{xml(_titled(story))}</title>\n<desc id="{name}-desc">{xml(told)}</desc>\n'
        + (f"<style>{style}</style>\n" if style else "")
        + f"{body}\n</svg>\n"
    )


def _titled(story: Story) -> str:
    return f"{story.name or story.kind}: {story.state}"


def _heading(story: Story, width: float) -> Iterator[str]:
    mark = mark_of(story.state)
    right = width - 18
    if story.state:
        shown, right = chip(right, 28, mark, fitted(story.state, 200, 11.5))
        yield shown
    room = right - 18 - 12
    yield text(20, 31, fitted(story.name or story.kind, room, 17 * 0.95), "aq-title aq-text", room=room)
    steps = sum(1 for node in story.forward if node.kind not in (SAVEPOINT, TOGETHER))
    facts = [fitted(story.kind, 200, 12) + (f" {counted(story.id)}" if story.id is not None else "")]
    if steps or story.steps_known:
        facts.append(f"{counted(steps)} {'step' if steps == 1 else 'steps'}")
    if story.started is not None and story.ended is not None and story.ended >= story.started:
        facts.append(duration(story.ended - story.started))
    yield text(20, 50, " · ".join(facts), "aq-soft")


def _ends(story: Story, whole: Part, start: Point, end: Point | None) -> Iterator[str]:
    yield f'<circle cx="{at(start[0] - 8)}" cy="{at(start[1])}" r="6.5" class="aq-way-head"/>'
    yield text(start[0] - 8, start[1] + 20, "start", "aq-small aq-soft aq-mid")
    if not end:
        return
    yield icon(end[0] + 11, end[1], mark_of(story.state), 10)
    if not whole.returned:
        yield text(end[0] + 11, end[1] + 24, "end", "aq-small aq-soft aq-mid")
    elif story.error:
        room = end[0] - 60
        yield text(end[0] - 12, end[1] - 7, fitted(story.error, room, 10.5), "aq-mono aq-bad aq-end")


def _notes(story: Story) -> Iterator[tuple[str, Mark | None, str, str]]:
    """What is told below: what it is about, its mark, a word, and the rest."""
    if not story.steps_known and not story.forward:
        yield "steps", None, "", "not kept; transaction(trace=True) does"
    if story.reason:
        yield "stuck", Mark.CONFLICT, "", story.reason
    for name, state, error in story.hooks[:_MOST_NOTES]:
        mark = {"done": Mark.DONE, "failed": Mark.FAILED}.get(state)
        yield "after commit", mark, name, f"{state}: {error}" if error else state
    if len(story.hooks) > _MOST_NOTES:
        yield "after commit", None, f"{counted(len(story.hooks) - _MOST_NOTES)} more", ""
    if story.never_awaited:
        yield "never awaited", Mark.UNKNOWN, "", ", ".join(story.never_awaited[:20])
    for failure in story.journal_failures[:1]:
        yield "not recorded", Mark.FAILED, "", failure


_MOST_NOTES: Final = 8


def _note(note: tuple[str, Mark | None, str, str], y: float, width: float) -> Iterator[str]:
    about, mark, name, rest = note
    yield text(20, y, about, "aq-soft")
    yield icon(112, y - 4, mark, 6.5)
    left, room = 125.0, width - 145
    if name:
        shown = fitted(name, room / 2, 12)
        yield text(left, y, shown, "aq-name aq-text", room=room / 2)
        left += len(shown) * 7.5 + 8
    yield text(left, y, fitted(rest, width - 20 - left, 10.5), "aq-mono aq-soft", room=width - 20 - left)
