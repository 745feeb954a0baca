"""The end of a sync block waits for its steps in other threads, and refuses what starts after that."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context

import pytest

from actionqueues import IllegalOperation, Transaction, TransactionClosed, TransactionDoomed, action, transaction

from .async_library import watched
from .world import Boom

LONG = 30.0  # seconds after which a test fails instead of hanging


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
    def beside(self, q: Transaction, inside: Callable[[], object] = list, *, fails: bool = False) -> Generator[None]:
        """Start it in this context; let it end once the block is waiting."""
        wait = q._wait

        def waiting() -> None:
            self.trail.append("waiting")
            self.may_end.set()
            wait()

        q._wait = waiting  # type: ignore[method-assign]  # to see when it waits
        self.thread = threading.Thread(target=copy_context().run, args=(self.run, inside, fails), daemon=True)
        self.thread.start()
        assert self.started.wait(LONG)
        yield


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow()
    yield made
    made.may_end.set()
    made.thread.join(LONG)
    assert not made.thread.is_alive()


def test_a_commit_waits_for_a_step_in_another_thread(slow: Slow) -> None:
    with transaction() as q, slow.beside(q):
        pass
    assert slow.trail == ["do slow", "waiting", "done slow"]
    assert (q.state, slow.raised) == ("committed", [])


def test_a_rollback_waits_for_a_step_in_another_thread_and_then_undoes_it(slow: Slow) -> None:
    with pytest.raises(Boom, match="body"), transaction() as q, slow.beside(q):
        q.on_rollback(slow.trail.append, "undo by hand")
        raise Boom("body")
    assert slow.trail == ["do slow", "waiting", "done slow", "undo by hand", "undo slow"]
    assert (q.state, slow.raised) == ("rolled back", [])


@pytest.mark.parametrize("leaves", ["normally", "by an exception"])
def test_a_step_that_fails_while_the_block_waits_for_it_is_undone_once(leaves: str, slow: Slow) -> None:
    outer = transaction()
    with suppress(ZeroDivisionError), outer, slow.beside(outer, fails=True):
        if leaves == "by an exception":
            raise ZeroDivisionError
    assert slow.trail == ["do slow", "waiting", "done slow", "undo slow"]
    assert [type(error) for error in slow.raised] == [Boom]


@pytest.mark.parametrize("fails", [False, True])
def test_a_step_that_starts_while_the_block_waits_is_refused_before_its_body(fails: bool, slow: Slow) -> None:
    @action
    def late() -> None:
        slow.trail.append("late")

    def inside() -> None:
        with pytest.raises(TransactionClosed):
            late()

    outer = transaction()
    with suppress(ZeroDivisionError), outer, slow.beside(outer, inside):
        if fails:
            raise ZeroDivisionError
    assert "late" not in slow.trail
    assert (outer.state, slow.raised) == ("rolled back" if fails else "committed", [])


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
    with transaction() as q, slow_block.beside(q):
        slow_block.end()
        slow_block.step("after it")
        assert slow_block.block.state == "released"
    assert slow_block.trail == ["do first", "do after it", "waiting"]
    assert (q.state, slow_block.raised) == ("committed", [])


def test_a_commit_waits_for_a_savepoint_in_another_thread_which_takes_steps_until_it_is_left(
    slow_block: SlowBlock,
) -> None:
    with transaction() as q, slow_block.beside(q, lambda: slow_block.step("second")):
        slow_block.step("before the end")
    slow_block.end()
    assert slow_block.trail == ["do first", "do before the end", "waiting", "do second"]
    assert (q.state, slow_block.block.state, slow_block.raised) == ("committed", "released", [])


def test_a_savepoint_in_another_thread_that_fails_while_the_block_waits_undoes_only_its_own_steps(
    slow_block: SlowBlock,
) -> None:
    with transaction() as q, slow_block.beside(q, lambda: slow_block.step("second"), fails=True):
        slow_block.step("before the end")
    slow_block.end()
    assert slow_block.trail == ["do first", "do before the end", "waiting", "do second", "undo second", "undo first"]
    assert (q.state, slow_block.block.state) == ("committed", "rolled back")
    assert [type(error) for error in slow_block.raised] == [Boom]
    assert q.report.undone == ["record", "record"]


def test_a_rollback_waits_for_a_savepoint_in_another_thread_and_undoes_its_steps_in_their_order(
    slow_block: SlowBlock,
) -> None:
    with pytest.raises(Boom, match="body"), transaction() as q:
        slow_block.step("before")
        with slow_block.beside(q):
            slow_block.step("after")
            raise Boom("body")
    slow_block.end()
    started = ["do before", "do first", "do after", "waiting"]
    assert slow_block.trail == [*started, "undo after", "undo first", "undo before"]
    assert (q.state, slow_block.raised) == ("rolled back", [])


def test_a_savepoint_in_another_thread_takes_no_steps_any_more_while_its_outer_block_rolls_back(
    slow_block: SlowBlock,
) -> None:
    with pytest.raises(Boom, match="body"), transaction() as q:
        slow_block.step("before")
        with slow_block.beside(q, lambda: slow_block.step("never")):
            slow_block.step("after")
            raise Boom("body")
    slow_block.end()
    # It undoes its own steps before the outer block, which waits for it, undoes any.
    started = ["do before", "do first", "do after", "waiting"]
    assert slow_block.trail == [*started, "undo first", "undo after", "undo before"]
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
        with slow_block.beside(q, doom):
            slow_block.step("after")
    slow_block.end()
    started = ["do before", "do first", "do after", "waiting"]
    assert slow_block.trail == [*started, "undo first", "waiting", "undo after", "undo before"]
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
