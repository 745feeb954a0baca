"""A report as a page, and as what a notebook shows: every fact, and no name that is more than a text."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings

from actionqueues.views.html import STYLE, fragment, to_html
from actionqueues.views.labels import safe
from actionqueues.views.mime import mimebundle
from actionqueues.views.svg import to_svg
from actionqueues.views.text import summary, to_text

from . import samples
from .samples import HOSTILE, SAMPLES, entry, report
from .test_svg_of_anything import TAGS, reports

TABLE = {"table", "caption", "thead", "tbody", "tr", "th", "td", "code", "span", "div"}
PAGE = {"html", "head", "meta", "title", "style", "body", "section", "p", "figure"}
VOID = {"meta"}


class Page(HTMLParser):
    """What a browser reads: tags that are closed in order, attributes, texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def check(data: dict[str, Any]) -> Page:
    page = Page(to_html(data))
    assert page.tags <= PAGE | TABLE | TAGS
    part = Page(fragment(data))
    assert part.tags <= (PAGE | TABLE | TAGS) - {"style", "html", "meta"}
    assert "style" not in part.attributes
    assert not {name for name in part.attributes | page.attributes if name.startswith("on") or name in ("href", "src")}
    return page


@pytest.mark.parametrize("name", SAMPLES)
def test_a_page_holds_the_summary_the_picture_and_a_table(name: str) -> None:
    data = SAMPLES[name]()
    page = check(data)
    assert summary(data) in page.texts
    assert "svg" in page.tags
    assert ("Steps" in page.texts) is bool(data["steps"])


def test_a_page_forbids_itself_everything_but_its_style() -> None:
    text = to_html(samples.happy())
    assert """content="default-src 'none'; style-src 'unsafe-inline'">""" in text
    assert text.count("<style>") == 1
    assert STYLE in text
    assert "url(" not in text
    assert "@import" not in text


def test_every_fact_of_a_step_is_in_the_table() -> None:
    shown = check(samples.failing_undo()).texts
    assert {"undo failed", "OSError('no route')", "RollbackConflict('it is 4 by now')"} <= set(shown)
    assert " 3 attempts " in shown
    shown = check(samples.rolled_back()).texts
    assert {"283 ms", "no rollback handler", "never started", "left"} <= set(shown)
    shown = check(samples.nested()).texts
    assert {"savepoint", "by hand", "released", "retried", "2"} <= set(shown)
    assert "at the same time" in check(samples.fan_out()).texts


def test_what_follows_the_steps_has_tables_of_its_own() -> None:
    shown = check(samples.happy()).texts
    assert {"After commit", "increment"} <= set(shown)
    assert "Not as it should be" not in shown
    shown = check(samples.hostile()).texts
    assert {"After commit", "Not as it should be", "stuck", "never awaited", "not recorded"} <= set(shown)


def test_what_repeats_is_one_row() -> None:
    shown = check(samples.huge()).texts
    assert "… 3 994 more of upload" in shown
    assert "3 994 done" in shown


def test_a_table_is_not_endless() -> None:
    steps = [entry(f"step {n}") for n in range(1500)]
    shown = check(report("long", "committed", steps)).texts
    assert "step 499" in shown
    assert "… and at least 1 000 more" in shown


def test_hostile_names_are_texts() -> None:
    data = samples.hostile()
    shown = "".join(check(data).texts)
    for text in HOSTILE:
        assert safe(text) in shown


def test_a_notebook_is_given_what_it_asks_for() -> None:
    data = samples.rolled_back()
    whole = mimebundle(data)
    assert set(whole) == {"text/plain", "text/html", "image/svg+xml"}
    assert whole["text/plain"] == to_text(data)
    assert whole["image/svg+xml"] == to_svg(data)
    assert whole["text/html"] == f"<style>{STYLE}</style>\n{fragment(data)}"
    assert set(mimebundle(data, include={"text/plain"})) == {"text/plain"}
    assert set(mimebundle(data, exclude={"text/plain"})) == {"text/html", "image/svg+xml"}
    assert mimebundle(data, include=["text/html"], exclude=["text/html"]) == {}


@settings(max_examples=20, deadline=None)
@given(data=reports())
def test_any_report_is_a_page_whose_tags_are_its_own(data: dict[str, Any]) -> None:
    check(data)
