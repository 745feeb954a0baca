"""The matrix, the page and rollback coverage as data; errors of the user's own; a journal under an async scenario."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from actionqueues import Retry, Step, action, current_step, transaction
from actionqueues.core.requests import Await, Call, Request
from actionqueues.core.watch import SEAM, Watch, observed
from actionqueues.testing import Sweep, SweepFailed, directory, memory, sweep
from actionqueues.testing.handlers import HandlerCoverage, coverage_lines
from actionqueues.testing.matrix import Swept, as_data, matrix_lines, page
from tests.testing.log import FileLog
from tests.testing.world import claim, free, world


@action
def lose(key: str) -> str:
    world[key] = True
    return key


@lose.rollback
def find(result: str) -> None:
    world.pop(result, None)


@action
def bare() -> None: ...


@action(irreversible=True)
def send() -> None: ...


def scenario() -> None:
    with transaction("shop"):
        lose("<a>")


@pytest.fixture
def made() -> Sweep:
    world.clear()
    swept = sweep(scenario, state=memory(world))
    assert [outcome.ok for outcome in swept] == [True, False]
    return swept


def test_the_matrix_marks_what_failed_and_why_it_stopped(made: Sweep) -> None:
    data = as_data("test.py::test", made.outcomes, made.stopped)
    assert json.loads(json.dumps(data)) == data
    assert ["".join(text for text, _ in line).rstrip() for line in matrix_lines(data)] == [
        "      before  after",
        "lose  ok      FAIL",
        "stopped: the world is not as it was; to go on after that, give reset=",
    ]


def test_of_many_steps_those_are_drawn_where_something_was_found(made: Sweep) -> None:
    good = as_data("t", made.outcomes[:1], None)["trials"][0]
    bad = {**as_data("t", made.outcomes[1:], None)["trials"][0], "place": "put#77"}
    trials: Any = [{**good, "place": f"put#{number}"} for number in range(100)]
    lines = ["".join(text for text, _ in line).split() for line in matrix_lines(_swept([*trials, bad]))]
    assert lines[0] == ["before", "after"]
    assert lines[40:] == [
        ["put#39", "ok", "-"],
        ["put#77", "ok", "FAIL"],
        ["and", "59", "more,", "where", "nothing", "was", "found"],
    ]


def test_a_long_name_is_shortened_in_its_middle(made: Sweep) -> None:
    trial: Any = {**as_data("t", made.outcomes[:1], None)["trials"][0], "place": f"{'very_' * 20}long#2"}
    [_, row] = matrix_lines(_swept([trial]), 60)
    assert row[0] == ("very_ver...ry_long#2", "")


def _swept(trials: list[Any]) -> Swept:
    return {"test": "t", "trials": trials, "stopped": "", "untried": []}


def test_several_crashes_of_one_step_share_a_cell(made: Sweep) -> None:
    data = as_data("t", [*made.outcomes, *made.outcomes], None)
    assert "".join(text for text, _ in matrix_lines(data)[1]).split() == ["lose", "ok2", "FAIL2"]
    assert matrix_lines(as_data("t", [], None)) == []


def test_the_matrix_and_the_page_say_why_crashes_were_not_tried(made: Sweep) -> None:
    data = as_data("t", made.outcomes[:1], None, ["crashes were not tried: <why>"])
    assert matrix_lines(data)[-1] == [("crashes were not tried: <why>", "")]
    assert "<p>crashes were not tried: &lt;why&gt;</p>" in page([data])


def test_the_page_escapes_what_it_shows(made: Sweep) -> None:
    text = page([as_data("<test>", made.outcomes, made.stopped)])
    assert "<h2>&lt;test&gt;</h2>" in text
    assert "&lt;a&gt;" in text
    assert "<a>" not in text
    assert "<strong>Stopped:</strong>" in text


def test_a_failure_survives_pickling(made: Sweep) -> None:
    import pickle

    failed = pickle.loads(pickle.dumps(SweepFailed(made.failures)))
    assert [outcome.message for outcome in failed.outcomes] == [made.failures[0].message]
    assert str(made.outcomes[0]) == "before@lose: ok"


def test_coverage_tells_of_each_action_of_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType(__name__)
    package.__dict__.update(lose=lose, bare=bare, send=send)
    monkeypatch.setitem(sys.modules, __name__, package)
    coverage = HandlerCoverage()
    coverage.look([__name__, "no_such_package"])
    assert coverage.percent() == 0
    with coverage.watching(), pytest.raises(ZeroDivisionError), transaction():
        lose("b")
        raise ZeroDivisionError
    with coverage.watching(), coverage.under_sweep(), pytest.raises(ZeroDivisionError), transaction():
        lose("b")
        raise ZeroDivisionError
    other = HandlerCoverage()
    other.include(coverage.as_data())
    other.include(coverage.as_data())
    missing = ModuleNotFoundError("No module named 'no_such_package'", name="no_such_package")
    assert coverage_lines(other, 60) == [
        (f"{__name__}.bare: no rollback handler, and not irreversible=True", False),
        (f"{__name__}.lose: done, done in a sweep", True),
        (f"{__name__}.send: irreversible", True),
        (f"no_such_package cannot be looked at: {missing!r}", False),
        ("total: 50 %, 60 % wanted", False),
    ]
    fresh = HandlerCoverage()
    fresh.look([__name__])
    assert (f"{__name__}.lose: find has not run", False) in coverage_lines(fresh, None)
    assert HandlerCoverage().percent() == 100


class Refused(Exception):
    pass


def refused_at(step: Step[Any]) -> BaseException:
    return Refused(step.name)


@pytest.mark.parametrize("error", [Refused, refused_at])
def test_the_error_can_be_one_that_the_scenario_knows(error: Any) -> None:
    world.clear()
    caught: list[str] = []

    def falling_back() -> None:
        with transaction():
            try:
                lose("a")
            except Refused as refused:
                caught.append(str(refused))

    sweep(falling_back, state=memory(world), error=error, faults=["before"]).check()
    assert caught in (["injected"], ["lose"])


def test_an_error_is_chosen_that_the_retry_policy_takes() -> None:
    world.clear()

    class Busy(Exception):
        def __init__(self, code: int, text: str) -> None:
            super().__init__(code, text)

    @action(retry=Retry(attempts=3, on=(Busy, KeyError)))
    def call() -> None:
        if "called" not in current_step().saved:  # by an attempt before, whose reply was lost
            claim("called")
            current_step().save(called=True)

    @call.rollback
    def hang_up(step: Step[Any]) -> None:
        if "called" in step.saved:
            free("called")

    def calling() -> None:
        with transaction():
            call()

    made = sweep(calling, state=memory(world)).check()
    assert "before-twice@call" in [outcome.id for outcome in made.outcomes]


class AsyncLog(Watch):
    """Asks for something to be awaited each time."""

    def __init__(self) -> None:
        self.count = 0

    def attempting(self, step: Any) -> Request:
        async def count() -> None:
            await asyncio.sleep(0)
            self.count += 1

        return Await(count(), "count")

    def attempted(self, step: Any, result: object, error: BaseException | None) -> Request:
        return self.attempting(step)


class CallingLog(Watch):
    """Asks for something to be called before each body and each undo."""

    def __init__(self) -> None:
        self.count = 0

    def attempting(self, step: Any) -> Request:
        def count() -> None:
            self.count += 1

        return Call(count)

    def undoing(self, step: Any) -> Request:
        return self.attempting(step)


def test_sync_steps_of_an_async_block_with_a_journal_are_swept() -> None:
    world.clear()

    @action
    def put(key: str) -> None:
        claim(key)

    @put.rollback
    def take(key: str, error: BaseException | None) -> None:
        free(key, error)

    async def scenario() -> None:
        async with transaction() as q:
            put("called")
            q.add(put, "queued")

    log = CallingLog()

    def watched() -> None:
        outer = SEAM.observe
        with observed(lambda block, before: log if outer is None else outer(block, log)):
            asyncio.run(scenario())

    made = sweep(watched, state=memory(world)).check()
    assert {"before@put", "after@put#2", "cancel-after@put", "twice@put"} <= {outcome.id for outcome in made.outcomes}
    assert log.count > 20


def test_faults_are_injected_behind_what_a_journal_asks_for(tmp_path: Path) -> None:
    @action
    async def write(name: str) -> None:
        await asyncio.sleep(0)
        (tmp_path / name).open("x").close()

    @write.rollback
    async def erase(name: str, error: BaseException | None) -> None:
        if not isinstance(error, FileExistsError):
            (tmp_path / name).unlink(missing_ok=True)

    async def writing() -> None:
        async with transaction():
            await write("a")
            await write("b")

    def watched(journal: Watch) -> None:
        outer = SEAM.observe
        with observed(lambda block, before: journal if outer is None else outer(block, journal)):
            asyncio.run(writing())

    log, counting = FileLog(tmp_path / "log"), AsyncLog()
    made = sweep(lambda: watched(log), state=directory(tmp_path), ignore=["log"]).check()
    found = [outcome.id for outcome in made.outcomes]
    assert {"cancel-after@write#2", "after@write", "twice@write#2", "undo@write"} <= set(found)
    for name in ("a", "b"):
        (tmp_path / name).unlink()
    sweep(lambda: watched(counting), state=directory(tmp_path), ignore=["log"]).check()
    assert counting.count > 20
