"""Steps that run at the same time: closing, cancelling, waiting, and undoing in order (R20)."""

from __future__ import annotations

import asyncio

import pytest

from actionqueues import (
    NoTransaction,
    RollbackFailed,
    TransactionState,
    current_step,
    transaction,
)
from tests.async_library import Library, everywhere, in_asyncio, outcome_of
from tests.async_stage import Boom, Moment, Stage, boom, mark, nest, put


@in_asyncio
def test_gather_of_three_whose_second_fails_while_the_others_are_between_effect_and_return(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        effects = [library.event(), library.event()]

        async def hold(number: int) -> None:
            effects[number].set()
            await library.forever()

        async def fail() -> None:
            for effect in effects:
                await effect.wait()
            raise Boom("second")

        with pytest.raises(Boom, match="second"):
            async with transaction() as q:
                await asyncio.gather(
                    put(stage, "a", None, lambda: hold(0)),
                    put(stage, "b", None, fail),
                    put(stage, "c", None, lambda: hold(1)),
                )
        assert q.state is TransactionState.ROLLED_BACK

    library.run(main)
    assert stage.told.startswith("+a +b +c -b ")
    assert stage.wrong(ordered=False) == []


@everywhere
def test_a_task_group_whose_second_step_fails_is_undone_completely(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, _ = stage.waiting()

        async def fail() -> None:
            await there.wait()
            raise Boom

        with pytest.raises(ExceptionGroup) as caught:
            async with transaction() as q:
                await put(stage, "first")
                async with library.group() as start:
                    start(put, stage, "a", None, wait)
                    start(put, stage, "b", None, fail)
                    start(put, stage, "c", wait)
        assert caught.group_contains(Boom)
        assert q.state is TransactionState.ROLLED_BACK

    library.run(main)
    assert stage.wrong(ordered=False) == []
    assert stage.trail[-1] == "-first"


@everywhere
def test_a_task_group_that_succeeds_is_undone_in_reverse_order_of_start(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        gates = [library.event() for _ in range(4)]

        async def job(number: int) -> None:
            # Started one after the other; ended the other way round.
            async def after() -> None:
                if number < 3:
                    gates[number + 1].set()
                    await ends[number].wait()

            await gates[number].wait()
            await put(stage, str(number), None, after)
            ends[number - 1].set()

        ends = [library.event() for _ in range(4)]
        gates[0].set()
        with pytest.raises(Boom):
            async with transaction():
                async with library.group() as start:
                    for number in (3, 1, 0, 2):
                        start(job, number)
                mark(stage, "last")
                raise Boom

    library.run(main)
    assert stage.told == "+0 +1 +2 +3 +last -last -3 -2 -1 -0"


@everywhere
def test_a_step_inside_a_step_is_undone_with_that_and_not_in_the_order_of_all_starts(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        outer_waits, outer_there, outer_go = stage.waiting()

        async def inside() -> None:
            await outer_waits()
            await put(stage, "inside a")

        with pytest.raises(Boom):
            async with transaction():
                async with library.group() as start:
                    start(nest, stage, "a", inside)
                    await outer_there.wait()
                    await put(stage, "b")
                    outer_go.set()
                raise Boom

    library.run(main)
    assert stage.told.split(" -", 1)[0] == "+a +b +inside a"
    assert stage.told == "+a +b +inside a -b -inside a -a"


@everywhere
def test_savepoints_in_two_tasks_are_undone_one_after_the_other_the_last_entered_first(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        first, second = library.event(), library.event()

        async def one() -> None:
            async with transaction("one"):
                await put(stage, "a")
                first.set()
                await second.wait()
                await put(stage, "c")

        async def two() -> None:
            await first.wait()
            async with transaction("two"):
                await put(stage, "b")
                second.set()

        with pytest.raises(Boom):
            async with transaction():
                async with library.group() as start:
                    start(one)
                    start(two)
                raise Boom

    library.run(main)
    assert stage.told == "+a +b +c -b -c -a"


@everywhere
def test_two_steps_in_flight_that_fail_together_are_each_undone_once(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        both = [library.event(), library.event()]

        async def fail(number: int) -> None:
            both[number].set()
            for event in both:
                await event.wait()
            raise Boom(str(number))

        with pytest.raises(ExceptionGroup) as caught:
            async with transaction() as q, library.group() as start:
                start(put, stage, "a", None, lambda: fail(0))
                start(put, stage, "b", None, lambda: fail(1))
        assert caught.group_contains(Boom)
        assert q.state is TransactionState.ROLLED_BACK
        assert q.report.clean

    library.run(main)
    assert stage.wrong(ordered=False) == []


@everywhere
@pytest.mark.parametrize("running", [1, 2])
def test_what_the_body_does_while_a_step_runs_in_another_task_is_no_part_of_that(
    library: Library, running: int
) -> None:
    stage = Stage(library)

    async def main() -> None:
        waits = [stage.waiting() for _ in range(running)]
        async with library.group() as start, transaction() as q:
            for number, (wait, there, _) in enumerate(waits):
                start(failing, number, wait)
                await there.wait()
            with pytest.raises(NoTransaction):
                current_step()
            q.on_commit(stage.say, "hook")
            for _, _, go_on in waits:
                go_on.set()
            await library.checkpoint(10)

    async def failing(number: int, wait: Moment) -> None:
        assert isinstance(await outcome_of(put(stage, str(number), wait, boom())), Boom)

    library.run(main)
    assert stage.trail[-1] == "hook"


@everywhere
def test_current_step_is_the_one_of_its_own_task(library: Library) -> None:
    stage = Stage(library)
    seen: list[tuple[str, str]] = []

    async def main() -> None:
        async def look(name: str) -> None:
            for _ in range(3):
                await library.checkpoint()
                seen.append((name, current_step().arguments["name"]))

        async with transaction() as q:
            async with library.group() as start:
                for name in "abc":
                    start(put, stage, name, None, lambda name=name: look(name))
            with pytest.raises(RollbackFailed):
                stage.undoing["a"] = boom()
                await q.rollback()

    library.run(main)
    assert len(seen) == 9
    assert all(own == found for own, found in seen)
