"""A transaction of the journal as the data of a report: what happened, what was undone, what is left."""

from __future__ import annotations

import datetime as dt
import json
from collections import OrderedDict, deque
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from actionqueues import NotLanded, Retry, action, transaction
from actionqueues.journal import Journal
from actionqueues.journal.reporting import report_data, steps_of

from . import actions
from .actions import failing, put
from .leaving import edit, leave, recovered
from .stage import run


def data_of(path: Path, number: int = 1) -> dict[str, Any]:
    data = report_data(Journal(path).show(number))
    assert json.loads(json.dumps(data)) == data
    return data


def one_step(path: Path, number: int = 1) -> dict[str, Any]:
    (step,) = data_of(path, number)["steps"]
    found: dict[str, Any] = step
    return found


def told(data: dict[str, Any], key: str, *more: str) -> list[Any]:
    return [(step[key], *(step[each] for each in more)) if more else step[key] for step in data["steps"]]


@action(read_only=True)
def look_up(name: str) -> str:
    return name


@action(retry=Retry(attempts=3, wait_initial=0, wait_jitter=0))
def flaky(name: str) -> None:
    actions.note(f"+{name}")
    if actions.trail.count(f"+{name}") < 2:
        raise ConnectionError(name)


@flaky.rollback
def unflaky(name: str) -> None:
    actions.note(f"-{name}")


def test_a_committed_transaction_has_its_steps_with_their_times(path: Path) -> None:
    with transaction("sign-up", journal=Journal(path)):
        put("a")
        flaky("b")
        look_up("c")
    data = data_of(path)
    assert (data["format"], data["kind"], data["name"], data["id"]) == (1, "transaction", "sign-up", 1)
    assert (data["state"], data["error"], data["reason"], data["clean"]) == ("committed", None, None, True)
    assert told(data, "number", "name", "arguments", "state", "attempts", "undo") == [
        (1, "put", "name='a'", "done", 1, None),
        (2, "flaky", "name='b'", "done", 2, None),
        (3, "look_up", "name='c'", "done", 1, None),
    ]
    assert told(data, "kind", "error", "queued", "contains") == [("step", None, None, [])] * 3
    assert all(len(step["key"]) == 32 for step in data["steps"])
    times = [data["started"], *(step[key] for step in data["steps"] for key in ("started", "ended")), data["ended"]]
    assert times == sorted(times)
    now = dt.datetime.now(dt.UTC).timestamp()
    assert now - 3600 < times[0] <= now
    assert (data["undone"], data["left"], data["hooks"]) == ([], [], [])


def test_a_rolled_back_one_has_why_and_what_was_undone_in_which_order(path: Path) -> None:
    with pytest.raises(FileExistsError), transaction("sign-up", journal=Journal(path)) as q:
        put("a")
        q.on_rollback(actions.by_hand, name="h")
        look_up("b")
        actions.irreversible()
        q.add(print, end="")
        q.execute()
        actions.failed("c")
    data = data_of(path)
    assert (data["state"], data["clean"]) == ("rolled back", False)
    assert data["error"] == "FileExistsError(17, 'exists')"
    assert data["undone"] == ["failed", "by_hand", "put"]
    assert data["left"] == data["not_undone"] == ["irreversible", "print"]
    assert told(data, "kind", "name", "state", "undo") == [
        ("step", "put", "done", "undone"),
        ("by hand", "by_hand", "done", "undone"),
        ("step", "look_up", "done", None),
        ("step", "irreversible", "done", "not undone"),
        ("step", "print", "done", "not undone"),
        ("step", "failed", "failed", "undone"),
    ]
    assert told(data, "arguments")[:2] == ["name='a'", "name='h'"]
    assert told(data, "reason")[3:5] == ["no rollback handler"] * 2
    assert data["steps"][5]["error"] == "FileExistsError(17, 'exists')"
    assert told(data, "undo_attempts") == [1, 1, 0, 0, 0, 1]
    for step in data["steps"]:
        if step["undo"] == "undone":
            assert step["ended"] <= step["undo_started"] <= step["undo_ended"]
        else:
            assert step["undo_started"] is step["undo_ended"] is None


def test_a_plain_rollback_has_no_error(path: Path) -> None:
    with transaction("sign-up", journal=Journal(path)) as q:
        put("a")
        q.rollback()
    data = data_of(path)
    assert (data["state"], data["error"], data["undone"], data["clean"]) == ("rolled back", None, ["put"], True)


def test_what_could_not_be_undone_is_told_with_its_error(path: Path) -> None:
    failing["-a"] = OSError("later")
    with pytest.raises(KeyError), transaction("sign-up", journal=Journal(path)):
        actions.contested("x")
        actions.stubborn("a")
        raise KeyError
    data = data_of(path)
    assert (data["state"], data["clean"], data["undone"]) == ("stuck", False, [])
    assert data["reason"].startswith("tests.journal.actions:stubborn: OSError('later')")
    assert data["failures"] == [{"step": "stubborn", "error": "OSError('later')"}]
    assert data["conflicts"] == [{"step": "contested", "error": "RollbackConflict('x')"}]
    assert data["left"] == ["stubborn", "contested"]
    assert told(data, "undo", "undo_error", "undo_attempts", "reason") == [
        ("conflict", "RollbackConflict('x')", 1, None),
        ("undo failed", "OSError('later')", 5, None),
    ]


def test_a_decision_of_a_person_is_told(path: Path) -> None:
    failing.update({"-a": OSError("later"), "-b": OSError("later")})
    with pytest.raises(KeyError), transaction("sign-up", journal=Journal(path)):
        put("a")
        put("b")
        raise KeyError
    Journal(path).resolve(1, 1, undone=True)
    Journal(path).resolve(1, 2, undone=False)
    data = data_of(path)
    assert (data["state"], data["undone"], data["not_undone"]) == ("rolled back", ["put"], ["put"])
    assert told(data, "undo", "reason") == [("undone", "decided by a person"), ("not undone", "decided by a person")]


def test_a_step_whose_undo_needs_a_result_is_skipped(path: Path) -> None:
    failing["+a"] = OSError("first")
    with pytest.raises(OSError, match="first"), transaction("sign-up", journal=Journal(path)):
        actions.create("a")
    data = data_of(path)
    assert (data["skipped"], data["left"], data["state"]) == (["create"], ["create"], "rolled back")
    assert told(data, "undo", "reason") == [("skipped", "its undo needs its result, which it does not have")]


def test_what_a_killed_process_has_left_is_not_undone_yet(path: Path) -> None:
    leave(path, lambda q: put("a"))
    data = data_of(path)
    assert (data["state"], data["ended"], data["undone"], data["left"]) == ("open", None, [], [])
    assert told(data, "state", "undo", "reason") == [("done", None, None)]
    assert recovered(path).state == "rolled back"
    data = data_of(path)
    assert (data["state"], data["error"], data["undone"]) == ("rolled back", "its process died", ["put"])


def test_nobody_knows_of_a_step_in_which_its_process_died(path: Path, tmp_path: Path) -> None:
    assert run(tmp_path, "die").killed
    assert told(data_of(path), "name", "state") == [("put", "done"), ("die", "unknown")]


def test_a_step_that_a_live_process_runs_is_running(path: Path) -> None:
    seen: list[dict[str, Any]] = []

    def look(_: object) -> None:
        seen.append(data_of(path))

    with transaction("sign-up", journal=Journal(path)) as q:
        put("a")
        q.add(look, None)
    (data,) = seen
    assert (data["state"], told(data, "state"), data["ended"]) == ("open", ["done", "running"], None)


def test_an_undo_that_a_live_process_runs_is_running(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def look(text: str) -> None:
        seen.extend([one_step(path)] if text == "-a" else [])

    monkeypatch.setattr(actions, "note", look)
    with transaction("sign-up", journal=Journal(path)) as q:
        put("a")
        q.rollback()
    assert [(step["undo"], step["undo_attempts"], step["undo_ended"]) for step in seen] == [("running", 1, None)]


def test_an_undo_that_failed_and_in_which_the_process_then_died_has_failed(path: Path) -> None:
    leave(path, lambda q: put("a"))
    edit(path, "INSERT INTO undos (tx, number, attempt, started) VALUES (1, 1, 2, '2026-01-01 00:00:00.500')")
    edit(path, "UPDATE steps SET undo = 'undo failed', reason = 'OSError()'")
    assert (one_step(path)["undo"], one_step(path)["undo_error"]) == ("undo failed", "OSError()")


def test_an_undo_in_which_its_process_died_is_told(path: Path) -> None:
    leave(path, lambda q: put("a"))
    edit(path, "INSERT INTO undos (tx, number, attempt, started) VALUES (1, 1, 1, '2026-01-01 00:00:00.500')")
    step = one_step(path)
    assert (step["undo"], step["undo_attempts"], step["undo_ended"]) == (None, 1, None)
    assert step["reason"] == "its process died in its undo"
    assert step["undo_started"] == dt.datetime(2026, 1, 1, 0, 0, 0, 500_000, dt.UTC).timestamp()


def test_a_step_that_recovery_cannot_make_again_has_failed_to_be_undone(path: Path) -> None:
    leave(path, lambda q: put("a"))
    edit(path, "UPDATE steps SET name = 'nowhere:gone'")
    report = recovered(path).report.as_dict()
    data = data_of(path)
    assert (data["state"], told(data, "name", "undo")) == ("stuck", [("gone", "undo failed")])
    assert data["failures"][0]["error"].startswith("no action is called 'nowhere:gone'")
    assert len(report["failures"]) == len(data["failures"]) == 1


def test_steps_that_a_third_ctrl_c_has_left_are_abandoned(path: Path) -> None:
    leave(path, lambda q: put("a"))
    reason = "a third Ctrl-C has cut the rollback short"
    edit(path, "UPDATE transactions SET state = 'stuck', owner = NULL, reason = ?", reason)
    data = data_of(path)
    assert (data["abandoned"], data["left"], data["reason"]) == (["put"], ["put"], reason)


def test_a_step_that_never_happened_is_not_left(path: Path) -> None:
    leave(path, lambda q: actions.probed("a"))
    edit(path, "UPDATE steps SET state = 'running', result = NULL")
    failing["?a"] = NotLanded("never")
    assert recovered(path).clean
    assert (told(data_of(path), "undo"), data_of(path)["clean"]) == (["not landed"], True)


def test_a_step_that_never_ran_is_dropped(path: Path) -> None:
    leave(path, lambda q: put("a"))
    edit(path, "UPDATE steps SET state = 'never run'")
    data = data_of(path)
    assert (data["dropped"], told(data, "state", "undo")) == (["put"], [("dropped", None)])


def test_hooks_are_done_or_failed_or_not_run(path: Path) -> None:
    failing["!b True"] = OSError("not now")
    with pytest.raises(ExceptionGroup), transaction("hooked", journal=Journal(path)) as q:
        q.on_commit(actions.tell, "a")
        q.on_commit(actions.tell, "b")
        q.on_commit(actions.tell, "c")
    edit(path, "UPDATE hooks SET ended = NULL WHERE number = 3")
    data = data_of(path)
    assert data["hooks"] == [
        {"name": "tell", "state": "done", "error": None},
        {"name": "tell", "state": "failed", "error": "OSError('not now')"},
        {"name": "tell", "state": "not run", "error": None},
    ]
    assert (data["hook_failures"], data["hooks_not_run"]) == (
        [{"hook": "tell", "error": "OSError('not now')"}],
        ["tell"],
    )
    assert (data["state"], data["ended"], data["clean"]) == ("committed", None, True)


# -- arguments and errors as short texts


class Place(NamedTuple):
    street: str
    number: int


class Colour(Enum):
    RED = 1


@action(name="any: value")
def keep(*values: Any, **more: Any) -> None:
    pass


VALUES = [
    ((1, "a", None, 1.5, True), {}, "values=(1, 'a', None, 1.5, True), more={}"),
    (((1,), {2}, b"x"), {}, "values=((1,), {2}, b'x'), more={}"),
    ((deque([1]), [{"a": 1}]), {}, "values=([1], [{'a': 1}]), more={}"),
    ((), {"k": {3: "x"}}, "values=(), more={'k': {3: 'x'}}"),
    ((OrderedDict(a=1),), {}, "values=({'a': 1},), more={}"),
    ((2**70, Decimal("1.5")), {}, "values=(1180591620717411303424, decimal('1.5')), more={}"),
    ((Place("s", 1), Colour.RED, int), {}, "values=(Place('s', 1), Colour('RED'), int), more={}"),
    ((actions.Copy("c"), actions.Shop(3)), {}, "values=(Copy(name='c'), Shop(3)), more={}"),
    (("\n\x1b[2J\u202e<script>",), {}, "values=('\\n\\x1b[2J\\u202e<script>',), more={}"),
    (("x" * 5000,), {}, f"values=('{'x' * 50}…"),
]


@pytest.mark.parametrize(("args", "kwargs", "text"), VALUES)
def test_arguments_are_one_short_line(args: Any, kwargs: Any, text: str, path: Path) -> None:
    with transaction("t", journal=Journal(path)):
        keep(*args, **kwargs)
    step = one_step(path)
    assert step["name"] == "any: value"
    assert step["arguments"] == text
    assert len(text) <= 60


def test_what_is_kept_out_of_the_file_stays_out(path: Path) -> None:
    with transaction("t", journal=Journal(path, redact=["card"], resources={"db": object})):
        actions.pay("4111-1111", 900)
        actions.store(object(), "a")
    assert told(data_of(path), "arguments") == ["card=<redacted>, amount=900", "db=<resource>, name='a'"]


def test_an_action_object_and_a_plain_function_keep_their_names(path: Path) -> None:
    with transaction("t", journal=Journal(path)) as q:
        q.add(actions.Copy("c"))
        q.add(print, "mod:fun", end="", sep="")
    assert told(data_of(path), "name", "arguments") == [("Copy", "action=Copy(name='c')"), ("print", "")]


DAMAGES = [
    ("UPDATE steps SET arguments = '{'", "arguments", "{"),
    ("UPDATE steps SET arguments = '1'", "arguments", "1"),
    ('UPDATE steps SET arguments = \'{"a": {"$int": 7}}\'', "arguments", '{"a": {"$int": 7}}'),
    ("UPDATE steps SET arguments = X'00'", "arguments", "b'\\x00'"),
    ("UPDATE steps SET arguments = '[[[]], 1]'", "arguments", "[[[]], 1]"),
    ("UPDATE steps SET started = 'noon'", "started", None),
    ("UPDATE steps SET started = 12", "started", None),
    ("UPDATE steps SET error = 'no JSON'", "error", "no JSON"),
    ("UPDATE steps SET error = '[]'", "error", "[]"),
    ("UPDATE steps SET error = X'00', name = X'01'", "name", "b'\\x01'"),
    ("UPDATE steps SET undo = 'elsewhere'", "undo", "elsewhere"),
    ("UPDATE steps SET kind = 'by hand', arguments = '[[\"b\", 1], {}]'", "arguments", "'b', 1"),
    ("UPDATE steps SET undo = 'undone', undone = 'noon'", "undo", None),
    ("UPDATE steps SET reason = 5, undo = 'conflict'", "undo_error", "5"),
]


@pytest.mark.parametrize(("statement", "key", "value"), DAMAGES)
def test_whatever_somebody_has_written_into_the_file_is_shown(
    statement: str, key: str, value: object, path: Path
) -> None:
    leave(path, lambda q: put("a"))
    edit(path, statement)
    assert one_step(path)[key] == value


def test_deep_arguments_are_shown_as_they_stand(path: Path) -> None:
    leave(path, lambda q: put("a"))
    edit(path, "UPDATE steps SET arguments = ?", f'{{"a": {"[" * 100_000}{"]" * 100_000}}}')
    assert one_step(path)["arguments"] == f'{{"a": {"[" * 53}…'


def test_the_steps_of_what_has_been_deleted_are_none(path: Path) -> None:
    assert steps_of(Journal(path).store, 17) == []
