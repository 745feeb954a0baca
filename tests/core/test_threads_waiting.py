"""The end of a sync block waits for its steps in other threads, and refuses what starts after that."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Any

import pytest

from actionqueues import (
    IllegalOperation,
    Transaction,
    TransactionClosed,
    TransactionDoomed,
    action,
    current_step,
    transaction,
)
from tests.async_library import watched
from tests.world import Boom

LONG = 30.0  # seconds after which a test fails instead of hanging
A_WHILE = 0.1  # seconds in which a block comes to wait


class Slow:
    """A step in another thread that has been started, and ends when it is told to."""

    def __init__(self) -> None:
        self.trail: list[str] = []
        self.started = threading.Event()
        self.may_end = threading.Event()
        self.raised: list[BaseException] = []

    def run(self, inside: Callable[[], object], fails: bool) -> None:
        @action
        def slow() -> None:
            self.trail.append("do slow")
            self.started.set()
            assert self.may_end.wait(LONG)
            inside()
            self.trail.append("done slow")
            if fails:
                raise Boom("slow")

        @slow.rollback
        def undo() -> None:
            self.trail.append("undo slow")

        try:
            slow()
        except BaseException as error:
            self.raised.append(error)

    @contextmanager
    def beside(self, inside: Callable[[], object] = list, *, fails: bool = False) -> Generator[None]:
        """Start it in this context; let it end a while after this has been left, when the block is waiting."""
        self.context = copy_context()
        self.thread = threading.Thread(target=self.context.run, args=(self.run, inside, fails), daemon=True)
        self.thread.start()
        assert self.started.wait(LONG)
        try:
            yield
        finally:
            threading.Timer(A_WHILE, self.may_end.set).start()


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow()
    yield made
    made.may_end.set()
    made.thread.join(LONG)
    assert not made.thread.is_alive()


def test_a_commit_waits_for_a_step_in_another_thread(slow: Slow) -> None:
    with transaction() as q, slow.beside():
        pass
    assert slow.trail == ["do slow", "done slow"]
    assert (q.state, slow.raised) == ("committed", [])


def test_a_rollback_waits_for_a_step_in_another_thread_and_then_undoes_it(slow: Slow) -> None:
    with pytest.raises(Boom, match="body"), transaction() as q, slow.beside():
        q.on_rollback(slow.trail.append, "undo by hand")
        raise Boom("body")
    assert slow.trail == ["do slow", "done slow", "undo by hand", "undo slow"]
    assert (q.state, slow.raised) == ("rolled back", [])


@pytest.mark.parametrize("leaves", ["normally", "by an exception"])
def test_a_step_that_fails_while_the_block_waits_for_it_is_undone_once(leaves: str, slow: Slow) -> None:
    outer = transaction()
    with suppress(ZeroDivisionError), outer, slow.beside(fails=True):
        if leaves == "by an exception":
            raise ZeroDivisionError
    assert slow.trail == ["do slow", "done slow", "undo slow"]
    assert [type(error) for error in slow.raised] == [Boom]


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_step_that_starts_while_a_rollback_waits_is_refused_before_its_body(by_hand: bool, slow: Slow) -> None:
    @action
    def late() -> None:
        slow.trail.append("late")

    def inside() -> None:
        with pytest.raises(TransactionClosed):
            outer.on_rollback(slow.trail.append, "never") if by_hand else late()

    outer = transaction()
    with pytest.raises(ZeroDivisionError), outer, slow.beside(inside):
        raise ZeroDivisionError
    assert slow.trail == ["do slow", "done slow", "undo slow"]
    assert (outer.state, slow.raised) == ("rolled back", [])


@pytest.mark.parametrize("fails", [False, True])
def test_a_step_that_a_running_step_makes_while_a_commit_waits_for_it_belongs_to_it(fails: bool, slow: Slow) -> None:
    outer = transaction()
    with outer, slow.beside(lambda: record(slow.trail, "inside"), fails=fails):
        pass
    undone = ["undo inside", "undo slow"] if fails else []
    assert slow.trail == ["do slow", "do inside", "done slow", *undone]
    assert (outer.state, [str(error) for error in slow.raised]) == ("committed", ["slow"] if fails else [])
    slow.thread.join(LONG)
    with pytest.raises(TransactionClosed):
        slow.context.run(record, slow.trail, "late")


def test_the_innermost_step_of_a_thread_stays_the_current_one_while_a_rollback_waits_for_it() -> None:
    started, may_end = threading.Event(), threading.Event()
    names: list[str] = []

    @action(name="innermost")
    def innermost() -> None:
        started.set()
        assert may_end.wait(LONG)
        names.append(current_step().name)

    @action(name="around it")
    def around_it() -> None:
        innermost()
        names.append(current_step().name)

    with watched(8), pytest.raises(Boom, match="body"), transaction():
        thread = threading.Thread(target=copy_context().run, args=(around_it,), daemon=True)
        thread.start()
        assert started.wait(LONG)
        threading.Timer(A_WHILE, may_end.set).start()
        raise Boom("body")
    thread.join(LONG)
    assert names == ["innermost", "around it"]


class SlowBlock(Slow):
    """A savepoint in another thread, which is left when that is told to."""

    def run(self, inside: Callable[[], object], fails: bool) -> None:
        try:
            with transaction("beside") as self.block:
                self.step("first")
                self.started.set()
                assert self.may_end.wait(LONG)
                inside()
                if fails:
                    raise Boom("beside")
        except BaseException as error:
            self.raised.append(error)

    def step(self, name: str) -> None:
        record(self.trail, name)

    def end(self) -> None:
        """Leave it, and wait for that."""
        self.may_end.set()
        self.thread.join()


@action
def record(trail: list[str], name: str) -> None:
    trail.append(f"do {name}")


@record.rollback
def unrecord(trail: list[str], name: str) -> None:
    trail.append(f"undo {name}")


@pytest.fixture
def slow_block() -> Iterator[SlowBlock]:
    made = SlowBlock()
    with watched(8):
        yield made
        made.may_end.set()


def test_a_savepoint_in_another_thread_is_left_while_its_outer_block_goes_on(slow_block: SlowBlock) -> None:
    with transaction() as q, slow_block.beside():
        slow_block.end()
        slow_block.step("after it")
        assert slow_block.block.state == "released"
    assert slow_block.trail == ["do first", "do after it"]
    assert (q.state, slow_block.raised) == ("committed", [])


def test_a_commit_waits_for_a_savepoint_in_another_thread_which_takes_steps_until_it_is_left(
    slow_block: SlowBlock,
) -> None:
    with transaction() as q, slow_block.beside(lambda: slow_block.step("second")):
        slow_block.step("before the end")
    slow_block.end()
    assert slow_block.trail == ["do first", "do before the end", "do second"]
    assert (q.state, slow_block.block.state, slow_block.raised) == ("committed", "released", [])


def test_a_savepoint_in_another_thread_that_fails_while_the_block_waits_undoes_only_its_own_steps(
    slow_block: SlowBlock,
) -> None:
    with transaction() as q, slow_block.beside(lambda: slow_block.step("second"), fails=True):
        slow_block.step("before the end")
    slow_block.end()
    assert slow_block.trail == ["do first", "do before the end", "do second", "undo second", "undo first"]
    assert (q.state, slow_block.block.state) == ("committed", "rolled back")
    assert [type(error) for error in slow_block.raised] == [Boom]
    assert q.report.undone == ["record", "record"]


def test_a_rollback_waits_for_a_savepoint_in_another_thread_which_is_told_and_undone_first(
    slow_block: SlowBlock,
) -> None:
    with pytest.raises(Boom, match="body"), transaction() as q:
        slow_block.step("before")
        with slow_block.beside():
            slow_block.step("after")
            raise Boom("body")
    slow_block.end()
    started = ["do before", "do first", "do after"]
    assert slow_block.trail == [*started, "undo first", "undo after", "undo before"]
    assert q.state == "rolled back"
    assert [type(error) for error in slow_block.raised] == [TransactionDoomed]


def test_a_savepoint_in_another_thread_takes_no_steps_any_more_while_its_outer_block_rolls_back(
    slow_block: SlowBlock,
) -> None:
    with pytest.raises(Boom, match="body"), transaction() as q:
        slow_block.step("before")
        with slow_block.beside(lambda: slow_block.step("never")):
            slow_block.step("after")
            raise Boom("body")
    slow_block.end()
    assert slow_block.trail[:3] == ["do before", "do first", "do after"]
    assert sorted(slow_block.trail[3:5]) == ["undo after", "undo first"]
    assert slow_block.trail[5:] == ["undo before"]
    assert [type(error) for error in slow_block.raised] == [TransactionClosed]
    assert (q.state, slow_block.block.state) == ("rolled back", "rolled back")
    assert q.report.undone == ["record"] * 3


def test_a_block_that_is_doomed_while_it_waits_for_a_savepoint_in_another_thread_does_not_commit(
    slow_block: SlowBlock,
) -> None:
    def stay() -> None:
        raise OSError("stuck")

    def doom() -> None:
        with suppress(Boom), transaction("innermost") as innermost:
            innermost.on_rollback(stay)
            raise Boom("innermost")

    with pytest.raises(TransactionDoomed, match="stay"), transaction() as q:
        slow_block.step("before")
        with slow_block.beside(doom):
            slow_block.step("after")
    slow_block.end()
    started = ["do before", "do first", "do after"]
    assert slow_block.trail == [*started, "undo first", "undo after", "undo before"]
    assert [type(error) for error in slow_block.raised] == [TransactionDoomed]
    assert q.state == "rolled back with failures"


@pytest.mark.parametrize("fails", [False, True])
def test_a_block_does_not_wait_for_a_savepoint_that_a_thread_has_never_left(fails: bool) -> None:
    trail: list[str] = []
    left: list[Transaction] = []

    def beside() -> None:
        left.append(q.savepoint("forgotten"))
        left[0].__enter__()
        record(trail, "forgotten")

    expected, told = (Boom, "body") if fails else (IllegalOperation, "still open")
    with watched(8), pytest.raises(expected, match=told), transaction() as q:
        thread = threading.Thread(target=q.run, args=(beside,))
        thread.start()
        thread.join()
        if fails:
            raise Boom("body")
    assert trail == ["do forgotten", "undo forgotten"]
    assert (q.state, left[0].state) == ("rolled back", "rolled back")


def test_a_savepoint_of_a_loop_that_has_ended_is_no_hindrance_to_a_thread() -> None:
    """Its block has been forgotten, and will never end."""
    trail: list[str] = []
    blocks: list[Any] = []

    async def main() -> None:
        blocks.append(transaction())
        await blocks[0].__aenter__()
        blocks.append(transaction("inner"))
        await blocks[1].__aenter__()

    def run() -> None:
        asyncio.run(main())
        thread = threading.Thread(target=blocks[0].run, args=(record, trail, "a"))
        thread.start()
        thread.join()

    copy_context().run(run)
    assert trail == ["do a"]
