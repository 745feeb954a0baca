"""``actionqueues undo``: what it prints, and what it exits with."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actionqueues import transaction
from actionqueues.journal import Journal

from . import actions
from .actions import failing, trail
from .test_cli import run


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LOGNAME", "grace")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    yield "actions.db"
    Journal("actions.db").close()


def deployed(path: str, *, whole: bool = True) -> None:
    with transaction("deploy", journal=path) as q:
        actions.put("a")
        if not whole:
            actions.irreversible()
            q.on_commit(len, "")
        actions.put("b")
    trail.clear()


def test_the_deploy_of_this_morning_is_taken_back(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    deployed(path)
    status, lines = run(capsys, "undo", path, "1", "--import", "tests.journal.actions", "--reason", "wrong version")
    assert (status, lines, trail) == (0, ["1 deploy: undone later, 2 undone"], ["-b", "-a"])
    status, lines = run(capsys, "list", path, "--state", "undone later")
    assert (status, lines[1].split()[:3]) == (0, ["1", "undone", "later"])
    status, lines = run(capsys, "show", path, "1")
    assert (status, lines[0]) == (0, "transaction 1 deploy: undone later")
    assert lines[2] == "error: UndoRequested('by grace: wrong version')"
    assert run(capsys, "show", path, "1", "--text")[0] == 0
    assert run(capsys, "recover", path)[1] == ["0 recovered, 0 left to a person"]


def test_a_dry_run_prints_the_plan_and_does_nothing(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    deployed(path)
    status, lines = run(capsys, "undo", path, "1", "--dry-run")
    assert (status, trail) == (0, [])
    assert lines == ["1 deploy: 2 to undo", "2 put(name='b'): undone by take", "1 put(name='a'): undone by take"]
    plan = json.loads("\n".join(run(capsys, "undo", path, "1", "--dry-run", "--json")[1]))
    assert (plan["complete"], [step["undo"] for step in plan["steps"]]) == (True, ["take", "take"])
    assert Journal(path).show(1).state == "committed"


def test_what_cannot_be_undone_is_listed_and_takes_partly(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    deployed(path, whole=False)
    listing = [
        "1 deploy: 3 to undo",
        "3 put(name='b'): undone by take",
        "2 irreversible(): cannot be undone: nothing undoes it: it has no rollback handler",
        "1 put(name='a'): undone by take",
        "commit hook len: it was called once this had committed, and nothing takes that back",
    ]
    refusal = "actionqueues: nothing was undone, since 2 of these cannot be; --partly undoes the rest"
    assert run(capsys, "undo", path, "1") == (2, [*listing, refusal])
    assert run(capsys, "undo", path, "1", "--dry-run") == (1, listing)
    assert run(capsys, "undo", path, "1", "--dry-run", "--partly") == (1, listing)
    assert (trail, Journal(path).show(1).state) == ([], "committed")
    status, lines = run(capsys, "undo", path, "1", "--partly", "--by", "ada")
    assert (status, lines) == (1, ["1 deploy: undone later, 2 undone, not undone: irreversible"])
    assert (trail, Journal(path).show(1).error) == (["-b", "-a"], "UndoRequested('by ada')")
    assert run(capsys, "list", path)[0] == 0


def test_what_fails_is_left_to_recover(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    deployed(path)
    failing["-a"] = OSError("not now")
    status, lines = run(capsys, "undo", path, "1", "--json")
    data = json.loads("\n".join(lines))
    assert (status, data["state"], data["changed"], data["undone"]) == (1, "stuck", [], ["put"])
    failing.clear()
    assert run(capsys, "recover", path) == (0, ["1 deploy: undone later, 1 undone", "1 recovered, 0 left to a person"])


def test_what_needs_an_event_loop_is_given_one(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        async with transaction("deploy", journal=path):
            await actions.put_async("a")

    asyncio.run(main())
    trail.clear()
    assert run(capsys, "undo", path, "1")[0] == 0
    assert trail == ["-a done"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("9",), "there is no transaction 9"),
        (("1", "--import", "nowhere"), "'nowhere' cannot be imported"),
        (("2",), "it is rolled back; nothing of it is left to be undone"),
        (("-1",), "'-1' is no number of a transaction"),
        ((), "the following arguments are required: ID"),
    ],
)
def test_an_error_is_one_line_and_nothing_is_undone(
    path: str, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed(path)
    with pytest.raises(LookupError), transaction(journal=path):
        actions.put("c")
        raise LookupError
    trail.clear()
    status, lines = run(capsys, "undo", path, *arguments)
    assert (status, len(lines), trail) == (2, 1, [])
    assert message in lines[0]


def test_an_undo_that_is_interrupted_is_no_success_and_goes_on_later(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed(path)
    failing["-b"] = KeyboardInterrupt()
    status, lines = run(capsys, "undo", path, "1")
    assert (status, len(lines), trail) == (130, 1, ["-b", "-a"])
    failing.clear()
    assert run(capsys, "recover", path)[1][0] == "1 deploy: undone later, 1 undone"


def test_tracebacks_are_logged_if_they_are_asked_for(
    path: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[logging.Handler] = []
    monkeypatch.setattr(logging.getLogger("actionqueues"), "addHandler", added.append)
    deployed(path)
    assert run(capsys, "undo", path, "1", "--dry-run", "--traceback")[0] == 0
    assert added == []
    assert run(capsys, "undo", path, "1", "--dry-run")[0] == 0
    assert len(added) == 1


@pytest.mark.parametrize("width", [60, 80, 120])
def test_help_fits_the_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    status, lines = run(capsys, "undo", "--help")
    assert (status, max(map(len, lines)) < max(80, width)) == (0, True)
