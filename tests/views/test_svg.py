"""A report as a picture: what stands in it, what a screen reader is told, and that no name is more than a text."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from actionqueues.views.letters import broken, duration, fitted
from actionqueues.views.model import Mark
from actionqueues.views.style import DARK, ICONS, LIGHT, Palette, icon_of, tone_of
from actionqueues.views.svg import to_svg
from actionqueues.views.text import summary

from . import samples
from .pictures import FOLDER, PICTURES
from .samples import SAMPLES, Entry, entry, report, savepoint

SVG = "{http://www.w3.org/2000/svg}"


def drawn(data: dict[str, Any]) -> ET.Element:
    return ET.fromstring(to_svg(data))


def words(root: ET.Element) -> list[str]:
    """What a reader sees, in order."""
    return [each.text or "" for each in root.iter(f"{SVG}text")]


def titles(root: ET.Element) -> list[str]:
    """What a reader sees who points at a part."""
    return [each.text or "" for each in root.iter(f"{SVG}title")][1:]


# -- the documentation


@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_of_the_documentation_are_what_is_drawn(name: str) -> None:
    if not FOLDER.is_dir():
        pytest.skip("the tests run away from their project")
    kept = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    assert kept == to_svg(PICTURES[name]()), "draw them anew: python -m tests.views.pictures"


def test_there_is_no_other_picture() -> None:
    if not FOLDER.is_dir():
        pytest.skip("the tests run away from their project")
    assert {path.stem for path in FOLDER.iterdir()} == set(PICTURES)


# -- the whole


@pytest.mark.parametrize("name", SAMPLES)
def test_a_screen_reader_is_told_the_summary(name: str) -> None:
    data = SAMPLES[name]()
    root = drawn(data)
    assert root.get("role") == "img"
    title, description = (root.find(f"{SVG}{each}") for each in ("title", "desc"))
    assert title is not None
    assert description is not None
    assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert description.text == summary(data)
    assert (title.text or "").endswith(f": {data['state']}")


@pytest.mark.parametrize("name", SAMPLES)
def test_a_picture_is_drawn_alike_each_time_and_is_not_wider_than_a_page(name: str) -> None:
    first, again = to_svg(SAMPLES[name]()), to_svg(SAMPLES[name]())
    assert first == again
    assert float(ET.fromstring(first).get("width", "")) <= 880


def test_pictures_in_one_page_share_no_identifier() -> None:
    found = [each.get("id") for name in SAMPLES for each in drawn(SAMPLES[name]()).iter() if each.get("id")]
    assert len(found) == len(set(found)) == 2 * len(SAMPLES)


def test_a_picture_asks_for_nothing_from_elsewhere() -> None:
    for name in SAMPLES:
        text = to_svg(SAMPLES[name]())
        style = text[text.index("<style>") : text.index("</style>")]
        assert "url(" not in text
        assert "@import" not in style
        assert "prefers-color-scheme:dark" in style
        assert not {each.tag for each in ET.fromstring(text).iter()} - {
            f"{SVG}{tag}" for tag in ("svg", "title", "desc", "style", "g", "rect", "text", "path", "circle")
        }
        assert not {key for each in ET.fromstring(text).iter() for key in each.attrib if key.startswith("on")}


def test_a_report_of_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format 2 cannot be drawn"):
        to_svg({**samples.happy(), "format": 2})


def test_ten_thousand_steps_are_few_boxes() -> None:
    root = drawn(samples.huge())
    assert "3 998 more" in words(root)
    assert "10 000 steps" in next(each for each in words(root) if "steps" in each)
    assert len(titles(root)) == 11


def test_many_that_are_not_alike_are_cut_short_too() -> None:
    def steps(depth: int) -> list[Entry]:
        inside = steps(depth - 1) if depth else []
        return [savepoint(f"point {n}", inside) if inside and n % 2 else entry(f"step {n}", f"{n}") for n in range(70)]

    root = drawn(report("wide", "committed", steps(2)))
    assert len(titles(root)) < 600
    assert "11 more of step 58, point 59, step 60, …: 11 done" in titles(root)
    assert "point 57(70 inside): done" in titles(root)


def test_deep_nesting_ends_in_a_box_that_tells_how_much_is_in_it() -> None:
    inner = [entry("leaf")]
    for level in range(1000):
        inner = [entry("before"), savepoint(f"level {level}", inner), entry("after")]
    shown = words(drawn(report("deep", "committed", inner)))
    assert shown.count("savepoint") == 4
    assert "3 inside" in shown


def test_many_at_the_same_time_in_the_deep_are_a_box() -> None:
    inner = [entry("left", at=(1, 3)), entry("right", at=(2, 4))]
    for level in range(4):
        inner = [savepoint(f"level {level}", inner)]
    shown = words(drawn(report("deep", "committed", inner)))
    at = shown.index("at the same")
    assert shown[at : at + 3] == ["at the same", "time", "2 inside"]


def test_nothing_done_is_a_short_way() -> None:
    assert words(drawn(samples.empty())) == ["committed", "nothing", "transaction · 0 steps", "start", "end"]
    assert words(drawn({})) == ["transaction", "transaction · 0 steps", "start"]
    assert "1 step" in words(drawn(report("one", "committed", [entry("only")])))[2]


# -- boxes


def test_a_box_tells_what_was_called_how_it_ended_and_how_long_it_took() -> None:
    root = drawn(samples.happy())
    shown = words(root)
    at = shown.index("charge")
    told = ["charge", "card='4…', amoun…", "execute", "403 ms", "done", "rollback", "not called"]
    assert shown[at : at + 7] == told
    assert "charge(card='4…', amount=900): done" in titles(root)


def test_a_long_name_has_two_lines_and_is_whole_in_the_title() -> None:
    name = "create_subscription_of_customer_in_region"
    root = drawn(report("long", "committed", [entry(name)]))
    at = words(root).index("create_")
    assert words(root)[at + 1] == "subscription_o…"
    assert f"{name}: done" in titles(root)


def test_a_failure_is_told_in_words_and_where_the_way_turns() -> None:
    root = drawn(samples.rolled_back())
    shown = words(root)
    assert {"failed", "ConnectionError(", "'gateway')", "left", "no rollback", "handler", "never started"} <= set(shown)
    assert shown[-1] == "ConnectionError('gateway')", "it goes on behind the end"
    assert "charge(card='4…', amount=900): failed, ConnectionError('gateway'), then undone" in titles(root)
    assert "exception" not in shown


def test_an_error_of_the_block_itself_has_its_own_mark() -> None:
    steps = [entry("reserve", undo="undone"), entry("charge", undo="undone")]
    root = drawn(report("order", "rolled back", steps, error="KeyError('tea')"))
    assert "exception" in words(root)
    assert "exception: failed, KeyError('tea')" in titles(root)
    assert "rollback()" in words(drawn(report("order", "rolled back", steps)))
    assert "rollback()" in words(drawn(report("order", "rolled back", [])))


def test_a_failure_that_was_caught_is_not_why_the_block_was_rolled_back() -> None:
    steps = [entry("try_it", state="failed", error="OSError('x')", undo="undone")]
    assert "exception" in words(drawn(report("order", "rolled back", steps, error="KeyError('tea')")))


def test_retries_are_counted_on_their_loops() -> None:
    shown = words(drawn(samples.retries()))
    assert [word for word in shown if "attempts" in word] == ["3 attempts", "4 attempts", "10 attempts"]
    assert "convert(path='a.png'): done, then undone, 4 attempts of the undo" in titles(drawn(samples.retries()))


def test_lanes_tell_of_retries_in_words() -> None:
    steps = [
        entry("a", at=(1, 5), attempts=2),
        entry("b", at=(2, 6), attempts=3, state="failed", error="E()"),
        entry("c", at=(3, None), attempts=2, state="running"),
        entry("d", at=(3, 4), attempts=2, state="unknown"),
        entry("e", at=(3, 4), undo="undo failed", undo_error="U()"),
        entry("f", at=(4, 4.5), state="queued", attempts=0),
    ]
    shown = words(drawn(report("many", "open", steps)))
    assert {
        "6 at the same time",
        "2 attempts",
        "failed, 3\N{MULTIPLICATION SIGN}",
        "attempt 2",
        "unknown",
        "U()",
    } <= set(shown)


def test_lanes_whose_times_tell_nothing_have_no_bars() -> None:
    alike = [entry(name, at=(1, None), state="running") for name in ("a", "b", "c", "d", "e")]
    root = drawn(report("many", "open", alike))
    assert "5 at the same time" in words(root)
    assert not [each for each in root.iter() if each.get("class") == "aq-track"]
    assert [each for each in drawn(samples.fan_out()).iter() if each.get("class") == "aq-track"]


def test_savepoints_and_steps_that_contain_others_are_frames() -> None:
    assert words(drawn(samples.nested())).count("savepoint") == 3
    inside = [entry("row", undo="undone")]
    outer = entry("sign_up", "'ada'", state="failed", error="E()", undo="undone", contains=inside)
    root = drawn(report("outer", "rolled back", [outer], error="E()"))
    assert {"sign_up", "'ada'", "failed", "undone", "exception"} <= set(words(root))
    long = entry("n" * 80, "a" * 50, contains=inside)
    assert "a" * 50 not in words(drawn(report("outer", "committed", [long])))


def test_what_is_told_below_is_what_no_box_can_tell() -> None:
    facts = {"never_awaited": ["fetch"], "journal_failures": ["disk full"], "reason": "it failed 5 times"}
    hooks = [{"name": f"hook_{n}", "state": "failed", "error": "OSError('x')"} for n in range(9)]
    shown = words(drawn(report("order", "stuck", [entry("a", undo="undo failed")], hooks=hooks, **facts)))
    assert {"stuck", "it failed 5 times", "never awaited", "fetch", "not recorded", "disk full"} <= set(shown)
    assert {"hook_0", "failed: OSError('x')", "1 more"} <= set(shown)
    assert "hook_8" not in shown


def test_a_name_of_nothing_but_blanks_is_called_after_its_kind() -> None:
    assert "step" in words(drawn(report("", "committed", [entry(" \u3000 ")])))


# -- letters


def test_what_does_not_fit_is_cut() -> None:
    assert fitted("x" * 50, 62, 10) == "x" * 9 + "…"
    assert broken("ConnectionError('gateway')", 112, 10, most=3) == ["ConnectionError(", "'gateway')"]
    assert broken("x" * 50, 62, 10, most=2) == ["x" * 10, "x" * 9 + "…"]
    assert broken("東京", 1, 10, most=2) == ["東", "…"], "one letter at least"
    assert broken("", 62, 10, most=2) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0, "<1 ms"),
        (0.012, "12 ms"),
        (0.9996, "1000 ms"),
        (1.24, "1.2 s"),
        (95, "95 s"),
        (200, "3.3 min"),
        (86_000, "24 h"),
        (1e6, "12 d"),
        (1e300, "99999 d"),
    ],
)
def test_times_are_short(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


# -- colours


def luminance(colour: str) -> float:
    """As the Web Content Accessibility Guidelines define it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_stands_out_from_its_ground(palette: Palette) -> None:
    grounds = [palette.page, palette.card, palette.frame]
    pairs = [(text, ground) for ground in grounds for text in (palette.text, palette.soft)]
    pairs += [(text, ground) for text, ground, _ in palette.tones.values()]
    pairs += [(palette.soft, ground) for _, ground, _ in palette.tones.values()]
    pairs += [(palette.tones[tone][0], ground) for ground in grounds for tone in ("bad", "heed", "undone", "idle")]
    assert {pair: contrast(*pair) for pair in pairs if contrast(*pair) < 4.5} == {}
    lines = [(line, ground) for ground in grounds for line in (palette.way, palette.back)]
    assert {pair: contrast(*pair) for pair in lines if contrast(*pair) < 3} == {}


@pytest.mark.parametrize("mark", [*Mark, None])
def test_no_mark_is_told_by_its_colour_alone(mark: Mark | None) -> None:
    assert icon_of(mark) in ICONS
    assert tone_of(mark) in LIGHT.tones
    assert tone_of(mark) in DARK.tones
