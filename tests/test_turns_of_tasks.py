"""Undos at once of steps that fail together in tasks, or in tasks and threads, take turns (R20)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from actionqueues import TransactionState, transaction, turns
from actionqueues.cancelling import awaits

from .async_library import Library, everywhere, in_asyncio, outcome_of
from .async_stage import Boom, Stage, boom, put
from .crowd import LONG, Crowd, crowd_that_ends, each, fail, spin


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    yield from crowd_that_ends()


def test_an_undo_in_an_event_loop_waits_for_that_of_a_worker_thread(crowd: Crowd) -> None:
    library = Library()
    stage = Stage(library)

    async def main() -> None:
        async with transaction() as q:
            loop = asyncio.get_running_loop()
            undoing, go_on = asyncio.Event(), threading.Event()
            # Whoever looks at the thread finds it in this function of this module, which does not wait:
            crowd.undoing["there"] = each(lambda: loop.call_soon_threadsafe(undoing.set), lambda: spin(go_on))

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
