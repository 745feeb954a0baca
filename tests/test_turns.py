"""Undos at once of steps that fail together in threads take turns (R20)."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from actionqueues import Transaction, TransactionDoomed, TransactionState, interrupts, transaction, turns

from .async_stage import Boom
from .crowd import LONG, Crowd, crowd_that_ends, each, fail, spin, waiting_for


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    yield from crowd_that_ends()


def test_undos_at_once_in_several_threads_take_turns_the_latest_started_first(crowd: Crowd) -> None:
    with transaction() as q:
        crowd.undoing["first"] = lambda: crowd.ask(q, 4)
        with suppress(Boom):
            # The others fail while this is being undone.
            fail(crowd, "first", each(lambda: [crowd.failing(name) for name in "abcd"], crowd.fails_together.set))
        crowd.end()
    assert crowd.trail == ["+first", "+a", "+b", "+c", "+d", "-first", "-d", "-c", "-b", "-a"]
    assert sorted(crowd.raised) == list("abcd")
    assert q.state is TransactionState.COMMITTED


def test_a_savepoint_that_is_undone_in_another_thread_takes_its_turn(crowd: Crowd) -> None:
    with transaction() as q:
        crowd.undoing["here"] = lambda: crowd.ask(q, 1)
        ready = threading.Event()

        def there() -> None:
            with transaction("savepoint") as inner:
                inner.on_rollback(crowd.undo, "there")
                ready.set()
                assert crowd.fails_together.wait(LONG)
                raise Boom

        def inside() -> None:
            crowd.start("there", there)
            assert ready.wait(LONG)
            crowd.fails_together.set()

        with suppress(Boom):
            fail(crowd, "here", inside)
        crowd.end()
    assert crowd.trail == ["+here", "-here", "-there"]


@pytest.mark.parametrize("how", ["join", "result", "queue"])
def test_an_undo_that_waits_for_the_step_of_another_thread_does_not_keep_it_waiting(crowd: Crowd, how: str) -> None:
    """Such as one that tells its workers to stop, and joins them."""
    with transaction() as q:
        wait: list[Callable[[], object]] = []
        crowd.undoing["here"] = each(crowd.fails_together.set, lambda: wait[0]())
        with suppress(Boom):
            fail(crowd, "here", lambda: wait.append(waiting_for(how, crowd, "there")))
        crowd.end()
    assert crowd.trail == ["+here", "+there", "there during here", "-there", "-here"]
    assert q.state is TransactionState.COMMITTED


def test_an_undo_that_waits_in_its_own_way_is_given_up_on_after_a_while(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_PATIENCE", 0.2)
    ended, end = os.pipe()
    with transaction():
        crowd.undoing["here"] = each(crowd.fails_together.set, lambda: os.read(ended, 1))

        def there() -> None:
            with suppress(Boom):
                fail(crowd, "there", each(started.set, lambda: crowd.fails_together.wait(LONG)))
            os.write(end, b".")

        def inside() -> None:
            crowd.start("there", there)
            assert started.wait(LONG)

        started = threading.Event()
        with suppress(Boom):
            fail(crowd, "here", inside)
        crowd.end()
    os.close(ended)
    os.close(end)
    assert crowd.trail == ["+here", "+there", "there during here", "-there", "-here"]


def test_a_step_that_fails_in_a_thread_while_the_block_waits_for_it_is_undone_first(crowd: Crowd) -> None:
    with suppress(ZeroDivisionError), transaction() as q:
        q.on_rollback(crowd.undo, "before")
        crowd.failing("a")
        crowd.failing("b")
        wait = q._wait

        def waiting() -> None:
            crowd.fails_together.set()
            wait()

        q._wait = waiting  # type: ignore[method-assign]  # to see when it waits
        raise ZeroDivisionError
    crowd.end()
    assert sorted(crowd.trail[2:4]) == ["-a", "-b"]
    assert crowd.trail[4:] == ["-before"]


def test_a_third_interrupt_while_a_step_waits_for_its_turn_keeps_the_block_from_committing(crowd: Crowd) -> None:
    release = threading.Event()
    crowd.undoing["there"] = lambda: spin(release)

    def interrupting(q: Transaction) -> None:
        crowd.ask(q, 1)
        guard = interrupts._on_duty[-1]
        for press in 1, 2, 3:
            os.kill(os.getpid(), signal.SIGINT)
            while guard._presses < press:  # another one before that would be lost
                threading.Event().wait(0.001)
        release.set()

    with pytest.raises(TransactionDoomed), transaction() as q:
        crowd.failing("there")
        crowd.fails_together.set()
        while not q.turn._having:
            threading.Event().wait(0.001)
        interrupter = threading.Thread(target=interrupting, args=(q,))
        with pytest.raises(KeyboardInterrupt):
            fail(crowd, "here", interrupter.start)
        interrupter.join()
        crowd.end()
    assert crowd.trail == ["+there", "+here", "-there", "-here"]
    assert q.report.undone == ["fail", "fail"]


def test_an_interrupt_while_a_step_waits_for_its_turn_is_kept_until_it_is_undone(crowd: Crowd) -> None:
    release = threading.Event()
    crowd.undoing["there"] = lambda: spin(release)

    def interrupting(q: Transaction) -> None:
        crowd.ask(q, 1)
        os.kill(os.getpid(), signal.SIGINT)
        release.set()

    with pytest.raises(KeyboardInterrupt), transaction() as q:
        crowd.failing("there")
        crowd.fails_together.set()
        while not q.turn._having:
            threading.Event().wait(0.001)
        interrupter = threading.Thread(target=interrupting, args=(q,))
        fail(crowd, "here", interrupter.start)
    interrupter.join()
    crowd.end()
    assert crowd.trail == ["+there", "+here", "-there", "-here"]
    assert q.state is TransactionState.ROLLED_BACK


def test_the_turn_of_a_thread_that_has_died_with_it_is_not_waited_for(crowd: Crowd) -> None:
    taken = turns.Turns()
    crowd.start("dies", lambda: taken.take((1,), object))
    crowd.end()
    assert taken.take((2,), object) is not None


def test_one_that_waits_in_an_event_loop_that_has_ended_does_not_get_its_turn(crowd: Crowd) -> None:
    taken = turns.Turns()
    mine = taken.take((1,), object)

    loop = asyncio.new_event_loop()
    waiting = loop.create_task(taken.take_async((5,), object, None))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()  # without ending its tasks
    got: list[object] = []
    crowd.start("thread", lambda: got.append(taken.take((3,), object)))
    while len(taken._waiting) < 2:
        threading.Event().wait(0.001)
    taken.leave(mine)
    crowd.end()
    assert len(got) == 1
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]  # pyright: ignore - asyncio's own


def test_a_finalizer_that_runs_while_its_thread_changes_what_threads_share_may_open_a_block(crowd: Crowd) -> None:
    class Finalized:
        def __del__(self) -> None:
            with transaction("finalizer") as inner:
                inner.on_rollback(crowd.undo, "finalizer")

    with suppress(Boom), transaction() as q:
        crowd.start("there", lambda: q.on_rollback(crowd.undo, "there"))
        crowd.end()
        garbage = Finalized()
        with q.turn.lock:
            del garbage
        raise Boom
    assert crowd.trail == ["-finalizer", "-there"]
