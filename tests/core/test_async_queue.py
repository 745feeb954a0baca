"""Steps and action objects that wait in the queue of an async block (R19)."""

from __future__ import annotations

import pytest

from actionqueues import (
    Action,
    ActionQueue,
    AsyncActionInSyncBlock,
    action,
    transaction,
)
from tests.async_library import Library, everywhere
from tests.async_stage import Boom, Stage, boom, mark, put, work


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
