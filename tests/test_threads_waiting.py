"""The end of a sync block waits for its steps in other threads, and refuses what starts after that."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context

import pytest

from actionqueues import Transaction, TransactionClosed, action, transaction

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
        """Start it in this context; end it once the block is waiting, or at the latest when this is left."""
        wait = q._wait

        def waiting() -> None:
            self.trail.append("waiting")
            self.may_end.set()
            wait()

        q._wait = waiting  # type: ignore[method-assign]
        thread = threading.Thread(target=copy_context().run, args=(self.run, inside, fails))
        thread.start()
        assert self.started.wait(LONG)
        try:
            yield
        finally:
            self.ending = thread


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow()
    yield made
    made.may_end.set()
    made.ending.join(LONG)
    assert not made.ending.is_alive()


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
