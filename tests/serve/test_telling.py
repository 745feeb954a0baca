"""What the page is told: all that has not ended, the latest of the rest, and one transaction with its drawing."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from actionqueues import transaction
from actionqueues.journal import Journal
from actionqueues.journal.inspecting import Entry
from tests.journal import actions
from tests.journal.actions import failing, put
from tests.journal.leaving import edit, leave

from .visitor import TRANSACTIONS, Visitor, serving, story


def test_each_transaction_has_its_group_and_its_state_in_words(path: Path, visitor: Visitor) -> None:
    story(path)
    data = visitor.ask(TRANSACTIONS).data
    assert (data["journal"], data["actions"]) == (str(path), False)
    assert [
        (each["id"], each["name"], each["group"], each["state"], each["count"]) for each in data["transactions"]
    ] == [
        (1, "order 1001", "committed", "committed", 2),
        (2, "order 1002", "rolled back", "rolled back", 2),
        (3, "order 1003", "stuck", "stuck", 3),
        (4, "order 1004", "stuck", "committed, hooks are due", 1),
        (5, "left", "died", "open, its process has died", 2),
    ]
    why = [each["why"] for each in data["transactions"]]
    assert why[:2] == ["", "ConnectionError('gateway')"]
    assert why[2].startswith("tests.journal.actions:contested: RollbackConflict('stock') (and 1 more)")
    assert why[3].startswith("commit hook tests.journal.actions:tell: TimeoutError('no answer')")


def test_what_a_live_process_does_is_told(path: Path, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[tuple[str, str]] = []

    def look(text: str) -> None:
        (last,) = visitor.ask(TRANSACTIONS).data["transactions"]
        states.append((last["group"], last["state"]))

    monkeypatch.setattr(actions, "note", look)
    with transaction("t", journal=Journal(path)) as q:
        put("a")
        q.rollback()
    assert states == [("running", "running"), ("running", "rolling back")]
    Journal(path).prune()
    with transaction("t", journal=Journal(path)) as q:
        q.on_commit(actions.tell, "a")
    assert states[2:] == [("running", "calling its hooks")]


def test_nobody_can_tell_whether_some_processes_live(
    path: Path, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(path, lambda q: put("a"))

    def with_life(_: object, found: list[Entry]) -> list[Entry]:
        return [each._replace(live=None) for each in found]

    monkeypatch.setattr("actionqueues.journal.inspecting._with_life", with_life)
    (told,) = visitor.ask(TRANSACTIONS).data["transactions"]
    assert (told["group"], told["state"]) == ("died", "open, its process may live")


def test_of_those_that_have_ended_the_latest_are_shown(
    path: Path, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actionqueues.serve.telling._ENDED", 3)
    leave(path, lambda q: put("a"))
    for number in range(6):
        with transaction(f"t{number}", journal=Journal(path)):
            put("a")
    assert [each["id"] for each in visitor.ask(TRANSACTIONS).data["transactions"]] == [1, 5, 6, 7]


def test_one_transaction_has_its_steps_and_what_there_is_to_decide(path: Path, visitor: Visitor) -> None:
    story(path)
    stuck = visitor.see(3)
    assert (stuck["retry"], stuck["abandon"], stuck["hidden"], stuck["left"]) == (
        True,
        True,
        0,
        ["stubborn", "contested"],
    )
    assert [(step["name"], step["state"], step["undo"], step["decide"]) for step in stuck["steps"]] == [
        ("put", "done", "undone", False),
        ("stubborn", "done", "undo failed", True),
        ("contested", "done", "conflict", True),
    ]
    assert stuck["steps"][1]["undo_error"] == "OSError('printer on fire')"
    assert stuck["error"] == "ConnectionError('gateway')"
    hooked = visitor.see(4)
    (hook,) = hooked["hooks"]
    assert (hook["name"], hook["number"], hook["state"], hook["decide"], hook["attempts"]) == (
        "tell",
        1,
        "failed",
        True,
        1,
    )
    assert (hooked["retry"], hooked["abandon"], hooked["steps"][0]["decide"]) == (True, True, False)
    died = visitor.see(5)
    assert (died["retry"], died["abandon"], [step["decide"] for step in died["steps"]]) == (True, False, [False, False])
    ended = visitor.see(1)
    assert (ended["retry"], ended["abandon"], [step["decide"] for step in ended["steps"]]) == (
        False,
        False,
        [False, False],
    )


STATES = [
    ("undo = NULL", True),
    ("undo = NULL, state = 'never run'", False),
    ("undo = 'skipped'", False),
    ("undo = 'skipped', state = 'unknown'", True),
    ("undo = 'not undone'", False),
]


@pytest.mark.parametrize(("change", "decide"), STATES)
def test_what_is_offered_for_decision_is_what_may_be_decided(change: str, decide: bool, path: Path) -> None:
    story(path)
    edit(path, f"UPDATE steps SET {change} WHERE tx = 3 AND number = 2")
    with serving(Journal(path), allow_actions=True) as decider:
        assert decider.see(3)["steps"][1]["decide"] is decide
        assert decider.do("3/steps/2", undone=True).status == (200 if decide else 409)


def test_what_is_damaged_is_shown_and_not_offered_for_decision(path: Path, visitor: Visitor) -> None:
    story(path)
    edit(path, "UPDATE steps SET name = X'00' WHERE tx = 3 AND number = 2")
    data = visitor.see(3)
    assert (data["state"], data["abandon"], data["steps"][1]["decide"]) == ("stuck", False, False)
    assert data["reason"].startswith("damaged: step 2: name is X'00'")


def test_the_drawing_is_a_picture(path: Path, visitor: Visitor) -> None:
    story(path)
    for number in range(1, 6):
        answer = visitor.ask(f"{TRANSACTIONS}/{number}/drawing")
        assert (answer.status, answer.headers.headers["Content-Type"].split(";")[0]) == (200, "image/svg+xml")
        assert ET.fromstring(answer.body).tag == "{http://www.w3.org/2000/svg}svg"


def test_what_is_not_there_is_said_so(path: Path, visitor: Visitor) -> None:
    story(path)
    for each in ("9", "9/drawing", "99999999999999999999999", "99999999999999999999999/drawing"):
        answer = visitor.ask(f"{TRANSACTIONS}/{each}")
        assert answer.status == 404
        assert "there is no transaction" in answer.data["error"]
    assert visitor.ask(f"{TRANSACTIONS}/{'9' * 5000}").status == 404  # more digits than Python reads
    assert visitor.ask(f"{TRANSACTIONS}/x").status == 404
    assert visitor.ask(f"{TRANSACTIONS}/").status == 404


def test_data_that_the_page_has_are_not_sent_again(path: Path, visitor: Visitor) -> None:
    story(path)
    for each in (TRANSACTIONS, f"{TRANSACTIONS}/3"):
        tag = visitor.ask(each).headers.headers["ETag"]
        same = visitor.ask(each, If_None_Match=tag)
        assert (same.status, same.body, same.headers.headers["ETag"]) == (304, b"", tag)
        failing.clear()
    Journal(path).recover(3)
    assert visitor.ask(f"{TRANSACTIONS}/3", If_None_Match=tag).status == 200


def test_of_very_many_steps_those_are_shown_that_somebody_has_to_look_at(
    path: Path, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actionqueues.serve.telling._STEPS", 6)
    failing["-21"] = OSError("stuck")
    with pytest.raises(KeyError), transaction("many", journal=Journal(path)):
        for number in range(1, 31):
            put(str(number))
        raise KeyError
    data = visitor.see(1)
    assert ([step["number"] for step in data["steps"]], data["hidden"], data["count"]) == (
        [1, 2, 3, 21, 29, 30],
        24,
        30,
    )


def test_texts_hide_nothing(path: Path, visitor: Visitor) -> None:
    with transaction("a\u202eb\x1b[2J\n\ud800", journal=Journal(path)):
        put("\u2066\0")
    (told,) = visitor.ask(TRANSACTIONS).data["transactions"]
    assert told["name"].isprintable()
    assert "\\u202e" in told["name"]
    assert visitor.see(1)["steps"][0]["arguments"].isprintable()


def test_a_file_that_breaks_while_it_is_served_is_told(path: Path, visitor: Visitor) -> None:
    with transaction("t", journal=Journal(path)):
        put("a")
    assert visitor.ask(TRANSACTIONS).status == 200
    os.rename(path, f"{path}.away")
    try:
        answer = visitor.ask(TRANSACTIONS)
        assert answer.status == 503
        assert answer.data["error"].startswith(f"journal {str(path)!r}: ")
        assert "Content-Security-Policy" in answer.headers.headers
    finally:
        os.rename(f"{path}.away", path)


def test_many_ask_at_once(path: Path, visitor: Visitor) -> None:
    story(path)
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(visitor.ask(TRANSACTIONS).status)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 20
