"""Cancellation undoes everything and stays a cancellation, wherever and however often it comes (R21)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from actionqueues import (
    AsyncTransaction,
    CommitHookFailed,
    Retry,
    TransactionState,
    action,
    transaction,
)
from tests.async_library import Library, everywhere, in_asyncio, outcome_of
from tests.async_stage import AT_ONCE, Boom, Stage, boom, flaky, mark, nest, put, work
from tests.marks import slow_but

#: What a body does in its block, and when it gets `reached`, to be cancelled there.
Body = Callable[[Stage, AsyncTransaction, Callable[[], Awaitable[None]]], Awaitable[object]]


async def in_the_body(stage: Stage, q: AsyncTransaction, reached: Callable[[], Awaitable[None]]) -> None:
    await put(stage, "a")
    mark(stage, "b")
    await reached()


async def between_steps(stage: Stage, q: AsyncTransaction, reached: Callable[[], Awaitable[None]]) -> None:
    await put(stage, "a")
    await reached()
    await put(stage, "b")


async def in_a_step_before_its_effect(
    stage: Stage, q: AsyncTransaction, reached: Callable[[], Awaitable[None]]
) -> None:
    await put(stage, "a")
    await put(stage, "b", reached)


async def in_a_step_after_its_effect(stage: Stage, q: AsyncTransaction, reached: Callable[[], Awaitable[None]]) -> None:
    await work(stage, name="a")
    await put(stage, "b", None, reached)


async def in_a_step_inside_a_step(stage: Stage, q: AsyncTransaction, reached: Callable[[], Awaitable[None]]) -> None:
    await nest(stage, "a", lambda: nest(stage, "b", lambda: put(stage, "c", None, reached)))


async def after_a_step_inside_a_step(stage: Stage, q: AsyncTransaction, reached: Callable[[], Awaitable[None]]) -> None:
    await nest(stage, "a", lambda: put(stage, "b"), reached)


async def in_a_second_attempt(stage: Stage, q: AsyncTransaction, reached: Callable[[], Awaitable[None]]) -> None:
    await put(stage, "a")
    await flaky(stage, "b", 1, reached)


async def in_a_queued_step(stage: Stage, q: AsyncTransaction, reached: Callable[[], Awaitable[None]]) -> None:
    q.add(put, stage, "a")
    q.add(put, stage, "b", None, reached)
    q.add(put, stage, "never")


async def in_the_undo_at_once_of_a_step(
    stage: Stage, q: AsyncTransaction, reached: Callable[[], Awaitable[None]]
) -> None:
    stage.undoing["b"] = reached
    await put(stage, "a")
    with contextlib.suppress(Boom):
        await put(stage, "b", None, boom())
    await stage.library.checkpoint()  # trio's cancellations come at the next checkpoint
    raise AssertionError("the cancellation has been lost")


async def in_a_savepoint(stage: Stage, q: AsyncTransaction, reached: Callable[[], Awaitable[None]]) -> None:
    await put(stage, "a")
    async with q.savepoint():
        await put(stage, "b")
        async with transaction():
            await put(stage, "c", None, reached)


async def in_the_rollback_of_a_savepoint(
    stage: Stage, q: AsyncTransaction, reached: Callable[[], Awaitable[None]]
) -> None:
    stage.undoing["b"] = reached
    await put(stage, "a")
    async with q.savepoint() as inner:
        await put(stage, "b")
        await inner.rollback()
    await stage.library.checkpoint()
    raise AssertionError("the cancellation has been lost")


BODIES: list[Body] = [
    in_the_body,
    between_steps,
    in_a_step_before_its_effect,
    in_a_step_after_its_effect,
    in_a_step_inside_a_step,
    after_a_step_inside_a_step,
    in_a_second_attempt,
    in_a_queued_step,
    in_the_undo_at_once_of_a_step,
    in_a_savepoint,
    in_the_rollback_of_a_savepoint,
]
each_body = pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)


@everywhere
@each_body
@pytest.mark.parametrize("cancels", slow_but([1, 3], 3))
def test_a_cancelled_scope_undoes_everything_and_ends_there(library: Library, body: Body, cancels: int) -> None:
    stage = Stage(library)
    after: list[str] = []

    async def main() -> None:
        with library.scope() as scope:

            async def reached() -> None:
                scope.cancel()
                await library.checkpoint(5)  # where it comes out, unless this is a handler

            async def again() -> None:
                for _ in range(1, cancels):
                    scope.cancel()
                    await library.checkpoint()

            stage.undoing["a"] = again
            async with transaction() as q:
                await body(stage, q, reached)
            after.append("the block has ended well")
        assert scope.cancelled_caught
        assert q.state is TransactionState.ROLLED_BACK
        assert q.report.clean
        await library.checkpoint()  # nothing of the cancellation is left

    library.run(main)
    assert after == []
    assert "+never" not in stage.trail
    assert stage.wrong() == []


@in_asyncio
@each_body
def test_a_cancelled_task_ends_as_cancelled_and_counts_its_cancellations(library: Library, body: Body) -> None:
    stage = Stage(library)
    seen: list[int] = []

    async def main() -> None:
        there = library.event()

        async def reached() -> None:
            there.set()
            for _ in range(30):
                await asyncio.sleep(0)

        async def job() -> None:
            try:
                async with transaction() as q:
                    blocks.append(q)
                    await body(stage, q, reached)
            except asyncio.CancelledError as error:
                # There is one:
                seen.append(asyncio.current_task().cancelling())  # type: ignore[union-attr]  # pyright: ignore
                assert error.args == ("first",)
                raise

        blocks: list[AsyncTransaction] = []
        task = asyncio.create_task(job())
        await there.wait()
        task.cancel("first")
        for _ in range(4):
            await asyncio.sleep(0)
        task.cancel("second")
        await asyncio.sleep(0)
        task.cancel("third")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert task.cancelling() == seen[0]
        assert blocks[0].state is TransactionState.ROLLED_BACK

    library.run(main)
    assert seen in ([1], [2], [3])
    assert stage.wrong() == []


@everywhere
def test_a_cancellation_in_the_wait_of_a_retry_undoes_the_step(library: Library) -> None:
    stage = Stage(library)

    @action(retry=Retry(attempts=2, wait_initial=3600, wait_jitter=0))
    async def slow() -> None:
        stage.say("+slow")
        waiting.append(True)
        await library.checkpoint()
        raise Boom

    @slow.rollback
    async def undo(error: BaseException, step: object) -> None:
        await stage.undo("slow")

    waiting: list[bool] = []

    async def main() -> None:
        with library.scope() as scope:

            async def cancel() -> None:
                while not waiting:
                    await library.checkpoint()
                await library.checkpoint(5)
                scope.cancel()

            async with library.group() as start:
                start(cancel)
                async with transaction() as q:
                    await put(stage, "a")
                    await slow()
        assert scope.cancelled_caught
        assert q.report.clean

    library.run(main)
    assert stage.told == "+a +slow -slow -a"


@everywhere
def test_the_wait_of_a_retry_in_a_rollback_is_not_cut_short(library: Library) -> None:
    stage = Stage(library)
    failures = iter([Boom("1"), Boom("2"), None])

    @action
    async def step() -> None:
        stage.say("+b")

    async def main() -> None:
        with library.scope() as scope:

            @step.rollback(retry=Retry(attempts=3, wait_initial=0.001, wait_jitter=0))
            async def undo() -> None:
                scope.cancel()
                stage.say("-try")
                error = next(failures)
                if error is not None:
                    raise error

            async with transaction() as q:
                await put(stage, "a")
                await step()
                raise Boom
        assert q.report.clean

    error: BaseException | None = None
    try:
        library.run(main)
    except Boom as raised:
        error = raised  # trio's scope lets the exception of the block out; asyncio's has become a cancellation
    assert (error is None) is (library.name != "trio")
    assert stage.told == "+a +b -try -try -try -a"


@in_asyncio
def test_a_shielded_step_goes_on_and_is_waited_for(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, go_on = stage.waiting()

        async def job() -> None:
            async with transaction():
                await put(stage, "a")
                await asyncio.shield(asyncio.ensure_future(put(stage, "b", wait)))

        task = asyncio.create_task(job())
        await there.wait()
        task.cancel()
        assert isinstance(await outcome_of(task), asyncio.CancelledError)
        assert not go_on.is_set()

    library.run(main)
    assert stage.wrong() == []


@in_asyncio
def test_a_handler_that_is_cancelled_by_what_it_awaits_is_a_failed_undo_and_no_cancellation_is_lost(
    library: Library,
) -> None:
    stage = Stage(library)

    async def awaits_a_cancelled_task() -> None:
        other = asyncio.ensure_future(library.forever())
        await asyncio.sleep(0)
        other.cancel()
        await other

    async def main() -> None:
        stage.undoing["b"] = awaits_a_cancelled_task
        async with transaction():
            await put(stage, "a")
            await put(stage, "b")
            raise Boom

    async def outer() -> None:
        error = await outcome_of(main())
        assert isinstance(error, asyncio.CancelledError)
        assert isinstance(error.__context__, Boom)

    library.run(outer)
    assert stage.told == "+a +b -b -a"


@everywhere
def test_commit_hooks_are_not_cut_short_by_a_cancellation(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        with library.scope() as scope:

            async def hook(word: str) -> None:
                scope.cancel()
                await library.checkpoint(3)
                stage.say(word)

            async with transaction() as q:
                await put(stage, "a")
                q.on_commit(hook, "1")
                q.on_commit(hook, "2")
            await library.checkpoint()
            stage.say("never")
        assert scope.cancelled_caught
        assert q.state is TransactionState.COMMITTED

    library.run(main)
    assert stage.told == "+a 1 2"


@in_asyncio
def test_a_cancellation_does_not_hide_that_hooks_have_failed(library: Library) -> None:
    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None

        async def hook() -> None:
            task.cancel()
            await library.checkpoint()
            raise Boom("hook")

        try:
            async with transaction() as q:
                q.on_commit(hook)
        except asyncio.CancelledError as error:
            task.uncancel()
            assert isinstance(error.__cause__ or error.__context__, CommitHookFailed)
        assert [failure.name for failure in q.report.hook_failures] != []

    library.run(main)


@everywhere
def test_a_cancellation_between_two_attempts_of_a_decorated_function_ends_it(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        with library.scope() as scope:

            @transaction(retry=AT_ONCE)
            async def attempts() -> None:
                await put(stage, f"a{len(stage.trail)}")
                scope.cancel()
                raise Boom

            await attempts()
        assert scope.cancelled_caught

    library.run(main)
    assert stage.told == "+a0 -a0"
