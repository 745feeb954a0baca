"""Savepoints that are still open in other tasks when the block around them is left (R14, R20)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from actionqueues import IllegalOperation, TransactionClosed, TransactionState, transaction

from .async_library import Library, everywhere, in_asyncio, outcome_of
from .async_stage import Boom, Stage, mark, nest, put
from .inside import forget_context


class Inner:
    """A savepoint in another task, which goes on when it is told to."""

    def __init__(self, stage: Stage, kind: str = "async") -> None:
        self.stage, self.kind = stage, kind
        self.there, self.go_on, self.ended = (stage.library.event() for _ in range(3))
        self.raised: BaseException | None = None
        self.block: Any = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """The savepoint, by `async with` or by `with`."""
        if self.kind == "sync":
            with transaction("inner") as self.block:
                yield
        else:
            async with transaction("inner") as self.block:
                yield

    async def run(self, *, fails: bool = False) -> None:
        """What the task does."""
        try:
            async with self.opened():
                mark(self.stage, "first")
                self.there.set()
                await self.go_on.wait()
                mark(self.stage, "second", lambda: mark(self.stage, "within"))
                if self.kind == "async":
                    await nest(self.stage, "third", lambda: put(self.stage, "in-it"))
                if fails:
                    raise Boom
        except BaseException as error:
            self.raised = error
            if not isinstance(error, Boom | TransactionClosed):
                raise
        finally:
            self.ended.set()

    def soon(self) -> None:
        """Let it go on once the block waits."""
        soon = self.stage.library.soon()
        soon(lambda: soon(lambda: soon(self.go_on.set)))


@everywhere
@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_commit_waits_for_a_savepoint_in_another_task_which_takes_steps_until_it_is_left(
    library: Library, kind: str
) -> None:
    stage = Stage(library)

    async def main() -> None:
        inner = Inner(stage, kind)
        async with library.group() as start:
            async with transaction() as q:
                start(inner.run)
                await inner.there.wait()
                mark(stage, "other")
                inner.soon()
                q.on_commit(stage.say, "hook")
            assert q.state is TransactionState.COMMITTED
            assert inner.block.state is TransactionState.RELEASED
            assert inner.raised is None

    library.run(main)
    rest = " +second +within" + " +third +in-it" * (kind == "async") + " hook"
    assert stage.told == "+first +other" + rest


@everywhere
@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_savepoint_in_another_task_that_fails_while_the_block_waits_undoes_only_its_own_steps(
    library: Library, kind: str
) -> None:
    stage = Stage(library)

    async def main() -> None:
        inner = Inner(stage, kind)
        async with library.group() as start:
            async with transaction() as q:
                await put(stage, "a")
                start(lambda: inner.run(fails=True))
                await inner.there.wait()
                await put(stage, "b")
                inner.soon()
            assert q.state is TransactionState.COMMITTED
            assert inner.block.state is TransactionState.ROLLED_BACK
            assert isinstance(inner.raised, Boom)

    library.run(main)
    assert stage.present == {"a", "b"}
    assert not stage.overlaps


@in_asyncio
@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("how", ["by an exception", "by q.rollback()"])
def test_a_failing_block_cancels_who_is_in_a_savepoint_of_it_and_waits_until_it_is_left(
    library: Library, kind: str, how: str
) -> None:
    stage = Stage(library)

    async def main() -> None:
        inner = Inner(stage, kind)
        with pytest.raises(Boom):
            async with transaction() as q:
                await put(stage, "a")
                task = asyncio.create_task(inner.run())
                await inner.there.wait()
                await put(stage, "b")
                if how == "by q.rollback()":
                    await q.rollback()
                raise Boom
        assert inner.ended.is_set()
        assert isinstance(inner.raised, asyncio.CancelledError)
        assert inner.block.state is TransactionState.ROLLED_BACK
        assert isinstance(await outcome_of(task), asyncio.CancelledError)

    library.run(main)
    assert stage.told == "+a +first +b -first -b -a"


@in_asyncio
def test_a_block_that_is_cancelled_while_it_waits_for_a_savepoint_cancels_that_too(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        inner = Inner(stage)

        async def block() -> None:
            async with transaction():
                tasks.append(asyncio.create_task(inner.run()))
                await inner.there.wait()
                soon = library.soon()
                soon(lambda: soon(lambda: soon(outer.cancel)))

        tasks: list[asyncio.Task[None]] = []
        outer = asyncio.create_task(block())
        assert isinstance(await outcome_of(outer), asyncio.CancelledError)
        assert isinstance(await outcome_of(tasks[0]), asyncio.CancelledError)

    library.run(main)
    assert stage.told == "+first -first"


@everywhere
def test_a_savepoint_that_is_open_in_the_own_task_by_mistake_is_an_error(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        inner = transaction("inner")
        with pytest.raises(IllegalOperation, match=r"the savepoint 'inner' inside it is still open; leave the inner"):
            async with transaction():
                await put(stage, "a")
                await inner.__aenter__()
                await put(stage, "b")
        assert inner.state is TransactionState.ROLLED_BACK
        forget_context()

    library.run(main)
    assert stage.told == "+a +b -b -a"


@everywhere
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_savepoint_whose_task_ends_without_leaving_it_is_not_waited_for(library: Library, when: str) -> None:
    stage = Stage(library)

    async def main() -> None:
        there, go_on, inner = library.event(), library.event(), transaction("inner")

        async def job() -> None:
            await inner.__aenter__()
            await put(stage, "b")
            there.set()
            if when == "meanwhile":
                await go_on.wait()

        async with library.group() as start:
            with pytest.raises(IllegalOperation, match="is still open"):
                async with transaction():
                    await put(stage, "a")
                    start(job)
                    await there.wait()
                    await library.checkpoint(5)
                    soon = library.soon()
                    soon(lambda: soon(lambda: soon(go_on.set)))

    library.run(main)
    assert stage.told == "+a +b -b -a"


@everywhere
def test_hooks_of_a_savepoint_in_one_beside_other_steps_are_dropped_with_that(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        there, go_on = library.event(), library.event()

        async def job() -> None:
            with pytest.raises(Boom):
                async with transaction("inner"):
                    await put(stage, "a")
                    there.set()
                    await go_on.wait()
                    async with transaction("innermost") as innermost:
                        await put(stage, "c")
                        innermost.on_commit(stage.say, "dropped")
                    raise Boom

        async with transaction() as q:
            q.on_commit(stage.say, "hook")
            async with library.group() as start:
                start(job)
                await there.wait()
                await put(stage, "b")
                go_on.set()

    library.run(main)
    assert stage.told == "+a +b +c -c -a hook"


@everywhere
def test_hooks_of_a_step_in_a_savepoint_beside_other_steps_are_dropped_with_that(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        there, go_on = library.event(), library.event()

        async def inside() -> None:
            mark(stage, "b")
            there.set()
            await go_on.wait()
            with transaction("innermost") as innermost:
                mark(stage, "d")
                innermost.on_commit(stage.say, "dropped")

        async def job() -> None:
            with pytest.raises(Boom):
                async with transaction("inner"):
                    await nest(stage, "a", inside)
                    raise Boom

        async with transaction() as q:
            q.on_commit(stage.say, "hook")
            async with library.group() as start:
                start(job)
                await there.wait()
                await put(stage, "c")
                go_on.set()

    library.run(main)
    assert stage.told == "+a +b +c +d -d -b -a hook"
