"""Rare ways in, out and through an async block: entered wrongly, closed, interrupted, or with no other library."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import pytest

from actionqueues import (
    IllegalOperation,
    NestedTransaction,
    TransactionState,
    action,
    handle_signals,
    transaction,
)
from actionqueues.core import interrupts
from tests.async_library import Library, everywhere, in_asyncio, outcome_of
from tests.async_stage import Boom, Stage, Stop, boom, put, work
from tests.inside import SET_HANDLER


@everywhere
def test_a_block_that_has_been_used_cannot_be_entered_again_in_the_other_way(library: Library) -> None:
    sync = transaction("sync")
    with sync:
        pass

    async def main() -> None:
        with pytest.raises(IllegalOperation, match="serves one block"):
            async with sync:
                raise AssertionError
        other = transaction("async")
        async with other:
            pass
        with pytest.raises(IllegalOperation, match="serves one block"), other:
            raise AssertionError

    library.run(main)
    assert sync.state is TransactionState.COMMITTED


@everywhere
def test_a_decorated_function_whose_block_is_refused_does_nothing(library: Library) -> None:
    stage = Stage(library)

    @transaction(outermost=True)
    async def outermost() -> None:
        await put(stage, "never")

    async def main() -> None:
        async with transaction() as q:
            await put(stage, "a")
            assert isinstance(await outcome_of(outermost()), NestedTransaction)
        assert q.state is TransactionState.COMMITTED

    library.run(main)
    assert stage.told == "+a"


@in_asyncio
def test_a_program_without_trio_needs_none(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(library)
    monkeypatch.delitem(sys.modules, "trio", raising=False)

    async def main() -> None:
        async with transaction():
            await put(stage, "a")
            raise Boom

    async def outer() -> None:
        assert isinstance(await outcome_of(main()), Boom)

    library.run(outer)
    assert stage.told == "+a -a"


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM cannot be raised there")
def test_the_third_sigterm_in_an_async_rollback_cuts_it_short_and_what_is_left_is_reported() -> None:
    stage = Stage(Library())

    async def press() -> None:
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)

    stage.undoing["b"] = press
    q = transaction()

    async def main() -> None:
        with pytest.raises(SystemExit):
            async with q:
                await put(stage, "a")
                await put(stage, "b")
                raise Boom

    with handle_signals(), pytest.raises(SystemExit) as caught:
        asyncio.run(main())
    assert caught.value.code == 128 + signal.SIGTERM
    assert stage.told == "+a +b -b"
    assert [step.args[1] for step in q.report.abandoned] == ["a"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_async_handler_that_fails_where_nothing_can_be_awaited_is_a_failed_undo() -> None:
    stage = Stage(Library())
    q = transaction()

    async def fail() -> None:
        raise OSError("stuck")

    async def block() -> None:
        async with q as opened:
            opened.on_rollback(stage.say, "first")
            opened.on_rollback(fail)
            await asyncio.sleep(0)

    coroutine = block()
    coroutine.send(None)
    coroutine.close()
    assert stage.told == "first"
    assert [str(failure.error) for failure in q.report.failures] == ["stuck"]


@in_asyncio
def test_a_coroutine_that_is_closed_while_its_block_rolls_back_calls_the_handlers_that_need_not_wait(
    library: Library,
) -> None:
    stage = Stage(library)
    q = transaction()

    async def main() -> None:
        wait, there, go_on = stage.waiting()
        stage.undoing["c"] = wait

        async def block() -> None:
            async with q:
                await put(stage, "a")
                await work(stage, "b")
                await put(stage, "c")
                raise Boom

        coroutine = block()
        while not there.is_set():
            coroutine.send(None)
            await asyncio.sleep(0)
        coroutine.close()
        assert stage.told == "+a +b +c -c -b -a"
        assert q.state is TransactionState.ROLLED_BACK_WITH_FAILURES
        go_on.set()
        await library.checkpoint(5)

    library.run(main)
    assert stage.told == "+a +b +c -c -b -a"
    assert stage.present == {"a"}  # the handler of c has gone on in its own task
    assert [failure.step.args[1] for failure in q.report.failures] == ["c", "a"]


@in_asyncio
@pytest.mark.parametrize("what", ["undone", "running"])
def test_a_coroutine_that_is_closed_while_a_step_is_still_undone_or_running_reports_what_would_have_to_wait(
    library: Library, what: str
) -> None:
    stage = Stage(library)
    q = transaction()

    async def main() -> None:
        wait, there, go_on = stage.waiting()
        tasks: list[asyncio.Task[object]] = []

        async def block() -> None:
            async with q:
                await put(stage, "a")
                if what == "undone":
                    stage.undoing["b"] = wait
                    await put(stage, "b", boom())
                async with transaction():
                    tasks.append(asyncio.create_task(outcome_of(put(stage, "b", wait))))
                    await library.forever()

        coroutine = block()
        while not there.is_set():
            if what == "undone" or not tasks:
                coroutine.send(None)
            await asyncio.sleep(0)
        coroutine.close()
        assert q.state is TransactionState.ROLLED_BACK_WITH_FAILURES
        go_on.set()
        await library.checkpoint(5)

    library.run(main)
    assert stage.told == "+a +b -b -a"
    assert stage.present == {"a"}
    assert [failure.step.args[1] for failure in q.report.failures] == ["b", "a"]


def stops(attempt: int, error: BaseException) -> float:
    raise Stop("policy")


@action
async def brittle(stage: Stage, name: str) -> None:
    stage.say(f"+{name}")


@brittle.rollback(retry=stops)
async def unbrittle(stage: Stage, name: str) -> None:
    stage.say(f"-{name}")
    raise OSError("stuck")


@everywhere
def test_what_interrupts_the_retry_policy_of_an_undo_comes_out_once_everything_is_undone(library: Library) -> None:
    stage = Stage(library)
    q = transaction()

    async def main() -> None:
        with pytest.raises(Stop) as caught:
            async with q:
                await put(stage, "a")
                await brittle(stage, "b")
                raise Boom
        assert isinstance(caught.value.__context__, Boom)
        assert caught.value.__notes__ == [
            "actionqueues: raised by the retry policy that was asked about OSError('stuck')"
        ]
        assert caught.value.__context__.__notes__ == ["actionqueues: the undo of brittle failed: Stop('policy')"]

    library.run(main)
    assert stage.told == "+a +b -b -a"


def test_an_interrupt_that_comes_while_ctrl_c_is_given_back_cancels_the_main_task_as_asyncio_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(Library())
    pressed: list[int] = []
    q = transaction()

    def late(number: int, handler: Any) -> Any:
        if handler is not interrupts._pressed and not pressed:
            pressed.append(number)
            signal.raise_signal(signal.SIGINT)
        return signal.signal(number, handler)

    async def main() -> None:
        async with q:
            await put(stage, "a")
            raise Boom

    async def outer() -> None:
        with pytest.raises(Boom):
            await main()
        await asyncio.sleep(0)
        raise AssertionError("the main task has not been cancelled")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        monkeypatch.setattr(SET_HANDLER, late)
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(outer())
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert pressed == [signal.SIGINT]
    assert stage.told == "+a -a"
