"""Killed at any instant, a process leaves enough behind: what it had started is undone, and nothing that had committed.

The places are a sample from a seed, a small one unless slow tests are asked for.  ``ACTIONQUEUES_SWEEP=full`` takes all
of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .stage import calls, differences, present, run, sample

SEED = 20261124


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("command", "places"),
    [("commit", 1), ("fail", 1), *(pytest.param(each, 8, marks=pytest.mark.slow) for each in ("commit", "fail"))],
)
def test_a_process_that_is_killed_at_any_write_of_the_journal_is_recovered(
    command: str, places: int, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    ended = run(whole, command)
    count = int(ended.output[-1])
    assert (ended.killed, differences(whole, kills=0)) == (False, [])
    wrong: dict[int, list[str]] = {}
    committed = 0
    for at in sample(count, places, SEED):
        folder = tmp_path / str(at)
        folder.mkdir()
        assert run(folder, command, at).killed
        run(folder, "recover")
        if found := differences(folder, kills=1):
            wrong[at] = found
        committed += "a" in present(folder)
        before = calls(folder)
        assert run(folder, "recover").output[1:] == []
        assert calls(folder) == before, "recovering again did something"
    assert wrong == {}
    assert committed < count


@pytest.mark.parametrize("command", ["commit", "fail"])
@pytest.mark.slow
def test_a_recovery_that_is_killed_between_any_two_lines_is_recovered_by_the_next(command: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    statements = int(run(whole, command).output[-1])
    at_write = statements - 3 if command == "commit" else statements - 12
    counted = tmp_path / "counted"
    counted.mkdir()
    assert run(counted, command, at_write).killed
    count = int(run(counted, "recover").output[0])
    wrong: dict[int, list[str]] = {}
    for at in sample(count, 8, SEED):
        folder = tmp_path / str(at)
        folder.mkdir()
        assert run(folder, command, at_write).killed
        if not run(folder, "recover", at).killed:
            assert at > count - 30, "the number of lines differs a little, as sets have no order"
        run(folder, "recover")
        if found := differences(folder, kills=2):
            wrong[at] = found
    assert wrong == {}


def test_a_step_in_flight_counts_as_maybe_done(tmp_path: Path) -> None:
    assert run(tmp_path, "die").killed
    assert present(tmp_path) == {"a", "b"}
    assert run(tmp_path, "recover").output[1:] == ["rolled", "back"]
    assert calls(tmp_path)[-3:] == [["state", "unknown"], ["undo", "b"], ["undo", "a"]]
    assert present(tmp_path) == set()


def test_what_an_undone_savepoint_had_is_not_undone_again_and_what_one_had_that_succeeded_is(tmp_path: Path) -> None:
    assert run(tmp_path, "savepoints").killed
    assert [words[1] for words in calls(tmp_path) if words[0] == "undo"] == ["d", "c"]
    assert run(tmp_path, "recover").output[1:] == ["rolled", "back"]
    undone = [words[1] for words in calls(tmp_path) if words[0] == "undo"]
    assert undone == ["d", "c", "last", "e", "by-hand", "b", "a"]


def test_async_steps_that_were_running_count_as_maybe_done_and_are_undone_in_order(tmp_path: Path) -> None:
    assert run(tmp_path, "async").killed
    assert present(tmp_path) == {"first", "short", "long"}
    assert run(tmp_path, "recover").output[1:] == ["rolled", "back"]
    states = [words[1:] for words in calls(tmp_path) if words[0] == "state"]
    assert states == [["slow", "unknown"], ["short", "done"], ["long", "unknown"]]  # the first of them timed out
    assert calls(tmp_path)[-1] == ["undo", "first"]
    assert present(tmp_path) == set()


@pytest.mark.parametrize("command", ["files", "files-fail"])
@pytest.mark.slow
def test_a_process_that_is_killed_before_any_change_of_a_file_is_recovered(command: str, tmp_path: Path) -> None:
    """Not only before statements: in a commit, a checkpoint, while old transactions are deleted or the file closed."""
    pytest.importorskip("apsw", reason="apsw, of which the file layer is made, is not installed")
    whole = made(tmp_path / "whole")
    count = int(run(whole, command).output[-1])
    at_the_end = present(whole)
    wrong: dict[int, list[str]] = {}
    ended = 0
    for at in sample(count, 8, SEED):
        folder = made(tmp_path / str(at))
        assert run(folder, command, at).killed
        run(folder, "recover")
        if ["ended"] in calls(folder):
            ended += 1
            found = [] if present(folder) == at_the_end else [f"ended, and there is {sorted(present(folder))}"]
        else:
            found = differences(folder, kills=1)
        if found:
            wrong[at] = found
    assert wrong == {}
    assert 0 < ended < count


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_makes_the_file_newer_leaves_an_old_one_or_a_new_one(tmp_path: Path) -> None:
    pytest.importorskip("apsw", reason="apsw, of which the file layer is made, is not installed")
    whole = made(tmp_path / "whole")
    run(whole, "commit")
    steps = run(whole, "migrate").output
    assert steps[1:] == ["7", "7", "1"]  # steps, those that have been changed, and how often
    for at in sample(int(steps[0]), 6, SEED):
        folder = made(tmp_path / str(at))
        run(folder, "commit")
        assert run(folder, "migrate", at).killed
        assert run(folder, "migrate").output[1:] == steps[1:]
