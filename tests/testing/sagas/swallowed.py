"""An undo fails, and says nothing."""

from __future__ import annotations

from typing import Any

from actionqueues import action, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("after@lock", "lock", Bug.SWALLOWED)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    @action
    def lock(name: str) -> None:
        world[name] = "locked"

    if mended:

        @lock.rollback
        def unlock(name: str) -> None:
            world.pop(name, None)
    else:

        @lock.rollback
        def unlock_quietly(name: str) -> None:
            try:
                world.pop(name.upper())
            except KeyError:
                pass

    def scenario() -> None:
        with transaction():
            lock("door")

    return Saga(scenario, memory(world))
