"""Steps that fail at the same time are undone where they failed, beside each other: nobody waits for anybody (R20a)."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any

import pytest

from actionqueues import TransactionState, action, transaction
from tests.async_library import Library, everywhere, outcome_of, watched
from tests.async_stage import Boom, Stage, boom, put
from tests.inside import left_in_context

LONG = 30.0  # seconds after which a test fails instead of hanging


class Crowd:
    """Steps of several threads in one block, whose undos meet."""

    def __init__(self) -> None:
        self.trail: list[str] = []
        self.undoing: dict[str, Callable[[], object]] = {}
        self.threads: list[threading.Thread] = []
        self.may_fail = threading.Event()

    def start(self, work: Callable[[], object]) -> threading.Thread:
        """Do this in another thread, in a copy of this context."""

        def run() -> None:
            with suppress(Boom):
                work()

        thread = threading.Thread(target=copy_context().run, args=(run,), daemon=True)
        self.threads.append(thread)
        thread.start()
        return thread

    def failing(self, name: str) -> threading.Thread:
        """A step in another thread that has been started, and fails once it may."""
        started = threading.Event()

        def body() -> None:
            started.set()
            self.may_fail.wait(LONG)

        thread = self.start(lambda: fail(self, name, body))
        assert started.wait(LONG)
        return thread

    def end(self) -> None:
        """Wait for all of them."""
        self.may_fail.set()
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
    crowd.undoing.get(name, lambda: None)()
    crowd.trail.append(f"-{name}")


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    made = Crowd()
    with watched(25):
        yield made
        made.end()
    assert left_in_context() == {}


def test_undos_of_steps_that_fail_together_in_threads_overlap(crowd: Crowd) -> None:
    names = "abcd"
    all_of_them = threading.Barrier(len(names), timeout=LONG)  # which needs all of them at once
    crowd.undoing = dict.fromkeys(names, all_of_them.wait)
    with transaction() as q:
        for name in names:
            crowd.failing(name)
        crowd.end()
    assert sorted(crowd.trail[4:]) == ["-a", "-b", "-c", "-d"]
    assert q.state is TransactionState.COMMITTED
    assert q.report.undone == ["fail"] * 4


@everywhere
def test_undos_of_steps_that_fail_together_in_tasks_overlap(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        undoing = {name: library.event() for name in "abc"}

        async def meet(name: str) -> None:
            undoing[name].set()
            for event in undoing.values():
                await event.wait()

        async def job(name: str) -> None:
            assert isinstance(await outcome_of(put(stage, name, boom())), Boom)

        for name in undoing:
            stage.undoing[name] = lambda name=name: meet(name)  # type: ignore[misc]  # its default
        async with transaction() as q, library.group() as start:
            for name in undoing:
                start(job, name)
        assert q.state is TransactionState.COMMITTED

    library.run(main)
    assert stage.wrong(ordered=False) == []


def ways_to_wait(how: str, crowd: Crowd, run: Callable[..., Any]) -> Callable[[], object]:
    """Start a failing step in another thread; what waits for it."""
    if how == "join":
        thread = crowd.failing("there")
        return lambda: thread.join(LONG)
    started = threading.Event()

    def there() -> None:
        fail(crowd, "there", lambda: (started.set(), crowd.may_fail.wait(LONG)))

    if how == "result":
        pool = ThreadPoolExecutor(1)
        future: Future[Any] = pool.submit(run, there)
        assert started.wait(LONG)
        return lambda: (future.exception(LONG), pool.shutdown())
    told: queue.Queue[str] = queue.Queue()

    def tells() -> None:
        with suppress(Boom):
            there()
        told.put("done")

    crowd.start(tells)
    assert started.wait(LONG)
    return lambda: told.get(timeout=LONG)


@pytest.mark.parametrize("how", ["join", "result", "queue"])
def test_an_undo_may_wait_for_the_step_of_another_thread_and_its_undo(crowd: Crowd, how: str) -> None:
    """Such as one that tells its workers to stop, and joins them."""
    with transaction() as q:
        wait = ways_to_wait(how, crowd, q.run)
        crowd.undoing["here"] = lambda: (crowd.may_fail.set(), wait())
        with suppress(Boom):
            fail(crowd, "here")
        crowd.end()
    assert crowd.trail == ["+there", "+here", "-there", "-here"]
    assert q.state is TransactionState.COMMITTED


@everywhere
def test_an_undo_may_wait_for_the_step_of_another_task_and_its_undo(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        ended = library.event()
        wait, there, go_on = stage.waiting()

        async def other() -> None:
            assert isinstance(await outcome_of(put(stage, "there", wait, boom())), Boom)
            ended.set()

        async def stop() -> None:
            go_on.set()
            await ended.wait()

        stage.undoing["here"] = stop
        async with transaction() as q, library.group() as start:
            start(other)
            await there.wait()
            assert isinstance(await outcome_of(put(stage, "here", boom())), Boom)
        assert q.state is TransactionState.COMMITTED

    library.run(main)
    assert stage.told == "+there +here -here -there"
    assert stage.present == set()


def test_an_undo_in_an_event_loop_does_not_keep_that_of_a_worker_thread_waiting(crowd: Crowd) -> None:
    stage = Stage(Library())

    async def main() -> None:
        async with transaction() as q:
            crowd.undoing["there"] = crowd.may_fail.set

            async def until_that_is_undone() -> None:
                await asyncio.to_thread(crowd.may_fail.wait, LONG)

            stage.undoing["here"] = until_that_is_undone
            thread = asyncio.to_thread(fail, crowd, "there")
            both = await asyncio.gather(thread, put(stage, "here", boom()), return_exceptions=True)
            assert [type(each) for each in both] == [Boom, Boom]
        assert q.state is TransactionState.COMMITTED

    stage.library.run(main)
    assert (crowd.trail, stage.told) == (["+there", "-there"], "+here -here")
