"""An undo looks in the wrong place."""

from __future__ import annotations

from typing import Any

from actionqueues import action, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("after@put", "put", Bug.UNDO_FAILED)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    @action
    def put(key: str) -> None:
        world[key] = 1

    @put.rollback
    def take(key: str) -> None:
        if key in world:
            del world[key if mended else key.upper()]

    def scenario() -> None:
        with transaction():
            put("a")

    return Saga(scenario, memory(world))
