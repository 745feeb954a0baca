"""`async with transaction()`: sync and async steps together, the queue, hooks, decorated functions (R7-R19)."""

from __future__ import annotations

import gc
import warnings
from typing import Any

import pytest

from actionqueues import (
    AsyncActionInSyncBlock,
    AsyncTransaction,
    CommitHookFailed,
    IllegalOperation,
    NestedTransaction,
    NoTransaction,
    RollbackFailed,
    Step,
    TransactionClosed,
    TransactionState,
    action,
    current_step,
    current_transaction,
    transaction,
)

from .async_library import Library, everywhere, outcome_of
from .async_stage import AT_ONCE, Boom, Stage, boom, flaky, mark, nest, put, work


@everywhere
def test_sync_and_async_steps_and_handlers_are_undone_in_one_order(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        with pytest.raises(Boom):
            async with transaction("mixed") as q:
                assert await put(stage, "a") == "a"
                assert mark(stage, "b") == "b"
                assert await work(stage, "c") == "c"
                await nest(stage, "d", lambda: put(stage, "e", lambda: work(stage, "f")))
                q.on_rollback(stage.say, "by hand")
                raise Boom
        assert q.state is TransactionState.ROLLED_BACK

    library.run(main)
    assert stage.told == "+a +b +c +d +e +f by hand -f -e -d -c -b -a"
    assert stage.present == set()


@everywhere
def test_an_undo_by_hand_may_be_async_too(library: Library) -> None:
    stage = Stage(library)

    async def plain() -> None:
        await stage.undo("c")

    async def main() -> None:
        with pytest.raises(Boom):
            async with transaction("by hand") as q:
                await put(stage, "a")
                stage.say("+b")
                q.on_rollback(stage.undo, "b")
                stage.say("+c")
                q.on_rollback(plain)
                await put(stage, "d")
                raise Boom
        assert q.state is TransactionState.ROLLED_BACK

    library.run(main)
    assert stage.told == "+a +b +c +d -d -c -b -a"


@everywhere
def test_the_object_that_was_made_shows_the_block_whose_async_face_is_given(library: Library) -> None:
    async def main() -> None:
        made = transaction("made before")
        async with made as q:
            assert isinstance(q, AsyncTransaction)
            assert (made.name, made.state) == (q.name, q.state) == ("made before", TransactionState.OPEN)
            assert current_transaction() is q
            assert repr(q) == "<AsyncTransaction 'made before' open, 0 steps>"
        assert made.state is q.state is TransactionState.COMMITTED
        assert made.report is q.report
        with pytest.raises(NoTransaction):
            current_transaction()
        with pytest.raises(IllegalOperation, match="serves one block"):
            async with made:
                raise AssertionError

    library.run(main)


@everywhere
def test_an_async_action_in_a_sync_block_is_refused_before_there_is_a_coroutine(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        with transaction("sync") as q:
            with pytest.raises(AsyncActionInSyncBlock, match=r"put is async.*'sync' cannot await.*async with"):
                raise AssertionError(put(stage, "a"))  # not awaited, and nobody warns
            with pytest.raises(AsyncActionInSyncBlock):
                q.add(put, stage, "a")
            with pytest.raises(AsyncActionInSyncBlock):
                q.on_commit(library.checkpoint)
            with pytest.raises(AsyncActionInSyncBlock):
                q.on_rollback(stage.undo, "a")
            with pytest.raises(AsyncActionInSyncBlock):
                async with transaction("inside"):
                    raise AssertionError
            mark(stage, "b")
        async with transaction():
            with transaction("savepoint"), pytest.raises(AsyncActionInSyncBlock):
                raise AssertionError(put(stage, "c"))

    library.run(main)
    assert stage.told == "+b"


@everywhere
def test_a_call_that_is_not_awaited_is_no_step_and_python_warns_by_its_name(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            async with transaction() as q:
                # Not awaited on purpose:
                put(stage, "a")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
                gc.collect()
                assert repr(q).endswith("open, 0 steps>")
        (warning,) = caught
        assert str(warning.message).startswith("coroutine 'put' was never awaited")

    library.run(main)
    assert stage.told == ""


@everywhere
def test_a_call_becomes_a_step_when_it_is_awaited_and_not_when_it_is_made(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        with pytest.raises(Boom):
            async with transaction():
                late = put(stage, "late")
                await put(stage, "early")
                await late
                raise Boom
        assert await put(stage, "outside any block") == "outside any block"

    library.run(main)
    assert stage.told == "+early +late -late -early +outside any block"


def test_an_async_handler_of_a_sync_action_is_refused_where_it_is_written() -> None:
    @action
    def sync(name: str) -> None: ...

    with pytest.raises(TypeError, match="async"):

        @sync.rollback
        async def undo(name: str) -> None: ...


@everywhere
def test_a_plain_handler_that_returns_a_coroutine_is_reported_and_leaves_none_unawaited(library: Library) -> None:
    async def undo() -> None:
        raise AssertionError

    @action
    async def step() -> None: ...

    step.rollback(lambda: undo())

    async def main() -> None:
        with pytest.raises(Boom) as caught:
            async with transaction() as q:
                await step()
                raise Boom
        assert "make it an `async def`" in caught.value.__notes__[0]
        assert q.state is TransactionState.ROLLED_BACK_WITH_FAILURES

    library.run(main)


@everywhere
def test_an_explicit_rollback_undoes_all_and_closes_the_block(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        async with transaction() as q:
            await put(stage, "a")
            mark(stage, "b")
            await q.rollback()
            assert q.state is TransactionState.ROLLED_BACK
            with pytest.raises(TransactionClosed):
                await put(stage, "c")
            with pytest.raises(TransactionClosed):
                mark(stage, "d")
            with pytest.raises(TransactionClosed):
                await q.rollback()
            with pytest.raises(TransactionClosed):
                await q.execute()

    library.run(main)
    assert stage.told == "+a +b -b -a"


@everywhere
def test_an_explicit_rollback_raises_what_failed_after_all_have_run(library: Library) -> None:
    stage = Stage(library, undoing={"b": boom(OSError("stuck"))})

    async def main() -> None:
        async with transaction() as q:
            await put(stage, "a")
            await put(stage, "b")
            with pytest.raises(RollbackFailed) as caught:
                await q.rollback()
            assert [str(error) for error in caught.value.exceptions] == ["stuck"]

    library.run(main)
    assert stage.told == "+a +b -b -a"


@everywhere
def test_a_rollback_from_inside_a_step_or_a_handler_is_refused(library: Library) -> None:
    async def main() -> None:
        async with transaction() as q:

            @action
            async def step() -> None:
                await library.checkpoint()
                with pytest.raises(IllegalOperation, match="the step .*step of it is running"):
                    await q.rollback()

            await step()

        @action
        async def other() -> None: ...

        @other.rollback
        async def undo() -> None:
            with pytest.raises((IllegalOperation, TransactionClosed)):
                await second.rollback()

        with pytest.raises(Boom):
            async with transaction() as second:
                await other()
                raise Boom
        assert second.report.clean

    library.run(main)


@everywhere
def test_commit_hooks_may_be_async_and_all_of_them_run_outside_the_block(library: Library) -> None:
    stage = Stage(library)

    async def hook(word: str, *, error: Exception | None = None) -> None:
        await library.checkpoint()
        with pytest.raises(NoTransaction):
            current_transaction()
        stage.say(word)
        if error is not None:
            raise error

    async def main() -> None:
        with pytest.raises(CommitHookFailed, match="has committed, but these commit hooks failed: ") as caught:
            async with transaction() as q:
                q.on_commit(hook, "1")
                q.on_commit(stage.say, "2")
                q.on_commit(hook, "3", error=Boom("third"))
                async with transaction() as inner:
                    inner.on_commit(hook, "4")
                async with q.savepoint("undone") as undone:
                    undone.on_commit(hook, "never")
                    await undone.rollback()
                await put(stage, "a")
        assert [repr(error) for error in caught.value.exceptions] == ["Boom('third')"]
        assert q.state is TransactionState.COMMITTED

    library.run(main)
    assert stage.told == "+a 1 2 3 4"


@everywhere
def test_an_async_hook_may_register_another_one(library: Library) -> None:
    stage = Stage(library)

    async def hook(name: str) -> None:
        await library.checkpoint()
        stage.say(name)

    async def main() -> None:
        async with transaction() as q:

            async def first() -> None:
                await hook("first")
                q.on_commit(hook, "third")

            q.on_commit(first)
            q.on_commit(hook, "second")

    library.run(main)
    assert stage.told == "first second third"


@everywhere
def test_a_decorated_function_opens_a_block_for_each_call_and_is_called_again(library: Library) -> None:
    stage = Stage(library)

    @transaction("again", retry=AT_ONCE)
    async def all_of_it(times: list[int]) -> str:
        times.append(len(times))
        await put(stage, f"a{len(times)}")
        if len(times) < 3:
            raise Boom(f"attempt {len(times)}")
        return current_transaction().name

    async def main() -> None:
        assert await all_of_it([]) == "again"
        with pytest.raises(NoTransaction):
            current_transaction()

    library.run(main)
    assert stage.told == "+a1 -a1 +a2 -a2 +a3"


@everywhere
def test_a_retried_step_undoes_what_an_attempt_made_before_the_next(library: Library) -> None:
    stage = Stage(library)
    failures = iter([Boom("1"), Boom("2"), None])

    @action(retry=AT_ONCE)
    async def outer() -> int:
        await put(stage, f"inner{current_step().attempts}")
        error = next(failures)
        if error is not None:
            raise error
        return current_step().attempts

    async def main() -> None:
        async with transaction():
            assert await outer() == 3
            assert await flaky(stage, "b", 2) == "b"
            assert isinstance(await outcome_of(flaky(stage, "c", 5)), Boom)

    library.run(main)
    assert stage.told == "+inner1 -inner1 +inner2 -inner2 +inner3 +b again-b again-b +c again-c again-c -c"


@everywhere
def test_a_handler_is_told_what_its_step_has_done(library: Library) -> None:
    seen: list[Any] = []

    @action
    async def step(name: str, *rest: int, flag: bool = False, **more: int) -> str:
        current_step().save(part=1)
        await library.checkpoint()
        current_step().save(more=2)
        return name

    @step.rollback
    async def undo(name: str, result: str, step: Step[str], *args: object, flag: bool, **kwargs: object) -> None:
        assert current_step() is step
        seen.append((name, result, flag, step.saved, step.attempts, str(step.state), step.key != step.undo_key))

    async def main() -> None:
        with pytest.raises(Boom):
            async with transaction():
                await step("a", 1, 2, flag=True, extra=3)
                raise Boom
        with pytest.raises(NestedTransaction):
            async with transaction(), transaction(outermost=True):
                raise AssertionError

    library.run(main)
    assert seen == [("a", "a", True, {"part": 1, "more": 2}, 1, "done", True)]


@everywhere
def test_a_step_that_its_async_handler_asks_for_and_keeps_ends_as_undone(library: Library) -> None:
    kept: list[Step] = []

    @action
    async def book() -> str:
        return "booked"

    @book.rollback
    async def unbook() -> None:
        kept.append(current_step())
        await library.checkpoint()
        assert kept[0].state == "done"

    async def main() -> None:
        with pytest.raises(Boom):
            async with transaction() as q:
                await book()
                raise Boom
        assert [step.state for step in kept] == ["undone"]
        assert q.report.undone == ["book"]

    library.run(main)
