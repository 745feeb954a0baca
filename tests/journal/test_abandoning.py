"""Abandoning what is stuck: all that is left stays as it is, and the file says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from actionqueues import IllegalOperation, transaction
from actionqueues.journal import Journal
from actionqueues.journal.reporting import report_data

from . import actions
from .actions import failing, put, trail
from .leaving import edit, leave, recovered


def left_stuck(path: Path) -> None:
    """Step 2 is undone, and the others are not."""
    leave(path, lambda q: [put(name) for name in "abc"])
    failing.update({"-a": OSError("later"), "-c": OSError("later")})
    assert recovered(path).state == "stuck"
    trail.clear()


def test_all_that_is_undecided_stays_as_it_is_with_the_reason(path: Path) -> None:
    left_stuck(path)
    entry = Journal(path).abandon(1, "ada: the account\ud800 is gone")
    why = "abandoned: ada: the account\\ud800 is gone"
    assert (entry.state, entry.reason, entry.ended is not None) == ("rolled back", None, True)
    assert [(step.undo, step.reason) for step in entry.steps] == [
        ("not undone", why),
        ("undone", None),
        ("not undone", why),
    ]
    assert Journal(path).recover() == []
    assert trail == []
    data = report_data(entry)
    assert (data["left"], data["undone"], data["clean"]) == (["put", "put"], ["put"], False)


def test_hooks_that_were_not_called_are_not_called_any_more(path: Path) -> None:
    failing["!b True"] = OSError("not now")
    with pytest.raises(ExceptionGroup), transaction("hooked", journal=Journal(path)) as q:
        q.on_commit(actions.tell, "a")
        q.on_commit(actions.tell, "b")
    entry = Journal(path).abandon(1)
    assert (entry.state, entry.reason, entry.ended is not None) == ("committed", None, True)
    assert [hook.error for hook in entry.hooks] == [None, "abandoned: decided by a person"]
    data = report_data(entry)
    assert [hook["state"] for hook in data["hooks"]] == ["done", "not run"]
    assert (data["hooks_not_run"], data["hook_failures"]) == (["tell"], [])
    assert Journal(path).recover() == []


def test_only_what_is_stuck_is_abandoned(path: Path) -> None:
    with transaction("t", journal=Journal(path)):
        put("a")
        with pytest.raises(IllegalOperation, match="the transaction is open; recover it first"):
            Journal(path).abandon(1)
    with pytest.raises(IllegalOperation, match="the transaction is committed; there is nothing to decide"):
        Journal(path).abandon(1)
    with pytest.raises(LookupError, match="cannot abandon transaction 2 in .*: there is no such transaction"):
        Journal(path).abandon(2)
    leave(path, lambda q: put("a"))
    with pytest.raises(IllegalOperation, match="the transaction is open; recover it first"):
        Journal(path).abandon(2)


def test_what_a_process_works_on_or_is_damaged_is_not_abandoned(path: Path) -> None:
    left_stuck(path)
    edit(path, "UPDATE transactions SET owner = 7")
    with pytest.raises(IllegalOperation, match="the transaction is stuck; recover it first"):
        Journal(path).abandon(1)
    edit(path, "UPDATE transactions SET owner = NULL")
    edit(path, "UPDATE steps SET name = X'00' WHERE number = 2")
    with pytest.raises(IllegalOperation, match="it is damaged: step 2: name is X'00'; mend that row first"):
        Journal(path).abandon(1)
    assert [step.undo for step in Journal(path).show(1).steps] == ["undo failed", "undone", "undo failed"]
