"""A body takes a lock and is cancelled while it waits; its undo knows of its work only."""

from __future__ import annotations

import asyncio
from typing import Any

from actionqueues import action, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("cancel-inside@write", "write", Bug.INCOMPLETE)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    @action
    async def write(name: str) -> None:
        world["lock"] = True
        try:
            await asyncio.sleep(0)
            world[name] = True
        finally:
            if mended:
                del world["lock"]
        world.pop("lock", None)

    @write.rollback
    async def erase(name: str) -> None:
        world.pop(name, None)

    async def scenario() -> None:
        async with transaction():
            await write("a")

    return Saga(scenario, memory(world))
