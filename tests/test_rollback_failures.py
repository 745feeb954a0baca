"""Undos that fail: nothing is hidden by them, nothing is lost with them, and the others run all the same."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actionqueues import (
    ActionRetryException,
    Retry,
    RollbackConflict,
    RollbackFailed,
    Step,
    Transaction,
    TransactionClosed,
    TransactionDoomed,
    action,
    bounded,
    current_step,
    transaction,
)

from .inside import CLOCKS, SLEEP
from .world import Boom, Stop, World

FAILURES: list[Callable[[], Exception]] = [
    lambda: Boom("stuck"),
    lambda: StopIteration(1),
    lambda: StopAsyncIteration(1),
    lambda: RollbackConflict("theirs"),
    lambda: ExceptionGroup("two", [Boom("1"), Boom("2")]),
    lambda: TransactionClosed("step", "another", "committed"),
    MemoryError,
]
INTERRUPTS: list[Callable[[], BaseException]] = [KeyboardInterrupt, lambda: SystemExit(3), GeneratorExit, Stop]
BOTH = [*FAILURES, *INTERRUPTS]


def name_of(make: object) -> str:
    return type(make()).__name__ if callable(make) else str(make)


@pytest.fixture
def w() -> World:
    return World()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    made: list[float] = []
    monkeypatch.setattr(SLEEP, made.append)
    return made


def kind(q: Transaction) -> list[Any]:
    """The failures and conflicts of a report, as steps and errors."""
    return [(step.name, error) for step, error in (*q.report.failures, *q.report.conflicts)]


# ---------------------------------------------------------------- with an original


@pytest.mark.parametrize("make", FAILURES, ids=name_of)
def test_a_failed_undo_is_logged_noted_and_reported_and_the_others_run(
    make: Callable[[], Exception], w: World, caplog: pytest.LogCaptureFixture
) -> None:
    original, failure = Boom("body"), make()
    with pytest.raises(Boom) as caught, transaction("order") as q:
        w.define("a")()
        w.define("b", undo_fails=[failure])()
        w.define("c")()
        raise original
    assert caught.value is original
    what = "met a conflict" if isinstance(failure, RollbackConflict) else "failed"
    assert original.__notes__ == [f"actionqueues: the undo of b {what}: {failure!r}"]
    assert w.trail == ["+a", "+b", "+c", "-c", "-b", "-a"]
    assert q.state == "rolled back with failures"
    assert kind(q) == [("b", failure)]
    [record] = caplog.records
    assert (record.name, record.levelno) == ("actionqueues", logging.ERROR)
    assert record.exc_info is not None
    assert record.exc_info[1] is failure
    assert record.exc_info[2] is not None
    said = f"order: the undo of b {what}"
    assert record.getMessage().startswith(said)


def test_a_conflict_is_listed_as_one_and_its_step_says_so(w: World) -> None:
    with pytest.raises(Boom), transaction() as q:
        w.define("a", undo_fails=[RollbackConflict("changed")])()
        w.define("b", undo_fails=[Boom("stuck")])()
        raise Boom("body")
    assert [(f.step.name, f.step.state) for f in q.report.conflicts] == [("a", "conflict")]
    assert [(f.step.name, f.step.state) for f in q.report.failures] == [("b", "undo failed")]
    assert not q.report.clean


def test_all_failures_are_noted_in_the_order_in_which_they_happened(w: World) -> None:
    with pytest.raises(Boom, match="body") as caught, transaction():
        for name in "abc":
            w.define(name, undo_fails=[Boom(f"undo {name}")])()
        raise Boom("body")
    assert caught.value.__notes__ == [f"actionqueues: the undo of {n} failed: Boom('undo {n}')" for n in "cba"]


def test_an_error_that_is_raised_again_by_its_own_handler_is_still_the_original() -> None:
    error = Boom("both")

    @action
    def failing() -> None:
        raise error

    @failing.rollback
    def undo(error: Exception | None) -> None:
        assert error is not None
        raise error

    with pytest.raises(Boom) as caught, transaction():
        failing()
    assert caught.value is error
    assert error.__context__ is None
    assert error.__notes__ == ["actionqueues: the undo of failing failed: Boom('both')"]


@pytest.mark.parametrize("make", INTERRUPTS, ids=name_of)
@pytest.mark.parametrize("leaving", ["by an exception", "by a rollback", "doomed"])
def test_an_interrupt_in_an_undo_is_raised_once_everything_is_undone(
    make: Callable[[], BaseException], leaving: str, w: World
) -> None:
    interrupt, original = make(), Boom("body")
    with pytest.raises(type(interrupt)) as caught, transaction() as q:
        w.define("a")()
        w.define("b", undo_fails=[interrupt])()
        if leaving == "by an exception":
            raise original
        if leaving == "by a rollback":
            q.rollback()
        else:
            with w.caught():
                w.define("c", fails=[Boom("c")], undo_fails=[Boom("stuck")])()
    assert caught.value is interrupt
    assert w.trail[-2:] == ["-b", "-a"]
    assert ("b", interrupt) in kind(q)
    assert q.state == "rolled back with failures"
    if leaving == "by an exception":
        assert interrupt.__context__ is original
        assert original.__notes__ == [f"actionqueues: the undo of b failed: {interrupt!r}"]
    elif leaving == "doomed":
        assert isinstance(interrupt.__context__, TransactionDoomed)


def test_the_first_of_several_interrupts_is_raised(w: World) -> None:
    first = KeyboardInterrupt("first")
    with pytest.raises(KeyboardInterrupt) as caught, transaction() as q:
        w.define("a", undo_fails=[SystemExit(3)])()
        w.define("b", undo_fails=[first])()
        raise Boom("body")
    assert caught.value is first
    assert [repr(error) for _, error in kind(q)] == ["KeyboardInterrupt('first')", "SystemExit(3)"]


@pytest.mark.parametrize("make", INTERRUPTS, ids=name_of)
def test_an_interrupt_in_the_undo_of_a_failed_step_comes_before_its_error(
    make: Callable[[], BaseException], w: World
) -> None:
    interrupt, error = make(), Boom("b")
    with pytest.raises(type(interrupt)) as caught, transaction():
        w.define("a")()
        w.define("b", fails=[error], undo_fails=[interrupt])()
    assert caught.value is interrupt
    assert interrupt.__context__ is error
    assert w.trail == ["+a", "+b", "-b", "-a"]


def test_ctrl_c_in_an_undo_waits_for_the_others(w: World) -> None:
    async def press(_: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        w.say("goes on")

    original = Boom("body")
    with pytest.raises(KeyboardInterrupt) as caught, transaction() as q:
        w.define("a")()
        w.define("b", undo=press)()
        raise original
    assert caught.value.__context__ is original
    assert w.trail == ["+a", "+b", "-b", "goes on", "-a"]
    assert (q.state, signal.getsignal(signal.SIGINT)) == ("rolled back", signal.default_int_handler)


# ---------------------------------------------------------------- without one


def test_an_explicit_rollback_raises_all_failures_together(w: World) -> None:
    errors: list[Exception] = [Boom("1"), RollbackConflict("2"), StopIteration(3)]
    with transaction("order") as q:
        for name, error in zip("abc", errors, strict=True):
            w.define(name, undo_fails=[error])()
        w.define("d")()
        with pytest.raises(RollbackFailed) as caught:
            q.rollback()
    assert list(caught.value.exceptions) == errors[::-1]
    assert caught.value.message == ("the transaction 'order': everything else was rolled back, but not c, b, a")
    assert caught.value.__context__ is None
    assert (q.report.undone, q.state) == (["d"], "rolled back with failures")


def test_the_failures_of_an_explicit_rollback_can_be_told_apart(w: World) -> None:
    with transaction() as q:
        w.define("a", undo_fails=[Boom("stuck")])()
        w.define("b", undo_fails=[RollbackConflict("theirs")])()
        with pytest.raises(RollbackFailed) as caught:
            q.rollback()
    conflicts, others = caught.value.split(RollbackConflict)
    assert isinstance(conflicts, RollbackFailed)
    assert isinstance(others, RollbackFailed)
    assert (repr(conflicts.exceptions), repr(others.exceptions)) == (
        "(RollbackConflict('theirs'),)",
        "(Boom('stuck'),)",
    )


def test_a_failed_explicit_rollback_in_a_savepoint_goes_through_the_outer_block(w: World) -> None:
    inner = transaction("inner")
    with pytest.raises(RollbackFailed, match="the savepoint 'inner'"), transaction("outer") as outer:
        w.define("a")()
        with inner:
            w.define("b", undo_fails=[Boom("stuck")])()
            inner.rollback()
    assert (w.trail, inner.state) == (["+a", "+b", "-b", "-a"], "rolled back with failures")
    assert outer.state == "rolled back with failures"


@pytest.mark.parametrize("make", FAILURES, ids=name_of)
def test_a_failed_undo_of_a_failed_step_dooms_the_transaction(make: Callable[[], Exception], w: World) -> None:
    failure, error = make(), Boom("b")
    with pytest.raises(TransactionDoomed) as caught, transaction("order") as q:
        w.define("a")()
        with w.caught():
            w.define("b", fails=[error], undo_fails=[failure])()
        assert repr(q).startswith("<Transaction 'order' open, 1 step, doomed: ")
        w.define("c")()
    what = "met a conflict" if isinstance(failure, RollbackConflict) else "failed"
    assert error.__notes__ == [f"actionqueues: the undo of b {what}: {failure!r}"]
    assert (caught.value.transaction, caught.value.failures) == ("the transaction 'order'", (failure,))
    assert caught.value.__context__ is None
    assert w.trail == ["+a", "+b", "-b", "!Boom", "+c", "-c", "-a"]
    assert q.state == "rolled back with failures"


def test_a_doomed_transaction_can_be_rolled_back_by_hand(w: World) -> None:
    with transaction() as q:
        w.define("a")()
        with w.caught():
            w.define("b", fails=[Boom("b")], undo_fails=[Boom("stuck")])()
        q.rollback()
    assert (w.trail, q.state) == (["+a", "+b", "-b", "!Boom", "-a"], "rolled back with failures")
    assert kind(q)[0][0] == "b"


# ---------------------------------------------------------------- what a handler does meanwhile


def test_steps_that_a_handler_calls_are_plain_functions(w: World) -> None:
    async def undo(_: Any) -> None:
        w.define("fresh", fails=[])()
        with pytest.raises(TransactionClosed, match="rolling back, and nothing was run"):
            q.add(w.define("late"))
        with pytest.raises(TransactionClosed, match=r"savepoint\(\) came too late"):
            q.savepoint()
        with pytest.raises(TransactionClosed, match=r"rollback\(\) came too late"):
            q.rollback()
        assert current_step().name == "a"

    with pytest.raises(Boom, match="body"), transaction() as q:
        w.define("a", undo=undo)()
        raise Boom("body")
    assert w.trail == ["+a", "-a", "+fresh"]
    assert q.report.clean


# ---------------------------------------------------------------- retries of undos


def test_an_undo_is_tried_again_by_its_policy_with_the_same_keys(w: World, waits: list[float]) -> None:
    keys: list[tuple[str, str]] = []

    async def undo(step: Step[Any]) -> None:
        keys.append((step.key, step.undo_key))

    retry = Retry(attempts=3, wait_initial=0.5, wait_jitter=0)
    with pytest.raises(Boom, match="body"), transaction() as q:
        w.define("a")()
        w.define("b", undo=undo, undo_fails=[Boom("1"), Boom("2")], undo_retry=retry)()
        raise Boom("body")
    assert (w.trail, waits) == (["+a", "+b", "-b", "-b", "-b", "-a"], [0.5, 1.0])
    assert len(set(keys)) == 1
    assert keys[0][0] != keys[0][1]
    assert (q.state, q.report.failures) == ("rolled back", [])


def test_an_undo_that_gives_up_says_after_how_many_attempts(w: World, waits: list[float]) -> None:
    last = Boom("2")
    with pytest.raises(Boom, match="body"), transaction() as q:
        w.define("a", undo_fails=[Boom("1"), last], undo_retry=bounded(lambda attempt, error: 2.5, attempts=2))()
        raise Boom("body")
    assert waits == [2.5]
    assert kind(q) == [("a", last)]
    [note] = last.__notes__
    assert note.startswith("actionqueues: gave up after 2 attempts in ")


def test_an_undo_ends_within_its_time(w: World, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CLOCKS[0], lambda: 100.0 + sum(waits))
    retry = Retry(attempts=None, timeout=10, wait_initial=4, wait_exp_base=1, wait_jitter=0)
    with pytest.raises(Boom, match="body"), transaction() as q:
        w.define("a", undo_fails=(Boom(str(n)) for n in range(99)), undo_retry=retry)()
        raise Boom("body")
    assert (waits, w.trail) == ([4, 4], ["+a", "-a", "-a", "-a"])
    late = "another wait of 4 s would end past timeout=10"
    assert q.report.failures[0].error.__notes__ == [f"actionqueues: gave up after 3 attempts in 8 s: {late}"]


def test_an_undo_may_ask_for_another_attempt_itself(w: World, waits: list[float]) -> None:
    with pytest.raises(Boom, match="body"), transaction() as q:
        w.define("a", undo_fails=[ActionRetryException(500), ActionRetryException(1)])()
        raise Boom("body")
    assert (waits, q.state) == ([0.5, 0.001], "rolled back")


@pytest.mark.parametrize("make", INTERRUPTS, ids=name_of)
def test_an_interrupt_while_an_undo_waits_does_not_lose_it(
    make: Callable[[], BaseException], w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt = make()

    def sleep(seconds: float) -> None:
        raise interrupt

    monkeypatch.setattr(SLEEP, sleep)
    with pytest.raises(type(interrupt)) as caught, transaction() as q:
        w.define("a")()
        w.define("b", undo_fails=[Boom("1")], undo_retry=Retry())()
        raise Boom("body")
    assert caught.value is interrupt
    assert (w.trail, q.state) == (["+a", "+b", "-b", "-b", "-a"], "rolled back")


# ---------------------------------------------------------------- real files


def test_a_file_that_somebody_else_has_changed_is_left_alone(tmp_path: Path) -> None:
    @action
    def write(path: Path, text: str) -> None:
        path.write_text(text)

    @write.rollback
    def remove(path: Path, text: str) -> None:
        if path.read_text() != text:
            raise RollbackConflict(f"{path.name} has been changed")
        path.unlink()

    with pytest.raises(Boom) as caught, transaction() as q:
        for name in ("one", "two", "three"):
            write(tmp_path / name, "ours")
        (tmp_path / "two").write_text("theirs")
        (tmp_path / "three").unlink()
        raise Boom("body")
    assert [path.name for path in tmp_path.iterdir()] == ["two"]
    assert [str(error) for _, error in q.report.conflicts] == ["two has been changed"]
    assert [type(error) for _, error in q.report.failures] == [FileNotFoundError]
    assert len(caught.value.__notes__) == 2


class Sealed(Exception):
    """Takes no notes."""

    def add_note(self, note: str, /) -> None:
        raise TypeError("no notes, please")


def test_an_error_that_takes_no_notes_goes_on_and_what_was_to_be_noted_is_logged(
    w: World, caplog: pytest.LogCaptureFixture
) -> None:
    error = Sealed()
    with pytest.raises(Sealed) as caught, transaction():
        w.define("a", undo_fails=[Boom("stuck")])()
        raise error
    assert caught.value is error
    assert caplog.messages == [
        "transaction: the undo of a failed: Boom('stuck')",
        "the undo of a failed: Boom('stuck')",  # in place of the note
    ]
    assert [record.exc_info and record.exc_info[1] for record in caplog.records][1] is error
