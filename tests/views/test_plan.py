"""A plan as a table, in any width, and as a flowchart that stays small enough for Mermaid."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionqueues import Plan, PlannedStep, action, transaction
from actionqueues.views.labels import width_of
from actionqueues.views.mermaid import MOST


@action
def upload(path: str, host: str = "a.example") -> str:
    return path


@upload.rollback
def delete(path: str) -> None: ...


@upload.describe
def what_is_uploaded(path: str, host: str) -> str:
    return f"copy {path} to {host}, and wait until it is there, however long that takes; " * 2


@action(irreversible=True)
def announce(upload: str) -> None: ...


@announce.describe
def what_is_announced() -> str:
    raise LookupError("who knows")


@action(read_only=True)
def check() -> None: ...


def step(number: int, **given: Any) -> PlannedStep:
    values: dict[str, Any] = {"name": "s", "arguments": "", "undo": None, "reversible": False, "reason": "irreversible"}
    values |= {"description": None, "description_error": None, "needs": (), "savepoint": None, "number": number}
    return PlannedStep(**values | given)


def plan() -> Plan:
    with transaction("release 2") as q:
        path = q.add(upload, "shop.tar.gz")
        with q.savepoint("news") as inner:
            inner.add(announce, path)
            inner.add(check)
            made = q.plan()
            inner.rollback()
        q.rollback()
    return made


def test_a_plan_is_printed_as_a_table_of_eighty_columns() -> None:
    assert (
        str(plan())
        == """\
release 2: 3 steps queued, 1 of which cannot be undone

   step      arguments                             undone by
in the savepoint news:
1  announce  upload=result of 3                    nothing: irreversible
   its description failed: LookupError('who knows')
2  check                                           nothing to undo: read-only
then:
3  upload    path='shop.tar.gz', host='a.example'  delete
   copy shop.tar.gz to a.example, and wait until it is there, however long that
   takes; copy shop.tar.gz to a.example, and wait until it is there, however
   long that takes;"""
    )


def test_a_plan_of_nothing_says_so() -> None:
    with transaction("order") as q:
        assert str(q.plan()) == "order: nothing is queued"
        assert "flowchart TB" in q.plan().to_mermaid()


@pytest.mark.parametrize("width", [1, 40, 60, 200])
@pytest.mark.parametrize("unicode", [True, False])
def test_no_line_of_a_plan_is_longer_than_it_may_be(width: int, unicode: bool) -> None:
    text = plan().to_text(width=width, unicode=unicode)
    assert max(map(width_of, text.splitlines())) <= max(width, 40)
    assert text.isascii() or unicode


@given(
    st.lists(st.tuples(st.text(), st.text(), st.text(), st.none() | st.text(), st.none() | st.text()), max_size=4),
    st.integers(1, 120),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_a_plan_of_anything_is_drawn_within_its_width(texts: list[Any], width: int, unicode: bool) -> None:
    steps = [
        step(number, name=name, arguments=args, undo=undo, description=said, savepoint=inside, description_error=said)
        for number, (name, args, undo, said, inside) in enumerate(texts, 1)
    ]
    made = Plan("".join(each[0] for each in texts), steps)
    drawn = made.to_text(width=width, unicode=unicode)
    assert all(width_of(line) <= max(width, 40) and line.isprintable() for line in drawn.split("\n"))
    assert re.fullmatch(r"[^<>]*", made.to_mermaid().replace("<br/>", "").replace("-->", "").replace(".->", ""))


def test_a_plan_is_a_flowchart_of_what_will_run_and_of_what_will_undo_it() -> None:
    lines = plan().to_mermaid().splitlines()
    assert lines[:2] == ["flowchart TB", '  start(["release 2"]):::idle']
    assert '  s2u(["nothing to undo#58; read#45;only"]):::idle' in lines
    assert '  s1["1. announce(upload#61;result of 3)<br/>LookupError(#39;who knows#39;)"]:::live' in lines
    assert '  s1u(["nothing#58; irreversible"]):::bad' in lines
    assert '  s3u(["delete"]):::undone' in lines
    arrows = [line.strip() for line in lines if "--" in line or "-." in line]
    assert arrows == [
        "start --> s1",
        "s1 -. undone by .- s1u",
        "s3 -.-> s1",
        "s1 --> s2",
        "s2 -. undone by .- s2u",
        "s2 --> s3",
        "s3 -. undone by .- s3u",
    ]


def test_a_flowchart_of_a_long_plan_says_how_much_it_leaves_out() -> None:
    steps = [step(number, name="!" * 40, needs=(number - 1,)) for number in range(1, 1001)]
    text = Plan("long", steps).to_mermaid()
    assert len(text) <= MOST
    (left,) = re.findall(r"and (\d+) more", text)
    assert f"s{1000 - int(left)} --> more" in text
