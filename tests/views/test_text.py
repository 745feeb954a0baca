"""A report as text: it fits, nothing that users name can break out of it, and what there is to tell is told."""

from __future__ import annotations

from typing import Any

import pytest

from actionqueues.views.labels import safe, width_of
from actionqueues.views.text import summary, to_text

from . import samples
from .drawing import check, drawn
from .samples import SAMPLES, entry, report, savepoint

MOST = sorted(set(SAMPLES) - {"huge"})


# -- the whole


@pytest.mark.parametrize("name", MOST)
@pytest.mark.parametrize("width", [0, 20, 33, 80, 200])
@pytest.mark.parametrize("unicode", [True, False])
def test_no_line_is_wider_than_it_may_be(name: str, width: int, unicode: bool) -> None:
    text = to_text(SAMPLES[name](), width=width, unicode=unicode)
    check(text, max(width, 20))
    assert unicode or text.isascii()


@pytest.mark.parametrize("name", MOST)
def test_the_summary_is_the_first_line_if_there_is_room(name: str) -> None:
    data = SAMPLES[name]()
    line = summary(data)
    assert line.isprintable()
    assert to_text(data, width=10_000).split("\n")[0] == line
    assert summary(data, unicode=False).isascii()


def test_without_steps_there_is_only_the_summary() -> None:
    assert to_text(samples.empty()) == "nothing committed"
    assert to_text({"state": "open"}) == "transaction open", "what is missing is taken as nothing"


def test_a_report_of_another_format_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"format 2 cannot be drawn: this version of actionqueues knows format 1; use the"
    ):
        to_text({**samples.happy(), "format": 2})


def test_a_thousand_levels_are_drawn_with_no_more_indentation_than_fits() -> None:
    inner = entry("leaf", state="failed", error="E()")
    for level in range(1000):
        inner = savepoint(f"level {level}", [inner], state="rolled back", error="E()")
    lines = to_text(report("deep", "rolled back", [inner], error="E()")).split("\n")
    check("\n".join(lines), 80)
    assert len(lines) == 2 + 1000 + 2
    assert lines[-2:] == [" " * 20 + "✗ leaf", " " * 24 + "E()"]


# -- the parts


def test_many_of_a_kind_are_counted_in_the_summary() -> None:
    steps = [entry("mail", undo="not undone", reason="irreversible") for _ in range(1500)]
    steps += [entry(f"s{number}", undo="undo failed", undo_error="E()") for number in range(12)]
    steps += [entry("later", state="dropped")]
    facts: dict[str, Any] = {"never_awaited": ["a", "b"], "journal_failures": ["disk full", "more"]}
    facts["hooks"] = [{"name": "h", "state": "failed", "error": "E()"}]
    line = summary(report("t", "rolled back with failures", steps, **facts))
    assert line == (
        "t rolled back with failures: undo of s11 failed (E()), undo of s10 failed (E()), undo of s9 failed (E()), "
        "undo of s8 failed (E()), undo of s7 failed (E()), undo of s6 failed (E()), undo of s5 failed (E()), "
        "undo of s4 failed (E()), undo of s3 failed (E()), undo of s2 failed (E()) … and 2 more, "
        "1 500 left: mail (irreversible) \N{MULTIPLICATION SIGN}1 500, never started: later, "
        "commit hook h failed (E()), never awaited: a, b, not recorded (disk full)"
    )


def test_besides_the_steps_it_tells_what_was_not_awaited_and_not_recorded() -> None:
    facts: dict[str, Any] = {"never_awaited": ["charge"], "journal_failures": ["disk full"]}
    facts["hooks"] = [{"name": "h", "state": "failed", "error": "E()"}]
    assert drawn(report("t", "committed", [entry("a")], **facts)) == (
        """
t committed: 1 done, commit hook h failed (E()), never awaited: charge, not
  recorded (disk full)

  ✓ a
commit hooks
  ✗ h
      E()
besides
  ! charge  never awaited
  ! not recorded
      disk full
"""
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "<1 ms"),
        (0.0123, "12 ms"),
        (0.9996, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (3599.4, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (86399, "1 d 0 h"),
        (1e8, "1 157 d 9 h"),
    ],
)
def test_durations_are_told_as_people_say_them(seconds: float, text: str) -> None:
    line = to_text({"steps": [{"name": "a", "started": 0, "ended": seconds}]}).split("\n")[-1]
    assert line.endswith(f"? a  outcome unknown  {text}")


@pytest.mark.parametrize(
    ("started", "ended"), [(2, 1), (None, 1), (1, None), (float("nan"), 1), (1, float("inf")), ("1", 2)]
)
def test_times_that_make_no_sense_tell_no_duration(started: Any, ended: Any) -> None:
    step = {**entry("a"), "started": started, "ended": ended}
    assert to_text(report("t", "open", [step])).endswith("✓ a")


def test_too_long_texts_are_cut_where_there_is_no_more_room() -> None:
    steps = [entry("n" * 100, "arguments", attempts=3), entry("b", "x=" + "1" * 100, state="failed", error="E" * 1000)]
    assert drawn(report("t", "open", steps), width=40) == (
        """
t open: 1 done, 1 failed

  ↻ nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…
      3 attempts
  ✗ b             x=1111111111111111111…
      EEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEE
      EEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEE
      EEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEE
      EEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEE…
"""
    )


def test_marks_above_letters_do_not_reach_into_other_lines() -> None:
    assert safe("e\u0301") == "e\u0301"
    assert safe("z" + "\u0351" * 6) == "z" + "\u0351" * 4 + r"\u0351\u0351"
    assert width_of("e\u0301") == 1


def test_brackets_end_where_no_more_levels_are_indented() -> None:
    inner = [entry("a", at=(1, 3)), entry("b", at=(2, 3))]
    for level in range(5):
        inner = [savepoint(f"s{level}", inner)]
    assert drawn(report("t", "committed", inner), width=24) == (
        """
t committed: 2 done

  ✓ s4      savepoint
    ✓ s3    savepoint
      ✓ s2  savepoint
      ✓ s1  savepoint
      ✓ s0  savepoint
      ✓ a       2.0 s
      ✓ b       1.0 s
"""
    )


def test_errors_and_reasons_are_told_once() -> None:
    inner = [entry("inner", state="failed", error="E()", reason="no rollback handler")]
    steps = [
        entry("outer", state="failed", error="E()", contains=inner, undo="skipped"),
        entry("again", attempts=2, error="E()"),
        entry("silent", state="failed"),
    ]
    assert drawn(report("t", "rolled back", steps, error="E()")) == (
        """
t rolled back: inner failed (E()), skipped: outer

  ✗ outer
    ✗ inner
        E()
  ↻ again  2 attempts
      after E()
  ✗ silent     failed
rolling back
  ! outer     skipped
"""
    )


def test_a_long_name_that_has_failed_is_cut_in_ascii_as_well() -> None:
    data = report(
        "t", "rolled back", [entry("\N{CJK UNIFIED IDEOGRAPH-6771}" * 20, state="failed", error="x")], error="x"
    )
    assert to_text(data, unicode=False).isascii()
