"""Going back to a mark while other tasks and threads are at work in the block, and what interrupts it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress

import pytest

from actionqueues import IllegalOperation, TransactionClosed, TransactionDoomed, TransactionState, transaction
from actionqueues.core import marks
from tests.async_library import Library, everywhere, in_asyncio, outcome_of
from tests.async_stage import Stage, nest, put

from .doing import do, done
from .test_interrupts import press


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


# -- tasks


@everywhere
def test_a_step_that_another_task_has_started_after_the_mark_is_cancelled_and_undone(library: Library) -> None:
    stage = Stage(library)
    ended: list[BaseException | None] = []

    async def main() -> None:
        wait, there, _ = stage.waiting()

        async def other() -> None:
            ended.append(await outcome_of(put(stage, "b", before=wait)))

        async with transaction("order") as q:
            mark = q.mark()
            await put(stage, "a")
            async with library.group() as start:
                start(other)
                await there.wait()
                await q.rollback(to=mark)
            assert stage.told == "+a +b -b -a"
            await put(stage, "c")
        assert q.state is TransactionState.COMMITTED

    library.run(main)
    assert stage.told == "+a +b -b -a +c"
    assert stage.present == {"c"}
    (error,) = ended
    if library.name == "trio":
        text = "put was cancelled: the transaction 'order' is going back to a mark, and it is undone with that"
        assert str(error) == text
    else:
        assert isinstance(error, asyncio.CancelledError)


@everywhere
def test_what_another_task_has_started_before_the_mark_goes_on_and_stays(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, go_on = stage.waiting()

        async def inside() -> None:
            await wait()
            await put(stage, "in b")

        async with transaction() as q, library.group() as start:
            start(nest, stage, "b", inside)
            await there.wait()
            mark = q.mark()
            await put(stage, "a")
            await q.rollback(to=mark)
            go_on.set()

    library.run(main)
    assert stage.told == "+b +a -a +in b"
    assert stage.present == {"in b"}


@everywhere
def test_what_another_task_starts_while_it_is_gone_back_stays(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, go_on = stage.waiting()
        stage.undoing["a"] = wait

        async def other() -> None:
            await there.wait()
            await put(stage, "b")
            go_on.set()

        async with transaction() as q, library.group() as start:
            mark = q.mark()
            await put(stage, "a")
            start(other)
            await q.rollback(to=mark)
            await q.rollback(to=mark)  # now that is what came after the mark

    library.run(main)
    assert stage.told == "+a -a +b -b"


@everywhere
def test_another_task_can_neither_make_a_mark_nor_go_back_to_one(library: Library) -> None:
    stage = Stage(library)
    refused: list[BaseException | None] = []

    async def main() -> None:
        async with transaction("order") as q:
            mark = q.mark()

            async def other() -> None:
                refused.append(await outcome_of(q.rollback(to=mark)))
                with suppress(IllegalOperation):
                    q.mark()
                    raise AssertionError

            await put(stage, "a")
            async with library.group() as start:
                start(other)

    library.run(main)
    assert "cannot call rollback(to=...) of the transaction 'order': another task has entered it" in str(refused[0])
    assert stage.told == "+a"


@in_asyncio
def test_what_outlives_a_step_that_was_undone_to_a_mark_comes_too_late(library: Library) -> None:
    stage = Stage(library)
    late: list[BaseException | None] = []

    async def main() -> None:
        wait, there, go_on = stage.waiting()
        tasks: list[asyncio.Task[None]] = []

        async def outlives() -> None:
            await wait()
            late.append(await outcome_of(put(stage, "late")))

        async def inside() -> None:
            tasks.append(asyncio.create_task(outlives()))
            await there.wait()

        async with transaction("order") as q:
            mark = q.mark("here")
            await nest(stage, "a", inside)
            await q.rollback(to=mark)
            go_on.set()
            await tasks[0]

    library.run(main)
    assert isinstance(late[0], TransactionClosed)
    assert str(late[0]) == (
        "put came too late: the transaction 'order' is open, but the mark 'here' has been gone back to, which stands "
        "before what started it, and nothing was run; call it before the block ends, or in a transaction of its own"
    )
    assert stage.told == "+a -a"


@everywhere
def test_a_cancellation_while_it_is_gone_back_undoes_all_of_it_and_comes_out(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        with library.scope() as scope:
            async with transaction() as q:
                await put(stage, "a")
                mark = q.mark()
                await put(stage, "b")
                await put(stage, "c")

                async def cancel() -> None:
                    scope.cancel()

                stage.undoing["c"] = cancel
                await q.rollback(to=mark)
                await library.checkpoint()
                stage.say("not cancelled")
        assert scope.cancelled_caught

    library.run(main)
    assert stage.told == "+a +b +c -c -b -a"


def test_a_coroutine_that_is_closed_while_it_goes_back_undoes_what_needs_no_event_loop() -> None:
    async def main() -> None:
        async with transaction() as q:
            do("a")
            mark = q.mark()
            do("b")
            await q.rollback(to=mark)
            raise AssertionError

    async def run() -> None:
        coroutine = main()
        coroutine.send(None)  # it waits for the task that undoes
        coroutine.close()

    asyncio.run(run())
    assert done == ["+a", "+b", "-b", "-a"]


def test_a_coroutine_that_is_closed_while_it_waits_for_another_task_undoes_all_at_the_end_of_the_block() -> None:
    async def run() -> None:
        stage = Stage(Library())
        wait, there, _ = stage.waiting()
        wait_again, _, go_on = stage.waiting()
        stage.undoing["b"] = wait_again

        async def main() -> None:
            async with transaction() as q:
                do("a")
                mark = q.mark()
                tasks.append(asyncio.create_task(put(stage, "b", before=wait)))
                await wait_here.wait()
                do("c")
                await q.rollback(to=mark)
                raise AssertionError

        tasks: list[asyncio.Task[str]] = []
        wait_here = asyncio.Event()
        coroutine = main()
        coroutine.send(None)
        await there.wait()
        wait_here.set()
        with suppress(StopIteration):
            coroutine.send(None)
        coroutine.close()
        go_on.set()
        await asyncio.wait(tasks)
        assert (stage.told, stage.present) == ("+b -b", set())

    asyncio.run(run())
    assert done == ["+a", "+c", "-c", "-a"]


def test_sync_code_does_not_pull_away_a_savepoint_from_a_task_of_its_own_event_loop() -> None:
    async def main() -> None:
        with transaction("order") as q:
            mark, entered, go_on = q.mark(), asyncio.Event(), asyncio.Event()

            async def other() -> None:
                with q.savepoint("inner"):
                    do("b")
                    entered.set()
                    await go_on.wait()

            task = asyncio.create_task(other())
            await entered.wait()
            with pytest.raises(IllegalOperation, match="the savepoint 'inner' inside it is still open; leave that fir"):
                q.rollback(to=mark)
            go_on.set()
            await task
            q.rollback(to=mark)

    asyncio.run(main())
    assert done == ["+b", "-b"]


# -- threads


def test_what_a_thread_has_begun_after_the_mark_is_waited_for_and_undone_and_a_thread_that_came_before_stays() -> None:
    with ThreadPoolExecutor(2) as pool, transaction() as q:
        before, meanwhile, go_on = threading.Event(), threading.Event(), threading.Event()

        def early() -> None:
            before.set()
            assert go_on.wait(10)
            do("early")

        def late() -> None:
            do("late", inside=meanwhile.set)
            assert go_on.wait(10)
            with pytest.raises(TransactionClosed, match="but the mark has been gone back to, which stands before"):
                do("too late")

        first = pool.submit(q.run, early)
        assert before.wait(10)
        mark = q.mark()
        second = pool.submit(q.run, late)
        assert meanwhile.wait(10)
        do("a")
        threading.Timer(0.05, go_on.set).start()
        q.rollback(to=mark)
        assert second.done() or second.result(10) is None
        first.result(10)
    assert done[:2] == ["+late", "+a"]
    assert [word for word in done if word[0] == "-"] == ["-a", "-late"]
    assert "+early" in done


# -- Ctrl-C


def test_ctrl_c_while_it_is_gone_back_is_raised_once_all_of_it_is_undone_and_the_block_may_go_on() -> None:
    with transaction() as q:
        do("a")
        mark = q.mark()
        do("b")
        do("c", undo=press)
        with pytest.raises(KeyboardInterrupt):
            q.rollback(to=mark)
        assert done == ["+a", "+b", "+c", "-c", "-b"]
        do("d")
    assert q.state is TransactionState.COMMITTED
    assert done[5:] == ["+d"]


def test_a_third_ctrl_c_gets_out_at_once_and_what_is_left_is_undone_with_the_block() -> None:
    with pytest.raises(KeyboardInterrupt, match="three times"), transaction() as q:
        do("a")
        mark = q.mark()
        do("b")
        do("c", undo=lambda: press(3))
        do("d")
        q.rollback(to=mark)
    assert done == ["+a", "+b", "+c", "+d", "-d", "-c", "-b", "-a"]
    assert [failure.step.args[0] for failure in q.report.failures] == ["c"]


@pytest.mark.parametrize("again", [False, True])
def test_a_block_that_goes_on_after_a_third_ctrl_c_cannot_commit_half_of_it(again: bool) -> None:
    with pytest.raises(TransactionDoomed, match="an undo inside it had failed: do"), transaction("order") as q:
        do("a")
        mark = q.mark("here")
        do("b")
        do("c", undo=lambda: press(3))
        with pytest.raises(KeyboardInterrupt):
            q.rollback(to=mark)
        if again:
            q.rollback(to=mark)
            assert done == ["+a", "+b", "+c", "-c", "-b"]
    assert done == ["+a", "+b", "+c", "-c", "-b", "-a"]


@pytest.mark.parametrize("again", [False, True])
def test_a_block_that_has_caught_what_kept_it_from_going_back_commits_only_once_it_has(
    monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    def interrupted(*_args: object) -> None:
        raise KeyboardInterrupt

    expected = "cannot commit the transaction 'order': going back to the mark 'here' was interrupted; let the interrupt"
    with nullcontext() if again else pytest.raises(IllegalOperation, match=expected), transaction("order") as q:
        do("a")
        mark = q.mark("here")
        do("b")
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(marks, "waited_for", interrupted)
            q.rollback(to=mark)
        do("c")
        if again:
            q.rollback(to=mark)
    assert done == ["+a", "+b", "+c", "-c", "-b", *([] if again else ["-a"])]
