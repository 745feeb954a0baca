"""Whatever a report holds, its picture is XML, its boxes stand apart, and its arrows lead around them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionqueues.views.layout import INSET, WIDEST, Layout
from actionqueues.views.model import read
from actionqueues.views.parts import Part, parts_of
from actionqueues.views.routes import Arrow, arrows_of, end_of, start_of
from actionqueues.views.style import ENDED
from actionqueues.views.svg import to_svg

from .pictures import PICTURES
from .samples import SAMPLES, Entry, entry, report
from .test_text_of_anything import FATES, STATES, TEXTS

#: Times that make sense, mostly: some ran at the same time as others.
SPANS = st.none() | st.tuples(st.integers(0, 9), st.integers(1, 5)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@st.composite
def entries(draw: st.DrawFn, contains: st.SearchStrategy[list[Entry]]) -> Entry:
    facts: dict[str, Any] = {
        "kind": draw(st.sampled_from(["step", "savepoint", "by hand"])),
        "state": draw(st.sampled_from(["done", "released", "done", "failed", "rolled back", *STATES])),
        "attempts": draw(st.integers(0, 3)),
        "error": draw(st.none() | TEXTS),
        "undo": draw(st.sampled_from(["undone", "undone", None, None, *FATES])),
        "undo_attempts": draw(st.integers(0, 3)),
        "undo_error": draw(st.none() | TEXTS),
        "contains": draw(contains),
        "at": draw(SPANS) or (None, None),
    }
    return entry(draw(TEXTS), draw(TEXTS), **facts)


NOTHING: st.SearchStrategy[list[Entry]] = st.just([])
TREES = st.recursive(entries(NOTHING), lambda inner: entries(st.lists(inner, max_size=6)), max_leaves=20)


@st.composite
def reports(draw: st.DrawFn) -> dict[str, Any]:
    steps = draw(st.lists(TREES, max_size=12))
    hooks = [{"name": draw(TEXTS), "state": draw(st.sampled_from(["done", "failed", "not run"])), "error": draw(TEXTS)}]
    facts = {"error": draw(st.none() | TEXTS), "reason": draw(st.none() | TEXTS), "hooks": hooks}
    state = draw(st.sampled_from(["open", "committed", "rolled back", "stuck", "rolling back", "new one"]))
    return report(draw(TEXTS), state, steps, **facts)


TAGS = {"svg", "title", "desc", "style", "g", "rect", "text", "path", "circle"}
Box = tuple[float, float, float, float]


def box(part: Part) -> Box:
    return part.x, part.y - part.above, part.x + part.width, part.y + part.below


def inside(inner: Box, outer: Box) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def overlap(one: Box, other: Box) -> bool:
    """Whether they have more than an edge in common."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def meet(line: Box, other: Box) -> bool:
    """A line is a box without a width or without a height."""
    across = line[1] == line[3] and other[1] < line[1] < other[3] and line[0] < other[2] and other[0] < line[2]
    return across or (
        line[0] == line[2] and other[0] < line[0] < other[2] and line[1] < other[3] and other[1] < line[3]
    )


def all_parts(part: Part) -> Iterator[Part]:
    for each in part.parts:
        yield each
        yield from all_parts(each)


def laid_out(data: dict[str, Any]) -> tuple[Part, list[Arrow]]:
    whole = parts_of(read(data))
    layout = Layout(whole)
    return whole, arrows_of(whole, layout, start_of(whole), end_of(whole) if data["state"] in ENDED else None)


def check(data: dict[str, Any]) -> None:
    whole, arrows = laid_out(data)
    assert whole.width <= WIDEST
    for frame in [whole, *all_parts(whole)]:
        assert all(inside(box(part), box(frame)) for part in frame.parts)
        assert not any(overlap(box(one), box(other)) for one, other in pairwise(frame.parts))
    boxes = [part for part in all_parts(whole) if part.kind in ("step", "more", "lane", "raised")]
    for each in arrows:
        assert len(each.points) > 1
        for (x1, y1), (x2, y2) in pairwise(each.points):
            assert x1 == x2 or y1 == y2, "straight across or straight down"
            line = min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)
            for part in boxes:
                left, top, right, bottom = box(part)
                if each.back and part.x < x1 == x2 < part.x + part.width and (part.turns or part.returned):
                    continue  # from its execute down to its rollback
                core = left + INSET, top + 1, right - INSET, bottom - 1
                assert not meet(line, core), f"{each} crosses {part.label}"


@pytest.mark.parametrize("name", [*SAMPLES, *PICTURES])
def test_boxes_stand_apart_and_arrows_lead_around_them(name: str) -> None:
    check({**SAMPLES, **PICTURES}[name]())


@settings(max_examples=20, deadline=None)
@given(data=reports())
def test_so_they_do_in_any_report(data: dict[str, Any]) -> None:
    check(data)


@settings(max_examples=20, deadline=None)
@given(data=reports())
def test_any_picture_is_xml_and_fits_a_page(data: dict[str, Any]) -> None:
    root = ET.fromstring(to_svg(data))
    assert float(root.get("width", "")) <= 880
    assert {each.tag.partition("}")[2] for each in root.iter()} <= TAGS
