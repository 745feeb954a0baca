"""``actionqueues retry`` and ``abandon``: one transaction, by its number, and never one that is not to be touched."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from actionqueues import transaction
from actionqueues.journal import Journal

from . import actions
from .actions import failing, trail
from .leaving import leave, leave_async
from .test_cli import run


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two transactions are stuck."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    path = Path("actions.db")
    for name in "ab":
        leave(path, lambda q, name=name: actions.put(name))  # type: ignore[misc]
        failing[f"-{name}"] = OSError("not now")
    Journal(path).recover()
    trail.clear()
    yield path
    Journal(path).close()


def test_one_is_retried_and_no_other(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = run(capsys, "retry", str(path), "1", "--import", "tests.journal.actions")
    assert (status, lines[-1]) == (1, "0 recovered, 1 left to a person")
    failing.clear()
    assert run(capsys, "retry", str(path), "1") == (
        0,
        ["1 left: rolled back, 1 undone", "1 recovered, 0 left to a person"],
    )
    assert trail == ["-a", "-a"]
    assert [each["id"] for each in json.loads("\n".join(run(capsys, "retry", str(path), "2", "--json")[1]))] == [2]


def test_one_that_needs_an_event_loop_is_retried_in_one(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave_async(path, lambda q: actions.put_async("c"))
    assert run(capsys, "retry", str(path), "3")[0] == 0
    assert trail == ["-c done"]


def test_a_module_that_cannot_be_imported_is_told_by_the_exit_status(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing.clear()
    status, lines = run(capsys, "retry", str(path), "1", "--import", "no_such_module")
    assert (status, trail) == (2, ["-a"])
    assert "'no_such_module' cannot be imported" in lines[-1]


def test_what_is_abandoned_is_kept_with_the_reason_and_listed(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = run(capsys, "abandon", str(path), "1", "--reason", " ada: the account\x1b[2J is closed ")
    assert (status, lines) == (0, ["transaction 1 is rolled back, abandoned: ada: the account\\x1b[2J is closed"])
    status, lines = run(capsys, "list", str(path))
    assert status == 1, "the other one is stuck still"
    assert lines[1].startswith("1   rolled back")
    assert "abandoned: ada" in lines[1]
    assert run(capsys, "recover", str(path))[1][-1] == "0 recovered, 1 left to a person"
    assert trail == ["-b"]
    assert "1" not in [line.split()[0] for line in run(capsys, "check", str(path), "--older-than", "0s")[1]]
    data = json.loads("\n".join(run(capsys, "abandon", str(path), "2", "--reason", "b", "--json")[1]))
    assert (data["reason"], data["steps"][0]["reason"]) == ("abandoned: b", "abandoned: b")


def test_what_is_abandoned_is_deleted_no_earlier_than_what_has_ended_then(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = Journal(path)
    journal.store.write(lambda db: db.execute("UPDATE transactions SET started = '2001-01-01 00:00:00.000'"), sync=True)
    run(capsys, "abandon", str(path), "1", "--reason", "so be it")
    assert run(capsys, "prune", str(path), "--older-than", "1m") == (0, ["0 deleted"])
    assert journal.prune(timedelta(days=30)) == 0
    assert run(capsys, "show", str(path), "1")[0] == 0
    assert run(capsys, "prune", str(path)) == (0, ["1 deleted"])


WRONG = [
    (("retry", "actions.db", "9"), "there is no transaction 9"),
    (("retry", "actions.db", "one"), "'one' is no number of a transaction"),
    (("retry", "actions.db"), "required: ID"),
    (("retry", "nowhere.db", "1"), "there is no journal 'nowhere.db'"),
    (("abandon", "actions.db", "9", "--reason", "a"), "there is no transaction 9"),
    (("abandon", "actions.db", "1"), "required: --reason"),
    (("abandon", "actions.db", "1", "--reason", "  "), "argument --reason: it is empty; say why"),
    (("recover", "actions.db", "--watch", "0"), "'0' is no number of seconds to wait; write one above 0"),
    (("recover", "actions.db", "--watch", "-1"), "'-1' is no number of seconds"),
    (("recover", "actions.db", "--watch", "nan"), "'nan' is no number of seconds"),
    (("recover", "actions.db", "--watch", "inf"), "'inf' is no number of seconds"),
    (("recover", "actions.db", "--watch", "soon"), "'soon' is no number of seconds"),
    (("recover", "actions.db", "1", "--watch", "9"), "leave out the number of a transaction, or --watch"),
    (("recover", "actions.db", "--json", "--watch", "9"), "leave out --json, or --watch"),
    (("recover", "nowhere.db", "--watch", "9"), "there is no journal 'nowhere.db'"),
    (("recover", "text.db", "--watch", "9"), "text.db': is no SQLite file"),
    (("recover", "actions.db", "--watch", "9", "--import", "no_such_module"), "'no_such_module' cannot be imported"),
]


def test_what_is_wrong_is_told_in_one_line_before_anything_has_happened(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("text.db").write_text("hello\n" * 1000)
    for arguments, message in WRONG:
        status, lines = run(capsys, *arguments)
        assert (status, len(lines), message in lines[0]) == (2, 1, True), (arguments, lines)
        assert trail == []
        assert [each.state for each in Journal(path).transactions()] == ["stuck", "stuck"]


@pytest.mark.parametrize("command", [("retry",), ("abandon", "--reason", "a")], ids=lambda command: command[0])
def test_what_a_process_works_on_or_what_has_ended_is_refused(
    path: Path, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    name, *options = command
    Path("never_imported.py").write_text("raise AssertionError\n")
    more = [*options, *(["--import", "never_imported"] if name == "retry" else [])]
    real = Path("actions.db").resolve()
    with transaction("works", journal=path):
        actions.put("c")
        status, lines = run(capsys, name, str(path), "3", *more)
        told = f"cannot {name} transaction 3 of '{real}': a live process is working on it; wait for that to end, or"
        assert (status, lines[0].startswith(f"actionqueues: {told}")) == (2, True), lines
    status, lines = run(capsys, name, str(path), "3", *more)
    told = f"cannot {name} transaction 3 of '{real}': it is committed; it has ended, and nothing is to be done about it"
    assert (status, lines) == (2, [f"actionqueues: {told}"])


def test_a_conflict_is_not_retried_and_the_way_out_is_told(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave(path, lambda q: (actions.put("c"), actions.contested("d")))
    Journal(path).recover(3)
    trail.clear()
    status, lines = run(capsys, "retry", str(path), "3")
    told = "its undo has found that somebody else had changed the thing, which is not tried again; look at it (show)"
    assert (status, trail) == (2, [])
    assert told in lines[0]
    status, lines = run(capsys, "show", str(path), "3")
    assert (status, "Once the reason is gone:" in lines, "To stay as it is:" in lines) == (1, False, True)
    failing["-e"] = OSError("not now")
    leave(path, lambda q: (actions.put("e"), actions.contested("d")))
    Journal(path).recover(4)
    assert "Once the reason is gone:" in run(capsys, "show", str(path), "4")[1]
    assert run(capsys, "retry", str(path), "4")[0] == 1


def test_what_no_recovery_has_tried_is_not_abandoned(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave(path, lambda q: actions.put("c"))
    status, lines = run(capsys, "abandon", str(path), "3", "--reason", "a")
    assert (status, "the transaction is open; recover it first" in lines[0]) == (2, True)


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("command", ["check", "retry", "abandon"])
def test_help_fits_the_terminal(
    width: int, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    status, lines = run(capsys, command, "--help")
    assert (status, max(map(len, lines)) < max(80, width)) == (0, True)
