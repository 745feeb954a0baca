"""An undo fails where its step has done nothing."""

from __future__ import annotations

from typing import Any

from actionqueues import action, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("before@put", "put", Bug.NOTHING_TO_UNDO)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    @action
    def put(key: str) -> None:
        world[key] = 1

    @put.rollback
    def take(key: str) -> None:
        if mended:
            world.pop(key, None)
        else:
            del world[key]

    def scenario() -> None:
        with transaction():
            put("a")

    return Saga(scenario, memory(world), {"faults": ["before", "after", "commit"]})
