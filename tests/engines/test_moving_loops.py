"""Event loops that an engine moves from thread to thread: tasks are the loop's own, and are waited for one by one."""

from __future__ import annotations

import asyncio
import threading

import pytest

from actionqueues.core.log import this_thread
from actionqueues.core.tasks import Group, Signal, moving_loop, shielded

from .courier import MovingLoop, moving, run_moving


def test_the_thread_of_such_a_loop_is_the_loop_and_that_of_others_is_itself() -> None:
    async def here() -> tuple[int, bool]:
        return this_thread(), moving_loop() is asyncio.get_running_loop()

    assert run_moving(here()) != (threading.get_ident(), True)
    assert run_moving(here())[1]
    with moving():
        assert asyncio.run(here()) == (threading.get_ident(), False)
        assert this_thread() == threading.get_ident()
    with asyncio.Runner(loop_factory=MovingLoop) as unknown:
        assert unknown.run(here()) == (threading.get_ident(), False)


def test_a_cancellation_waits_for_what_is_shielded_there() -> None:
    trail: list[str] = []

    async def undo() -> None:
        await asyncio.sleep(0.01)
        trail.append("undone")

    async def main() -> None:
        task = asyncio.create_task(shielded(undo))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_moving(main())
    assert trail == ["undone"]


@pytest.mark.parametrize("over", [False, True])
def test_tasks_of_a_group_are_cut_short_by_an_interrupt_if_that_is_the_end(over: bool) -> None:
    trail: list[str] = []

    async def undo() -> None:
        try:
            await asyncio.sleep(0.05)
            trail.append("undone")
        except asyncio.CancelledError:
            trail.append("cut short")
            raise

    async def main() -> None:
        group = Group()

        def begin() -> None:
            group.spawn(undo)
            group.spawn(undo)

        task = asyncio.create_task(group.run(begin, lambda: over))
        await asyncio.sleep(0.01)
        task.cancel()
        assert isinstance(await task, asyncio.CancelledError)

    run_moving(main())
    assert trail == ["cut short" if over else "undone"] * 2


def test_a_cancellation_in_the_turn_in_which_the_last_task_ends_is_no_error_of_the_loop() -> None:
    errors: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        ends = asyncio.Event()
        group = Group()
        waits = asyncio.create_task(group.run(lambda: group.spawn(wait), lambda: False))

        async def wait() -> None:
            await ends.wait()
            asyncio.get_running_loop().call_soon(waits.cancel)

        await asyncio.sleep(0.01)
        ends.set()
        assert isinstance(await waits, asyncio.CancelledError | None)

    run_moving(main())
    assert errors == []


def test_a_signal_wakes_who_waits_there_and_has_no_time_out() -> None:
    async def main() -> bool:
        signal = Signal()
        asyncio.get_running_loop().call_later(0.02, signal.set)
        return await signal.wait(0.001)

    assert run_moving(main())
