"""`@action(timeout=...)`: timed out means that nobody knows, so the handler runs (R24)."""

from __future__ import annotations

from typing import Any

import pytest

from actionqueues import Retry, Step, StepState, TransactionState, action, current_step, transaction
from tests.async_library import Library, everywhere
from tests.async_stage import Boom, Stage, put


@everywhere
def test_a_step_that_takes_too_long_is_unknown_to_its_handler(library: Library) -> None:
    stage = Stage(library)
    seen: list[Any] = []

    @action(timeout=0.001)
    async def slow(name: str) -> None:
        stage.say("+slow")
        current_step().save(effect=name)
        await library.forever()

    @slow.rollback
    async def undo(name: str, step: Step[None], error: BaseException) -> None:
        await library.checkpoint()
        stage.say("-slow")
        seen.append((step.state, step.saved, type(error), step.has_result))

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with transaction() as q:
                await put(stage, "a")
                await slow("x")
        assert q.state is TransactionState.ROLLED_BACK

    library.run(main)
    assert stage.told == "+a +slow -slow -a"
    assert seen == [(StepState.UNKNOWN, {"effect": "x"}, TimeoutError, False)]


@everywhere
def test_a_step_in_time_is_none_the_wiser(library: Library) -> None:
    @action(timeout=3600)
    async def quick(a: int, /, b: int = 2, *, c: int) -> int:
        await library.checkpoint()
        return a + b + c

    async def main() -> None:
        async with transaction():
            assert await quick(1, c=3) == 6

    library.run(main)


@everywhere
def test_each_attempt_has_the_whole_time(library: Library) -> None:
    stage = Stage(library)

    @action(timeout=0.001, retry=Retry(attempts=3, on=TimeoutError, wait_initial=0, wait_jitter=0))
    async def slow() -> int:
        stage.say(f"+{current_step().attempts}")
        if current_step().attempts < 3:
            await library.forever()
        return current_step().attempts

    async def main() -> None:
        async with transaction():
            assert await slow() == 3

    library.run(main)
    assert stage.told == "+1 +2 +3"


@everywhere
def test_an_own_exception_is_failed_and_not_unknown(library: Library) -> None:
    seen: list[StepState] = []

    @action(timeout=3600)
    async def bad() -> None:
        raise Boom

    @bad.rollback
    async def undo(step: Step[None]) -> None:
        seen.append(step.state)

    async def main() -> None:
        with pytest.raises(Boom):
            async with transaction():
                await bad()

    library.run(main)
    assert seen == [StepState.FAILED]


@everywhere
def test_a_cancellation_is_no_timeout(library: Library) -> None:
    stage = Stage(library)

    @action(timeout=3600)
    async def slow() -> None:
        stage.say("+slow")
        await library.forever()

    @slow.rollback
    async def undo() -> None:
        await stage.undo("slow")

    async def main() -> None:
        with library.scope() as scope:

            async def cancel() -> None:
                while not stage.trail:
                    await library.checkpoint()
                scope.cancel()

            async with library.group() as start:
                start(cancel)
                async with transaction():
                    await slow()
        assert scope.cancelled_caught

    library.run(main)
    assert stage.told == "+slow -slow"


def test_a_timeout_of_a_sync_action_is_refused_since_nothing_could_keep_it() -> None:
    with pytest.raises(TypeError, match="needs an `async def`"):

        @action(timeout=1)  # type: ignore[arg-type]  # pyright: ignore - refused by the types too
        def sync() -> None: ...


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), "1", True])
def test_a_timeout_is_a_positive_number_of_seconds(timeout: Any) -> None:
    with pytest.raises(ValueError, match="number of seconds above 0"):
        action(timeout=timeout)(Library().checkpoint)
