"""Undoing later is as crash-safe as recovery: killed, interrupted, and begun by two at once.

A process is killed at a sample of the writes of the journal; all of them are slow.  So are all lines of the package.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from actionqueues import IllegalOperation, transaction
from actionqueues.journal import Journal
from tests.core.sweeping import CallTracer, Tracer

from . import ringing, scene
from .killing import Killer
from .ringing import Limit, LineAlarm, Scenario, Stop
from .stage import calls, present, run, sample, start

SEED = 20261130
ALL = {"a", "b", "e", "f", "by-hand"}

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be killed")


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the world and the journal of a transaction that has committed; its processes have ended."""
    monkeypatch.setattr(logging.getLogger("actionqueues"), "disabled", True)
    folder = tmp_path / "whole"
    (folder / "world").mkdir(parents=True)
    monkeypatch.setattr(scene, "FOLDER", folder)
    monkeypatch.setattr(scene, "tried", set())
    with transaction("scene", journal=scene.journal()) as q:
        scene.body(q)
    scene.journal().close()
    assert present(folder) == ALL
    return folder


def in_child(work: Callable[[], object]) -> bool:
    """Do it in a process of its own; returns whether that was killed."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert ended in (0, -signal.SIGKILL)
    return ended != 0


def undo(folder: Path, killer: Killer) -> None:
    """In a process of its own, which ends here."""
    scene.FOLDER = folder
    killer.at_statements()
    assert scene.undo().state == "undone later"
    (folder / "count").write_text(str(killer.count))


def differences(folder: Path, *, kills: int) -> list[str]:
    """What is wrong after everything has been recovered."""
    with Journal(folder / "actions.db") as journal:
        (entry,) = journal.transactions()
    undone = [name for what, name, *_ in calls(folder) if what == "undo" and name not in ("c", "d")]
    if entry.state == "committed":
        return [] if (present(folder), undone) == (ALL, []) else [f"not begun, but there is {present(folder)}"]
    wrong = [] if entry.state == "undone later" else [f"{entry.state}: {entry.reason}"]
    wrong += [] if present(folder) == set() else [f"undone, but there is {present(folder)}"]
    wrong += [
        f"{name} was undone {undone.count(name)} times" for name in ALL if not 1 <= undone.count(name) <= 1 + kills
    ]
    last = [name for place, name in enumerate(undone) if name not in undone[place + 1 :]]
    wrong += [] if last == ["f", "e", "by-hand", "b", "a"] else [f"undone in the order {undone}"]
    keys = {words[1] for words in calls(folder) if words[0] == "undo-key"}
    return wrong + ([] if len(keys) == 1 else [f"it has had the keys {keys}"])


@forks
@pytest.mark.parametrize("places", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_a_process_that_is_killed_at_any_write_of_the_undo_is_recovered(
    places: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Path(shutil.copytree(whole, tmp_path / "counted"))
    assert not in_child(lambda: undo(counted, Killer(0)))
    assert differences(counted, kills=0) == []
    count, not_begun = int((counted / "count").read_text()), 0
    assert count > 15
    wrong: dict[int, list[str]] = {}
    for at in sample(count, places, SEED):
        folder = Path(shutil.copytree(whole, tmp_path / str(at)))
        assert in_child(partial(undo, folder, Killer(at)))
        monkeypatch.setattr(scene, "FOLDER", folder)
        with Journal(folder / "actions.db") as journal:
            journal.recover()
            assert journal.recover() == []
            not_begun += journal.show(1).state == "committed"
        if found := differences(folder, kills=1):
            wrong[at] = found
    assert wrong == {}
    assert 0 < not_begun < count


@forks
@pytest.mark.slow
def test_an_undo_that_is_killed_between_any_two_lines_is_recovered(whole: Path, tmp_path: Path) -> None:
    counted = Path(shutil.copytree(whole, tmp_path / "counted"))
    count = int(run(counted, "undo").output[0])
    for at in sample(count, 8, SEED):
        folder = Path(shutil.copytree(whole, tmp_path / str(at)))
        if not run(folder, "undo", at).killed:
            assert at > count - 30, "the number of lines differs a little, as sets have no order"
        run(folder, "recover")
        assert differences(folder, kills=1) == []


@forks
def test_of_two_processes_that_undo_at_once_one_does_and_the_other_is_told(whole: Path) -> None:
    both = [start(whole, "race-undo") for _ in range(2)]
    for each in both:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in both:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    told = sorted(each.communicate(timeout=60)[0].strip() for each in both)
    assert told[1] == "undone later"
    assert told[0].startswith("cannot undo transaction 1 in")
    assert "undo" in told[0].partition(": ")[2]
    assert differences(whole, kills=0) == []


@forks
def test_a_recovery_beside_a_live_undo_leaves_it_alone(whole: Path) -> None:
    def beside() -> None:
        assert scene.journal().recover() == []
        with suppress(IllegalOperation):
            scene.journal().undo(1)
            os._exit(1)

    scene.before_undoing.append(lambda: in_child(beside))
    scene.undo()
    assert differences(whole, kills=0) == []


@pytest.mark.parametrize("presses", [1, 2, 3])
def test_ctrl_c_does_not_cut_it_short_and_a_third_leaves_the_rest_to_recovery(whole: Path, presses: int) -> None:
    def press() -> None:
        for _ in range(presses):
            signal.raise_signal(signal.SIGINT)

    scene.before_undoing.append(press)
    with pytest.raises(KeyboardInterrupt):
        scene.undo()
    journal = scene.journal()
    assert journal.show(1).state == ("undone later" if presses < 3 else "stuck")
    assert [one.state for one in journal.recover()] == ([] if presses < 3 else ["undone later"])
    assert present(whole) == set()
    journal.close()


def test_a_cancelled_task_has_undone_all_of_it(whole: Path) -> None:
    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        scene.before_undoing.append(task.cancel)
        await scene.journal().undo_async(1, partly=True)

    with suppress(asyncio.CancelledError):
        asyncio.run(main())
    assert differences(whole, kills=0) == []


# -- a signal handler of the program's own, at any moment


@ringing.lost_coroutines
@ringing.lost_connections
@pytest.mark.parametrize("kind", [LineAlarm, CallTracer])
@pytest.mark.parametrize("scenario", [ringing.undoes, ringing.undoes_async])
@pytest.mark.parametrize("error", [Limit, Stop])
@pytest.mark.parametrize("places", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_a_handler_that_raises_at_any_moment_leaves_it_committed_or_to_be_undone(
    places: int, error: type[BaseException], scenario: Scenario, kind: type[Tracer], journal: Journal
) -> None:
    count = ringing.moments(scenario, journal, kind)
    assert count > 200
    assert ringing.swept(scenario, journal, sample(count, places, seed=count), kind, error) == []
