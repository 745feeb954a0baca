"""The benchmarks do the work that they time, and their gates hold back what costs too much and nothing else.

No time is asserted here: that is what `python -m tests.benchmarks --gates` is for.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import __main__ as command
from tests.benchmarks import classic, depth, gates, queued, savepoints, workloads
from tests.benchmarks.async_by_hand import ASYNC_STEP, running
from tests.benchmarks.by_hand import PENDING, STEP, Log, context, method, opened
from tests.benchmarks.candidates import Build, NotMeasured, built
from tests.benchmarks.figures import Figure
from tests.benchmarks.rows import EXPLAINING, PROMISED, Row, chosen
from tests.benchmarks.shapes import SHAPES, Shape, works_of
from tests.benchmarks.timing import Effort

ROOT = Path(__file__).parent.parent
README = (ROOT / "tests" / "benchmarks" / "README.md").read_text("utf-8")


def row_that_shows(*figures: tuple[float, float], must: float = 0.3) -> Row:
    """A row whose tries come to these times of the baseline and of this library."""
    left = list(figures)

    def measure(_effort: Effort) -> Figure:
        return Figure(*left.pop(0))

    return Row("a row", measure, None, must, must / 2)


def row_that_cannot_be_measured() -> Row:
    def measure(_effort: Effort) -> Figure:
        raise NotMeasured("it is too deep")

    return Row("a row", measure, None, 0.3, 0.2)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate at the figure itself, so that the rows below say what they must keep to."""
    monkeypatch.setattr(gates, "SLACK", 1.0)


def test_a_gate_lets_through_what_one_of_its_tries_keeps_to() -> None:
    (only,) = gates.tried([row_that_shows((100, 50), (100, 40), (100, 29))])
    assert only.held
    assert only.ratio == pytest.approx(0.29)


def test_a_gate_makes_no_more_tries_than_it_takes() -> None:
    rows = [row_that_shows((100, 30)), row_that_shows((100, 31), (100, 29))]
    assert [each.held for each in gates.tried(rows)] == [True, True]


def test_a_slow_moment_of_the_baseline_makes_up_for_nothing_that_was_missed() -> None:
    (only,) = gates.tried([row_that_shows((100, 31), (900, 280), *repeat((100, 31), gates.TRIES))])
    assert not only.held
    assert only.ratio == pytest.approx(0.31)


def test_what_cannot_be_measured_is_not_tried_again_and_is_not_let_through() -> None:
    (only,) = gates.tried([row_that_cannot_be_measured()])
    assert (only.held, only.ratio, only.reason) == (False, None, "it is too deep")


def test_what_costs_too_much_in_every_try_fails_the_command_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (
        row_that_shows(*repeat((100.0, 31.0), gates.TRIES)),
        row_that_shows((100, 20)),
        row_that_cannot_be_measured(),
    )
    monkeypatch.setattr(command, "GATES", rows)
    assert command.main(["--gates"]) == 1
    told = capsys.readouterr()
    assert told.err == "above what it must cost: a row, 0.31; a row, it is too deep\n"
    assert [line.split()[2:] for line in told.out.splitlines()[4:7]] == [
        ["0.31", "0.30", "0.30", "missed"],
        ["0.20", "0.30", "0.30"],
        ["-", "0.30", "0.30", "missed"],
    ]


def test_gates_that_hold_let_the_command_succeed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "GATES", (row_that_shows((100, 20)),))
    assert command.main(["--gates"]) == 0


@pytest.mark.parametrize(
    ("row", "told"),
    [(row_that_shows((100, 31)), "missed: a row, 0.31\n"), (row_that_cannot_be_measured(), "missed: a row, -\n")],
    ids=["too slow", "not measured"],
)
def test_a_promised_row_that_is_missed_fails_the_check(
    row: Row, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "PROMISED", (row,))
    assert command.main(["--check", "--rows", "a row"]) == 1
    assert capsys.readouterr().err == told


def test_every_promised_figure_has_a_gate_and_room_for_its_aim() -> None:
    assert len(gates.GATES) == 16
    assert all(row.must and row.aim and row.aim < row.must for row in gates.GATES)
    assert {row.name for row in PROMISED} - {row.name for row in gates.GATES} == {"the same in actionqueues 0.8.2"}


def test_no_two_rows_have_the_same_name() -> None:
    names = [row.name for row in (*PROMISED, *EXPLAINING)]
    assert sorted(set(names)) == sorted(names)


def test_rows_are_chosen_by_a_part_of_their_name() -> None:
    assert [row.name for row in chosen(PROMISED, ["method", "depth"])] == [
        "the same as a method",
        "cost a block at a depth of 1600, against 200",
    ]


def test_a_row_that_nobody_has_is_refused_with_the_names_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--rows", "nonesuch"])
    assert "no row has nonesuch in its name; the rows are: a step of a committed block;" in capsys.readouterr().err


@pytest.mark.parametrize(
    "build",
    [workloads.ours, savepoints.ours, queued.ours, classic.ours, depth.ours, depth.released, depth.by_hand],
    ids=lambda build: f"{build.__module__.rpartition('.')[2]}.{build.__name__}",
)
def test_every_candidate_proves_that_it_does_the_work(build: Build) -> None:
    assert built(build).name


@pytest.fixture
def log() -> Iterator[Log]:
    made = opened()
    yield made
    assert not running


def in_log(log: Log, call: Callable[..., Any], *arguments: object) -> Any:
    token = context.set(log)
    try:
        return call(*arguments)
    finally:
        context.reset(token)


def recorded(log: Log) -> list[list[Any]]:
    """The records in a log, whether they are there as such or have become logs."""
    return [entry.record or [] if isinstance(entry, Log) else entry for entry in log]


@pytest.mark.parametrize("place", range(len(STEP)))
def test_each_part_of_a_step_does_the_work_and_the_last_ones_record_it(place: int, log: Log) -> None:
    assert STEP[place].call(7, 2) == 7
    assert in_log(log, STEP[place].call, 7, 2) == 7
    assert recorded(log) == ([[7, PENDING, 7, 2]] if place >= 4 else [])


def test_the_method_of_the_anatomy_does_the_work_and_records_it(log: Log) -> None:
    assert method(None, 7, 2) == 7
    assert in_log(log, method, None, 7, 2) == 7
    assert recorded(log) == [[7, PENDING, None, 7, 2]]


@pytest.mark.parametrize("place", range(len(ASYNC_STEP)))
def test_each_part_of_an_async_step_does_the_work_and_the_last_ones_record_it(place: int, log: Log) -> None:
    async def outside_and_inside() -> tuple[int, int]:
        outside = await ASYNC_STEP[place].call(7, 2)
        token = context.set(log)
        try:
            return outside, await ASYNC_STEP[place].call(7, 2)
        finally:
            assert context.get() is log
            context.reset(token)

    assert asyncio.run(outside_and_inside()) == (7, 7)
    assert recorded(log) == ([[7, PENDING, 7, 2]] if place >= 3 else [])
    assert [type(entry) for entry in log] == ([] if place < 3 else [list] if place == 3 else [Log])


def test_the_readme_says_what_each_row_means_in_their_order() -> None:
    told = [line.split("|")[1].strip() for line in README.splitlines() if line.startswith("| ")]
    assert [name for name in told if name != "row"] == [row.name for row in (*PROMISED, *EXPLAINING)]


def test_the_readme_says_what_each_part_of_a_step_is_for() -> None:
    assert [part.adds for part in (*STEP, *ASYNC_STEP) if part.adds not in " ".join(README.split())] == []


@pytest.mark.slow
def test_the_commands_of_the_readme_are_understood() -> None:
    blocks = [block.partition("```")[0] for block in README.split("```sh\n")[1:]]
    commands = [line for block in blocks for line in block.splitlines()]
    assert len(commands) >= 5
    for line in commands:
        assert line.startswith("python -m tests.benchmarks")
        arguments = line.partition(" #")[0].split()[1:]
        done = subprocess.run(
            [sys.executable, *arguments, "--help"], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_every_shape_of_a_step_runs_on_either_side(shape: Shape) -> None:
    for work in works_of(shape).values():
        work(range(3))
