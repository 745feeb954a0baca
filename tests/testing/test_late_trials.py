"""Trials of crashes and of commit hooks: each can be run alone by its id, and crashes do without `os.fork`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from actionqueues import Step, action, current_step, transaction
from actionqueues.journal import Journal, durable
from actionqueues.testing import Bug, Recorder, Sweep, SweepError, SweepFailed, children, directory, memory, sweep
from actionqueues.testing.handlers import HandlerCoverage

forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@action
def write(folder: str, name: str) -> None:
    with (Path(folder) / name).open("x", encoding="utf-8") as file:
        current_step().save(made=True)
        file.write("hello")


@write.rollback
def erase(folder: str, name: str, step: Step[None]) -> None:
    if "made" in step.saved:
        (Path(folder) / name).unlink(missing_ok=True)


@durable
def tell(folder: str) -> None:
    (Path(folder) / "told").touch()


def shout(folder: str) -> None:
    (Path(folder) / "shouted").touch()


def order(folder: str, journal: str) -> None:
    with transaction("order", journal=Journal(journal)) as q:
        write(folder, "a")
        write(folder, "b")
        q.on_commit(tell, folder)
        q.on_commit(shout, folder)


def recover(journal: str) -> None:
    list(Journal(journal).recover())


@pytest.fixture
def swept(tmp_path: Path) -> Callable[..., Sweep]:
    """A sweep of `order`, with options."""
    folder, journal = tmp_path / "shop", str(tmp_path / "journal.db")
    folder.mkdir()

    def reset() -> None:
        for path in folder.iterdir():
            path.unlink()

    def make(**options: Any) -> Sweep:
        given: dict[str, Any] = {
            "state": directory(folder),
            "recover": partial(recover, journal),
            "reset": reset,
            **options,
        }
        return sweep(partial(order, str(folder), journal), **given)

    return make


@pytest.fixture
def unforked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a platform without `os.fork`."""
    monkeypatch.setattr(children, "can_fork", lambda: False)
    monkeypatch.setattr("actionqueues.testing.crashing.can_fork", lambda: False)


def told(made: Sweep) -> list[tuple[str, Bug | None]]:
    return [(outcome.id, outcome.bug) for outcome in made]


@forking
@pytest.mark.parametrize("faults", [["crash"], ["hook"]])
@pytest.mark.slow
def test_each_trial_gives_alone_what_it_gives_among_the_others(swept: Callable[..., Sweep], faults: list[str]) -> None:
    among = told(swept(faults=faults))
    assert len(among) > 1
    assert [each for chosen, _ in among for each in told(swept(only=[chosen]))] == among
    assert {bug for _, bug in among} == ({None, Bug.HOOK_LOST} if faults == ["crash"] else {None})


@pytest.mark.parametrize(
    ("chosen", "places"),
    [
        ("crash@write#9.starting", "events of this run were .*write#2.attempting.*order.committed.*tell.calling_hook"),
        ("hook@write", "commit hooks of this run were tell, shout"),
    ],
)
def test_a_trial_that_is_not_reached_is_refused_with_those_there_are(
    swept: Callable[..., Sweep], chosen: str, places: str
) -> None:
    with pytest.raises(SweepError, match=f"{chosen} was not reached; the {places}"):
        swept(only=[chosen]).check()


@pytest.mark.parametrize(
    ("chosen", "option", "refusal"),
    [
        ("crash@write.starting", "recover", "it needs recover="),
        ("hook@tell", "reset", "comes after the commit, so it needs reset="),
    ],
)
def test_a_trial_that_lacks_an_option_is_refused(
    swept: Callable[..., Sweep], chosen: str, option: str, refusal: str
) -> None:
    with pytest.raises(SweepError, match=refusal):
        swept(only=[chosen], **{option: None}).check()


@pytest.mark.parametrize(("fault", "need"), [("crash", "recover="), ("hook", "reset="), ("stale", "disturb=")])
def test_a_kind_of_fault_that_lacks_an_option_is_refused(swept: Callable[..., Sweep], fault: str, need: str) -> None:
    with pytest.raises(ValueError, match=f"the fault '{fault}' needs {need}"):
        swept(faults=[fault], recover=None, reset=None)


@forking
def test_a_crash_before_the_commit_needs_no_reset(swept: Callable[..., Sweep]) -> None:
    assert told(swept(only=["crash@write.attempted"], reset=None)) == [("crash@write.attempted", None)]


def test_without_fork_a_new_process_runs_the_scenario(swept: Callable[..., Sweep], unforked: None) -> None:
    made = swept(only=["crash@write#2.attempting+", "crash@order.committed"])
    assert told(made) == [("crash@write#2.attempting+", None), ("crash@order.committed", Bug.HOOK_LOST)]
    assert "shouted" in made.outcomes[1].message
    assert "told" not in made.outcomes[1].message


def fail() -> None:
    raise LookupError("not there")


def test_without_fork_what_a_recovery_raises_is_told(swept: Callable[..., Sweep], unforked: None) -> None:
    with pytest.raises(SweepFailed, match=r"(?s)recovery after a crash at write.attempted raised.*LookupError: not"):
        swept(only=["crash@write.attempted"], recover=fail).check()


def test_without_fork_what_cannot_be_pickled_is_not_killed_and_says_so(
    swept: Callable[..., Sweep], unforked: None, tmp_path: Path
) -> None:
    def close_to_the_test() -> None:
        recover(str(tmp_path / "journal.db"))

    made = swept(recover=close_to_the_test).check()
    assert "crash" not in {outcome.fault for outcome in made.outcomes}
    [why] = made.untried
    assert "no os.fork, and so the scenario and recover= have to be picklable: functions of a module" in why
    with pytest.raises(SweepError, match="have to be picklable"):
        swept(recover=close_to_the_test, only=["crash@write.attempted"]).check()


@pytest.mark.parametrize("forked", [pytest.param(True, marks=forking), False])
def test_a_child_that_does_not_end_is_ended(forked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "can_fork", lambda: forked)
    monkeypatch.setattr(children, "PATIENCE", 0.05)
    child = children.in_child(partial(time.sleep, 600))
    assert (child.killed, child.error) == (False, "the child process did not end within 0 s")


@forking
def test_after_a_crash_that_leaves_something_the_next_one_starts_anew(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")

    @action
    def write() -> None:
        file.write_text(file.read_text() + "x")

    @write.rollback
    def erase() -> None:
        file.write_text(file.read_text().removesuffix("x"))

    def scenario() -> None:
        with transaction():
            write()

    def reset() -> None:
        file.write_text("")

    made = sweep(scenario, state=directory(tmp_path), recover=file.exists, reset=reset, faults=["crash"])
    found = [(outcome.place.partition(".")[2], outcome.ok) for outcome in made]
    assert found[:5] == [(event, True) for event in ("starting", "starting+", "attempting", "attempting+")] + [
        ("attempted", False)
    ]
    assert [event for event, ok in found[5:] if ok][:2] == ["undone", "undone+"]


@forking
@pytest.mark.parametrize("error", [SystemExit, LookupError])
def test_a_scenario_that_fails_in_its_child_is_told(error: type[BaseException]) -> None:
    world: dict[str, bool] = {}
    here = os.getpid()

    @action
    def put() -> None:
        world["put"] = True

    @put.rollback
    def take() -> None:
        world.pop("put", None)

    def scenario() -> None:
        if os.getpid() != here:
            raise error("not in this process")
        with transaction():
            put()

    made = sweep(scenario, state=memory(world), recover=world.clear, only=["crash@put.attempting+"])
    with pytest.raises(SweepFailed, match=r"(?s)did not run in a child process:.*not in this process"):
        made.check()


def lose_power(*_: object) -> None:
    os.kill(os.getpid(), 9)


@forking
def test_what_a_recovery_undoes_is_covered_and_recorded_in_this_process_and_in_the_child_of_a_sweep(
    swept: Callable[..., Sweep], tmp_path: Path
) -> None:
    import signal

    journal, name = str(tmp_path / "journal.db"), f"{__name__}.write"
    child = os.fork()
    if child == 0:  # pragma: no cover - it is killed
        write.__wrapped__.__globals__["Path"] = lose_power
        order(str(tmp_path / "shop"), journal)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    coverage = HandlerCoverage()
    with coverage.watching(), Recorder() as recorder:
        recover(journal)
    assert coverage.states == {name: {"unknown"}}
    assert recorder.events == ["undone write", "rolled back order"]
    with coverage.watching(), coverage.under_sweep():
        swept(only=["crash@write#2.attempting+"]).check()
    assert coverage.states == {name: {"unknown", "done in a sweep", "unknown in a sweep"}}
