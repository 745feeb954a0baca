"""What recovery makes of a file: every step undone in reverse, by its own handler, or a reason why not."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import actionqueues
from actionqueues import IllegalOperation, Transaction, transaction
from actionqueues.journal import Journal, Recovered, durable

from . import actions
from .actions import failing, trail

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.CRITICAL)
    trail.clear()
    failing.clear()
    yield
    Journal(tmp_path / "actions.db").close()


Body = Callable[[Any], object]


def leave(path: Path, body: Body, **options: Any) -> None:
    """Let a process run a body in a transaction, and die in it."""
    pid = os.fork()
    if pid == 0:
        try:
            with transaction("left", journal=Journal(path, **options)) as q:
                body(q)
                os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def leave_async(path: Path, body: Callable[[Any], Any]) -> None:
    pid = os.fork()
    if pid == 0:

        async def main() -> None:
            async with transaction("left", journal=Journal(path)) as q:
                await body(q)
                os._exit(7)

        try:
            asyncio.run(main())
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "actions.db"


def edit(path: Path, statement: str, *values: Any) -> None:
    Journal(path).close()
    db = sqlite3.connect(path)
    db.execute(statement, values)
    db.commit()
    db.close()


def recovered(path: Path, **options: Any) -> Recovered:
    (one,) = Journal(path, **options).recover()
    return one


CALLS: list[tuple[Body, list[str]]] = [
    (lambda q: (actions.put("a"), actions.put("b")), ["-b", "-a"]),
    (lambda q: actions.create("a"), ["-id of a"]),
    (lambda q: actions.Shop(3).sell("pen"), ["-pen of 3"]),
    (lambda q: actions.Branch(3).sell("pen"), ["-pen of branch 3"]),
    (lambda q: actions.Branch.open_shop("x"), ["-Branch x"]),
    (lambda q: (q.add(actions.Copy("a")), q.execute()), ["-a"]),
    (lambda q: (q.add(actions.put, "a"), q.execute()), ["-a"]),
    (lambda q: q.on_rollback(actions.by_hand, "a"), ["-a by hand"]),
    (lambda q: actions.new_name("a"), ["-a"]),
    (lambda q: (q.add(str, 1), q.execute()), []),
    (lambda q: actions.irreversible(), []),
]


@pytest.mark.parametrize(("body", "expected"), CALLS)
def test_a_step_of_any_kind_is_undone(path: Path, body: Body, expected: list[str]) -> None:
    leave(path, body)
    one = recovered(path)
    assert (trail, one.state, one.clean) == (expected, "rolled back", True)
    assert Journal(path).recover() == []


def test_what_cannot_be_undone_is_in_the_report(path: Path) -> None:
    leave(path, lambda q: actions.irreversible())
    one = recovered(path)
    assert [step.name for step in one.report.not_undone] == ["irreversible"]
    assert Journal(path).show(1).steps[0].undo == "not undone"


def test_a_step_that_had_failed_is_given_its_error(path: Path) -> None:
    failing["-a FileExistsError(17, 'exists')"] = OSError("not now")

    def body(q: Any) -> None:
        with pytest.raises(FileExistsError):
            actions.failed("a")

    leave(path, body)
    failing.clear()
    assert recovered(path).state == "rolled back"
    assert trail == ["-a FileExistsError(17, 'exists')"]


def test_a_transaction_that_committed_is_never_undone(path: Path) -> None:
    with transaction(journal=path):
        actions.put("a")
    Journal(path).close()
    assert Journal(path).recover() == []
    assert trail == ["+a"]


def test_a_savepoint_that_was_undone_is_not_undone_again(path: Path) -> None:
    def body(q: Transaction) -> None:
        actions.put("a")
        try:
            with q.savepoint():
                actions.put("b")
                raise LookupError
        except LookupError:
            actions.put("c")

    leave(path, body)
    recovered(path)
    assert trail == ["-c", "-a"]


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


def test_a_probe_that_fails_leaves_it_unknown(path: Path) -> None:
    unknown(path, lambda q: actions.probed("a"))
    failing["?a"] = ConnectionError()
    assert recovered(path).state == "rolled back"
    assert trail == ["?a", "-None unknown"]


# -- failures


def test_it_continues_past_failures_and_tries_again_the_next_time(path: Path) -> None:
    leave(path, lambda q: (actions.put("a"), actions.put("b")))
    failing["-b"] = OSError("not now")
    one = recovered(path)
    assert (one.state, trail) == ("stuck", ["-b", "-a"])
    assert one.reason == "tests.journal.actions:put: OSError('not now')"
    failing.clear()
    assert recovered(path).state == "rolled back"
    assert trail == ["-b", "-a", "-b"]


def test_the_count_of_a_retry_goes_on(path: Path) -> None:
    leave(path, lambda q: actions.stubborn("a"))
    row = "INSERT INTO undos (tx, number, attempt, started) VALUES (1, 1, ?, '2999-01-01 00:00:00')"
    for attempt in (1, 2, 3):
        edit(path, row, attempt)
    failing["-a"] = ConnectionError()
    assert recovered(path).state == "stuck"
    assert trail == ["-a", "-a"]


def test_a_conflict_waits_for_a_person(path: Path) -> None:
    leave(path, lambda q: (actions.put("a"), actions.contested("b")))
    assert recovered(path).state == "stuck"
    assert recovered(path).state == "stuck"
    assert trail == ["-b", "-a"]
    journal = Journal(path)
    assert journal.resolve(1, 2, undone=True).state == "rolled back"
    assert journal.recover() == []


def test_a_decision_that_nothing_is_undone_is_recorded_too(path: Path) -> None:
    leave(path, lambda q: (actions.contested("a"), actions.contested("b")))
    recovered(path)
    journal = Journal(path)
    assert journal.resolve(1, 2, undone=False).state == "stuck"
    entry = journal.resolve(1, 1, undone=False)
    assert [(step.undo, step.reason) for step in entry.steps] == [("not undone", "decided by a person")] * 2


def test_only_what_is_stuck_is_decided(path: Path) -> None:
    with transaction(journal=path):
        actions.put("a")
    with pytest.raises(IllegalOperation, match="the transaction is committed"):
        Journal(path).resolve(1, 1, undone=True)
    with pytest.raises(LookupError, match="no such step"):
        Journal(path).resolve(1, 2, undone=True)
    with pytest.raises(LookupError, match="no transaction 5"):
        Journal(path).show(5)


def test_a_live_rollback_that_failed_is_recovered_later(path: Path) -> None:
    failing["-a"] = OSError("not now")
    with pytest.raises(LookupError), transaction(journal=path):
        actions.put("a")
        raise LookupError
    assert [entry.state for entry in Journal(path).transactions()] == ["stuck"]
    failing.clear()
    assert recovered(path).state == "rolled back"
    assert trail == ["+a", "-a", "-a"]


def test_ctrl_c_in_a_handler_comes_out_and_the_rest_is_recovered(path: Path) -> None:
    leave(path, lambda q: (actions.put("a"), actions.put("b")))
    leave(path, lambda q: actions.put("c"))
    failing["-b"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        Journal(path).recover()
    assert trail == ["-b", "-a"]
    failing.clear()
    assert [one.state for one in Journal(path).recover()] == ["rolled back", "rolled back"]
    assert trail == ["-b", "-a", "-b", "-c"]


def test_a_hundred_times_more_steps_than_a_piece_are_undone_in_order(path: Path) -> None:
    leave(path, lambda q: [actions.put(str(number)) for number in range(1201)], durability="process")
    Journal(path).close()
    assert recovered(path).state == "rolled back"
    assert trail == [f"-{number}" for number in reversed(range(1201))]


# -- async


async def put_both(q: Any) -> None:
    actions.put("a")
    await actions.put_async("b")


def test_what_needs_an_event_loop_waits_for_one(path: Path) -> None:
    leave_async(path, put_both)
    one = recovered(path)
    assert (one.state, trail) == ("waiting", [])
    assert "recover_async" in (one.reason or "")
    (done,) = asyncio.run(Journal(path).recover_async())
    assert (done.state, trail) == ("rolled back", ["-b done", "-a"])


def test_an_async_recovery_has_async_resources(path: Path) -> None:
    async def connect() -> str:
        return "db"

    leave(path, lambda q: actions.store(object(), "a"), resources={"db": object})
    (done,) = asyncio.run(Journal(path, resources={"db": connect}).recover_async())
    assert (done.state, trail) == ("rolled back", ["-a in db"])


# -- hooks


def committed(path: Path, *hooks: Callable[..., object]) -> None:
    """Let a process commit, and die before the first hook."""
    pid = os.fork()
    if pid == 0:
        try:
            with transaction("left", journal=path) as q:
                actions.put("a")
                q.on_commit(os._exit, 7)
                for hook in hooks:
                    q.on_commit(hook, "x")
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_durable_hooks_are_called_by_recovery(path: Path) -> None:
    committed(path, actions.tell, durable(actions.put))
    one = recovered(path)
    assert (one.state, trail) == ("committed", ["!x True", "+x"])
    assert Journal(path).recover() == []


def test_a_durable_hook_that_fails_is_called_again(path: Path) -> None:
    failing["!x True"] = OSError("not now")
    with pytest.raises(actionqueues.CommitHookFailed), transaction(journal=path) as q:
        q.on_commit(actions.tell, "x")
        q.on_commit(actions.tell, "y")
    assert trail == ["!x True", "!y True"]
    one = recovered(path)
    assert (one.state, one.reason) == ("stuck", "commit hook tests.journal.actions:tell: OSError('not now')")
    failing.clear()
    assert recovered(path).state == "committed"
    assert trail == ["!x True", "!y True", "!x True", "!x True"]


def test_a_hook_that_need_not_be_called_any_more(path: Path) -> None:
    committed(path, actions.tell)
    failing["!x True"] = OSError("not now")
    recovered(path)
    journal = Journal(path)
    with pytest.raises(LookupError):
        journal.resolve_hook(1, 9)
    (hook,) = journal.show(1).hooks
    assert journal.resolve_hook(1, hook.number).ended is not None
    with pytest.raises(IllegalOperation):
        journal.resolve_hook(1, hook.number)


def test_an_async_hook_waits_for_an_event_loop(path: Path) -> None:
    async def main() -> None:
        async with transaction("left", journal=path) as q:
            q.on_commit(os._exit, 7)
            q.on_commit(actions.tell_async, "x")

    pid = os.fork()
    if pid == 0:
        asyncio.run(main())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert recovered(path).state == "waiting"
    (done,) = asyncio.run(Journal(path).recover_async())
    assert (done.state, trail) == ("committed", ["!x"])


def test_a_hook_of_something_else_is_not_called(path: Path) -> None:
    committed(path, actions.tell)
    edit(path, "UPDATE hooks SET name = 'os:system'")
    assert "no action" in (recovered(path).reason or "")


def test_a_recovery_is_one_line_at_the_start_of_a_program(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    Journal(path, recover_on_open=True)
    assert trail == ["-a"]


def test_the_text_of_what_was_done_reads_well(path: Path) -> None:
    leave(path, lambda q: actions.put("a"))
    assert str(recovered(path)) == "1 left: rolled back, 1 undone"
