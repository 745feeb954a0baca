"""What the page may do, where that is allowed: try again, decide, abandon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actionqueues import transaction
from actionqueues.journal import Journal
from tests.journal import actions
from tests.journal.actions import failing, put, trail
from tests.journal.leaving import leave, leave_async

from .visitor import TRANSACTIONS, Visitor, story

ACTIONS: list[tuple[str, dict[str, Any]]] = [
    ("3/retry", {}),
    ("3/steps/2", {"undone": True}),
    ("4/hooks/1", {}),
    ("3/abandon", {"why": ""}),
]


def test_nothing_is_done_unless_it_is_allowed(path: Path, visitor: Visitor) -> None:
    story(path)
    before = [visitor.see(number) for number in range(1, 6)]
    trail.clear()
    for action, body in ACTIONS:
        answer = visitor.do(action, **body)
        assert answer.status == 403
        assert "--allow-actions" in answer.data["error"]
    assert ([visitor.see(number) for number in range(1, 6)], trail) == (before, [])


def test_trying_again_undoes_what_is_left(path: Path, decider: Visitor) -> None:
    story(path)
    assert decider.do("3/retry").data["told"].startswith("3 order 1003: stuck")
    failing.clear()
    assert decider.do("5/retry").data == {"told": "5 left: rolled back, 2 undone"}
    assert decider.do("4/retry").data == {"told": "4 order 1004: committed"}
    assert decider.do("3/steps/3", undone=False).status == 200
    assert decider.do("3/retry").data == {"told": "3 order 1003: rolled back, 1 undone"}
    nothing = {"told": "nothing was done: it has ended, or a live process is working on it"}
    assert decider.do("3/retry").data == nothing


def test_trying_again_takes_an_event_loop_where_it_needs_one(path: Path, decider: Visitor) -> None:
    async def body(q: object) -> None:
        await actions.put_async("a")

    leave_async(path, body)
    assert decider.do("1/retry").data == {"told": "1 left: rolled back, 1 undone"}


def test_a_handler_that_ends_the_program_does_not_end_the_page(path: Path, decider: Visitor) -> None:
    leave(path, lambda q: put("a"))
    failing["-a"] = SystemExit(3)
    assert decider.do("1/retry").data["told"].startswith("ended by what it called, with SystemExit(3)")
    failing.clear()
    assert decider.do("1/retry").data == {"told": "1 left: rolled back, 1 undone"}


def test_what_a_live_process_is_working_on_is_not_touched(path: Path, decider: Visitor) -> None:
    with transaction("t", journal=Journal(path)):
        put("a")
        assert decider.do("1/retry").data["told"].startswith("nothing was done")
        answer = decider.do("1/abandon")
        assert (answer.status, "a live process is working on it" in answer.data["error"]) == (409, True)
    assert trail == ["+a"]


def test_steps_are_decided_one_by_one(path: Path, decider: Visitor) -> None:
    story(path)
    told = decider.do("3/steps/2", undone=True).data["told"]
    assert told.startswith("transaction 3 is stuck: tests.journal.actions:contested")
    assert decider.do("3/steps/3", undone=False).data == {"told": "transaction 3 is rolled back"}
    assert [step["undo"] for step in decider.see(3)["steps"]] == ["undone", "undone", "not undone"]
    again = decider.do("3/steps/3", undone=True)
    assert (again.status, "only what is stuck is decided" in again.data["error"]) == (409, True)


def test_a_hook_is_decided(path: Path, decider: Visitor) -> None:
    story(path)
    assert decider.do("4/hooks/1").data == {"told": "transaction 4 is committed"}
    assert decider.see(4)["group"] == "committed"


def test_abandoning_keeps_the_reason(path: Path, decider: Visitor) -> None:
    story(path)
    assert decider.do("3/abandon", why=" ada: gone \n").data == {
        "told": "transaction 3 is rolled back: abandoned: ada: gone"
    }
    assert [step["reason"] for step in decider.see(3)["steps"]] == [
        None,
        "abandoned: ada: gone",
        "abandoned: ada: gone",
    ]
    assert decider.do("4/abandon").status == 200
    assert decider.see(4)["hooks"][0]["error"] == "abandoned: decided by a person"


def test_what_is_not_there_cannot_be_decided(path: Path, decider: Visitor) -> None:
    story(path)
    for number in (9, 99999999999999999999999):
        for action in ("retry", "abandon", "steps/1", "hooks/1"):
            assert decider.do(f"{number}/{action}", undone=True).status == 404
            assert decider.do(f"3/{action[:5]}/{number}", undone=True).status == 404


BAD = [
    (b"{", "what was sent is no JSON"),
    (b"\xff", "what was sent is no JSON"),
    (b"[" * 5000, "what was sent is no JSON"),
    (b"[]", "what was sent is no JSON object"),
    (b'{"undone": 1}', "`undone` has to be true or false"),
    (b"{}", "`undone` has to be true or false"),
]


def test_what_the_page_does_not_send_is_refused(path: Path, decider: Visitor) -> None:
    story(path)
    for body, error in BAD:
        answer = decider.ask(f"{TRANSACTIONS}/3/steps/2", "POST", body)
        assert answer.status == 400
        assert answer.data["error"].startswith(error)


def test_a_reason_is_a_short_text(path: Path, decider: Visitor) -> None:
    story(path)
    for why in (7, None, "x" * 501):
        answer = decider.do("3/abandon", why=why)
        assert (answer.status, answer.data) == (400, {"error": "`why` has to be a text of at most 500 characters"})


def test_what_a_form_of_another_page_could_send_is_refused(path: Path, decider: Visitor) -> None:
    story(path)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; x=1", None):
        answer = decider.ask(f"{TRANSACTIONS}/3/abandon", "POST", {}, Content_Type=kind)
        assert (answer.status, answer.data) == (415, {"error": "what is sent has to be JSON"})


def test_what_is_too_long_is_refused(path: Path, decider: Visitor) -> None:
    answer = decider.ask(f"{TRANSACTIONS}/1/abandon", "POST", b" " * 9000)
    assert (answer.status, answer.data) == (413, {"error": "more than 8192 bytes were sent"})
