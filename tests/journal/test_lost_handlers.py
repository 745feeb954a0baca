"""Recovery by a program that lacks the undo a step had leaves it stuck, for the program that has it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from actionqueues import transaction
from actionqueues.core.definition import definition_behind
from actionqueues.journal import Journal

from . import actions
from .actions import trail
from .leaving import edit, leave, recovered

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")

create = actions.create


def without(monkeypatch: pytest.MonkeyPatch, function: Any, **changes: Any) -> None:
    """Another version of the program, in which this action has no undo."""
    definition = definition_behind(function)
    assert definition is not None
    for name, value in {"handler": None, "quick": None, **changes}.items():
        monkeypatch.setattr(definition, name, value)


@pytest.mark.parametrize("changes", [{}, {"irreversible": True}, {"read_only": True}], ids=str)
def test_the_version_without_the_undo_leaves_it_to_the_one_that_has_it(
    changes: dict[str, Any], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(path, lambda q: (actions.put("a"), create("b"), actions.put("c")))
    with monkeypatch.context() as patch:
        without(patch, create, **changes)
        one = recovered(path)
        assert (one.state, one.clean, trail) == ("stuck", False, ["-c", "-a"])
        assert (one.reason or "").endswith(
            "create had the undo delete when it ran, and has none in this program; use the version that ran it, or "
            "give it its undo again, or, once this is stuck, undo it by hand and say so: actionqueues resolve FILE ID "
            "2 --undone"
        )
        assert [entry.ended for entry in Journal(path).transactions()] == [None]
        assert recovered(path).state == "stuck"
    assert recovered(path).state == "rolled back"
    assert trail == ["-c", "-a", "-id of b"]


def test_the_command_exits_with_what_is_left(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from .test_cli import run

    leave(path, lambda q: create("a"))
    without(monkeypatch, create)
    status, lines = run(capsys, "recover", str(path))
    assert (status, lines[0].startswith("1 left: stuck, tests.journal.actions:create: create had the undo")) == (
        1,
        True,
    )


def test_the_person_who_has_undone_it_by_hand_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(path, lambda q: create("a"))
    without(monkeypatch, create)
    recovered(path)
    assert Journal(path).resolve(1, 1, undone=True).state == "rolled back"


def test_an_undo_that_is_called_otherwise_now_is_an_undo(path: Path) -> None:
    leave(path, lambda q: create("a"))
    edit(path, "UPDATE steps SET handler = 'destroy'")
    assert (recovered(path).state, trail) == ("rolled back", ["-id of a"])


def test_a_step_that_never_had_an_undo_is_left_and_told_as_ever(path: Path) -> None:
    leave(path, lambda q: (actions.put("a"), actions.irreversible()))
    one = recovered(path)
    assert (one.state, [step.name for step in one.report.left]) == ("rolled back", ["irreversible"])
    assert [step.handler for step in Journal(path).show(1).steps] == ["take", ""]


def test_an_undo_that_came_later_is_called(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    edit(path, "UPDATE steps SET handler = ''")
    assert (recovered(path).state, trail) == ("rolled back", ["-a"])


def test_an_action_that_was_renamed_or_removed_is_stuck_by_its_name(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    edit(path, "UPDATE steps SET name = 'tests.journal.actions:removed'")
    one = recovered(path)
    assert (one.state, trail) == ("stuck", [])
    assert "no action is called 'tests.journal.actions:removed'" in (one.reason or "")
    assert "aliases=" in (one.reason or "")


def test_what_was_an_action_once_and_is_a_plain_function_now_is_stuck(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    edit(path, "UPDATE steps SET name = 'tests.journal.actions:not_marked'")
    assert "it is no action, so it is not called" in (recovered(path).reason or "")


def test_a_durable_hook_that_was_removed_is_stuck_and_called_once_it_is_back(path: Path) -> None:
    actions.failing["!x True"] = OSError("not now")
    with pytest.raises(ExceptionGroup), transaction(journal=path) as q:
        q.on_commit(actions.tell, "x")
    actions.failing.clear()
    edit(path, "UPDATE hooks SET name = 'tests.journal.actions:removed'")
    one = recovered(path)
    assert (one.state, one.clean) == ("stuck", False)
    assert "no action is called 'tests.journal.actions:removed'" in (one.reason or "")
    edit(path, "UPDATE hooks SET name = 'tests.journal.actions:tell'")
    assert recovered(path).state == "committed"
    assert trail == ["!x True", "!x True"]


def test_an_undo_by_hand_that_was_removed_is_stuck(path: Path) -> None:
    leave(path, lambda q: q.on_rollback(actions.by_hand, "a"))
    edit(path, "UPDATE steps SET name = 'tests.journal.actions:removed'")
    assert (recovered(path).state, trail) == ("stuck", [])


class Copy:
    """An action object, of a class that loses its method."""

    def __actionqueues_reference__(self) -> int:
        return 1

    @classmethod
    def __actionqueues_resolve__(cls, reference: int) -> Copy:
        return cls()

    def execute(self) -> None:
        trail.append("+copy")

    def rollback(self) -> None:
        trail.append("-copy")


def test_an_action_object_whose_class_has_lost_its_rollback_is_stuck(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(path, lambda q: (q.add(Copy()), q.execute()))
    assert Journal(path).show(1).steps[0].handler == "rollback"
    with monkeypatch.context() as patch:
        patch.delattr(Copy, "rollback")
        patch.setattr("actionqueues.core.queue._definitions", {})
        one = recovered(path)
        assert (one.state, trail) == ("stuck", [])
        assert "has no rollback()" in (one.reason or "")
    assert (recovered(path).state, trail) == ("rolled back", ["-copy"])


def test_the_undo_of_a_step_that_is_not_known_to_have_happened_is_missed_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(path, lambda q: actions.put("a"))
    edit(path, "UPDATE steps SET state = 'running', result = NULL")
    without(monkeypatch, actions.put)
    assert recovered(path).state == "stuck"
