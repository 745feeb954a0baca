"""Recovery continues past what it cannot undo, tries it again the next time, and leaves the rest to a person."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actionqueues import IllegalOperation, transaction
from actionqueues.journal import Journal

from . import actions
from .actions import failing, trail
from .leaving import edit, leave, recovered

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")


def test_it_continues_past_failures_and_tries_again_the_next_time(path: Path) -> None:
    leave(path, lambda q: (actions.put("a"), actions.put("b")))
    failing["-b"] = OSError("not now")
    one = recovered(path)
    assert (one.state, trail) == ("stuck", ["-b", "-a"])
    assert one.reason == "tests.journal.actions:put: OSError('not now')"
    failing.clear()
    assert recovered(path).state == "rolled back"
    assert trail == ["-b", "-a", "-b"]


def test_what_fails_is_tried_once_in_a_recovery_however_many_pieces_it_has(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actionqueues.journal.rows.PIECE", 2)
    leave(path, lambda q: [actions.put(name) for name in "abcdefg"])
    failing.update({f"-{name}": OSError("not now") for name in "bdfg"})
    assert recovered(path).state == "stuck"
    assert trail == [f"-{name}" for name in "gfedcba"]


def test_the_count_of_a_retry_goes_on(path: Path) -> None:
    leave(path, lambda q: actions.stubborn("a"))
    row = "INSERT INTO undos (tx, number, attempt, started) VALUES (1, 1, ?, '2999-01-01 00:00:00')"
    for attempt in (1, 2, 3):
        edit(path, row, attempt)
    failing["-a"] = ConnectionError()
    assert recovered(path).state == "stuck"
    assert trail == ["-a", "-a"]


@pytest.mark.parametrize(("began", "expected"), [("2026-01-01 00:00:00", 1), ("2999-01-01 00:00:00", 20)])
def test_the_time_of_a_retry_goes_on_unless_the_clock_has_jumped_back(began: str, expected: int, path: Path) -> None:
    leave(path, lambda q: actions.patient("a"))
    edit(path, "INSERT INTO undos (tx, number, attempt, started) VALUES (1, 1, 1, ?)", began)
    failing["-a"] = ConnectionError()
    assert recovered(path).state == "stuck"
    assert trail == ["-a"] * expected


def test_a_conflict_waits_for_a_person(path: Path) -> None:
    leave(path, lambda q: (actions.put("a"), actions.contested("b")))
    assert recovered(path).state == "stuck"
    assert recovered(path).state == "stuck"
    assert trail == ["-b", "-a"]
    journal = Journal(path)
    assert journal.resolve(1, 2, undone=True).state == "rolled back"
    assert journal.recover() == []


def test_a_decision_that_nothing_is_undone_is_recorded_too(path: Path) -> None:
    leave(path, lambda q: (actions.contested("a"), actions.contested("b")))
    recovered(path)
    journal = Journal(path)
    assert journal.resolve(1, 2, undone=False).state == "stuck"
    entry = journal.resolve(1, 1, undone=False)
    assert [(step.undo, step.reason) for step in entry.steps] == [("not undone", "decided by a person")] * 2


def test_only_what_is_stuck_is_decided(path: Path) -> None:
    with transaction(journal=path):
        actions.put("a")
    with pytest.raises(IllegalOperation, match="the transaction is committed"):
        Journal(path).resolve(1, 1, undone=True)
    with pytest.raises(LookupError, match="no such step"):
        Journal(path).resolve(1, 2, undone=True)
    with pytest.raises(LookupError, match="no transaction 5"):
        Journal(path).show(5)


def test_what_a_recovery_is_working_on_is_not_decided(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    failing["-a"] = OSError("not now")
    recovered(path)
    journal = Journal(path)
    journal.store.write(lambda db: db.execute("UPDATE transactions SET owner = 7"), sync=True)
    with pytest.raises(IllegalOperation):
        journal.resolve(1, 1, undone=True)
    assert [step.undo for step in journal.show(1).steps] == ["undo failed"]


def test_a_live_rollback_that_failed_is_recovered_later(path: Path) -> None:
    failing["-a"] = OSError("not now")
    with pytest.raises(LookupError), transaction(journal=path):
        actions.put("a")
        raise LookupError
    assert [entry.state for entry in Journal(path).transactions()] == ["stuck"]
    failing.clear()
    assert recovered(path).state == "rolled back"
    assert trail == ["+a", "-a", "-a"]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_in_a_handler_comes_out_and_the_rest_is_recovered(path: Path, interrupt: type[BaseException]) -> None:
    leave(path, lambda q: (actions.put("a"), actions.put("b")))
    leave(path, lambda q: actions.put("c"))
    failing["-b"] = interrupt()
    with pytest.raises(interrupt):
        Journal(path).recover()
    assert trail == ["-b", "-a"]
    failing.clear()
    assert [one.state for one in Journal(path).recover()] == ["rolled back", "rolled back"]
    assert trail == ["-b", "-a", "-b", "-c"]


def test_a_hundred_times_more_steps_than_a_piece_are_undone_in_order(path: Path) -> None:
    leave(path, lambda q: [actions.put(str(number)) for number in range(1201)], durability="process")
    Journal(path).close()
    assert recovered(path).state == "rolled back"
    assert trail == [f"-{number}" for number in reversed(range(1201))]
