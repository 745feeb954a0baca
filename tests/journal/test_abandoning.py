"""Abandoning what is stuck: all that is left stays as it is, and the file says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    assert (entry.state, entry.reason, entry.ended is not None) == ("rolled back", why, True)
    assert [(step.undo, step.reason) for step in entry.steps] == [
        ("not undone", why),
        ("undone", None),
        ("not undone", why),
    ]
    assert Journal(path).recover() == []
    assert trail == []
    data = report_data(entry)
    assert (data["left"], data["undone"], data["clean"]) == (["put", "put"], ["put"], False)
    assert data["reason"] is None, "it is not stuck any more"


def test_hooks_that_were_not_called_are_not_called_any_more(path: Path) -> None:
    failing["!b True"] = OSError("not now")
    with pytest.raises(ExceptionGroup), transaction("hooked", journal=Journal(path)) as q:
        q.on_commit(actions.tell, "a")
        q.on_commit(actions.tell, "b")
    entry = Journal(path).abandon(1)
    assert (entry.state, entry.reason, entry.ended is not None) == ("committed", "abandoned: decided by a person", True)
    assert [hook.error for hook in entry.hooks] == [None, "abandoned: decided by a person"]
    data = report_data(entry)
    assert [hook["state"] for hook in data["hooks"]] == ["done", "not run"]
    assert (data["hooks_not_run"], data["hook_failures"]) == (["tell"], [])
    assert Journal(path).recover() == []


def test_only_what_is_stuck_is_abandoned(path: Path) -> None:
    with transaction("t", journal=Journal(path)):
        put("a")
        with pytest.raises(IllegalOperation, match="a live process is working on it; wait for that to end, or end it"):
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
    with pytest.raises(
        IllegalOperation, match="the transaction is stuck, and the process that was trying it again has died; re"
    ):
        Journal(path).abandon(1)
    edit(path, "UPDATE transactions SET owner = NULL")
    edit(path, "UPDATE steps SET name = X'00' WHERE number = 2")
    with pytest.raises(IllegalOperation, match="it is damaged: step 2: name is X'00'; mend that row first"):
        Journal(path).abandon(1)
    assert [step.undo for step in Journal(path).show(1).steps] == ["undo failed", "undone", "undo failed"]


def test_what_is_tried_again_just_now_is_decided_afterwards(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_stuck(path)
    journal, told = Journal(path), set[str]()
    before = actions.note
    decisions: list[Callable[[], object]] = [lambda: journal.abandon(1), lambda: journal.resolve(1, 1, undone=True)]

    def note(text: str) -> None:
        for decide in decisions:
            with pytest.raises(IllegalOperation) as refused:
                decide()
            told.add(str(refused.value).partition(": ")[2])
        before(text)

    monkeypatch.setattr(actions, "note", note)
    journal.recover()
    assert told == {"a live process is working on it; wait for that to end, or end it, and then do it"}
    assert journal.show(1).state == "stuck"


def test_a_step_of_what_a_process_has_died_with_is_decided_after_a_recovery(path: Path) -> None:
    left_stuck(path)
    edit(path, "UPDATE transactions SET owner = 7")
    told = "stuck, and the process that was trying it again has died; only what is stuck is decided; recover it first"
    with pytest.raises(IllegalOperation, match=told):
        Journal(path).resolve(1, 1, undone=True)


def test_what_has_ended_is_not_said_to_need_a_recovery(path: Path) -> None:
    with transaction(journal=path):
        put("a")
    journal = Journal(path)
    way = "only what is stuck is decided; there is nothing to decide about it"
    with pytest.raises(IllegalOperation, match=f"is committed; {way}; to take it back, undo it$"):
        journal.resolve(1, 1, undone=True)
    with pytest.raises(IllegalOperation, match="is committed; there is nothing to decide about it; to take it back"):
        journal.abandon(1)
    journal.undo(1)
    with pytest.raises(IllegalOperation, match=f"is undone later; {way}$"):
        journal.resolve(1, 1, undone=True)


@pytest.mark.parametrize("why", [None, 7, b"why"])
def test_a_reason_is_a_text(path: Path, why: Any) -> None:
    left_stuck(path)
    with pytest.raises(TypeError, match=r"journal\.abandon\(why=\.\.\.\) takes a text, not "):
        Journal(path).abandon(1, why)
    assert Journal(path).show(1).state == "stuck"
