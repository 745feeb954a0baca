"""What a transaction costs in memory, that nothing of it is kept, and that it uses no recursion."""

from __future__ import annotations

import contextlib
import gc
import logging
import sys
import tracemalloc
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from contextvars import copy_context
from threading import Thread
from typing import Any

import pytest

from actionqueues import (
    Action,
    ActionQueue,
    IllegalOperation,
    NestedTransaction,
    Retry,
    Step,
    Transaction,
    TransactionClosed,
    action,
    current_step,
    transaction,
)
from actionqueues.core.block import Block
from actionqueues.core.engine import Rollback
from actionqueues.core.log import Log

SOON = Retry(attempts=2, wait_initial=0, wait_jitter=0)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """The collector is off, has nothing left to do, and passes over all that is there by now."""
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(autouse=True)
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged is kept by pytest, with its traceback."""
    monkeypatch.setattr(logging.getLogger("actionqueues"), "disabled", True)


class Thing:
    """Something that can be watched."""


class Broken(Exception):
    """What goes wrong."""


def nothing() -> None: ...


@action
def make(thing: Thing, other: Thing | None = None) -> Thing:
    return Thing()


@make.rollback
def unmake(thing: Thing, result: Thing) -> None: ...


@action
def make_known(thing: Thing) -> Thing:
    current_step().save(thing=Thing())
    return Thing()


@make_known.rollback
def unmake_known(step: Step[Thing]) -> None:
    assert isinstance(step.saved["thing"], Thing)


@action
def fail(thing: Thing) -> Thing:
    make(thing)
    raise Broken


@fail.rollback
def mend(thing: Thing, error: BaseException) -> None: ...


@action(retry=SOON)
def flaky(thing: Thing) -> None:
    make(thing)
    if current_step().attempts == 1:
        raise Broken


@flaky.rollback
def unflaky(thing: Thing) -> None: ...


@action
def stay(thing: Thing) -> Thing:
    return Thing()


@stay.rollback
def unstay(thing: Thing) -> None:
    raise Broken


@action
def loose(thing: Thing) -> Thing:
    """Nothing undoes it."""
    return Thing()


@action
def ask_between(thing: Thing) -> None:
    for _ in range(3):
        make(thing)
        make_known(thing)
        current_step().save(thing=Thing())
        with contextlib.suppress(Broken):
            fail(thing)


@ask_between.rollback
def unask(step: Step[None]) -> None: ...


def fails_alone(thing: Thing) -> None:
    with contextlib.suppress(Broken):
        fail(thing)


def commit(thing: Thing) -> None:
    with transaction():
        make(thing)
        make_known(thing)


def roll_back(thing: Thing) -> None:
    with contextlib.suppress(Broken), transaction():
        make(thing)
        make_known(thing)
        raise Broken


def roll_back_explicitly(thing: Thing) -> None:
    with transaction() as q:
        make(thing)
        make_known(thing)
        q.rollback()


def savepoints(thing: Thing) -> None:
    with transaction() as q:
        make(thing)
        with q.savepoint():
            make_known(thing)
            with transaction():
                make(thing)
        with contextlib.suppress(Broken), q.savepoint() as inner:
            make(thing)
            inner.on_commit(nothing)
            raise Broken
        make(thing)


def savepoints_rolled_back(thing: Thing) -> None:
    with contextlib.suppress(Broken), transaction() as q:
        with q.savepoint():
            make_known(thing)
            with transaction():
                make(thing)
        make(thing)
        raise Broken


def failures(thing: Thing) -> None:
    with transaction():
        make(thing)
        with contextlib.suppress(Broken):
            fail(thing)
        flaky(thing)


def queued(thing: Thing) -> None:
    with transaction() as q:
        first = q.add(make, thing)
        q.add(make, thing, first)
        q.on_rollback(nothing)
        q.on_commit(nothing)


def queued_fails(thing: Thing) -> None:
    with contextlib.suppress(Broken), transaction() as q:
        q.add(make, thing)
        with contextlib.suppress(Broken), q.savepoint() as inner:
            inner.add(fail, thing)
            inner.execute()
        q.add(fail, thing)


def dropped(thing: Thing) -> None:
    with contextlib.suppress(Broken), transaction() as q:
        q.add(make, thing)
        q.execute()
        q.add(make, thing)
        raise Broken


def left_behind(thing: Thing) -> None:
    with contextlib.suppress(Broken), transaction() as q:
        loose(thing)
        make(thing)
        q.on_commit(nothing)
        raise Broken


def failures_in_savepoints(thing: Thing) -> None:
    with contextlib.suppress(Broken), transaction() as q:
        with contextlib.suppress(Broken), q.savepoint():
            fail(thing)
        with contextlib.suppress(Broken), transaction():
            flaky(thing)
            fail(thing)
        raise Broken


def asks_around(thing: Thing) -> None:
    with contextlib.suppress(Broken), transaction():
        ask_between(thing)
        with transaction():
            ask_between(thing)
        raise Broken


def in_threads(thing: Thing) -> None:
    with contextlib.suppress(Broken), transaction() as q:
        for target in (q.run, copy_context().run):
            for step in (make, make_known, ask_between, fails_alone):
                thread = Thread(target=target, args=(step, thing))
                thread.start()
                thread.join()
        raise Broken


def commits_in_threads(thing: Thing) -> None:
    with transaction() as q:
        thread = Thread(target=q.run, args=(savepoints, thing))
        thread.start()
        thread.join()


def refused(thing: Thing) -> None:
    with transaction() as q:
        make(thing)
    with contextlib.suppress(TransactionClosed):
        q.on_rollback(nothing)
    with contextlib.suppress(IllegalOperation), q:
        make(thing)
    with contextlib.suppress(NestedTransaction), transaction(), transaction(outermost=True):
        make(thing)


def hooks_of_hooks(thing: Thing) -> None:
    with transaction() as q:
        make(thing)
        q.on_commit(lambda: q.on_commit(nothing))


def failing_undos(thing: Thing) -> None:
    with contextlib.suppress(Broken), transaction():
        stay(thing)
        make(thing)
        raise Broken


def independent(thing: Thing) -> None:
    with transaction():
        make(thing)
        with transaction(independent=True):
            make(thing)


@transaction
def decorated(thing: Thing) -> None:
    make(thing)


class Keep(Action):
    def __init__(self, thing: Thing) -> None:
        self.thing = thing


def classic(thing: Thing) -> None:
    queue = ActionQueue()
    queue.add(Keep(thing))
    queue.add(make, thing)
    queue.execute()
    queue.rollback()


SCENARIOS = [
    commit,
    roll_back,
    roll_back_explicitly,
    savepoints,
    savepoints_rolled_back,
    failures,
    queued,
    dropped,
    left_behind,
    failures_in_savepoints,
    asks_around,
    in_threads,
    commits_in_threads,
    refused,
    hooks_of_hooks,
    independent,
    decorated,
    classic,
]
if sys.version_info < (3, 12):  # from then on a frame in a traceback keeps those that have called it, as they ended
    SCENARIOS.append(queued_fails)


def alive() -> Counter[type]:
    """How many there are of what a transaction is made of."""
    return Counter(kind for kind in map(type, gc.get_objects()) if kind in (Transaction, Block, Log, Rollback, Step))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_is_left_for_the_collector(scenario: Callable[[Thing], None], no_collector: None) -> None:
    thing = Thing()
    scenario(thing)  # what is made once is made now
    gc.collect()
    before = alive()
    scenario(thing)
    assert alive() == before
    assert gc.collect() == 0


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_arguments_are_let_go_at_the_end(scenario: Callable[[Thing], None], no_collector: None) -> None:
    thing = Thing()
    watched = weakref.ref(thing)
    scenario(thing)
    del thing
    assert watched() is None


def test_what_a_report_tells_of_failed_undos_goes_with_it() -> None:
    thing = Thing()
    watched = weakref.ref(thing)
    failing_undos(thing)
    del thing
    gc.collect()  # a kept error has a traceback, whose frames lead back to the report that keeps it
    assert watched() is None


def test_a_committed_transaction_that_is_kept_keeps_no_arguments_and_no_results(no_collector: None) -> None:
    thing = Thing()
    with transaction() as q:
        watched = [weakref.ref(thing), weakref.ref(make(thing)), weakref.ref(make_known(thing))]
        with q.savepoint() as inner:
            watched.append(weakref.ref(make(thing)))
        del thing
        assert all(ref() is not None for ref in watched)
    assert [ref() for ref in watched] == [None] * 4
    assert q.state == "committed"
    assert inner.state == "released"


def test_a_transaction_that_was_rolled_back_keeps_no_arguments_of_simple_undos(no_collector: None) -> None:
    thing = Thing()
    watched = weakref.ref(thing)
    with contextlib.suppress(Broken), transaction() as q:
        make(thing)
        del thing
        raise Broken
    assert watched() is None
    assert q.report.undone == ["make"]


def test_the_results_of_a_savepoint_live_until_the_end_of_the_outermost_block(no_collector: None) -> None:
    thing = Thing()
    with transaction() as q:
        with q.savepoint():
            watched = weakref.ref(make(thing))
        assert watched() is not None
    assert watched() is None


def test_what_a_failed_savepoint_made_is_let_go_before_the_outermost_block_ends(no_collector: None) -> None:
    thing = Thing()
    with transaction():
        watched: list[weakref.ref[Thing]] = []
        with contextlib.suppress(Broken), transaction():
            watched.append(weakref.ref(make(thing)))
            raise Broken
        assert watched[0]() is None
        make(thing)


@action
def count(trail: list[int], number: int) -> None:
    """Nothing to see."""


@count.rollback
def uncount(trail: list[int], number: int) -> None:
    trail.append(number)


@pytest.mark.slow
def test_a_hundred_thousand_steps_are_undone_without_recursion() -> None:
    trail: list[int] = []
    with pytest.raises(Broken), transaction():
        for number in range(100_000):
            count(trail, number)
        raise Broken
    assert trail == list(reversed(range(100_000)))


@pytest.mark.slow
def test_a_hundred_thousand_queued_steps_are_run_and_undone_without_recursion() -> None:
    trail: list[int] = []
    with pytest.raises(Broken), transaction() as q:
        for number in range(100_000):
            q.add(count, trail, number)
        q.execute()
        raise Broken
    assert trail == list(reversed(range(100_000)))


@pytest.mark.parametrize("fails", [False, True])
def test_ten_thousand_savepoints_one_after_the_other(fails: bool) -> None:
    trail: list[int] = []
    with contextlib.suppress(Broken), transaction() as q:
        for number in range(10_000):
            with q.savepoint():
                count(trail, number)
        if fails:
            raise Broken
    assert trail == (list(reversed(range(10_000))) if fails else [])


@pytest.mark.parametrize("fails", [False, True])
def test_hundreds_of_savepoints_inside_each_other(fails: bool) -> None:
    trail: list[int] = []
    depth = 400
    with contextlib.suppress(Broken), transaction():
        with ExitStack() as inner:
            for number in range(depth):
                inner.enter_context(transaction())
                count(trail, number)
        if fails:
            raise Broken
    assert trail == (list(reversed(range(depth))) if fails else [])


def test_the_innermost_of_hundreds_of_savepoints_takes_the_others_with_it() -> None:
    trail: list[int] = []
    depth = 400
    with contextlib.suppress(Broken), transaction() as q, ExitStack() as inner:
        for number in range(depth):
            inner.enter_context(transaction())
            count(trail, number)
        raise Broken
    assert trail == list(reversed(range(depth)))
    assert q.report.undone == ["count"] * depth


def test_steps_that_call_each_other_hundreds_deep_are_undone() -> None:
    trail: list[int] = []

    @action
    def down(number: int) -> None:
        if number:
            down(number - 1)

    @down.rollback
    def up(number: int) -> None:
        trail.append(number)

    with pytest.raises(Broken), transaction():
        down(300)
        raise Broken
    assert trail == list(range(301))


def _memory(do: Callable[[int], object]) -> int:
    """Bytes that are held after `do` has been called with many numbers."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in NUMBERS:
            do(number)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return after - before


NUMBERS = list(range(20_000))


@pytest.mark.skipif(tracemalloc.is_tracing(), reason="memory is already being traced")
def test_a_step_takes_less_than_four_tenths_of_the_memory_of_a_callback_on_an_exit_stack() -> None:
    trail: list[Any] = []
    with transaction():
        ours = _memory(lambda number: count(trail, number))
    with ExitStack() as stack:
        theirs = _memory(lambda number: stack.callback(uncount, trail, number))
        stack.pop_all()
    assert ours < 0.4 * theirs
