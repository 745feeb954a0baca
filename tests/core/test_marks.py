"""Marks: whose they are, when they are gone, what is refused, and what is told of what was undone."""

from __future__ import annotations

import copy
import gc
import logging
import pickle
import re
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from itertools import chain
from typing import Any

import pytest

from actionqueues import (
    IllegalOperation,
    Mark,
    Report,
    RollbackFailed,
    Transaction,
    TransactionClosed,
    TransactionDoomed,
    events,
    listen,
    transaction,
)
from actionqueues.core import log
from actionqueues.views.model import read
from tests.world import Boom

from .doing import do, done
from .test_threads import in_thread


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


def refused(q: Transaction, mark: Any) -> str:
    """What is said to who wants to go back to a mark, before anything has happened."""
    before = list(done)
    with pytest.raises((IllegalOperation, TransactionClosed)) as caught:
        q.rollback(to=mark)
    assert done == before
    return str(caught.value)


def test_a_mark_says_what_it_is() -> None:
    with transaction("order") as q:
        mark, named = q.mark(), q.mark("before the upload")
        assert repr(mark) == "<Mark of the transaction 'order'>"
        assert repr(named) == "<Mark 'before the upload' of the transaction 'order'>"
        assert (mark.name, named.name) == (None, "before the upload")
        do("a")
        q.rollback(to=mark)
        assert repr(named) == "<Mark 'before the upload' of the transaction 'order', gone>"
    assert repr(mark) == "<Mark of the transaction 'order', gone>"


def test_only_a_block_makes_marks() -> None:
    with pytest.raises(TypeError, match=r"a Mark is what q\.mark\(\) makes; call that"):
        Mark("order")


@pytest.mark.parametrize("name", [1, b"a"])
def test_the_name_of_a_mark_is_a_string(name: Any) -> None:
    with transaction() as q, pytest.raises(TypeError, match=r"mark\(\) takes a name, not"):
        q.mark(name)


@pytest.mark.parametrize("mark", ["here", 1, False, None])
def test_what_is_no_mark_cannot_be_gone_back_to(mark: Any) -> None:
    with transaction() as q:
        do("a")
        with pytest.raises(TypeError, match=r"rollback\(to=\.\.\.\) takes what q\.mark\(\) has returned, not"):
            q.rollback(to=mark)
    assert done == ["+a"]


def test_a_mark_of_another_block_is_refused() -> None:
    with transaction("first") as q:
        mark = q.mark("here")
    with transaction("second") as q:
        do("a")
        assert refused(q, mark) == (
            "cannot roll the transaction 'second' back to the mark 'here': it is a mark of another block, the "
            "transaction 'first', which is committed; use one that q.mark() has made in this block"
        )
        with transaction("third", independent=True) as other:
            assert "it is a mark of another block, the transaction 'second', which is open" in refused(other, q.mark())


def test_a_mark_of_a_savepoint_that_has_ended_is_refused() -> None:
    with transaction("order") as q:
        with q.savepoint("inner") as inner:
            mark = inner.mark("here")
            do("a")
        assert refused(q, mark) == (
            "cannot roll the transaction 'order' back to the mark 'here': it is a mark of another block, the savepoint "
            "'inner', which is released; make one before the savepoint is entered, by q.mark() of this block"
        )
        assert "rollback(to=...) came too late: the savepoint 'inner' has been left" in refused(inner, mark)
    assert done == ["+a"]


def test_a_mark_made_outside_a_savepoint_is_refused_inside() -> None:
    with transaction("order") as q:
        mark = q.mark("here")
        do("a")
        with q.savepoint("outer"), q.savepoint("inner") as inner:
            assert refused(inner, mark) == (
                "cannot roll the savepoint 'inner' back to the mark 'here': it is a mark of another block, the "
                "transaction 'order', which is open; leave the savepoint, by an exception if need be, and call it on "
                "the transaction 'order'"
            )
            open_inside = (
                "the savepoint 'inner' inside it is still open; leave that first, by an exception to undo it, or make "
                "a mark of its own in it"
            )
            assert refused(q, mark) == f"cannot roll the transaction 'order' back to the mark 'here': {open_inside}"
            with pytest.raises(IllegalOperation) as caught:
                q.mark()
            assert str(caught.value) == f"cannot make a mark in the transaction 'order': {open_inside}"
        q.rollback(to=mark)
    assert done == ["+a", "-a"]


def test_a_savepoint_that_was_entered_in_another_context_is_not_pulled_away_from_under_its_code() -> None:
    elsewhere = copy_context()
    with transaction("order") as q:
        mark = q.mark()
        do("a")
        inner = q.savepoint("inner")
        in_it = elsewhere.run(inner.__enter__)
        assert "the savepoint 'inner' inside it is still open" in refused(q, mark)
        later = q.mark()
        do("b")
        q.rollback(to=later)  # which leaves the savepoint alone
        assert str(in_it.state) == "open"
        elsewhere.run(inner.__exit__, None, None, None)
        q.rollback(to=mark)
    assert done == ["+a", "+b", "-b", "-a"]


def test_a_mark_that_an_earlier_one_has_undone_is_refused() -> None:
    with transaction("order") as q:
        first, second = q.mark(), q.mark("here")
        do("a")
        q.rollback(to=first)
        assert refused(q, second) == (
            "cannot roll the transaction 'order' back to the mark 'here': going back to an earlier mark has undone it; "
            "make another one, by q.mark()"
        )
        q.rollback(to=first)


def test_marks_in_a_closed_block_are_refused() -> None:
    q = transaction("order")
    with pytest.raises(IllegalOperation, match="has not been entered"):
        q.mark()
    with q:
        mark = q.mark()
    assert refused(q, mark).startswith("rollback(to=...) came too late: the transaction 'order' is committed")
    with pytest.raises(TransactionClosed, match=r"mark\(\) came too late: the transaction 'order' is committed"):
        q.mark()


def test_a_handler_cannot_go_back_to_a_mark() -> None:
    with transaction() as q:
        mark = q.mark()
        do("a", undo=lambda: refusals.append(refused(q, mark)))
        refusals: list[str] = []
        q.rollback(to=mark)
    assert [text.partition(": ")[2][:43] for text in refusals] == ["a rollback handler of a step in it is runni"]


@pytest.mark.parametrize("to_a_mark", [True, False])
def test_nor_can_a_handler_use_the_transaction_by_way_of_one_of_its_own(to_a_mark: bool) -> None:
    refusals: list[str] = []

    def undo() -> None:
        with transaction("own") as own, own.savepoint():
            own.add(do, "c")  # which it may
            with transaction("apart", independent=True):
                own.on_commit(done.append, "hook")
                for use in (
                    lambda: q.rollback(to=mark),
                    q.rollback,
                    q.mark,
                    q.execute,
                    q.plan,
                    q.savepoint,
                    lambda: q.add(do, "d"),
                    lambda: q.run(do, "e"),
                    lambda: q.on_commit(done.append, "f"),
                    lambda: q.on_rollback(done.append, "g"),
                    earlier.__enter__,
                ):
                    with pytest.raises(IllegalOperation) as caught:
                        use()
                    refusals.append(str(caught.value))

    with transaction("order") as q:
        mark, earlier = q.mark(), q.savepoint("earlier")
        if to_a_mark:
            do("a")
            do("b", undo=undo)
            q.rollback(to=mark)
        else:
            with pytest.raises(Boom), q.savepoint():
                do("a")
                do("b", undo=undo)
                raise Boom
    (refusal,) = set(refusals)
    assert refusal == (
        "cannot use the transaction 'order': a rollback handler of a step in it is running; a handler only undoes; it "
        "may open a transaction of its own"
    )
    assert done == ["+a", "+b", "-b", "+c", "hook", "-a"]


@pytest.mark.parametrize("operation", ["mark", "rollback"])
def test_another_thread_can_neither_make_a_mark_nor_go_back_to_one(operation: str) -> None:
    with transaction() as q:
        mark = q.mark()
        do("a")
        error = in_thread(q.mark if operation == "mark" else lambda: q.rollback(to=mark))
        assert isinstance(error, IllegalOperation)
        assert "another thread has entered it; raise an exception in a step there" in str(error)
    assert done == ["+a"]


def test_queued_steps_that_a_mark_has_dropped_are_not_counted() -> None:
    with transaction("order") as q:
        mark = q.mark()
        step = q.add(do, "a")
        assert repr(q) == "<Transaction 'order' open, 0 steps, 1 queued>"
        q.rollback(to=mark)
        assert str(step.state) == "dropped"
        assert repr(q) == "<Transaction 'order' open, 0 steps: never started: do>"


def test_a_queued_step_that_is_given_the_result_of_one_that_was_undone_is_refused() -> None:
    with transaction() as q:
        first = q.add(do, "a")
        mark = q.mark()
        q.execute()
        q.rollback(to=mark)
        q.add(do, "b", undo=first.later)
        with pytest.raises(IllegalOperation, match="one of its arguments is the result of do, which is undone"):
            q.execute()
        q.rollback()
    assert done == ["+a", "-a"]


# -- what is told


def told(q: Transaction) -> list[tuple[str, str, str | None]]:
    return [(step.name, step.arguments, step.undo) for step in q.report.steps]


@pytest.mark.parametrize("trace", [True, False])
def test_the_report_tells_of_what_was_undone_to_a_mark_in_its_place(trace: bool) -> None:
    with transaction("order", trace=trace) as q:
        do("a")
        mark = q.mark()
        for name in "bc":
            do(name)
            q.rollback(to=mark)
        do("d")
        steps = [("do", "name='a'", None), ("do", "name='b'", "undone"), ("do", "name='c'", "undone")]
        assert [(name, arguments[:8], undo) for name, arguments, undo in told(q)] == [*steps, ("do", "name='d'", None)]
        assert [step.number for step in q.report.steps] == [1, 2, 3, 4]
    assert q.report.undone == ["do", "do"]
    assert q.report.summary == "order committed: on the way, 2 undone"
    assert len(q.report.steps) == (4 if trace else 0)


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_undos_are_drawn_in_the_order_in_which_they_ran(trace: bool, fails: bool) -> None:
    with suppress(Boom), transaction("order", trace=trace) as q:
        do("a")
        first = q.mark()
        do("b")
        for name in "cd":
            with suppress(Boom), q.savepoint():
                do(f"{name}1")
                do(f"{name}2")
                raise Boom
        second = q.mark()
        do("e")
        with q.savepoint() as inner:
            mark = inner.mark()
            do("f")
            do("g")
            inner.rollback(to=mark)
            do("h")
        q.rollback(to=second)
        do("i")
        q.rollback(to=second)
        do("j")
        q.rollback(to=first)
        in_thread(lambda: q.run(int))
        q.rollback(to=first)
        do("k")
        if fails:
            raise Boom
        told = q.report.as_dict()
    told = q.report.as_dict() if fails else told
    names = [re.findall(r"name='(\w+)'", node.arguments) for node in read(told).back]
    undone = [name for found in names for name in found]
    assert undone == [word[1:] for word in done if word[0] == "-"]
    assert "".join(undone) == "c2c1d2d1gfheijb" + ("ka" if fails else "")
    assert read(Report.from_dict(told).as_dict()) == read(told)


def test_a_listener_is_told_of_the_steps_and_not_of_an_end() -> None:
    heard: list[str] = []

    def hear(event: events.Event) -> None:
        heard.append(type(event).__name__)

    with listen(hear), transaction() as q:
        mark = q.mark()
        do("a")
        q.rollback(to=mark)
        do("b")
    assert heard == [
        *("TransactionOpened", "StepStarted", "StepDone", "StepUndoing", "StepUndone", "StepStarted", "StepDone"),
        *("TransactionCommitted", "TransactionEnded"),
    ]


def test_an_undo_that_has_failed_is_told_in_the_report_of_what_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def stuck() -> None:
        raise Boom("stuck")

    with pytest.raises(TransactionDoomed), transaction("order") as q:
        mark = q.mark("here")
        do("a", undo=stuck)
        q.add(do, "b")
        with pytest.raises(RollbackFailed, match="back to|what came after the mark 'here'") as caught:
            q.rollback(to=mark)
        assert [str(error) for error in caught.value.exceptions] == ["stuck"]
        assert "doomed" in repr(q)
        (entry,) = [step for step in q.report.steps if step.state != "dropped"]
        assert (entry.undo, entry.undo_error) == ("undo failed", "Boom('stuck')")
    assert [record.levelno for record in caplog.records if "stuck" in record.message] == [logging.ERROR]
    assert done == ["+a", "-a"]


def test_what_the_log_says_of_what_had_to_be_left(caplog: pytest.LogCaptureFixture) -> None:
    with transaction("order") as q:
        mark = q.mark()
        q.add(print, end="")
        q.execute()
        q.rollback(to=mark)
    assert [record.message for record in caplog.records] == ["order: not undone: print (no rollback handler)"]
    assert not q.report.clean


def test_going_back_again_and_again_looks_at_nothing_that_was_undone_before() -> None:
    with transaction() as q:
        mark = q.mark()
        for number in range(30):
            do(f"{number}")
            q.rollback(to=mark)
            assert q._block.log[-1] == (mark,)
            assert len(q._block.log) == number + 2


def test_going_back_one_mark_after_the_other_takes_along_what_was_undone_in_one() -> None:
    with transaction() as q:
        marks: list[Mark] = []
        for number in range(30):
            marks.append(q.mark())
            do(f"{number}")
        for number in reversed(range(30)):
            q.rollback(to=marks[number])
            assert len(q._block.log) == 2 * number + 2  # the earlier steps and marks, what was undone, and this mark
        assert [step.arguments.partition(",")[0] for step in q.report.steps] == [
            f"name='{number}'" for number in range(30)
        ]
        assert {step.undo for step in q.report.steps} == {"undone"}
        assert [step.number for step in q.report.steps] == list(range(1, 31))


def test_what_was_undone_to_marks_in_a_savepoint_is_told_where_that_is_undone() -> None:
    with transaction() as q:
        outer = q.mark()
        with q.savepoint("inner") as inner:
            first = inner.mark()
            do("a")
            second = inner.mark()
            do("b")
            do("c")
            inner.rollback(to=second)
            inner.rollback(to=first)
            do("d")
        q.rollback(to=outer)
        (savepoint,) = q.report.steps
        assert [(step.arguments[:8], step.undo) for step in savepoint.contains] == [
            (f"name='{name}'", "undone") for name in "abcd"
        ]


def test_neither_making_marks_nor_going_back_looks_through_all_that_was_done_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked = 0

    def counting(*places: range) -> Iterator[int]:
        nonlocal looked
        looked += sum(map(len, places))
        return chain(*places)

    monkeypatch.setattr(log, "chain", counting)
    with transaction() as q:
        for number in range(300):
            do(f"{number}")
        for _ in range(300):
            mark = q.mark()
            do("a")
            q.rollback(to=mark)
            q.rollback(to=mark)
    assert looked < 3000


def test_a_step_that_began_after_a_mark_was_made_is_found_however_much_stands_before_it() -> None:
    def inside() -> None:
        for _ in range(40):
            do("b")
        with pytest.raises(IllegalOperation, match="the step do of it is running"):
            q.mark()
        with pytest.raises(IllegalOperation, match="the step do of it is running"):
            q.rollback(to=mark)

    with transaction() as q:
        for _ in range(40):
            do("a")
        mark = q.mark()
        do("c", inside=inside)
        q.mark()


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_mark_is_neither_copied_nor_pickled(how: Callable[[Mark], object]) -> None:
    with transaction("order") as q:
        mark = q.mark("here")
        with pytest.raises(TypeError) as caught:
            how(mark)
    assert str(caught.value) == (
        "<Mark 'here' of the transaction 'order'> cannot be pickled or copied: it is a place in a block, and serves "
        "that alone"
    )


def test_a_mark_that_is_kept_holds_nothing_of_what_was_done() -> None:
    class Held:
        def __call__(self) -> None: ...

    held = Held()
    seen = weakref.ref(held)
    gc.disable()
    try:
        with transaction() as q:
            mark = q.mark()
            do("a", undo=held)
            q.rollback(to=mark)
            do("b", undo=held)
        del q, held
        assert seen() is None
        assert mark.name is None
    finally:
        gc.enable()
