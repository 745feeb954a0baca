"""Killed at any instant, a process leaves enough behind: what it had started is undone, and nothing that had committed.

The places are a sample from a seed; ``ACTIONQUEUES_SWEEP=full`` takes all of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .stage import calls, differences, present, run, sample

SEED = 20261124


@pytest.mark.parametrize("command", ["commit", "fail"])
def test_a_process_that_is_killed_at_any_write_of_the_journal_is_recovered(command: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    ended = run(whole, command)
    count = int(ended.output[-1])
    assert (ended.killed, differences(whole, kills=0)) == (False, [])
    wrong: dict[int, list[str]] = {}
    committed = 0
    for at in sample(count, 8, SEED):
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
