"""What had committed is undone later: as a rollback at its end would have done it, by recovery's own walk."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from actionqueues import (
    AsyncActionInSyncBlock,
    CommitHookFailed,
    Step,
    action,
    current_step,
    events,
    listen,
    transaction,
)
from actionqueues.journal import Journal, UndoRequested
from actionqueues.report import Report

from . import actions
from .actions import failing, trail
from .leaving import Body, edit
from .test_recovery import CALLS
from .undoings import Undo, committed, undone, undone_async

both = pytest.mark.parametrize("undo", [undone, undone_async])
keys: list[str] = []
causes: list[BaseException | None] = []


@action
def keyed(name: str) -> str:
    keys.append(current_step().key)
    current_step().save(half=name)
    return name.upper()


@keyed.rollback
def unkeyed(name: str, result: str, step: Step[str], cause: BaseException | None) -> None:
    keys.extend([step.key, step.undo_key])
    trail.append(f"-{name} {result} {step.saved['half']} {step.state}")
    causes.append(cause)


@pytest.fixture(autouse=True)
def forgotten() -> None:
    keys.clear()
    causes.clear()


@both
@pytest.mark.parametrize(("body", "expected"), [call for call in CALLS if call[1]])
def test_a_step_of_any_kind_is_undone(path: Path, undo: Undo, body: Body, expected: list[str]) -> None:
    journal = committed(path, body)
    one = undo(journal, 1)
    assert (trail, one.state, one.clean, one.report.state) == (expected, "undone later", True, "undone later")
    assert journal.recover() == []
    assert [(entry.state, entry.owner) for entry in journal.transactions("undone later")] == [("undone later", None)]


@both
def test_a_handler_has_what_the_step_had_and_is_told_who_wants_it_and_why(path: Path, undo: Undo) -> None:
    journal = committed(path, lambda q: keyed("a"))
    assert str(undo(journal, 1, by="ada", reason="wrong price")) == "1 done: undone later, 1 undone"
    assert trail == ["-a A a done"]
    assert keys[0] == keys[1] != keys[2]
    (cause,) = causes
    assert isinstance(cause, UndoRequested)
    assert (cause.by, cause.reason, str(cause)) == ("ada", "wrong price", "by ada: wrong price")
    assert journal.show(1).error == "UndoRequested('by ada: wrong price')"


def test_who_wants_it_is_the_user_unless_somebody_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = committed(path, lambda q: (keyed("a"), keyed("b")))
    monkeypatch.setenv("LOGNAME", "grace")
    journal.undo(1)
    assert [str(cause) for cause in causes] == ["by grace", "by grace"]


def test_an_empty_name_or_reason_is_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = committed(path, lambda q: keyed("a"))
    monkeypatch.setenv("LOGNAME", "grace")
    journal.undo(1, by=" ", reason="")
    assert [str(cause) for cause in causes] == ["by grace"]


def test_a_user_without_a_name_may_undo(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import getpass

    def getuser() -> str:
        raise OSError("No username set in the environment")

    journal = committed(path, lambda q: keyed("a"))
    monkeypatch.setattr(getpass, "getuser", getuser)
    journal.undo(1)
    assert str(causes[0]) == "by a user without a name"


def test_what_the_transaction_had_undone_on_its_way_is_not_undone_again(path: Path) -> None:
    def body(q: Any) -> None:
        actions.put("a")
        with pytest.raises(LookupError), q.savepoint():
            actions.put("b")
            raise LookupError
        with pytest.raises(FileExistsError):
            actions.failed("c")
        with q.savepoint():
            actions.put("d")
        q.add(actions.put, "e")

    assert committed(path, body).undo(1).clean
    assert trail == ["-e", "-d", "-a"]


def test_async_handlers_are_awaited_and_a_program_without_a_loop_is_told_before_anything_has_happened(
    path: Path,
) -> None:
    async def main() -> None:
        async with transaction(journal=path):
            actions.put("a")
            await actions.put_async("b")

    asyncio.run(main())
    trail.clear()
    journal = Journal(path)
    with pytest.raises(AsyncActionInSyncBlock, match=r"undo of put_async is async.*await journal\.undo_async\(1\)"):
        journal.undo(1)
    assert [entry.state for entry in journal.transactions()] == ["committed"]
    assert undone_async(journal, 1).state == "undone later"
    assert trail == ["-b done", "-a"]


@both
def test_an_undo_that_fails_is_tried_again_by_a_recovery_with_the_same_cause(path: Path, undo: Undo) -> None:
    journal = committed(path, lambda q: (keyed("a"), actions.put("b")))
    failing["-b"] = OSError("not now")
    one = undo(journal, 1, by="ada")
    assert (one.state, one.clean, one.report.state) == ("stuck", False, "rolled back with failures")
    assert trail == ["-b", "-a A a done"]
    failing.clear()
    (again,) = journal.recover()
    assert (again.state, trail) == ("undone later", ["-b", "-a A a done", "-b"])
    assert again.report.error == "UndoRequested('by ada')"


def test_a_conflict_leaves_it_to_a_person_who_decides(path: Path) -> None:
    journal = committed(path, lambda q: actions.contested("a"))
    one = journal.undo(1)
    assert (one.state, len(one.report.conflicts)) == ("stuck", 1)
    assert journal.resolve(1, 1, undone=False).state == "undone later"


def test_a_stuck_one_may_be_abandoned(path: Path) -> None:
    journal = committed(path, lambda q: actions.contested("a"))
    journal.undo(1)
    assert journal.abandon(1, "it may stay").state == "undone later"


def leaves_something(q: Any) -> None:
    actions.put("a")
    actions.irreversible()
    q.add(str, 1)
    q.on_commit(len, "ab")
    q.on_commit(actions.tell, "b")


def test_what_cannot_be_undone_is_listed_before_anything_runs(path: Path) -> None:
    journal = committed(path, leaves_something)
    plan = journal.undo_plan(1)
    after = "it was called once this had committed, and nothing takes that back"
    assert plan.problems == [
        "step 3 str: nothing undoes it: it has no rollback handler",
        "step 2 irreversible: nothing undoes it: it has no rollback handler",
        f"commit hook tests.journal.actions:tell: {after}",
        f"commit hook len: {after}",
    ]
    with pytest.raises(AssertionError, match="cannot undo transaction 1 .*: this cannot be undone: step 3 str") as no:
        journal.undo(1)
    assert str(no.value).endswith("; to undo the rest all the same, say so: partly=True, --partly")
    assert (trail, journal.show(1).state) == ([], "committed")


@both
def test_partly_undoes_the_rest_and_reports_what_was_left(path: Path, undo: Undo) -> None:
    journal = committed(path, leaves_something)
    one = undo(journal, 1, partly=True)
    assert (one.state, one.clean, trail) == ("undone later", False, ["-a"])
    assert str(one) == "1 done: undone later, 1 undone, not undone: str, irreversible"
    assert [step.undo for step in journal.show(1).steps] == ["undone", "not undone", "not undone"]


def test_a_hook_of_a_hook_is_listed_too(path: Path) -> None:
    journal = Journal(path)
    with transaction(journal=journal) as q:
        q.on_commit(lambda: q.on_commit(len, "ab"))
        actions.put("a")
    names = [problem.partition(":")[0] for problem in journal.undo_plan(1).problems]
    assert names == ["commit hook <lambda>", "commit hook len"]


def test_a_durable_hook_that_nobody_has_called_keeps_nothing_from_being_undone(path: Path) -> None:
    journal = Journal(path)
    failing["!x True"] = OSError("not now")
    with pytest.raises(CommitHookFailed), transaction(journal=journal) as q:
        actions.put("a")
        q.on_commit(actions.tell, "x")
    journal.abandon(1, "not needed")
    assert journal.undo_plan(1).complete


def test_the_plan_is_in_the_order_in_which_it_would_run(path: Path) -> None:
    journal = committed(path, lambda q: (actions.put("a"), actions.Shop(3).sell("pen"), q.add(actions.Copy("b"))))
    plan = journal.undo_plan(1)
    assert str(plan).splitlines() == [
        "1 done: 3 to undo",
        "3 Copy(action=Copy(name='b')): undone by Copy.rollback",
        "2 Shop.sell(self=Shop(3), name='pen'): undone by Shop.buy_back",
        "1 put(name='a'): undone by take",
    ]
    assert [step["number"] for step in json.loads(json.dumps(plan.as_dict()))["steps"]] == [3, 2, 1]
    assert (plan.complete, plan.needs_loop, plan.repeated_by, trail) == (True, False, None, [])
    journal.undo(1)
    assert trail == ["-b", "-pen of 3", "-a"]


def test_a_plan_names_what_needs_nothing_and_what_has_done_the_same_again_since(path: Path) -> None:
    @action(read_only=True, name="tests.look")
    def look() -> None: ...

    def body(q: Any) -> None:
        look()
        actions.put("a")

    committed(path, body)
    journal = committed(path, body)
    assert str(journal.undo_plan(1)).splitlines() == [
        "1 done: 2 to undo",
        "2 put(name='a'): undone by take",
        "1 tests.look(): nothing to undo",
        "2 has done the same again since: undo that first",
    ]
    assert journal.undo(1).repeated_by == 2


def test_what_is_in_a_name_makes_no_line_of_the_plan(path: Path) -> None:
    journal = Journal(path)
    with transaction("a\n1 put(): undone by take\x1b[2J", journal=journal):
        actions.put("b\u2028c")
    assert str(journal.undo_plan(1)).splitlines() == [
        "1 a\\n1 put(): undone by take\\x1b[2J: 1 to undo",
        "1 put(name='b\\u2028c'): undone by take",
    ]


def test_many_steps_are_undone_in_pieces(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actionqueues.journal.rows.PIECE", 2)
    journal = committed(path, lambda q: [actions.put(str(n)) for n in range(5)])
    assert journal.undo_plan(1).complete
    assert len(journal.undo(1).report.undone) == 5
    assert trail == [f"-{n}" for n in reversed(range(5))]


def test_resources_are_made_again_and_only_if_it_can_be_undone(path: Path) -> None:
    made: list[str] = []
    journal = committed(path, lambda q: (actions.store("db 1", "a"), actions.irreversible()), resources={"db": str})
    journal = Journal(path, resources={"db": lambda: (made.append("db"), "db 2")[1]})
    assert [step.undo for step in journal.undo_plan(1).steps] == [None, "unstore"]
    with pytest.raises(AssertionError, match="step 2 irreversible"):
        journal.undo(1)
    assert made == []
    journal.undo(1, partly=True)
    assert (made, trail) == (["db"], ["-a in db 2"])


def test_a_resource_that_the_journal_does_not_declare_any_more_is_told(path: Path) -> None:
    committed(path, lambda q: actions.store("db", "a"), resources={"db": str})
    assert "there is no resource 'db': Journal(..., resources=" in str(Journal(path).undo_plan(1))


def test_resources_that_it_does_not_need_are_not_made(path: Path) -> None:
    committed(path, lambda q: actions.put("a"))
    assert Journal(path, resources={"db": pytest.fail}).undo(1).clean


def test_a_resource_that_cannot_be_made_is_told_before_anything_is_undone(path: Path) -> None:
    committed(path, lambda q: (actions.store("db", "a"), actions.put("b")), resources={"db": str})

    def fail() -> str:
        raise ConnectionError("refused")

    journal = Journal(path, resources={"db": fail})
    with pytest.raises(AssertionError, match="step 1 store: .*there is no resource 'db'"):
        journal.undo(1)
    assert (trail, journal.show(1).state) == ([], "committed")
    assert journal.undo(1, partly=True).state == "stuck"
    assert Journal(path, resources={"db": lambda: "db"}).recover()[0].state == "undone later"
    assert trail == ["-b", "-a in db"]


def test_relative_paths_are_not_followed_from_elsewhere_unless_asked_to(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "a.txt").touch()
    monkeypatch.chdir(there)
    journal = committed(path, lambda q: actions.put("a.txt"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError, match=r"step 1 put: .*'a\.txt' is relative to"):
        journal.undo(1)
    assert journal.undo_plan(1, chdir=True).complete
    assert journal.undo(1, chdir=True).clean
    assert (trail, Path.cwd()) == (["-a.txt"], tmp_path)


def test_what_is_undone_later_is_forgotten_like_all_that_has_ended_and_what_is_stuck_is_not(path: Path) -> None:
    journal = committed(path, lambda q: actions.put("a"))
    with transaction(journal=journal):
        actions.contested("b")
    journal.undo(1)
    journal.undo(2)
    assert journal.prune() == 1
    assert [entry.id for entry in journal.transactions()] == [2]


def test_whoever_listens_hears_of_it_as_of_a_recovery(path: Path) -> None:
    journal = committed(path, lambda q: actions.put("a"))
    heard: list[tuple[str, str, str]] = []

    def hear(event: events.Event) -> None:
        heard.append((type(event).__name__, event.report.kind, str(event.report.state)))

    with listen(hear):
        journal.undo(1)
    assert [name for name, *_ in heard] == [
        "TransactionOpened", "TransactionRollingBack", "StepUndoing", "StepUndone", "TransactionRolledBack",
        "TransactionEnded",
    ]  # fmt: skip
    assert heard[-1][1:] == ("recovery", "undone later")


def test_its_report_is_data_and_is_drawn(path: Path) -> None:
    journal = committed(path, lambda q: actions.put("a"))
    one = journal.undo(1, by="ada")
    for report in (one.report, journal.show(1).report, Report.from_dict(journal.show(1).report.as_dict())):
        assert report.state == "undone later"
        assert report.summary.startswith("done undone later: 1 undone")
        assert "undone later: after UndoRequested('by ada'), 1 undone" in str(report).replace("\n  ", " ")
        assert "undone later" in report.to_mermaid()
        assert "exception" not in report.to_mermaid()
        assert "undone later" in report.to_svg()


def test_it_is_told_in_the_log(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = committed(path, lambda q: actions.put("a"))
    caplog.set_level(logging.INFO, "actionqueues")
    journal.undo(1, by="ada")
    assert caplog.messages == ["done undone later: 1 undone, because of UndoRequested('by ada')"]


def test_a_request_that_somebody_has_written_over_is_told_as_it_is(path: Path) -> None:
    journal = committed(path, lambda q: keyed("a"))
    failing["-b"] = OSError()
    with transaction(journal=journal):
        actions.put("b")
    journal.undo(2)
    edit(path, "UPDATE transactions SET requested = 'me, today' WHERE id = 2")
    edit(path, "UPDATE steps SET name = 'tests.journal.test_undo_later:keyed', arguments = '{\"name\": \"b\"}', "
         "result = '1', saved = '{\"half\": 1}' WHERE tx = 2")  # fmt: skip
    failing.clear()
    assert Journal(path).recover()[0].state == "undone later"
    assert str(causes[0]) == "by somebody: me, today"


def test_a_serializer_and_redaction_hold_as_in_recovery(path: Path) -> None:
    journal = committed(path, lambda q: (actions.pay("1234", 5), actions.pay_with("1234")), redact=("card",))
    assert [problem.partition(": ")[0] for problem in journal.undo_plan(1).problems] == ["step 2 pay_with"]
    one = journal.undo(1, partly=True)
    assert (one.state, trail) == ("stuck", ["-5"])
    assert journal.resolve(1, 2, undone=True).state == "undone later"
