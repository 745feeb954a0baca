"""Whatever a report holds, it is drawn: random trees, hostile texts, times that are missing or make no sense."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actionqueues.views.labels import clipped, safe, width_of, wrapped
from actionqueues.views.text import summary, to_text

from .drawing import check
from .samples import HOSTILE, Entry, all_of, entry, report

TEXTS = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(codec=None), max_size=30),  # lone surrogates, too
    st.sampled_from(["charge", "mail", "upload"]),
)
TIMES = st.one_of(st.none(), st.floats(), st.integers(0, 9))
FATES = [
    "undone",
    "undo failed",
    "conflict",
    "skipped",
    "not undone",
    "not landed",
    "abandoned",
    "running",
    None,
    "new",
]
STATES = ["queued", "running", "done", "failed", "unknown", "dropped", "open", "released", "rolled back", "new one"]
LEFT = ("undo failed", "conflict", "skipped", "not undone", "abandoned")


@st.composite
def entries(draw: st.DrawFn, contains: st.SearchStrategy[list[Entry]] | None = None) -> Entry:
    times = {kind: draw(TIMES) for kind in ("queued", "started", "ended", "undo_started", "undo_ended")}
    return {
        **entry(draw(TEXTS), draw(TEXTS)),
        "kind": draw(st.sampled_from(["step", "savepoint", "by hand"])),
        "state": draw(st.sampled_from(STATES)),
        "attempts": draw(st.integers(0, 3)),
        "error": draw(st.none() | TEXTS),
        "undo": draw(st.sampled_from(FATES)),
        "undo_attempts": draw(st.integers(0, 3)),
        "undo_error": draw(st.none() | TEXTS),
        "reason": draw(st.none() | TEXTS),
        **times,
        "contains": [] if contains is None else draw(contains),
    }


STEPS = st.lists(st.recursive(entries(), lambda inner: entries(st.lists(inner, max_size=3)), max_leaves=5), max_size=5)


@st.composite
def reports(draw: st.DrawFn) -> dict[str, Any]:
    steps = draw(STEPS)
    for each in draw(st.lists(st.sampled_from(steps), max_size=1)) if steps else []:
        steps += [{**each, "contains": []} for _ in range(draw(st.integers(0, 30)))]
    hooks = [{"name": draw(TEXTS), "state": draw(st.sampled_from(["done", "failed", "not run"])), "error": draw(TEXTS)}]
    facts: dict[str, Any] = {"error": draw(st.none() | TEXTS), "reason": draw(st.none() | TEXTS), "hooks": hooks}
    facts |= {"never_awaited": draw(st.lists(TEXTS, max_size=2)), "journal_failures": draw(st.lists(TEXTS, max_size=2))}
    facts["kind"] = draw(st.sampled_from(["transaction", "queue", "recovery"]))
    state = draw(st.sampled_from(["open", "committed", "rolled back", "stuck", "rollback complete"]))
    return report(draw(TEXTS), state, steps, **facts)


@settings(max_examples=20, deadline=None)
@given(data=reports(), width=st.integers(0, 130), unicode=st.booleans())
def test_anything_is_drawn_within_its_width(data: dict[str, Any], width: int, unicode: bool) -> None:
    text = to_text(data, width=width, unicode=unicode)
    check(text, max(20, width))
    line = summary(data, unicode=unicode)
    assert line.isprintable()
    assert unicode or (text + line).isascii()


@settings(max_examples=15, deadline=None)
@given(data=reports())
def test_the_name_of_every_step_that_is_left_or_has_failed_is_shown(data: dict[str, Any]) -> None:
    text = to_text(data, width=5000)
    for each in all_of(data["steps"]):
        if each["state"] == "failed" or each["undo"] in LEFT:
            assert safe(each["name"]).strip() in text


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=60), width=st.integers(1, 30), most=st.integers(1, 5))
def test_a_text_is_cut_and_wrapped_within_its_width(text: str, width: int, most: int) -> None:
    shown = safe(text)
    assert width_of(clipped(shown, width)) <= width
    lines = wrapped(shown, width, most=most)
    assert len(lines) <= most
    assert all(width_of(line) <= width for line in lines)
    if width > 1 and lines and not lines[-1].endswith("…"):
        assert "".join("".join(lines).split()) == "".join(shown.split()), "nothing is lost"
