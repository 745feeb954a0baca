"""How the page looks in a real browser, in the dark and on a phone; and that no text of a journal does anything."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actionqueues import Retry, action, transaction
from actionqueues.journal import Journal, durable
from tests.journal.leaving import edit

from .browser import Watched
from .visitor import TRANSACTIONS, Visitor, story

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>",
    "javascript:alert(1)",
    "</style><style>*{display:none}</style>",
    "]]><x/>&lt;&#60;&",
    "<a href='javascript:alert(1)' onclick=alert(1)>x</a>",
    "\u202egnp.exe\u2066\u200f",
    "\x1b[2J\x00\x07\r\n\t",
    "\ud800",
    "{{7*7}}${7*7}",
    "x" * 3000,
    "https://evil.example/",
    "",
]


@action(name="<script>alert('step')</script>", retry=Retry(attempts=2, wait_initial=0, wait_jitter=0))
def hostile(value: object, **more: object) -> object:
    return value


@hostile.rollback
def undo_hostile(value: str) -> None:
    raise ValueError(value)


@durable
def tell_hostile(value: str) -> None:
    raise ValueError(value)


def fill(path: Path) -> None:
    """Every text that a journal has is hostile."""
    journal = Journal(path)
    for value in HOSTILE:
        with pytest.raises(KeyError), transaction(value or "empty", journal=journal):
            hostile(value, **{value: [value, {value: value}]})
            raise KeyError(value)
    with pytest.raises(ExceptionGroup), transaction(HOSTILE[0], journal=journal) as q:
        hostile("x")
        q.on_commit(tell_hostile, HOSTILE[2])
    edit(path, "UPDATE steps SET name = ?, reason = ? WHERE tx = 1", HOSTILE[2], HOSTILE[3])
    edit(path, "UPDATE transactions SET error = ?, reason = ? WHERE id = 2", HOSTILE[7], HOSTILE[3])
    edit(path, "UPDATE hooks SET name = ?", HOSTILE[1])


def test_hostile_names_and_values_do_nothing(path: Path, decider: Visitor, browser: Browser) -> None:
    fill(path)
    watched = Watched(browser, decider)
    page = watched.page
    page.locator("#transactions li").first.wait_for()
    assert page.locator("#transactions li").count() == len(HOSTILE) + 1
    for number in range(1, len(HOSTILE) + 2):
        page.evaluate(f"location.hash = '#/{number}'")
        page.locator("#one-id", has_text=re.compile(f"^{number}$")).wait_for()
        drawing = page.locator("#drawing[src]")
        drawing.wait_for()
        drawing.evaluate("(image) => image.decode()")
        assert page.locator("#steps script, #steps img, #steps a, #steps svg, #facts a, h2 img, h2 script").count() == 0
        assert page.locator("script").count() == 1
        if number <= len(HOSTILE):
            page.get_by_role("button", name="It is undone").first.click()
            page.get_by_role("button", name="Cancel").click()
    page.evaluate("location.hash = '#/3'")
    page.get_by_role("heading", name="3 <img src=x onerror=alert(1)>", exact=True).wait_for()
    assert watched.wrong == []
    watched.close()


def test_the_drawing_of_hostile_names_does_nothing_even_as_a_page_of_its_own(
    path: Path, visitor: Visitor, browser: Browser, tmp_path: Path
) -> None:
    fill(path)
    for number in (1, 3, 8):
        drawing = tmp_path / f"{number}.svg"
        drawing.write_bytes(visitor.ask(f"{TRANSACTIONS}/{number}/drawing").body)
        watched = Watched(browser, visitor, at=drawing.as_uri())
        assert watched.page.locator("svg").count() >= 1
        assert watched.page.locator("script").count() == 0
        assert watched.wrong == []
        watched.close()


LOOKS: list[dict[str, Any]] = [
    {"viewport": {"width": 360, "height": 640}},
    {"viewport": {"width": 360, "height": 640}, "color_scheme": "dark"},
    {"viewport": {"width": 1280, "height": 800}},
    {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
]

CONTRAST = """
() => {
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).map((each) => each / 255)
      .map((each) => each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let each = node; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
  };
  const texts = [...document.querySelectorAll("body *")].filter((node) =>
    node.getClientRects().length && [...node.childNodes].some((each) => each.nodeType === 3 && each.data.trim()));
  return texts.map((node) => {
    const [a, b] = [light(getComputedStyle(node).color), light(behind(node))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), node.outerHTML];
  }).filter(([contrast]) => contrast < 4.5);
}
"""


@pytest.mark.parametrize("look", LOOKS, ids=["phone", "phone in the dark", "desktop", "desktop in the dark"])
def test_all_of_it_can_be_read_on_a_phone_and_in_the_dark(
    look: dict[str, Any], path: Path, decider: Visitor, browser: Browser
) -> None:
    story(path)
    with pytest.raises(KeyError), transaction("long" * 100, journal=Journal(path)):
        hostile("x" * 500)
        raise KeyError("x" * 500)
    watched = Watched(browser, decider, **look)
    page = watched.page
    width = look["viewport"]["width"]
    for number in (None, 3, 4, 6):
        page.evaluate(f"location.hash = '#/{number or ''}'")
        page.locator("#transactions li" if number is None else f"#one-id:text-is('{number}')").first.wait_for()
        if number is not None:
            page.locator("#drawing[src]").evaluate("(image) => image.decode()")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CONTRAST) == []
        small = page.locator("button:visible").evaluate_all(
            "(all) => all.filter((each) => each.offsetHeight < 40).length"
        )
        assert small == 0
        assert page.evaluate("getComputedStyle(document.body).colorScheme") in ("light dark", "normal")
    page.get_by_role("button", name="Abandon…").click()
    box = page.get_by_role("dialog").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    dark = look.get("color_scheme") == "dark"
    red = int(re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[0])
    assert (red < 60) is dark
    assert watched.wrong == []
    watched.close()
