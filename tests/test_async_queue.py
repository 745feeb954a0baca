"""Steps and action objects that wait in the queue of an async block (R19)."""

from __future__ import annotations

import asyncio

import pytest

from actionqueues import (
    Action,
    ActionQueue,
    AsyncActionInSyncBlock,
    action,
    transaction,
)

from .async_library import Library, everywhere, in_asyncio
from .async_stage import Boom, Stage, boom, mark, nest, put, work


@everywhere
def test_queued_async_steps_stand_for_their_results_and_run_with_the_sync_ones(library: Library) -> None:
    stage = Stage(library)

    @action
    async def join(first: str, second: str, *, third: str) -> str:
        await library.checkpoint()
        stage.say(f"join({first},{second},{third})")
        return first + second + third

    async def main() -> None:
        async with transaction() as q:
            a = q.add(put, stage, "a")
            b = q.add(mark, stage, "b")
            both = q.add(join, a, b, third=a.later)
            plain = q.add(library.checkpoint)
            assert (a.state, repr(q)) == ("queued", "<AsyncTransaction 'transaction' open, 0 steps, 4 queued>")
            await q.execute()
            assert (both.result, plain.state) == ("aba", "done")
            await q.execute()
            last = q.add(work, stage, name="last")
        assert last.result == "last"

    library.run(main)
    assert stage.told == "+a +b join(a,b,a) +last"


@everywhere
def test_a_queued_step_that_fails_drops_the_ones_after_it(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        with pytest.raises(Boom):
            async with transaction() as q:
                q.add(put, stage, "a")
                bad = q.add(put, stage, "b", None, boom())
                last = q.add(put, stage, "c")
        assert (bad.state, last.state) == ("undone", "dropped")
        assert [step.name for step in q.report.dropped] == ["put"]

    library.run(main)
    assert stage.told == "+a +b -b -a"


@in_asyncio
@pytest.mark.parametrize("grouped", [False, True])
def test_a_queued_step_may_wait_for_a_task_that_executes_the_queue(library: Library, grouped: bool) -> None:
    stage = Stage(library)

    async def main() -> None:
        async with transaction() as q:

            async def inside() -> None:
                q.add(put, stage, "b")
                if not grouped:
                    await asyncio.gather(q.execute())
                    return
                async with asyncio.TaskGroup() as group:
                    group.create_task(q.execute())

            q.add(nest, stage, "a", inside)
            q.add(put, stage, "c")
            await q.execute()
            q.add(put, stage, "d")

    library.run(main)
    assert stage.told == "+a +c +b +d"


class Work(Action):
    def __init__(self, stage: Stage, name: str) -> None:
        self.stage, self.name = stage, name

    # The base class is the sync one:
    async def execute(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        await self.stage.library.checkpoint()
        self.stage.say(f"+{self.name}")

    # The base class is the sync one:
    async def rollback(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        await self.stage.library.checkpoint()
        self.stage.say(f"-{self.name}")


@everywhere
def test_action_objects_may_have_async_methods_in_an_async_block_only(library: Library) -> None:
    stage = Stage(library)
    queue = ActionQueue()
    with pytest.raises(AsyncActionInSyncBlock):
        queue.add(Work(stage, "classic"))
    with transaction() as sync, pytest.raises(AsyncActionInSyncBlock):
        sync.add(Work(stage, "sync"))

    async def main() -> None:
        with pytest.raises(Boom):
            async with transaction() as q:
                q.add(Work(stage, "a"))
                q.add(Work(stage, "b"))
                await q.execute()
                raise Boom

    library.run(main)
    assert stage.told == "+a +b -b -a"


@in_asyncio
def test_a_task_that_a_queued_step_waits_for_executes_the_rest_of_the_queue(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        async with transaction() as q:

            async def inside() -> None:
                await asyncio.create_task(q.execute())

            q.add(nest, stage, "a", inside)
            q.add(put, stage, "b")
            await q.execute()

    library.run(main)
    assert stage.told == "+a +b"


@everywhere
def test_a_task_that_a_queued_step_has_started_in_a_group_executes_the_rest_of_the_queue(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        async with transaction() as q, library.group() as outside:

            async def deep() -> None:
                async with library.group() as start:
                    start(q.execute)

            async def inside() -> None:
                outside(q.execute)  # which nobody in here waits for: it keeps the order
                async with library.group() as start:
                    start(deep)

            q.add(nest, stage, "a", inside)
            q.add(put, stage, "b")
            await q.execute()

    library.run(main)
    assert stage.told == "+a +b"


@everywhere
def test_a_step_that_executes_the_queue_beside_another_task_may_come_to_its_end_later(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        first, first_there, first_go_on = stage.waiting()
        second, second_there, second_go_on = stage.waiting()
        async with transaction() as q:
            async with library.group() as start:
                q.add(put, stage, "a", first)
                start(q.execute)
                await first_there.wait()
                q.add(put, stage, "b", second)
                start(nest, stage, "c", q.execute)
                await second_there.wait()
                first_go_on.set()
                await library.checkpoint(5)
                second_go_on.set()
            q.add(put, stage, "d")

    library.run(main)
    assert stage.told == "+a +c +b +d"
