"""Undos by hand are made in a loop, and all of them mean the last turn."""

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
    def put(name: str) -> None:
        world[name] = True

    @put.rollback
    def take(name: str) -> None:
        world.pop(name, None)

    def scenario() -> None:
        with transaction() as q:
            for name in "abc":
                world[name] = True
                if mended:
                    q.on_rollback(world.pop, name, None)
                else:
                    q.on_rollback(lambda: world.pop(name, None))  # noqa: B023 - this is what is planted
            put("z")

    return Saga(scenario, memory(world))
