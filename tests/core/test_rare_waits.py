"""What is waited for before anything is undone, and what is not, where tasks and threads do unusual things."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import Any

import pytest

from actionqueues import (
    ActionQueue,
    IllegalOperation,
    TransactionClosed,
    transaction,
)
from actionqueues.core import drivers, waiting
from tests.async_library import Library, everywhere, in_asyncio, in_trio, outcome_of
from tests.async_stage import Boom, Stage, boom, nest, put
from tests.inside import impatient

from .doing import do, done


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


def test_a_long_wait_for_a_thread_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    impatient(monkeypatch)
    there = threading.Event()

    def wait_to_be_told_of() -> None:
        there.set()
        while not caplog.records:
            pass

    with transaction() as q:
        thread = threading.Thread(target=q.run, args=(do, "a", None, wait_to_be_told_of))
        thread.start()
        there.wait()
    thread.join()
    assert {record.getMessage() for record in caplog.records} == {
        "waiting for more than 0.03 seconds for what another thread does in the transaction to end"
    }


@everywhere
def test_a_step_that_fails_waits_for_its_tasks_also_where_there_is_no_other_thread(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_count", lambda: 0)
    stage = Stage(library)

    async def main() -> None:
        wait, there, _ = stage.waiting()

        async def inside() -> None:
            start(outcome_of, put(stage, "b", wait))
            await there.wait()

        async with library.group() as start, transaction():
            assert isinstance(await outcome_of(nest(stage, "a", inside, boom())), Boom)

    library.run(main)
    assert stage.told == "+a +b -b -a"


def test_a_step_in_a_pool_that_follows_another_one_in_its_context_is_waited_for_and_refused_in_time() -> None:
    go_on, there, ends = threading.Event(), threading.Event(), threading.Event()

    def wait() -> None:
        there.set()
        go_on.wait()

    with ThreadPoolExecutor(1) as pool:

        def follow() -> None:
            pool.submit(copy_context().run, do, "second", None, wait)
            late.append(copy_context())

        def soon() -> None:
            there.wait()
            ends.wait()
            go_on.set()

        late: list[Context] = []
        threading.Thread(target=soon).start()
        with pytest.raises(LookupError), transaction():
            pool.submit(copy_context().run, do, "first", None, follow).result()
            there.wait()
            ends.set()
            raise LookupError
        assert done == ["+first", "+second", "-second", "-first"]
        with pytest.raises(TransactionClosed):
            pool.submit(late[0].run, do, "third").result()


def test_ctrl_c_while_a_failing_block_waits_for_a_thread_comes_out_once_everything_is_undone() -> None:
    there, q = threading.Event(), transaction()

    def slow() -> None:
        there.set()
        while not q._block.waiters:
            pass
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), q:
        do("a")
        thread = threading.Thread(target=q.run, args=(do, "b", None, slow))
        thread.start()
        there.wait()
        raise LookupError
    thread.join()
    assert done == ["+a", "+b", "-b", "-a"]


def test_a_savepoint_that_an_ended_thread_has_never_left_is_not_waited_for() -> None:
    def enter() -> None:
        transaction("inner").__enter__()
        do("b")

    with pytest.raises(IllegalOperation, match="the savepoint 'inner' inside it is still open"), transaction():
        do("a")
        thread = threading.Thread(target=copy_context().run, args=(enter,))
        thread.start()
        thread.join()
    assert done == ["+a", "+b", "-b", "-a"]


def test_a_classic_queue_is_not_rolled_back_while_another_thread_executes_it() -> None:
    there, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        there.set()
        go_on.wait()

    queue = ActionQueue()
    queue.add(do, "a", None, wait)
    thread = threading.Thread(target=queue.execute)
    thread.start()
    there.wait()
    with pytest.raises(IllegalOperation, match="it is being executed"):
        queue.rollback()
    go_on.set()
    thread.join()
    queue.rollback()
    assert done == ["+a", "-a"]


def test_the_rollback_of_a_classic_queue_waits_for_the_threads_that_its_actions_have_started() -> None:
    there, threads = threading.Event(), list[threading.Thread]()

    def start() -> None:
        threads.append(threading.Thread(target=copy_context().run, args=(do, "b", None, slow)))
        threads[0].start()
        there.wait()

    def slow() -> None:
        there.set()
        while not any(owner.waiters for owner in [queue._owner]):
            pass
        done.append("b ends")

    queue = ActionQueue()
    queue.add(do, "a", None, start)
    queue.execute()
    queue.rollback()
    threads[0].join()
    assert done == ["+a", "+b", "b ends", "-b", "-a"]


@in_asyncio
def test_a_step_that_fails_is_told_when_a_thread_that_it_has_brought_in_has_ended(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "_LOOK", 1000.0)
    stage, release = Stage(library), threading.Event()

    async def main() -> None:
        async with transaction() as q:

            async def inside() -> None:
                loop = asyncio.get_running_loop()
                context = copy_context()
                thread = loop.run_in_executor(None, lambda: context.run(q.run, release.wait))
                loop.call_later(0.05, release.set)
                await asyncio.sleep(0.01)
                threads.append(thread)
                raise Boom

            threads: list[asyncio.Future[bool]] = []
            assert isinstance(await outcome_of(nest(stage, "a", inside)), Boom)
            await threads[0]

    library.run(main)
    assert stage.told == "+a -a"


@in_trio
def test_an_error_that_leaves_a_block_whose_nursery_is_cancelled_meanwhile_is_the_one_that_comes_out(
    library: Library,
) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, _ = stage.waiting()
        raised: list[BaseException | None] = []

        async def child() -> None:
            await put(stage, "b", wait)

        async def block(start: Any) -> None:
            async with transaction():
                start(child)
                await there.wait()
                raise Boom

        async def whole() -> None:
            async with library.group() as start:
                raised.append(await outcome_of(block(start)))

        await outcome_of(whole())
        assert [type(error) for error in raised] == [Boom]

    library.run(main)
    assert stage.told == "+b -b"


@in_trio
def test_waiting_in_a_cancelled_scope_does_not_spin(
    library: Library, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import trio

    impatient(monkeypatch)
    there = threading.Event()

    def slow() -> None:
        there.set()
        while not caplog.records:
            pass

    async def main() -> None:
        with trio.CancelScope() as scope:
            async with transaction() as q:
                thread = threading.Thread(target=q.run, args=(slow,))
                thread.start()
                there.wait()
                scope.cancel()
                await trio.sleep_forever()
        assert scope.cancelled_caught
        thread.join()

    library.run(main)
    assert len(caplog.records) >= 1


@everywhere
def test_a_savepoint_in_a_generator_that_is_closed_later_is_undone_in_its_place(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        async def rows() -> AsyncGenerator[int, None]:
            async with transaction("rows"):
                for number in range(3):
                    await put(stage, f"r{number}")
                    yield number

        async def block() -> None:
            async with transaction():
                generators.append(rows())
                async for number in generators[0]:
                    await put(stage, f"c{number}")
                    if number == 1:
                        raise Boom

        generators: list[AsyncGenerator[int, None]] = []
        assert isinstance(await outcome_of(block()), Boom)
        await generators[0].aclose()

    library.run(main)
    assert stage.told.startswith("+r0 +c0 +r1 +c1 -")
    assert stage.wrong(ordered=False) == []
    assert stage.overlaps == []


@everywhere
def test_an_undo_by_hand_that_returns_something_to_be_awaited_is_awaited(library: Library) -> None:
    class Later:
        def __await__(self) -> Any:
            yield from library.checkpoint().__await__()
            raise Boom("undo")

    async def block() -> None:
        async with transaction() as q:
            blocks.append(q)
            q.on_rollback(Later)
            raise LookupError

    async def main() -> None:
        assert isinstance(await outcome_of(block()), LookupError)

    blocks: list[Any] = []
    library.run(main)
    assert [type(error) for _, error in blocks[0].report.failures] == [Boom]
