"""Undos at once of steps that fail together, in threads and in tasks, take turns (R20)."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any

import pytest

from actionqueues import Transaction, TransactionDoomed, TransactionState, action, interrupts, transaction, turns
from actionqueues.cancelling import awaits
from actionqueues.owner import current

from .async_library import Library, everywhere, in_asyncio, outcome_of, watched
from .async_stage import Boom, Stage, boom, put

LONG = 30.0  # seconds after which a test fails instead of hanging


def each(*calls: Callable[[], object]) -> Callable[[], None]:
    """One after the other."""

    def call() -> None:
        for each_ in calls:
            each_()

    return call


class Crowd:
    """Steps of several threads in one block, whose every moment can be stopped at."""

    def __init__(self) -> None:
        self.trail: list[str] = []
        self.inside: list[str] = []
        self.undoing: dict[str, Callable[[], object]] = {}
        self.threads: list[threading.Thread] = []
        self.raised: dict[str, BaseException] = {}
        self.fails_together = threading.Event()

    def undo(self, name: str) -> None:
        """What every handler does."""
        if self.inside:
            self.trail.append(f"{name} during {self.inside[-1]}")
        self.inside.append(name)
        try:
            self.undoing.get(name, lambda: None)()
        finally:
            self.inside.remove(name)
            self.trail.append(f"-{name}")

    def start(self, name: str, work: Callable[[], object]) -> threading.Thread:
        """Do this in another thread, in a copy of this context."""

        def run() -> None:
            try:
                work()
            except BaseException as error:
                self.raised[name] = error

        thread = threading.Thread(target=copy_context().run, args=(run,), name=name, daemon=True)
        self.threads.append(thread)
        thread.start()
        return thread

    def failing(self, name: str, before: Callable[[], object] = lambda: None) -> threading.Thread:
        """A step in another thread that has been started, and fails once it is told to."""
        started = threading.Event()

        def wait() -> None:
            started.set()
            assert self.fails_together.wait(LONG)
            before()

        thread = self.start(name, lambda: fail(self, name, wait))
        assert started.wait(LONG)
        return thread

    def ask(self, q: Transaction, count: int) -> None:
        """Wait until so many undos wait for their turn."""
        asking = q.turn
        while len(asking._waiting) < count:
            threading.Event().wait(0.001)

    def end(self) -> None:
        """Wait for all of them."""
        for thread in self.threads:
            thread.join(LONG)
            assert not thread.is_alive()


@action
def fail(crowd: Crowd, name: str, inside: Callable[[], object] = lambda: None) -> None:
    crowd.trail.append(f"+{name}")
    inside()
    raise Boom(name)


@fail.rollback
def mend(crowd: Crowd, name: str) -> None:
    crowd.undo(name)


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    made = Crowd()
    with watched(25):
        yield made
        made.fails_together.set()
        made.end()
    assert current.get() is None


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


def waiting_for(how: str, crowd: Crowd, name: str) -> Callable[[], object]:
    """Ways to wait for a thread in which a step fails."""
    if how == "join":
        thread = crowd.failing(name)
        return lambda: thread.join(LONG)
    if how == "result":
        pool, q, started = ThreadPoolExecutor(1), current.get(), threading.Event()
        assert q is not None
        wait = crowd.fails_together.wait
        future: Future[Any] = pool.submit(q[2].run, fail, crowd, name, each(started.set, lambda: wait(LONG)))
        assert started.wait(LONG)
        return each(lambda: future.exception(LONG), pool.shutdown)
    told: queue.Queue[str] = queue.Queue()
    started = threading.Event()

    def there() -> None:
        with suppress(Boom):
            fail(crowd, name, each(started.set, lambda: crowd.fails_together.wait(LONG)))
        told.put("done")

    crowd.start(name, there)
    assert started.wait(LONG)
    return lambda: told.get(timeout=LONG)


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


def test_an_undo_in_an_event_loop_waits_for_that_of_a_worker_thread(crowd: Crowd) -> None:
    library = Library()
    stage = Stage(library)

    async def main() -> None:
        async with transaction() as q:
            loop = asyncio.get_running_loop()
            undoing, go_on = asyncio.Event(), threading.Event()
            # Whoever looks at the thread finds it in this function of this module, which does not wait:
            crowd.undoing["there"] = each(lambda: loop.call_soon_threadsafe(undoing.set), lambda: _spin(go_on))

            async def fails() -> None:
                await undoing.wait()
                raise Boom

            tasks = [asyncio.to_thread(fail, crowd, "there"), put(stage, "here", after=fails)]
            both = asyncio.gather(*tasks, return_exceptions=True)
            while not q.turn._waiting:
                await asyncio.sleep(0)
            stage.say("waits")
            go_on.set()
            assert [type(each) for each in await both] == [Boom, Boom]

    library.run(main)
    assert crowd.trail == ["+there", "-there"]
    assert stage.told == "+here waits -here"


def _spin(event: threading.Event) -> None:
    while not event.is_set():
        pass


@everywhere
def test_an_undo_in_a_worker_thread_waits_for_that_of_a_task(library: Library, crowd: Crowd) -> None:
    stage = Stage(library)

    async def main() -> None:
        async with transaction() as q:
            wait, there, go_on = stage.waiting()
            stage.undoing["here"] = wait
            may_fail = threading.Event()

            async def in_thread() -> None:
                error = await outcome_of(library.to_thread(lambda: fail(crowd, "there", lambda: may_fail.wait(LONG))))
                assert isinstance(error, Boom)

            async with library.group() as start:
                start(in_thread)
                start(outcome_of, put(stage, "here", after=boom()))
                await there.wait()
                may_fail.set()
                while not q.turn._waiting:
                    await library.checkpoint()
                assert crowd.trail == ["+there"]
                go_on.set()

    library.run(main)
    assert crowd.trail == ["+there", "-there"]


@everywhere
def test_a_sync_step_does_not_wait_for_the_undo_of_a_task_of_its_own_thread(library: Library, crowd: Crowd) -> None:
    stage = Stage(library)

    async def main() -> None:
        async with transaction():
            wait, there, go_on = stage.waiting()
            stage.undoing["task"] = wait

            async def other() -> None:
                await library.to_thread(lambda: None)  # there are threads
                await there.wait()
                with suppress(Boom):
                    fail(crowd, "sync")
                go_on.set()

            async with library.group() as start:
                start(outcome_of, put(stage, "task", after=boom()))
                start(other)

    library.run(main)
    assert crowd.trail == ["+sync", "-sync"]
    assert stage.wrong() == []


@in_asyncio
@pytest.mark.parametrize("how", ["await", "gather", "wait", "group", "others"])
def test_an_undo_that_awaits_the_step_of_another_task_does_not_keep_it_waiting(library: Library, how: str) -> None:
    stage = Stage(library)

    async def main() -> None:
        async with transaction() as q:
            tasks: list[asyncio.Task[Any]] = []
            wait, there, _ = stage.waiting()

            async def stop() -> None:
                tasks[0].cancel()
                if how == "await":
                    await outcome_of(tasks[0])
                elif how == "gather":
                    await asyncio.gather(*tasks, return_exceptions=True)
                elif how == "wait":
                    await asyncio.wait(tasks)
                elif how == "others":
                    await asyncio.gather(*(asyncio.create_task(outcome_of(tasks[0])) for _ in range(2)))
                else:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(outcome_of(tasks[0]))

            async def inside() -> None:
                tasks.append(asyncio.create_task(put(stage, "there", wait)))
                await there.wait()
                raise Boom

            stage.undoing["here"] = stop
            assert isinstance(await outcome_of(put(stage, "here", inside)), Boom)
        assert q.state is TransactionState.COMMITTED

    library.run(main)
    assert stage.told == "+here +there -here -there"
    assert stage.overlaps == ["there"]
    assert stage.present == set()


@in_asyncio
def test_a_task_that_two_others_wait_for_is_looked_at_once(library: Library) -> None:
    async def main() -> None:
        last = asyncio.create_task(library.forever())
        between = [asyncio.create_task(outcome_of(asyncio.shield(last))) for _ in range(2)]
        between += [asyncio.create_task(outcome_of(last)) for _ in range(2)]
        first = asyncio.create_task(asyncio.wait(between))
        await library.checkpoint(3)
        assert awaits(first, last)
        assert not awaits(first, asyncio.current_task())
        last.cancel()
        await first

    library.run(main)


@everywhere
def test_an_undo_that_awaits_something_that_cannot_be_seen_is_given_up_on_after_a_while(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_PATIENCE", 0.2)
    stage = Stage(library)

    async def main() -> None:
        async with transaction(), library.group() as start:
            wait, there, go_on = stage.waiting()
            ended = library.event()

            async def stop() -> None:
                go_on.set()
                await ended.wait()

            async def other() -> None:
                assert isinstance(await outcome_of(put(stage, "there", wait, boom())), Boom)
                ended.set()

            async def inside() -> None:
                start(other)
                await there.wait()
                raise Boom

            stage.undoing["here"] = stop
            assert isinstance(await outcome_of(put(stage, "here", inside)), Boom)

    library.run(main)
    assert stage.told == "+here +there -here -there"
    assert stage.present == set()


def test_a_third_interrupt_while_a_step_waits_for_its_turn_keeps_the_block_from_committing(crowd: Crowd) -> None:
    release = threading.Event()
    crowd.undoing["there"] = lambda: _spin(release)

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
    crowd.undoing["there"] = lambda: _spin(release)

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
