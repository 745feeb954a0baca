"""What a report, a step, an action and a transaction tell about themselves, as data and in one line."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from actionqueues import (
    CommitHookFailed,
    Report,
    Retry,
    RollbackConflict,
    Step,
    Transaction,
    TransactionDoomed,
    action,
    current_step,
    transaction,
)

from .world import Boom, World, outcomes


@pytest.fixture
def w() -> World:
    return World()


def test_a_report_tells_everything_that_a_rollback_has_come_to(w: World) -> None:
    with pytest.raises(Boom), transaction("order") as q:
        w.define("fine")()
        w.define("stuck", undo_fails=[Boom("stuck")])()
        w.define("theirs", undo_fails=[RollbackConflict("theirs")])()
        w.define("mail", irreversible=True, undo=False)()
        w.define("plain", undo=False)()
        with w.caught():
            w.define("needy", needs_result=True, fails=[Boom("needy")])()
        q.add(w.define("queued"))
        raise Boom("body")
    report = q.report
    assert outcomes(report) == {
        "undone": ["fine"],
        "failures": [{"step": "stuck", "error": "Boom('stuck')"}],
        "conflicts": [{"step": "theirs", "error": "RollbackConflict('theirs')"}],
        "skipped": ["needy"],
        "not_undone": ["plain", "mail"],
        "dropped": ["queued"],
    }
    assert report.as_dict()["left"] == [step.name for step in report.left]
    assert json.loads(json.dumps(report.as_dict())) == report.as_dict()
    assert report.summary == (
        "order rolled back with failures: 1 undone, undo of stuck failed (Boom('stuck')), conflict in theirs "
        "(RollbackConflict('theirs')), skipped: needy, not undone: plain, mail, never started: queued"
    )
    assert repr(report) == f"<Report {report.summary}>"
    assert repr(q) == f"<Transaction 'order' {report.summary.removeprefix('order ')}>"
    assert [step.state for step in (*report.skipped, *report.not_undone, *report.dropped)] == [
        "skipped",
        "not undone",
        "not undone",
        "dropped",
    ]


def test_a_report_of_a_commit_is_clean_and_short(w: World) -> None:
    with transaction("order") as q:
        report = q.report
        assert (report.summary, report.state) == ("order open", "open")
        w.define("a")()
    assert q.report is report
    assert (report.summary, report.clean) == ("order committed", True)


@pytest.mark.parametrize("problem", [None, Boom("stuck"), RollbackConflict("theirs")], ids=repr)
def test_a_report_is_clean_if_every_undo_that_was_due_has_succeeded(problem: Exception | None, w: World) -> None:
    with pytest.raises(Boom, match="body"), transaction() as q:
        w.define("a", undo_fails=[problem] if problem else [])()
        w.define("b", undo=False, read_only=True)()
        raise Boom("body")
    assert q.report.clean is (problem is None)
    assert q.report.failed is (problem is not None)
    assert [step.name for step in q.report.left] == ([] if problem is None else ["a"])


@pytest.mark.parametrize("kind", ["no handler", "irreversible", "skipped"])
def test_what_nothing_undoes_is_left_and_told_without_being_asked_for(
    kind: str, w: World, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Boom, match="body") as caught, transaction("order") as q:
        w.define("a")()
        if kind == "skipped":
            with w.caught():
                w.define("b", needs_result=True, fails=[Boom("b")])()
        else:
            w.define("b", undo=False, irreversible=kind == "irreversible")()
        raise Boom("body")
    assert [step.name for step in q.report.left] == ["b"]
    assert (q.state, q.report.clean, q.report.failed) == ("rolled back", False, False)
    reason = {"no handler": "no rollback handler", "skipped": "undo_b needs its result, which it does not have"}
    told = f"not undone: b ({reason.get(kind, kind)})"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("WARNING", f"order: {told}")]
    assert caught.value.__notes__ == [f"actionqueues: {told}"]


def test_what_a_savepoint_had_to_leave_is_in_the_report_of_the_block_around_it(w: World) -> None:
    with transaction() as q:
        with w.caught(), q.savepoint() as inner:
            w.define("b", undo=False)()
            raise Boom("inner")
        w.define("a")()
    assert ([step.name for step in inner.report.left], [step.name for step in q.report.left]) == (["b"], ["b"])
    assert (q.state, q.report.clean) == ("committed", False)


def test_a_report_can_be_read_while_the_rollback_is_under_way(w: World) -> None:
    seen: list[str] = []

    async def read(_: Any) -> None:
        seen.extend((q.report.summary, repr(q)))

    with pytest.raises(Boom), transaction("order") as q:
        w.define("a", undo=read)()
        w.define("b")()
        raise Boom("body")
    assert seen == ["order rolling back: 1 undone", "<Transaction 'order' rolling back: 1 undone>"]


def test_steps_are_reported_in_the_order_in_which_they_were_undone(w: World) -> None:
    with pytest.raises(Boom), transaction() as q:
        with w.caught():
            w.define("a", fails=[Boom("a")])()
        w.define("b")()
        w.define("c")()
        raise Boom("body")
    assert q.report.undone == ["a", "c", "b"]


def test_a_plain_report_is_empty() -> None:
    report = Report("mine", "open")
    assert (report.summary, report.outcomes, report.clean) == ("mine open", "", True)


# ---------------------------------------------------------------- transactions


def test_a_transaction_shows_its_state_and_counts(w: World) -> None:
    q = transaction("order")
    parts: list[Transaction] = []
    shown = [repr(q)]
    with pytest.raises(Boom), q:
        shown.append(repr(q))
        w.define("a")()
        shown.append(repr(q))
        q.add(w.define("b"))
        parts.append(q.savepoint("part"))
        with parts[0]:
            w.define("c")()
            shown += [repr(parts[0]), repr(q)]
        q.add(w.define("d"))
        shown.append(repr(q))
        raise Boom("body")
    assert shown == [
        "<Transaction 'order' new>",
        "<Transaction 'order' open, 0 steps>",
        "<Transaction 'order' open, 1 step>",
        "<Savepoint 'part' open, 1 step>",
        "<Transaction 'order' open, 2 steps, 1 queued>",
        "<Transaction 'order' open, 2 steps, 2 queued>",
    ]
    assert repr(q) == "<Transaction 'order' rolled back: 2 undone, never started: b, d>"
    assert repr(parts[0]).startswith("<Savepoint 'part' ")


def test_a_doomed_transaction_says_so(w: World) -> None:
    with pytest.raises(TransactionDoomed), transaction("order") as q:
        with w.caught():
            w.define("a", fails=[Boom("a")], undo_fails=[Boom("stuck")])()
        with transaction("part") as part:
            assert repr(part) == "<Transaction 'part' open, 0 steps, doomed>"
            raise_on_commit = repr(q)
        assert raise_on_commit.startswith("<Transaction 'order' open, 0 steps, doomed: undo of a failed (Boom('stuck')")


def test_a_committed_transaction_tells_what_was_undone_on_the_way_and_which_hook_failed(w: World) -> None:
    def hook() -> None:
        raise Boom("hook")

    with pytest.raises(CommitHookFailed), transaction("order") as q:
        with w.caught():
            w.define("a", fails=[Boom("a")])()
        q.on_commit(hook)
    shown = repr(q)
    assert shown.startswith("<Transaction 'order' committed: 1 undone, commit hook ")
    assert shown.endswith("hook failed (Boom('hook'))>")


@pytest.mark.parametrize("name", ["", "two\nlines", "it's"])
def test_any_name_is_shown_in_one_line(name: str) -> None:
    with transaction(name) as q:
        assert "\n" not in repr(q)
    assert repr(q) == f"<Transaction {name!r} committed>"


# ---------------------------------------------------------------- steps


def test_an_exception_whose_repr_has_many_lines_is_told_in_one() -> None:
    class Invalid(ValueError):
        def __repr__(self) -> str:
            return "2 errors\nname\n  missing\r\nage\n  too small"

    @action
    def put() -> None:
        """Nothing."""

    @put.rollback
    def take() -> None:
        raise Invalid

    with pytest.raises(Boom) as caught, transaction("order") as q:
        put()
        raise Boom
    told = "2 errors name missing age too small"
    assert q.report.summary == f"order rolled back with failures: undo of put failed ({told})"
    assert repr(q.report.failures[0].step) == "<Step put undo failed>"
    assert caught.value.__notes__ == [f"actionqueues: the undo of put failed: {told}"]


def test_a_step_shows_its_state_its_attempts_and_its_error(w: World) -> None:
    shown: list[str] = []

    async def note(_: Any) -> None:
        shown.append(repr(current_step()))

    retry = Retry(attempts=2, wait_initial=0, wait_jitter=0)
    with transaction() as q:
        step = q.add(w.define("a", body=note, fails=[Boom("1"), Boom("2")], retry=retry))
        shown.append(repr(step))
        with w.caught():
            q.execute()
    assert [*shown, repr(step)] == [
        "<Step a queued>",
        "<Step a running>",
        "<Step a running after 2 attempts: Boom('1')>",
        "<Step a undone after 2 attempts: Boom('2')>",
    ]


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("call", ["direct", "queued"])
def test_a_step_keeps_the_state_in_which_it_ended(end: str, call: str, w: World) -> None:
    steps: list[Step[Any]] = []

    async def keep(_: Any) -> None:
        steps.append(current_step())

    async def outer(_: Any) -> None:
        w.define("b", body=keep)()
        raise Boom("a")

    with w.caught(), transaction() as q:
        with w.caught():
            w.define("a", body=outer)()
        if call == "queued":
            q.add(w.define("c", body=keep))
            q.execute()
        else:
            w.define("c", body=keep)()
        assert [step.state for step in steps] == ["undone", "done"]
        if end == "rollback":
            raise Boom("body")
    assert [step.state for step in steps] == ["undone", "done" if end == "commit" else "undone"]


def test_a_step_knows_its_call_with_the_defaults_filled_in() -> None:
    steps: list[Step[Any]] = []

    @action
    def call(a: int, /, b: int = 2, *rest: int, c: int, d: int = 4, **more: int) -> None:
        steps.append(current_step())

    with transaction():
        call(1, c=3)
        call(1, 5, 6, 7, c=3, e=8)
    first, second = steps
    assert (first.args, first.kwargs) == ((1, 2), {"c": 3, "d": 4})
    assert (second.args, second.kwargs) == ((1, 5, 6, 7), {"c": 3, "d": 4, "e": 8})
    assert dict(second.arguments) == {"a": 1, "b": 5, "rest": (6, 7), "c": 3, "d": 4, "more": {"e": 8}}


def test_a_step_keeps_its_result_after_the_block(w: World) -> None:
    steps: list[Step[Any]] = []

    @action
    def call() -> str:
        steps.append(current_step())
        assert steps[-1].result is None
        return "result"

    with transaction():
        call()
        call()
    assert [(step.result, step.has_result, step.state) for step in steps] == [("result", True, "done")] * 2
    assert steps[0].key != steps[1].key


def test_a_step_has_no_other_attributes(w: World) -> None:
    with transaction() as q:
        step: Any = q.add(w.define("a"))
    with pytest.raises(AttributeError, match="'Step' object has no attribute 'outcme'"):
        print(step.outcme)


def test_later_progress_wins() -> None:
    saved: list[dict[str, Any]] = []

    @action
    def call() -> None:
        current_step().save(one=1, two=2)
        current_step().save(two=3)
        raise Boom("call")

    @call.rollback
    def undo(step: Step[None]) -> None:
        saved.append(step.saved)

    with pytest.raises(Boom), transaction():
        call()
    assert saved == [{"one": 1, "two": 3}]


# ---------------------------------------------------------------- actions


class Shop:
    """Has a method that is an action."""

    @action
    def sell(self, item: str) -> None:
        """Sell it."""

    @sell.rollback
    def take_back(self, item: str) -> None:
        """Take it back."""


@action
def charge(card: str, amount: int = 1) -> None:
    """Charge it."""


@charge.rollback
def refund(card: str) -> None:
    """Give it back."""


@action(irreversible=True)
def send(to: str) -> None:
    """Send it."""


@action
def log(*lines: str, **more: str) -> None:
    """Log it."""


@action
def move(item: str, /, to: str, *, fast: bool = False) -> None:
    """Move it."""


@action
async def fetch(url: str) -> None:
    """Fetch it."""


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (charge, "<action charge(card, amount), undone by refund>"),
        (send, "<action send(to), irreversible>"),
        (log, "<action log(*lines, **more), no rollback handler>"),
        (move, "<action move(item, /, to, *, fast), no rollback handler>"),
        (action(max), "<action max(*args, **kwargs), no rollback handler>"),
        (fetch, "<async action fetch(url), no rollback handler>"),
        (Shop.sell, "<action Shop.sell(self, item), undone by Shop.take_back>"),
    ],
    ids=lambda shown: "",
)
def test_an_action_shows_its_parameters_and_how_it_is_undone(shown: Any, text: str) -> None:
    assert repr(shown) == str(shown) == text
    assert repr(copy.deepcopy(shown)) == text


def test_the_report_of_a_commit_tells_apart_what_was_undone_on_the_way(w: World) -> None:
    with transaction("order") as q:
        with w.caught():
            w.define("a", fails=[Boom("a")])()
        with q.savepoint("part") as inner, w.caught():
            w.define("b", fails=[Boom("b")])()
        assert inner.report.summary == "part released: on the way, 1 undone"
        assert q.report.summary == "order open: 2 undone"
    assert q.report.summary == "order committed: on the way, 2 undone"


def test_the_record_of_a_running_step_shows_that_it_has_no_outcome() -> None:
    seen: list[str] = []

    @action
    def look(number: int) -> None:
        record = current_step()._record
        seen.append(repr([record[0], *record[2:]]))

    with transaction():
        look(1)
    assert seen == ["[PENDING, 1]"]
