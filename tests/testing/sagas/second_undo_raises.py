"""An undo that is repeated fails."""

from __future__ import annotations

from typing import Any

from actionqueues import action, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("twice@put", "put", Bug.NOT_IDEMPOTENT)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    @action
    def put(key: str) -> None:
        world[key] = 1

    @put.rollback
    def take(key: str, error: BaseException | None) -> None:
        if mended or error is not None:
            world.pop(key, None)
        else:
            del world[key]

    def scenario() -> None:
        with transaction():
            put("a")

    return Saga(scenario, memory(world))
