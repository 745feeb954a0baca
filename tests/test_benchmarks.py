"""The benchmarks do the work that they time, and their gates hold back what is slower and nothing else.

No time is asserted here: that is what `python -m tests.benchmarks --gates` is for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import __main__ as command
from tests.benchmarks import gates
from tests.benchmarks.by_hand import ASYNC_STEP, STEP, Owner, context
from tests.benchmarks.rows import ROWS, Figure, Row
from tests.benchmarks.shapes import SHAPES, Shape, works_of
from tests.benchmarks.timing import Effort

ROOT = Path(__file__).parent.parent


def row_that_shows(*ratios: float) -> Row:
    left = list(ratios)

    def measure(_effort: Effort) -> Figure:
        return Figure(100, 100 * left.pop(0))

    return Row("a row", None, None, measure)


def test_a_gate_lets_through_what_one_of_its_tries_keeps_to() -> None:
    assert gates.tried(row_that_shows(0.5, 0.4, 0.29), 0.3) == pytest.approx(0.29)


def test_a_gate_makes_no_more_tries_than_it_takes() -> None:
    assert gates.tried(row_that_shows(0.2), 0.3) == pytest.approx(0.2)


def test_what_is_too_slow_in_every_try_fails_the_command_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(row_that_shows(*[0.31] * gates.TRIES), 0.3), (row_that_shows(0.2), 0.3)]
    monkeypatch.setattr(command, "gates", lambda: iter(rows))
    assert command.main(["--gates"]) == 1
    told = capsys.readouterr()
    assert told.err == "slower than it was: a row, 0.31\n"
    assert "0.20  0.30" in told.out


def test_every_gate_is_of_a_row_and_leaves_room() -> None:
    found = list(gates.gates())
    assert len(found) >= 9
    assert all(row.must is None or gate < row.must * 1.3 for row, gate in found)


@pytest.fixture
def log() -> list[Any]:
    from _thread import get_ident

    return [0, get_ident(), Owner(), True]


def in_log(log: list[Any], call: Callable[..., Any]) -> Any:
    token = context.set(log)
    try:
        return call(7, 2)
    finally:
        context.reset(token)


@pytest.mark.parametrize("place", range(len(STEP)))
def test_each_part_of_a_step_does_the_work_and_the_last_ones_record_it(place: int, log: list[Any]) -> None:
    assert STEP[place].call(7, 2) == 7
    assert in_log(log, STEP[place].call) == 7
    recorded = len(STEP) - 2
    assert len(log) == (8 if place >= recorded else 4)
    assert place <= recorded or log[6] == 7


@pytest.mark.parametrize("place", range(len(ASYNC_STEP)))
def test_each_part_of_an_async_step_does_the_work_and_the_last_ones_record_it(place: int, log: list[Any]) -> None:
    def run(call: Callable[..., Any]) -> Any:
        coroutine = in_log(log, call)
        with pytest.raises(StopIteration) as stop:
            coroutine.send(None)
        return stop.value.value

    assert run(ASYNC_STEP[place].call) == 7
    assert log[0] == 0
    assert len(log) == (8 if place >= len(ASYNC_STEP) - 2 else 4)
    assert len(log) == 4 or log[6] == 7


def test_the_table_of_the_readme_has_every_row_and_no_other() -> None:
    table = (ROOT / "README.md").read_text("utf-8").partition("| ratio to ExitStack |")[2].partition("\n\n")[0]
    told = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert told == [row.name for row in ROWS]


def test_the_anatomy_in_the_readme_names_every_part() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert [part.adds for part in (*STEP, *ASYNC_STEP) if part.adds not in readme] == []


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_every_shape_of_a_step_runs_on_either_side(shape: Shape) -> None:
    for work in works_of(shape).values():
        work(range(3))
