"""A report as a Mermaid flowchart: of lines that can be read in one way only, however hostile the names are."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings

from actionqueues.views.mermaid import to_mermaid

from . import samples
from .pictures import PICTURES
from .samples import HOSTILE, SAMPLES, entry, report, savepoint
from .test_svg_of_anything import reports

LABEL = r"\"(?:[^\x00-\x7f]|[A-Za-z0-9 ,()]|\#\d+;|<br/>)*\""
LINES = re.compile(
    rf"""
    flowchart\ TB
    | \ \ start\(\["start"\]\):::idle
    | \ +s\d+u?\[{LABEL}\]:::\w+
    | \ \ finish\(\[{LABEL}\]\):::\w+
    | \ +subgraph\ s\d+\[{LABEL}\]
    | \ +direction\ TB
    | \ +end
    | \ +style\ s\d+\ fill:\#\w+,stroke:\#\w+,color:\#\w+
    | \ +(?:start|s\d+u?)\ (?:-->|-\.->|~~~)\ (?:finish|s\d+u?)
    | \ +s\d+(?:\ ~~~\ s\d+)*
    | \ \ classDef\ \w+\ fill:\#\w+,stroke:\#\w+,color:\#\w+
    """,
    re.VERBOSE,
)
ARROWS = re.compile(r"--&gt;|-->|-\.->|~~~")


def check(data: dict[str, Any]) -> list[str]:
    text = to_mermaid(data)
    lines = text.rstrip("\n").split("\n")
    assert [line for line in lines if not LINES.fullmatch(line)] == []
    assert len(text.encode("utf-16-le")) // 2 <= 50_000, "Mermaid's limit"
    assert sum(len(ARROWS.findall(line)) for line in lines) <= 500, "Mermaid's limit"
    return lines


def arrows(lines: list[str], kind: str) -> list[tuple[str, str]]:
    """By what stands in the boxes."""
    names = {"start": "start", "finish": "finish"}
    for line in lines:
        if found := re.match(r" +(\w+)\[\"(.*?)(?:<br/>|\")", line.replace("subgraph ", "")):
            names[found[1]] = found[2]
    links = [re.fullmatch(rf" +(\w+) {re.escape(kind)} (\w+)", line) for line in lines]
    return [(names[each[1]], names[each[2]]) for each in links if each]


@pytest.mark.parametrize("name", [*SAMPLES, *PICTURES])
def test_a_chart_is_of_lines_that_can_be_read_in_one_way(name: str) -> None:
    check({**SAMPLES, **PICTURES}[name]())


def test_the_way_leads_forward_and_back() -> None:
    lines = check(
        samples.rolled_back() | {"steps": [entry("a", undo="undone"), entry("b", state="failed", undo="undone")]}
    )
    assert arrows(lines, "-->") == [("start", "a"), ("a", "b")]
    assert arrows(lines, "-.->") == [("b", "undo of b"), ("undo of b", "undo of a"), ("undo of a", "finish")]


def test_what_was_committed_ends_in_its_state() -> None:
    lines = check(samples.happy())
    assert '  finish(["committed"]):::good' in lines
    assert arrows(lines, "-->")[-1] == ("send#95;welcome(user#61;17)", "finish")
    assert "finish" not in "".join(check(samples.live())), "it has not come to an end"
    assert arrows(check(samples.empty()), "-->") == [("start", "finish")]


def test_a_failure_that_was_caught_goes_on_behind_its_undo() -> None:
    steps = [
        entry("one", state="failed", undo="undone"),
        savepoint("two", [entry("inner", state="failed", undo="undone")], state="rolled back"),
        entry("three", state="failed"),
        entry("four"),
    ]
    lines = check(report("r", "committed", steps))
    assert arrows(lines, "-->") == [
        ("start", "one"),
        ("undo of one", "inner"),
        ("undo of inner", "three"),
        ("three", "four"),
        ("four", "finish"),
    ]


def test_what_never_started_stands_aside() -> None:
    lines = check(samples.rolled_back())
    assert [end for _, end in arrows(lines, "~~~")] == ["send#95;welcome(user#61;17)"]


def test_what_ran_at_the_same_time_is_one_frame() -> None:
    lines = check(samples.fan_out())
    assert any('["20 at the same time"]' in line for line in lines)
    assert arrows(lines, "-.->")[0] == ("20 at the same time", "20 undone")
    steps = [
        savepoint("a", [entry("row"), entry("file", state="failed", undo="undone")], at=(1, 3), state="rolled back"),
        savepoint("b", [entry("x"), entry("y")], at=(2, 4)),
        entry("z", at=(2, 3), undo="conflict"),
    ]
    lines = check(report("tasks", "committed", steps))
    assert ("x", "y") in arrows(lines, "-->")
    assert ("file", "undo of file") in arrows(lines, "-.->")
    assert any("0 undone, 1 not" in line for line in lines)


def test_a_step_that_contains_others_is_undone_behind_them() -> None:
    inside = [entry("row", undo="undone")]
    outer = entry("sign_up", state="failed", error="E()", undo="undone", undo_attempts=2, contains=inside)
    lines = check(report("r", "rolled back", [entry("a", undo="undone"), outer], error="E()"))
    assert arrows(lines, "-.->") == [
        ("exception", "undo of row"),
        ("undo of row", "undo of sign#95;up"),
        ("undo of sign#95;up", "undo of a"),
        ("undo of a", "finish"),
    ]
    assert any("2 attempts" in line for line in lines)


def test_ten_thousand_steps_are_few_boxes() -> None:
    assert len(check(samples.huge())) < 60


def test_a_chart_stays_within_the_limits_of_mermaid() -> None:
    steps = [entry(f"{n} {'<' * 60}", "&" * 60, undo="undo failed", undo_error="\\" * 200) for n in range(300)]
    assert any("more of" in line for line in check(report("wide", "rolled back", steps)))
    blocks = [savepoint(f"{n} {'>' * 60}", steps) for n in range(9)]
    assert any("31 more of" in line for line in check(report("wide", "rolled back", [*blocks, *steps[:31]])))


def test_a_sign_is_an_entity_and_a_break_is_none() -> None:
    steps = [entry(text) for text in HOSTILE]
    text = "".join(check(report("hostile", "committed", steps)))
    assert "#60;script#62;alert(1)#60;#47;script#62;" in text
    assert "two#92;#8203;nlines" in text, "Mermaid would break the line at backslash and n"


@settings(max_examples=20, deadline=None)
@given(data=reports())
def test_any_report_is_such_a_chart(data: dict[str, Any]) -> None:
    check(data)
