"""Transactions in many threads at once, and one transaction in several threads."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from contextvars import copy_context
from typing import Any

import pytest

from actionqueues import (
    Retry,
    Step,
    StepState,
    TransactionClosed,
    TransactionDoomed,
    TransactionState,
    action,
    current_step,
    transaction,
)
from actionqueues.report import UndoFailure
from actionqueues.testing import fake_step
from tests.inside import left_in_context


def in_thread(work: Callable[[], object]) -> BaseException | None:
    """Run `work` in another thread, in a copy of this context, to its end; what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=copy_context().run, args=(run,))
    thread.start()
    thread.join()
    return raised[0] if raised else None


Trail = list[str]


@action
def put(trail: Trail, name: str, inside: Callable[[], object] | None = None) -> str:
    trail.append(f"do {name}")
    if inside is not None:
        inside()
    return name


@put.rollback
def take(trail: Trail, name: str) -> None:
    trail.append(f"undo {name}")


@action
def fail(trail: Trail, name: str, inside: Callable[[], object] | None = None) -> None:
    trail.append(f"do {name}")
    if inside is not None:
        inside()
    raise LookupError(name)


@fail.rollback
def mend(trail: Trail, name: str, error: BaseException) -> None:
    trail.append(f"undo {name}")


def undos(trail: Trail) -> Trail:
    return [event.removeprefix("undo ") for event in trail if event.startswith("undo ")]


@pytest.mark.parametrize("seed", range(5))
def test_transactions_of_many_threads_do_not_touch_each_other(seed: int) -> None:
    threads, rounds = 12, 30
    start = threading.Barrier(threads, timeout=60)
    wrong: list[object] = []

    def work(number: int) -> None:
        chance = random.Random(f"{seed} {number}")
        start.wait()
        for round_ in range(rounds):
            trail: Trail = []
            expected = _one_transaction(trail, chance, f"{number}.{round_}")
            if trail != expected:
                wrong.append((trail, expected))
        if left_in_context():
            wrong.append("a block is still the current one")

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


def _one_transaction(trail: Trail, chance: random.Random, name: str) -> Trail:
    """Steps, savepoints and failures at random; returns the trail that there must be."""
    expected: Trail = []
    done: Trail = []
    ends_well = chance.random() < 0.5
    q = transaction(name)
    try:
        with q:
            for number in range(chance.randrange(8)):
                step = f"{name}.{number}"
                expected.append(f"do {step}")
                match chance.randrange(4):
                    case 0:
                        with pytest.raises(LookupError):
                            fail(trail, step)
                        expected.append(f"undo {step}")
                    case 1:
                        with q.savepoint() as inner:
                            put(trail, step)
                            inner.rollback()
                        expected.append(f"undo {step}")
                    case 2:
                        with q.savepoint():
                            put(trail, step)
                        done.append(step)
                    case _:
                        put(trail, step)
                        done.append(step)
            if not ends_well:
                raise LookupError(name)
    except LookupError:
        expected += [f"undo {step}" for step in reversed(done)]
        assert q.state is TransactionState.ROLLED_BACK
    else:
        assert ends_well
        assert q.state is TransactionState.COMMITTED
    return expected


def test_a_step_in_another_thread_is_undone_with_the_block_in_reverse_order_of_start() -> None:
    trail: Trail = []
    with pytest.raises(LookupError), transaction():
        put(trail, "a")
        assert in_thread(lambda: put(trail, "b")) is None
        put(trail, "c")
        assert in_thread(lambda: (put(trail, "d"), put(trail, "e"))) is None
        put(trail, "f")
        raise LookupError
    assert undos(trail) == ["f", "e", "d", "c", "b", "a"]


def test_a_step_in_another_thread_is_kept_by_a_commit() -> None:
    trail: Trail = []
    steps: list[Step[Any]] = []
    with transaction() as q:
        in_thread(lambda: put(trail, "a", lambda: steps.append(current_step())))
    assert (trail, q.state) == (["do a"], TransactionState.COMMITTED)
    assert steps[0].state is StepState.DONE
    assert steps[0].result == "a"


def test_a_step_that_fails_in_another_thread_is_undone_at_once() -> None:
    trail: Trail = []
    with transaction() as q:
        put(trail, "a")
        assert isinstance(in_thread(lambda: fail(trail, "b")), LookupError)
        assert undos(trail) == ["b"]
        put(trail, "c")
    assert undos(trail) == ["b"]
    assert q.report.undone == ["fail"]
    assert q.state is TransactionState.COMMITTED


def test_steps_within_a_step_of_another_thread_are_undone_with_it() -> None:
    trail: Trail = []

    def inside() -> None:
        put(trail, "b.1")
        with transaction():
            put(trail, "b.2")
        put(trail, "b.3")

    with transaction():
        put(trail, "a")
        assert isinstance(in_thread(lambda: fail(trail, "b", inside)), LookupError)
        assert undos(trail) == ["b.3", "b.2", "b.1", "b"]
        put(trail, "c")
    assert len(undos(trail)) == 4


def test_steps_within_a_step_of_another_thread_are_undone_with_the_block() -> None:
    trail: Trail = []
    with pytest.raises(LookupError), transaction():
        put(trail, "a")
        in_thread(lambda: put(trail, "b", lambda: (put(trail, "b.1"), put(trail, "b.2"))))
        put(trail, "c")
        raise LookupError
    assert undos(trail) == ["c", "b.2", "b.1", "b", "a"]


def test_a_step_that_fails_here_leaves_those_of_other_threads_alone() -> None:
    trail: Trail = []
    with transaction():
        with pytest.raises(LookupError):
            fail(trail, "a", lambda: in_thread(lambda: put(trail, "b")))
        assert undos(trail) == ["a"]
        with pytest.raises(LookupError):
            fail(trail, "c")
    assert undos(trail) == ["a", "c"]


@pytest.mark.parametrize("caught", [True, False])
def test_a_savepoint_of_a_step_that_fails_is_undone_with_what_other_threads_have_done_in_it(caught: bool) -> None:
    trail: Trail = []

    def inside() -> None:
        with transaction():
            put(trail, "a.1")
            in_thread(lambda: put(trail, "a.2"))
            put(trail, "a.3")

    with pytest.raises(LookupError), transaction():
        with pytest.raises(LookupError) if caught else nullcontext():
            fail(trail, "a", inside)
        assert undos(trail) == ["a.3", "a.2", "a.1", "a"]
        raise LookupError
    assert undos(trail) == ["a.3", "a.2", "a.1", "a"]


def test_what_another_thread_has_started_since_is_undone_before_an_earlier_step_here() -> None:
    trail: Trail = []
    with pytest.raises(LookupError), transaction():
        put(trail, "a", lambda: in_thread(lambda: put(trail, "b")))
        put(trail, "c")
        raise LookupError
    assert undos(trail) == ["c", "b", "a"]


def test_a_step_in_another_thread_is_retried_there() -> None:
    trail: Trail = []
    threads: set[int] = set()

    @action(retry=Retry(attempts=3, wait_initial=0, wait_jitter=0))
    def flaky() -> int:
        attempt = current_step().attempts
        put(trail, str(attempt))
        threads.add(threading.get_ident())
        if attempt < 3:
            raise ConnectionError
        return attempt

    with transaction():
        assert in_thread(lambda: flaky()) is None
    assert trail == ["do 1", "undo 1", "do 2", "undo 2", "do 3"]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_an_undo_recorded_in_another_thread_takes_its_place_in_the_order() -> None:
    trail: Trail = []
    with pytest.raises(LookupError), transaction() as q:
        put(trail, "a")
        in_thread(lambda: q.on_rollback(trail.append, "undo by hand"))
        put(trail, "b")
        raise LookupError
    assert undos(trail) == ["b", "by hand", "a"]


def test_a_savepoint_in_another_thread_is_undone_by_itself() -> None:
    trail: Trail = []

    def work() -> None:
        put(trail, "b")
        with transaction():
            put(trail, "c")
            fail(trail, "d")

    with transaction() as q:
        put(trail, "a")
        assert isinstance(in_thread(work), LookupError)
        assert undos(trail) == ["d", "c"]
    assert q.state is TransactionState.COMMITTED
    assert undos(trail) == ["d", "c"]


def test_a_step_that_comes_after_the_block_from_another_thread_is_refused_before_it_runs() -> None:
    trail: Trail = []
    with transaction():
        context = copy_context()
    raised: list[BaseException] = []

    def late() -> None:
        try:
            put(trail, "late")
        except TransactionClosed as error:
            raised.append(error)

    thread = threading.Thread(target=context.run, args=(late,))
    thread.start()
    thread.join()
    assert trail == []
    assert len(raised) == 1


@pytest.mark.parametrize("seed", range(5))
def test_many_threads_in_one_block_leave_nothing_behind(seed: int) -> None:
    threads, steps = 8, 40
    start = threading.Barrier(threads + 1, timeout=60)
    lock = threading.Lock()
    present: set[str] = set()
    wrong: list[str] = []

    def note(name: str, there: bool) -> None:
        with lock:
            if (name in present) is there:
                wrong.append(name)
            (present.add if there else present.discard)(name)

    @action
    def create(name: str, chance: random.Random) -> None:
        note(name, True)
        if "." in name and chance.random() < 0.2:
            raise LookupError(name)
        if chance.random() < 0.3:
            create(f"{name}.x", chance)

    @create.rollback
    def remove(name: str) -> None:
        note(name, False)

    def work(number: int) -> None:
        chance = random.Random(f"{seed} {number}")
        start.wait()
        for step in range(steps):
            try:
                create(f"{number}-{step}", chance)
            except LookupError:
                if any(name.startswith(f"{number}-{step}.") or name == f"{number}-{step}" for name in list(present)):
                    wrong.append(f"{number}-{step} failed and is still there")

    with pytest.raises(ZeroDivisionError), transaction():
        workers = [threading.Thread(target=copy_context().run, args=(work, number)) for number in range(threads)]
        for worker in workers:
            worker.start()
        work(threads)
        for worker in workers:
            worker.join()
        assert present
        raise ZeroDivisionError
    assert wrong == []
    assert present == set()


def test_an_undo_that_fails_at_once_in_another_thread_keeps_the_block_from_committing() -> None:
    trail: Trail = []

    @action
    def stuck() -> None:
        raise LookupError("stuck")

    @stuck.rollback
    def unstuck() -> None:
        trail.append("undo stuck")
        raise OSError("cannot")

    with pytest.raises(TransactionDoomed, match="stuck") as caught, transaction() as q:
        put(trail, "a")
        raised = in_thread(lambda: stuck())
        assert isinstance(raised, LookupError)
        put(trail, "b")
    assert undos(trail) == ["stuck", "b", "a"]
    assert [str(error) for error in caught.value.failures] == ["cannot"]
    assert q.state is TransactionState.ROLLED_BACK_WITH_FAILURES


def test_what_two_threads_leave_at_the_same_time_is_all_told() -> None:
    class Meanwhile(list[UndoFailure]):
        """What one thread leaves, while another one does."""

        def __iter__(self) -> Iterator[UndoFailure]:
            q._block.doom([failure("other")])
            return super().__iter__()

    def failure(name: str) -> UndoFailure:
        error = ValueError(name)
        with fake_step(put, [], name, error=error) as step:
            return UndoFailure(step, error)

    q = transaction()
    with pytest.raises(TransactionDoomed) as raised, q:
        q._block.doom([failure("before")])
        q._block.doom(Meanwhile([failure("one")]))
    assert [str(error) for error in raised.value.failures] == ["before", "other", "one"]
