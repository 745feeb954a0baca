"""Recovery warns of undoing what has been done again since, whose effect may be the same thing."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from actionqueues import action, current_step, transaction
from actionqueues.journal import Journal

from . import actions
from .actions import trail
from .leaving import Body, edit, leave, leave_async, recovered
from .test_cli import run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")


@action
def export() -> None: ...


@export.rollback
def unexport() -> None:
    trail.append("-export")


def commit(path: Path, body: Body, name: str = "left") -> None:
    with transaction(name, journal=path) as q:
        body(q)
    trail.clear()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.fixture(autouse=True)
def heard(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)


def test_a_job_that_was_run_again_and_has_committed_is_told_of(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    leave(path, lambda q: (actions.put("a"), actions.create("b")))
    commit(path, lambda q: (actions.put("other"), actions.create("b")))
    one = recovered(path)
    assert (one.state, one.repeated_by, trail) == ("rolled back", 2, ["-id of b", "-a"])
    (message,) = warnings(caplog)
    assert message == (
        f"{path}: transaction 1, 'left', is being undone, though transaction 2 of the same name has committed since, "
        "with tests.journal.actions:create of the same arguments: look whether what that has made is still there; "
        "recover before a job is run again, or tell effects apart by step.key"
    )
    (record,) = (vars(each) for each in caplog.records if each.levelno == logging.WARNING)
    assert (record["transaction"], record["step"], record["state"]) == ("left", "tests.journal.actions:create", "open")
    assert str(one) == "1 left: rolled back, 2 undone, though 2 has done the same again since"


OTHERS: dict[str, tuple[Body, str]] = {
    "other arguments": (lambda q: actions.put("b"), "left"),
    "another step": (lambda q: actions.probed("a"), "left"),
    "another transaction": (lambda q: actions.put("a"), "another"),
    "only what has no arguments": (lambda q: (export(), actions.put("b")), "left"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_is_something_else_is_not_told_of(what: str, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    leave(path, lambda q: (export(), actions.put("a")))
    commit(path, *OTHERS[what])
    assert (recovered(path).repeated_by, warnings(caplog)) == (None, [])


def test_what_committed_before_or_was_rolled_back_is_not_told_of(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    commit(path, lambda q: actions.put("a"))
    edit(path, "UPDATE transactions SET started = '2026-01-01', ended = '2026-01-01'")
    leave(path, lambda q: actions.put("a"))
    with pytest.raises(StopIteration):
        commit(path, lambda q: (actions.put("a"), next(iter(()))))
    leave(path, lambda q: actions.put("a"))
    assert [one.repeated_by for one in Journal(path).recover()] == [None, None]
    assert warnings(caplog) == []


def test_what_began_before_and_committed_since_is_told_of(path: Path) -> None:
    with transaction("left", journal=path):
        actions.put("a")
        leave(path, lambda q: actions.put("a"))
    (one,) = Journal(path).recover(2)
    assert one.repeated_by == 1


def test_one_whose_hooks_are_still_to_be_called_has_committed(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    commit(path, lambda q: (actions.put("a"), q.on_commit(actions.tell, "x")))
    edit(path, "UPDATE transactions SET ended = NULL WHERE id = 2")
    edit(path, "UPDATE hooks SET ended = NULL")
    assert [(one.state, one.repeated_by) for one in Journal(path).recover()] == [
        ("rolled back", 2),
        ("committed", None),
    ]


def test_a_job_without_arguments_is_told_of_too(path: Path) -> None:
    leave(path, lambda q: export())
    commit(path, lambda q: export())
    assert recovered(path).repeated_by == 2


def test_steps_that_nothing_undoes_do_no_harm_and_do_not_count(path: Path) -> None:
    leave(path, lambda q: (actions.irreversible(), actions.put("a")))
    commit(path, lambda q: actions.irreversible())
    assert recovered(path).repeated_by is None


def test_what_was_done_by_hand_counts(path: Path) -> None:
    leave(path, lambda q: q.on_rollback(actions.by_hand, "a"))
    commit(path, lambda q: q.on_rollback(actions.by_hand, "a"))
    assert recovered(path).repeated_by == 2


def test_an_event_loop_is_told_of_it_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    leave_async(path, lambda q: actions.put_async("a"))
    commit(path, lambda q: actions.put("other"))
    edit(path, 'UPDATE steps SET name = (SELECT name FROM steps WHERE tx = 1), arguments = \'{"name": "a"}\'')
    journal = Journal(path)
    assert [one.state for one in journal.recover()] == ["waiting"]
    (one,) = asyncio.run(journal.recover_async())
    assert (one.repeated_by, len(warnings(caplog))) == (2, 1)


def test_the_last_of_many_is_named(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    for _ in range(3):
        commit(path, lambda q: actions.put("a"))
    assert recovered(path).repeated_by == 4


def test_the_command_prints_it(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        leave(path, lambda q: actions.put("a"))
    commit(path, lambda q: actions.put("a"))
    status, lines = run(capsys, "recover", str(path), "1")
    assert (status, lines[0]) == (0, "1 left: rolled back, 1 undone, though 3 has done the same again since")
    assert json.loads("\n".join(run(capsys, "recover", str(path), "--json")[1]))[0]["repeated_by"] == 3


def test_who_checks_is_told_before_a_recovery_undoes_it(
    path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    leave(path, lambda q: actions.put("a"))
    leave(path, lambda q: actions.put("b"))
    commit(path, lambda q: actions.put("a"))
    status, lines = run(capsys, "check", str(path), "--older-than", "0s")
    ends = [line.partition(" ago: ")[2] for line in lines]
    assert (status, ends) == (1, ["its process has died; 3 has done the same again since", "its process has died"])
    (message,) = warnings(caplog)
    assert message == (
        f"{path}: a recovery would undo transaction 1, 'left', though transaction 3 of the same name has committed "
        "since, with tests.journal.actions:put of the same arguments: look first whether undoing it takes away what "
        "that has made"
    )
    told = json.loads("\n".join(run(capsys, "check", str(path), "--older-than", "0s", "--json")[1]))
    assert [each["repeated_by"] for each in told] == [3, None]


@action
def charge(card: str, amount: int = 0) -> None: ...


@charge.rollback
def refund(amount: int) -> None: ...


@action
def charge_alone(card: str) -> None: ...


@charge_alone.rollback
def refund_alone() -> None: ...


@action
def count(db: object) -> None: ...


@count.rollback
def uncount() -> None: ...


@action
def anything(*args: object, **kwargs: object) -> None: ...


@anything.rollback
def nothing() -> None: ...


#: What the first run did, what another one did, and whether that is the same, as far as anybody knows.
HIDDEN: dict[str, tuple[Body, Body, bool]] = {
    "only what is kept out": (lambda q: charge_alone("4111"), lambda q: charge_alone("5222"), False),
    "something else as well": (lambda q: charge("4111", 9), lambda q: charge("5222", 9), True),
    "something else that differs": (lambda q: charge("4111", 9), lambda q: charge("5222", 8), False),
    "only a resource": (lambda q: count(1), lambda q: count(2), True),
    "a resource, and other steps": (
        lambda q: (count(1), actions.put("a")),
        lambda q: (count(2), actions.put("b")),
        False,
    ),
    "nothing of what could have been given": (
        lambda q: (anything(), actions.put("a")),
        lambda q: (anything(), actions.put("b")),
        False,
    ),
    "by hand, kept out": (lambda q: q.on_rollback(charge, "4111"), lambda q: q.on_rollback(charge, "5222"), False),
}


@pytest.mark.parametrize("what", HIDDEN)
def test_what_is_not_in_the_file_tells_nothing(what: str, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, other, same = HIDDEN[what]
    options: Any = {"redact": ("card",), "resources": {"db": object}}
    leave(path, first, **options)
    with transaction("left", journal=Journal(path, **options)) as q:
        other(q)
    assert recovered(path, **options).repeated_by == (2 if same else None)
    assert any("has committed since" in warning for warning in warnings(caplog)) is same


def test_steps_that_tell_something_are_found_behind_many_that_do_not(path: Path) -> None:
    leave(path, lambda q: ([export() for _ in range(600)], actions.put("a")))
    commit(path, lambda q: (export(), actions.put("b")))
    assert recovered(path).repeated_by is None


def test_arguments_that_somebody_has_written_are_compared_as_they_are(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    commit(path, lambda q: actions.put("a"))
    edit(path, "UPDATE steps SET arguments = 'a'")
    assert recovered(path).repeated_by == 2


# -- the ways out


def test_who_recovers_first_undoes_nothing_that_was_done_later(path: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.txt"
    leave(path, lambda q: write(str(report)))
    assert recovered(path).repeated_by is None
    commit(path, lambda q: write(str(report)))
    assert (Journal(path).recover(), report.exists()) == ([], True)


def test_who_tells_effects_apart_by_their_key_undoes_his_own(path: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.txt"
    leave(path, lambda q: write(str(report)))
    commit(path, lambda q: write(str(report)))
    one = recovered(path)
    assert (one.state, one.repeated_by, report.exists()) == ("rolled back", 2, True)


@action
def write(path: str) -> None:
    Path(path).write_text(current_step().key)


@write.rollback
def erase(path: str, step: Any) -> None:
    if Path(path).exists() and Path(path).read_text() == step.key:
        Path(path).unlink()
