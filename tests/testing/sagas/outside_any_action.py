"""Something is done in the block and is no step."""

from __future__ import annotations

from typing import Any

from actionqueues import action, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("before@put", "", Bug.OUTSIDE)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    @action
    def put(key: str) -> None:
        world[key] = 1

    @put.rollback
    def take(key: str) -> None:
        world.pop(key, None)

    def scenario() -> None:
        with transaction() as q:
            world["audit"] = "began"
            if mended:
                q.on_rollback(world.pop, "audit", None)
            put("a")

    return Saga(scenario, memory(world))
