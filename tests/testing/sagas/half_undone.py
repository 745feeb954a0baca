"""A body has two effects, and one of them is undone."""

from __future__ import annotations

from typing import Any

from actionqueues import action, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("after@create", "create", Bug.INCOMPLETE)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    @action
    def create(name: str) -> None:
        world[name] = 1
        world["count"] = world.get("count", 0) + 1

    @create.rollback
    def remove(name: str) -> None:
        if world.pop(name, None) is not None and mended:
            world["count"] -= 1
            if not world["count"]:
                del world["count"]

    def scenario() -> None:
        with transaction():
            create("ada")

    return Saga(scenario, memory(world))
