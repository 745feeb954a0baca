"""What the file says is called again only if all of it is there: otherwise the step waits, with the reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actionqueues.journal import Journal

from . import actions
from .actions import failing, trail
from .leaving import Body, edit, leave, recovered

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")


# -- what cannot be found


def test_an_action_that_is_gone_leaves_the_rest_to_be_undone(path: Path) -> None:
    leave(path, lambda q: (actions.put("a"), actions.create("b"), actions.put("c")))
    edit(path, "UPDATE steps SET name = 'gone:gone' WHERE number = 2")
    one = recovered(path)
    assert (trail, one.state) == (["-c", "-a"], "stuck")
    assert "no action is called 'gone:gone'; import the module that defines it (--import gone)" in (one.reason or "")
    edit(path, "UPDATE steps SET name = 'tests.journal.actions:create' WHERE number = 2")
    assert recovered(path).state == "rolled back"
    assert trail == ["-c", "-a", "-id of b"]


@pytest.mark.parametrize("name", ["os:system", "tests.journal.actions:not_marked", "tests.journal.actions:trail"])
@pytest.mark.parametrize("kind", ["action", "by hand"])
def test_what_is_no_action_is_refused_and_not_called(path: Path, name: str, kind: str) -> None:
    leave(path, lambda q: q.on_rollback(actions.by_hand, "touch /tmp/called"))
    edit(path, "UPDATE steps SET name = ?, kind = ?", name, kind)
    assert "it is no action, so it is not called" in (recovered(path).reason or "")
    assert trail == []


@pytest.mark.parametrize("text", ["", "null", "[]", '{"name": {"$class": 3}}', '{"name": {"$nonsense": 1}}', "{"])
def test_arguments_that_somebody_has_spoilt_leave_it_stuck(path: Path, text: str) -> None:
    leave(path, lambda q: actions.put("a"))
    edit(path, "UPDATE steps SET arguments = ?", text)
    assert (recovered(path).state, trail) == ("stuck", [])


def test_an_action_is_found_by_a_name_that_it_had_before(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    edit(path, "UPDATE steps SET name = 'tests.journal.actions:old_name'")
    assert (recovered(path).state, trail) == ("rolled back", ["-a"])


def test_a_parameter_that_is_new_and_has_no_default_is_missing(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    edit(path, "UPDATE steps SET arguments = '{}'")
    assert "had no parameter 'name' then" in (recovered(path).reason or "")


# -- resources, redaction


def test_a_resource_is_not_recorded_and_made_again(path: Path) -> None:
    closed: list[str] = []

    @contextmanager
    def connect() -> Iterator[str]:
        yield "another db"
        closed.append("closed")

    leave(path, lambda q: actions.store(object(), "a"), resources={"db": connect})
    assert recovered(path, resources={"db": connect}).state == "rolled back"
    assert (trail, closed) == (["-a in another db"], ["closed"])


def test_without_the_resource_it_is_stuck_and_says_so(path: Path) -> None:
    leave(path, lambda q: actions.store(object(), "a"), resources={"db": object})
    assert "there is no resource 'db'" in (recovered(path).reason or "")


def test_a_resource_that_cannot_be_made_leaves_the_rest_to_be_undone(path: Path) -> None:
    def refuse() -> object:
        raise ConnectionError

    leave(path, lambda q: (actions.put("a"), actions.store(object(), "b")), resources={"db": object})
    assert recovered(path, resources={"db": refuse}).state == "stuck"
    assert trail == ["-a"]


def test_what_is_redacted_is_not_in_the_file(path: Path) -> None:
    leave(path, lambda q: actions.pay("4111", 5), redact=("card",))
    assert "4111" not in path.read_bytes().decode("latin-1") + Path(f"{path}-wal").read_bytes().decode("latin-1")
    assert (recovered(path).state, trail) == ("rolled back", ["-5"])


def test_an_undo_that_needs_what_is_redacted_is_stuck(path: Path) -> None:
    leave(path, lambda q: actions.pay_with("4111"), redact=("card",))
    assert "the undo of pay_with needs 'card'" in (recovered(path).reason or "")


# -- unknown outcomes


def unknown(path: Path, body: Body) -> None:
    leave(path, body)
    edit(path, "UPDATE steps SET state = 'running', result = NULL, ended = NULL")


def test_an_undo_that_needs_the_result_of_an_unknown_step_leaves_it_stuck(path: Path) -> None:
    unknown(path, lambda q: actions.create("a"))
    one = recovered(path)
    assert (one.state, trail) == ("stuck", [])
    assert "its undo needs its result" in (one.reason or "")
    assert recovered(path).state == "stuck"


def test_a_probe_finds_the_result(path: Path) -> None:
    unknown(path, lambda q: actions.probed("a"))
    assert recovered(path).state == "rolled back"
    assert trail == ["?a", "-found a done"]


def test_a_probe_says_that_it_never_happened(path: Path) -> None:
    unknown(path, lambda q: actions.probed("a"))
    failing["?a"] = actions.NOT_LANDED
    assert recovered(path).state == "rolled back"
    assert trail == ["?a"]
    assert Journal(path).show(1).steps[0].undo == "not landed"


def test_a_probe_that_is_interrupted_is_asked_again_the_next_time(path: Path) -> None:
    unknown(path, lambda q: actions.probed("a"))
    failing["?a"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        Journal(path).recover()
    failing.clear()
    assert recovered(path).state == "rolled back"
    assert trail == ["?a", "?a", "-found a done"]


def test_what_a_step_has_saved_may_be_larger_than_anything_else(path: Path) -> None:
    unknown(path, lambda q: actions.saves_much(10_000_000))
    assert recovered(path).state == "rolled back"
    assert trail == ["-10000000"]


def test_a_probe_that_fails_leaves_it_unknown(path: Path) -> None:
    unknown(path, lambda q: actions.probed("a"))
    failing["?a"] = ConnectionError()
    assert recovered(path).state == "rolled back"
    assert trail == ["?a", "-None unknown"]


def test_an_undo_by_hand_without_its_resource_is_stuck_and_says_so(path: Path) -> None:
    leave(path, lambda q: q.on_rollback(actions.unstored, object(), "a"), resources={"db": object})
    one = recovered(path)
    assert (one.state, trail) == ("stuck", [])
    assert "there is no resource 'db': Journal(..., resources={'db': ...})" in (one.reason or "")
    assert recovered(path, resources={"db": lambda: "db"}).state == "rolled back"
    assert trail == ["-a in db"]
