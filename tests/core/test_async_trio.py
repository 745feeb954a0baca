"""What a failing block cancels in trio, where steps run in nurseries that are not its own (R20, R21)."""

from __future__ import annotations

import importlib
import os
import signal
from typing import Any

import pytest

from actionqueues import Retry, TransactionClosed, TransactionState, action, current_step, handle_signals, transaction
from tests.async_library import Library, in_trio, outcome_of, raised_together
from tests.async_stage import Boom, Stage, mark, put


def trio() -> Any:
    """The library, for what the tests of others do without."""
    return importlib.import_module("trio")


@in_trio
def test_a_step_in_an_outer_nursery_that_never_ends_is_cancelled_by_a_failing_block(library: Library) -> None:
    stage = Stage(library)
    seen: list[BaseException | None] = []

    async def main() -> None:
        wait, there, _ = stage.waiting()

        async def job() -> None:
            seen.append(await outcome_of(put(stage, "b", wait)))
            await library.checkpoint()  # the cancellation is over here
            stage.say("job goes on")

        async with library.group() as start:
            with pytest.raises(Boom):
                async with transaction("order") as q:
                    await put(stage, "a")
                    start(job)
                    await there.wait()
                    raise Boom
            assert q.state is TransactionState.ROLLED_BACK
            stage.say("left")

    library.run(main)
    assert isinstance(seen[0], TransactionClosed)
    assert seen[0].cancelled
    assert str(seen[0]) == ("put was cancelled: the transaction 'order' is rolling back, and it is undone with that")
    assert stage.told == "+a +b -b job goes on -a left" or stage.told == "+a +b job goes on -b -a left"


@in_trio
def test_a_step_that_is_cancelled_with_a_scope_of_its_caller_as_well_ends_in_that_scope(library: Library) -> None:
    stage = Stage(library)
    scopes: list[Any] = []

    async def main() -> None:
        wait, there, _ = stage.waiting()

        async def job() -> None:
            with library.scope() as scope:
                scopes.append(scope)
                await put(stage, "b", wait)

        async with library.group() as start:
            with pytest.raises(Boom):
                async with transaction():
                    start(job)
                    await there.wait()
                    scopes[0].cancel()
                    raise Boom

    library.run(main)
    assert scopes[0].cancelled_caught
    assert stage.told == "+b -b"


@in_trio
def test_a_step_that_does_not_let_itself_be_cancelled_is_waited_for_and_returns(library: Library) -> None:
    stage = Stage(library)
    seen: list[object] = []

    async def main() -> None:
        there, cancelled = library.event(), library.event()

        async def stubborn() -> None:
            there.set()
            try:
                await library.forever()
            except trio().Cancelled:
                cancelled.set()
                with trio().CancelScope(shield=True):
                    await library.checkpoint(3)
                raise

        async def ignores() -> None:
            with pytest.raises(trio().Cancelled):
                await stubborn()

        async def job() -> None:
            seen.append(await put(stage, "b", ignores))

        async with library.group() as start:
            with pytest.raises(Boom):
                async with transaction():
                    await put(stage, "a")
                    start(job)
                    await there.wait()
                    raise Boom

    library.run(main)
    assert seen == ["b"]
    assert stage.told == "+a +b -b -a"


@in_trio
def test_a_step_that_waits_for_its_next_attempt_is_cancelled(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        there = library.event()

        @action(retry=Retry(attempts=2, timeout=None, wait_initial=1000, wait_max=1000))
        async def again() -> None:
            stage.say(f"+{current_step().attempts}")
            there.set()
            raise Boom

        @again.rollback
        async def undo(error: BaseException) -> None:
            stage.say(f"-{type(error).__name__}")

        async with library.group() as start:
            with pytest.raises(Boom):
                async with transaction():
                    start(outcome_of, again())
                    await there.wait()
                    await library.checkpoint(3)  # until it waits
                    raise Boom

    library.run(main)
    assert stage.told == "+1 -Cancelled"


@in_trio
def test_a_savepoint_that_fails_cancels_its_own_steps_alone(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, go_on = stage.waiting()
        wait_inside, there_inside, _ = stage.waiting()

        async with transaction(), library.group() as start:
            start(put, stage, "outside", wait)
            await there.wait()
            with pytest.raises(Boom):
                async with transaction("savepoint"):
                    await put(stage, "a")
                    start(outcome_of, put(stage, "b", wait_inside))
                    await there_inside.wait()
                    raise Boom
            stage.say("left")
            go_on.set()

    library.run(main)
    assert stage.told == "+outside +a +b -b -a left"
    assert stage.present == {"outside"}


@in_trio
def test_a_step_within_a_step_of_another_nursery_is_cancelled_with_it(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, _ = stage.waiting()

        async def inside() -> None:
            mark(stage, "c")
            await put(stage, "d", wait)

        async with library.group() as start:
            with pytest.raises(Boom):
                async with transaction():
                    await put(stage, "a")
                    start(outcome_of, put(stage, "b", inside))
                    await there.wait()
                    raise Boom

    library.run(main)
    assert stage.wrong() == []


@in_trio
def test_an_explicit_rollback_cancels_the_steps_of_other_nurseries(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, _ = stage.waiting()
        async with library.group() as start, transaction() as q:
            start(outcome_of, put(stage, "a", wait))
            await there.wait()
            await q.rollback()

    library.run(main)
    assert stage.told == "+a -a"


@in_trio
@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("where", ["trio itself", "the program"])
def test_a_sigterm_rolls_back_whatever_code_it_interrupts(library: Library, where: str, grouped: bool) -> None:
    stage = Stage(library)
    came: list[BaseException] = []

    async def block() -> None:
        async with transaction():
            await put(stage, "a")
            if where == "trio itself":
                library.soon()(terminate)
            else:
                terminate()
            await library.forever()

    async def main() -> None:
        try:
            if not grouped:
                await block()
                return
            async with library.group():
                await block()
        except BaseException as error:
            came.append(error)
            raise

    with pytest.raises(SystemExit if where == "trio itself" or not grouped else BaseExceptionGroup), handle_signals():
        library.run(main)
    assert stage.told == "+a -a"
    kinds = [type(error) for error in raised_together(came[0])]
    assert kinds == [KeyboardInterrupt if where == "trio itself" else SystemExit]


@in_trio
@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
def test_a_program_that_has_handled_the_interrupt_of_a_sigterm_goes_on(library: Library) -> None:
    async def main() -> None:
        library.soon()(terminate)
        await library.forever()

    with pytest.raises(Boom), handle_signals():
        with pytest.raises(KeyboardInterrupt):
            library.run(main)
        raise Boom


def terminate() -> None:
    """Send this process the signal."""
    signal.raise_signal(signal.SIGTERM)
