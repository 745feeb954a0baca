"""Steps that are still running, in tasks or in worker threads, when their block is left (R20)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
from contextvars import copy_context

import pytest

from actionqueues import (
    Report,
    TransactionClosed,
    TransactionDoomed,
    TransactionState,
    action,
    transaction,
)
from tests.async_library import Library, everywhere, in_asyncio, outcome_of
from tests.async_stage import Boom, Stage, boom, mark, put
from tests.inside import impatient


@in_asyncio
def test_a_sibling_that_ignores_cancellation_is_waited_for(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        there, go_on = library.event(), library.event()
        tasks: list[asyncio.Task[str]] = []

        async def stubborn() -> None:
            there.set()
            while not go_on.is_set():
                try:
                    await go_on.wait()
                except asyncio.CancelledError:
                    stage.say("ignored")
                    asyncio.get_running_loop().call_soon(go_on.set)
            stage.say("effect")

        with pytest.raises(Boom):
            async with transaction():
                tasks.append(asyncio.create_task(put(stage, "a", stubborn)))
                await there.wait()
                raise Boom
        assert stage.present == set()
        assert await tasks[0] == "a"

    library.run(main)
    assert stage.told == "+a ignored effect -a"


@everywhere
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_a_long_wait_is_logged_with_what_it_waits_for(
    library: Library, ends: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(library)
    impatient(monkeypatch)

    def ours() -> list[tuple[str, str]]:  # asyncio has some of its own, of a machine that is slow
        return [(each.levelname, each.getMessage()) for each in caplog.records if each.name == "actionqueues"]

    async def main() -> None:
        wait, there, go_on = stage.waiting()

        async def stubborn() -> None:
            if library.name == "trio":
                with library.scope() as scope:
                    scope.shield = True  # type: ignore[attr-defined]  # pyright: ignore - trio's has it
                    await wait()
                return
            for _ in range(2):
                with contextlib.suppress(library.cancelled):
                    await wait()

        async def other() -> None:
            await outcome_of(put(stage, "b", stubborn))

        async def told() -> None:
            while not ours():
                await library.checkpoint()
            go_on.set()

        async def block() -> None:
            async with transaction():
                await put(stage, "a")
                start(other)
                await there.wait()
                start(told)
                if ends == "badly":
                    raise Boom

        async with library.group() as start:
            assert isinstance(await outcome_of(block()), Boom if ends == "badly" else type(None))

    library.run(main)
    assert set(ours()) == {("WARNING", "waiting for more than 0.03 seconds for the step put to end")}


@everywhere
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_a_sync_step_in_a_worker_thread_is_waited_for_though_its_task_is_cancelled(library: Library, ends: str) -> None:
    stage = Stage(library)

    async def main() -> None:
        there, go_on = library.event(), threading.Event()
        soon = library.soon()

        def inside() -> None:
            soon(there.set)
            assert go_on.wait(20)
            stage.say("effect")
            if ends == "badly":
                raise Boom("in the thread")

        async def job() -> None:
            with library.scope() as scope:
                scopes.append(scope)
                await library.to_thread(lambda: mark(stage, "b", inside))
            stage.say("task ended")
            ended.set()

        scopes: list[object] = []
        ended = library.event()
        with pytest.raises(Boom, match="body"):
            async with transaction() as q:
                await put(stage, "a")
                async with library.group() as start:
                    start(job)
                    await there.wait()
                    scopes[0].cancel()  # type: ignore[attr-defined]  # pyright: ignore
                    await ended.wait()
                await put(stage, "c")
                # The thread goes on only when the block is on its way out.
                soon(lambda: soon(lambda: soon(go_on.set)))
                raise Boom("body")
        assert q.state is TransactionState.ROLLED_BACK

    library.run(main)
    assert stage.told.startswith("+a +b task ended +c effect ")
    assert stage.wrong(ordered=ends == "well") == []


@everywhere
def test_an_undo_at_once_in_a_worker_thread_is_waited_for_and_not_done_again(library: Library) -> None:
    stage = Stage(library)

    @action
    def fail() -> None:
        stage.say("+b")
        raise Boom("in the thread")

    async def main() -> None:
        there, go_on = library.event(), threading.Event()
        soon = library.soon()

        @fail.rollback
        def undo() -> None:
            stage.say("-b")
            soon(there.set)
            assert stage.trail.count("-b") > 1 or go_on.wait(20)

        async def job() -> None:
            assert isinstance(await outcome_of(library.to_thread(fail)), Boom)

        async with library.group() as start:
            with pytest.raises(Boom, match="body"):
                async with transaction() as q:
                    await put(stage, "a")
                    start(job)
                    await there.wait()
                    soon(lambda: soon(lambda: soon(go_on.set)))
                    raise Boom("body")
            assert q.state is TransactionState.ROLLED_BACK

    library.run(main)
    assert stage.told == "+a +b -b -a"


@everywhere
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_a_step_of_a_task_that_outlives_the_block_comes_too_late_before_its_body_runs(
    library: Library, ends: str
) -> None:
    stage = Stage(library)

    async def main() -> None:
        go_on, late = library.event(), list[BaseException | None]()

        async def job() -> None:
            await go_on.wait()
            late.append(await outcome_of(put(stage, "late")))
            with pytest.raises(TransactionClosed):
                mark(stage, "sync")
            with pytest.raises(Boom):
                async with transaction("its own") as own:
                    await put(stage, "own")
                    raise Boom
            assert own.state is TransactionState.ROLLED_BACK

        async with library.group() as start:

            async def block() -> None:
                async with transaction("short"):
                    start(job)
                    await put(stage, "a")
                    await library.checkpoint()
                    if ends == "badly":
                        raise Boom

            assert isinstance(await outcome_of(block()), Boom if ends == "badly" else None.__class__)
            go_on.set()
        assert isinstance(late[0], TransactionClosed)
        assert "put came too late: the transaction 'short' is" in str(late[0])

    library.run(main)
    assert stage.told == ("+a +own -own" if ends == "well" else "+a -a +own -own")


@everywhere
def test_a_block_that_is_left_normally_waits_for_the_steps_that_are_running(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, go_on = stage.waiting()
        soon = library.soon()
        async with library.group() as start:
            async with transaction() as q:
                start(put, stage, "a", wait)
                await there.wait()
                soon(lambda: soon(lambda: soon(go_on.set)))
                q.on_commit(stage.say, "hook")
            assert stage.present == {"a"}
            assert q.state is TransactionState.COMMITTED

    library.run(main)
    assert stage.told == "+a hook"


@everywhere
@pytest.mark.parametrize("undo", ["works", "fails"])
def test_a_step_that_fails_while_the_block_waits_for_it_is_undone_and_dooms_it_if_it_cannot_be(
    library: Library, undo: str
) -> None:
    stage = Stage(library)
    if undo == "fails":
        stage.undoing["b"] = boom(OSError("stuck"))

    async def main() -> None:
        wait, there, go_on = stage.waiting()
        soon = library.soon()

        async def job() -> None:
            error = await outcome_of(put(stage, "b", wait, boom()))
            assert isinstance(error, Boom)

        async def block() -> None:
            async with transaction() as q:
                await put(stage, "a")
                start(job)
                await there.wait()
                q.on_commit(stage.say, "hook")
                soon(lambda: soon(lambda: soon(go_on.set)))

        async with library.group() as start:
            error = await outcome_of(block())
        assert type(error) is (TransactionDoomed if undo == "fails" else type(None))

    library.run(main)
    assert stage.told == ("+a +b -b -a" if undo == "fails" else "+a +b -b hook")


@in_asyncio
def test_a_coroutine_that_is_closed_in_a_queued_step_at_the_end_of_its_block_undoes_what_it_can(
    library: Library,
) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, _ = stage.waiting()

        async def block() -> None:
            async with q as opened:
                mark(stage, "a")
                opened.add(put, stage, "b", wait)

        q = transaction()
        coroutine = block()
        copy_context().run(coroutine.send, None)
        assert there.is_set()
        coroutine.close()
        assert q.state is TransactionState.ROLLED_BACK_WITH_FAILURES  # the handler of b would have to wait

    library.run(main)
    assert stage.told == "+a +b -b -a"


def test_a_step_in_a_worker_thread_that_ends_after_the_event_loop_returns_its_result() -> None:
    stage = Stage(Library())
    there, go_on = threading.Event(), threading.Event()
    returned: list[str] = []

    def inside() -> None:
        there.set()
        assert go_on.wait(20)

    async def block() -> None:
        async with transaction() as q:
            thread = threading.Thread(target=q.run, args=(lambda: returned.append(mark(stage, "a", inside)),))
            threads.append(thread)
            thread.start()
            assert there.wait(20)

    threads: list[threading.Thread] = []
    loop = asyncio.new_event_loop()
    task = loop.create_task(block())
    loop.run_until_complete(asyncio.sleep(0.01))  # the block waits for the thread now
    loop.close()
    go_on.set()
    threads[0].join()
    assert returned == ["a"]
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # pyright: ignore - asyncio's own
    coroutine = task.get_coro()
    assert coroutine is not None
    coroutine.close()
    assert stage.told == "+a -a"


def test_a_rollback_whose_event_loop_has_ended_goes_on_as_far_as_nothing_has_to_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "anyio", raising=False)  # whose registry would keep the tasks alive
    library = Library()
    stage = Stage(library)
    stage.undoing["b"] = library.forever

    async def unit() -> None:
        mark(stage, "a")
        await put(stage, "b")
        await library.forever()

    async def block() -> None:
        async with transaction() as q:
            reports.append(q.report)
            await q.run(unit)

    reports: list[Report] = []
    loop = asyncio.new_event_loop()
    complaints: list[str] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
    task = loop.create_task(block())
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    while "-b" not in stage.trail:
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    del task
    gc.collect()
    assert stage.told == "+a +b -b -a"
    assert [failure.step.name for failure in reports[0].failures] == ["put"]
    assert complaints == ["Task was destroyed but it is pending!"] * 2  # that of the block, and its rollback
