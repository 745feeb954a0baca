"""`checkpoint`, `changes`, `undo_to` and `explain`, as a model uses them."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from actionqueues import IllegalOperation, TransactionDoomed, action, transaction
from actionqueues.agents import tools

from .belt import Full, always, answer, block, done, everywhere, look, mail, pay, put, there


def test_they_say_to_a_model_what_they_are_for() -> None:
    with transaction() as q:
        for tool in tools(q):
            assert str(inspect.signature(tool)).endswith("-> str")
            assert (tool.__doc__ or "").partition("\n")[0].endswith(".")
            assert "Args:" in (tool.__doc__ or "")
            assert tool.__annotations__["return"] is str


@everywhere
async def test_what_came_after_a_checkpoint_is_taken_back_as_often_as_wanted(kind: str) -> None:
    async with block(kind) as q:
        tool, seen, held, checkpoint, changes, undo_to, _ = tools(q, put, look, mail, mendable=Full)
        await answer(tool, name="a")
        assert await answer(checkpoint, name="first") == (
            "Checkpoint 'first' is set: undo_to('first') takes back whatever is done from now on."
        )
        for _ in range(2):
            await answer(tool, name="b")
            await answer(checkpoint, name="second")
            await answer(tool, name="c")
            await answer(held, to="ada")
            await answer(seen)
            assert await answer(changes, since="first") == (
                "-- checkpoint first\n"
                "2. put(name='b', size=1) - can be undone\n"
                "-- checkpoint second\n"
                "3. put(name='c', size=1) - can be undone\n"
                "4. mail(to='ada') - waits until everything has succeeded; can be taken back until then\n"
                "5. look() - read only, nothing to undo"
            )
            assert await answer(undo_to, checkpoint="first") == (
                "Back at checkpoint 'first'. Taken back, last first:\n"
                "- look()\n"
                "- mail(to='ada')\n"
                "- put(name='c', size=1)\n"
                "- put(name='b', size=1)"
            )
            assert list(there.values()) == ["a"]
            assert await answer(undo_to, checkpoint="first") == "Back at checkpoint 'first'. Nothing came after it."
        assert await answer(undo_to, checkpoint="second") == (
            "There is no checkpoint 'second'; there are: start, first."
        )
    assert (list(there.values()), done) == (["a"], [])


@everywhere
async def test_what_an_action_says_of_a_call_in_words_is_told(kind: str) -> None:
    @action
    def grow(volume: str, gigabytes: int) -> None: ...

    @grow.rollback
    def shrink() -> None: ...

    @grow.describe
    def what_grows(volume: str, gigabytes: int) -> str:
        return f"add {gigabytes} GB to {volume}"

    async with block(kind) as q:
        tool, _, changes, undo_to, _ = tools(q, grow)
        await answer(tool, volume="data", gigabytes=20)
        told = "grow(volume='data', gigabytes=20), which is: add 20 GB to data"
        assert (await answer(changes)).splitlines()[-1] == f"1. {told} - can be undone"
        assert (await answer(undo_to, checkpoint="start")).splitlines()[-1] == f"- {told}"


@everywhere
async def test_what_cannot_be_undone_is_told(kind: str) -> None:
    async with block(kind) as q:
        tool, paying, _, changes, undo_to, _ = tools(q, put, pay, approve=always)
        await answer(tool, name="a")
        await answer(paying, euros=5)
        assert (await answer(changes)).splitlines()[-1] == "2. pay(euros=5) - cannot be undone"
        assert await answer(undo_to, checkpoint="start") == (
            "Back at checkpoint 'start'. Taken back, last first:\n"
            "- pay(euros=5) (not undone: it cannot be)\n"
            "- put(name='a', size=1)\n"
            "Not undone, and still there: pay."
        )
    assert (there, done) == ({}, ["paid 5"])


@everywhere
async def test_what_could_not_be_taken_back_is_listed_from_then_on_and_told_once(kind: str) -> None:
    async with block(kind) as q:
        tool, paying, checkpoint, changes, undo_to, _ = tools(q, put, pay, approve=always)
        await answer(checkpoint, name="here")
        await answer(paying, euros=5)
        await answer(tool, name="a")
        await answer(undo_to, checkpoint="here")
        listed = ["-- checkpoint start", "-- checkpoint here", "1. pay(euros=5) - cannot be undone"]
        assert (await answer(changes)).splitlines() == listed
        assert await answer(undo_to, checkpoint="here") == "Back at checkpoint 'here'. Nothing came after it."
        await answer(checkpoint, name="later")
        await answer(tool, name="b")
        assert (await answer(changes, since="later")).splitlines() == [
            "-- checkpoint later",
            "2. put(name='b', size=1) - can be undone",
        ]
        await answer(undo_to, checkpoint="start")
        assert (await answer(changes)).splitlines() == ["-- checkpoint start", "1. pay(euros=5) - cannot be undone"]


@everywhere
async def test_what_has_failed_and_cannot_be_undone_is_told(kind: str) -> None:
    @action(irreversible=True)
    def launch(name: str) -> None:
        raise Full("no fuel")

    async with block(kind) as q:
        tool, _, changes, undo_to, _ = tools(q, launch, approve=always, mendable=Full)
        assert await answer(tool, name="a") == (
            "launch(name='a') failed: Full: no fuel. But not undone: launch (irreversible). Mend the call, or do "
            "something else."
        )
        told = "launch(name='a') - has failed, may have been done in part, and cannot be undone"
        assert (await answer(changes)).splitlines()[-1] == f"1. {told}"
        assert (await answer(undo_to, checkpoint="start")).splitlines()[1:] == [
            "- launch(name='a') (not undone: it cannot be)"
        ]


@everywhere
async def test_an_undo_that_fails_is_told_and_the_transaction_does_not_commit(kind: str) -> None:
    with pytest.raises(TransactionDoomed):
        async with block(kind) as q:
            tool, _, changes, undo_to, _ = tools(q, put)
            await answer(tool, name="stuck")
            told = (await answer(undo_to, checkpoint="start")).splitlines()
            assert told[:2] == [
                "Back at checkpoint 'start'. To be taken back, last first, where no undo has failed:",
                "- put(name='stuck', size=1)",
            ]
            assert told[2].startswith("An undo has failed, so everything is going to be rolled back in the end: ")
            assert (await answer(changes)).splitlines()[1:] == [
                "An undo has failed (put), so all of this is going to be rolled back in the end."
            ]


@everywhere
async def test_names_that_a_model_gets_wrong_are_answered_with_those_that_there_are(kind: str) -> None:
    async with block(kind) as q:
        *_, checkpoint, changes, undo_to, explain = tools(q, put)
        await answer(checkpoint, name="one")
        missing = "There is no checkpoint 'two'; there are: start, one."
        assert await answer(undo_to, checkpoint="two") == missing
        assert await answer(changes, since="two") == missing
        for name in ("one", "start", " "):
            assert await answer(checkpoint, name=name) == (
                f"A checkpoint needs a name of its own, not {name!r}; there are: start, one."
            )
        assert await answer(explain, tool="put") == "put: Reversible: what it does can be undone, by take."
        assert await answer(explain, tool="nothing") == (
            "There is no tool 'nothing'; there are: put, checkpoint, changes, undo_to, explain."
        )


def test_nothing_is_undone_while_a_tool_runs_and_no_tool_starts_while_something_is_undone() -> None:
    there.clear()

    async def main() -> None:
        running, go_on = asyncio.Event(), asyncio.Event()

        @action
        async def slow(name: str) -> str:
            there[name] = name
            running.set()
            await go_on.wait()
            return name

        @slow.rollback
        async def undo(name: str) -> None:
            running.set()
            await go_on.wait()
            del there[name]

        async with transaction() as q:
            tool, other, checkpoint, _, undo_to, _ = tools(q, slow, put)
            task = asyncio.create_task(tool(name="a"))
            await running.wait()
            for name, call in (("undo_to", undo_to(checkpoint="start")), ("checkpoint", checkpoint(name="here"))):
                assert await call == f"Not now: slow(name='a') is still running. Call {name} again later, alone."
            go_on.set()
            assert await task == "a"

            go_on.clear()
            running.clear()
            undoing = asyncio.create_task(undo_to(checkpoint="start"))
            await running.wait()
            assert await asyncio.to_thread(other, name="b") == (
                "put(name='b', size=1) has not run, since undo_to is running. Call it again once that has answered."
            )
            assert await undo_to(checkpoint="start") == (
                "Not now: undo_to is still running. Call undo_to again later, alone."
            )
            go_on.set()
            assert await undoing == "Back at checkpoint 'start'. Taken back, last first:\n- slow(name='a')"
            assert other(name="b") == 1
        assert list(there.values()) == ["b"]

    asyncio.run(main())


def test_all_that_is_running_is_told() -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        @action(read_only=True)
        async def slow(name: str) -> None:
            await go_on.wait()

        async with transaction() as q:
            tool, _, _, undo_to, _ = tools(q, slow)
            both = [asyncio.create_task(tool(name=name)) for name in "ab"]
            await asyncio.sleep(0)
            assert await undo_to(checkpoint="start") == (
                "Not now: slow(name='a'), slow(name='b') are still running. Call undo_to again later, alone."
            )
            go_on.set()
            await asyncio.gather(*both)

    asyncio.run(main())


def test_nor_is_anything_undone_while_a_step_runs_that_is_no_tool() -> None:
    async def main() -> None:
        running, go_on = asyncio.Event(), asyncio.Event()

        @action(read_only=True)
        async def slow() -> None:
            running.set()
            await go_on.wait()

        async with transaction() as q:
            *_, undo_to, _ = tools(q)
            task = asyncio.create_task(slow())
            await running.wait()
            told = await undo_to(checkpoint="start")
            assert told == "Not now: another step, or a savepoint, is still running. Call undo_to again later, alone."
            go_on.set()
            await task

    asyncio.run(main())


@pytest.mark.parametrize("fails", [False, True])
def test_the_end_of_the_block_waits_for_an_undo_in_another_task(fails: bool) -> None:
    undone: list[str] = []

    async def main() -> None:
        undoing, go_on = asyncio.Event(), asyncio.Event()

        @action
        async def slow(name: str) -> None: ...

        @slow.rollback
        async def undo(name: str) -> None:
            undoing.set()
            await go_on.wait()
            undone.append(name)

        told: list[asyncio.Task[str]] = []
        with contextlib.suppress(ZeroDivisionError):
            async with transaction() as q:
                tool, checkpoint, _, undo_to, _ = tools(q, slow)
                await tool(name="a")
                await checkpoint(name="here")
                await tool(name="b")
                await tool(name="c")
                told.append(asyncio.create_task(undo_to(checkpoint="here")))
                await undoing.wait()
                asyncio.get_running_loop().call_later(0.01, go_on.set)
                if fails:
                    raise ZeroDivisionError
        assert str(q.state) == ("rolled back" if fails else "committed")
        (said,) = await asyncio.gather(*told, return_exceptions=True)
        assert str(said).startswith("Back at")
        assert q.report.clean

    asyncio.run(main())
    assert undone == (["c", "b", "a"] if fails else ["c", "b"])


def test_an_undo_that_is_cancelled_comes_to_its_end_and_is_known() -> None:
    async def main() -> None:
        undoing, go_on = asyncio.Event(), asyncio.Event()

        @action
        async def slow(name: str) -> None: ...

        @slow.rollback
        async def undo() -> None:
            undoing.set()
            await go_on.wait()

        async with transaction() as q:
            tool, _, changes, undo_to, _ = tools(q, slow)
            await tool(name="a")
            task = asyncio.create_task(undo_to(checkpoint="start"))
            await undoing.wait()
            task.cancel()
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert changes().endswith("Nothing has been done.")
            assert q.report.undone == ["slow"]

    asyncio.run(main())


@everywhere
async def test_nor_in_a_savepoint_which_can_have_tools_of_its_own(kind: str) -> None:
    async with block(kind) as q:
        tool, _, _, undo_to, _ = tools(q, put)
        async with block(kind) as inner:
            told = await answer(undo_to, checkpoint="start")
            assert told == "Not now: another step, or a savepoint, is still running. Call undo_to again later, alone."
            await answer(tool, name="a")
            inside, _, _, undo_inside, _ = tools(inner, put)
            await answer(inside, name="b")
            assert (await answer(undo_inside, checkpoint="start")).endswith("- put(name='b', size=1)")
        assert list(there.values()) == ["a"]
        await answer(undo_to, checkpoint="start")
    assert there == {}


def test_a_sync_block_is_rolled_back_only_by_the_thread_that_has_entered_it() -> None:
    there.clear()
    with transaction() as q:
        tool, checkpoint, _, undo_to, _ = tools(q, put)
        calls: list[Any] = [lambda: undo_to(checkpoint="start"), lambda: checkpoint(name="there")]
        with ThreadPoolExecutor(1) as pool:
            pool.submit(tool, "a").result()
            for call in calls:
                with pytest.raises(IllegalOperation, match="another thread has entered it"):
                    pool.submit(call).result()
            assert pool.submit(tool, "b").result() == 1  # nobody is alone any more
        assert list(there.values()) == ["a", "b"]
        undo_to(checkpoint="start")
        assert there == {}


def test_an_async_block_is_not_rolled_back_from_another_event_loop() -> None:
    async def main() -> None:
        async with transaction() as q:
            *_, undo_to, _ = tools(q)

            def elsewhere() -> None:
                with pytest.raises(IllegalOperation, match="entered in another event loop"):
                    asyncio.run(undo_to(checkpoint="start"))

            thread = threading.Thread(target=elsewhere)
            thread.start()
            await asyncio.to_thread(thread.join)

    asyncio.run(main())
