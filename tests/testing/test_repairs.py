"""Undos that a sweep has kept back are called at last, as a person would: so the next run finds the world clean."""

from __future__ import annotations

import asyncio
from typing import Any

from actionqueues import Step, action, current_step, transaction
from actionqueues.testing import Bug, memory, sweep

from .world import world


def test_an_undo_that_is_called_again_finds_its_step_and_its_cause() -> None:
    causes: list[BaseException | None] = []

    @action
    async def put() -> None:
        world["put"] = True

    @put.rollback
    async def take(step: Step[Any], cause: BaseException | None) -> None:
        await asyncio.sleep(0)
        assert current_step() is step
        causes.append(cause)
        world.pop("put", None)

    @action
    async def put_beside() -> None: ...

    @put_beside.rollback
    async def take_beside() -> None: ...

    async def scenario() -> None:
        async with transaction():
            await put()
            await put_beside()

    sweep(scenario, state=memory(world), faults=["undo", "twice"]).check()
    assert {type(cause).__name__ for cause in causes} == {"Injected", "Refused"}


def test_an_undo_that_cannot_be_repeated_is_found_where_no_state_can_be_taken_meanwhile() -> None:
    locked: list[str] = []

    def state() -> object:
        if locked:
            raise OSError("locked")
        return dict(world)

    @action(name="lock")
    def lock() -> None:
        locked.append("lock")

    @lock.rollback
    def unlock() -> None:
        locked.clear()

    @action(name="write")
    def write() -> None:
        world["written"] = True

    @write.rollback
    def erase() -> None:
        if locked:
            world.pop("written", None)

    def locking() -> None:
        try:
            with transaction():
                lock()
                write()
        finally:
            locked.clear()

    made = sweep(locking, state=state, reset=world.clear, faults=["undo"])
    assert [(outcome.id, outcome.bug) for outcome in made] == [("undo@lock", None), ("undo@write", Bug.INCOMPLETE)]
