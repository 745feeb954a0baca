"""The undo works in a transaction of its own, and leaves something in it."""

from __future__ import annotations

from typing import Any

from actionqueues import action, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("before@put", "put", Bug.TOO_MUCH)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    @action
    def forget(name: str) -> Any:
        return world.pop(name, None)

    @forget.rollback
    def remember(name: str, result: Any) -> None:
        world[name] = result

    @action
    def note(name: str) -> None:
        world["undone"] = name

    @note.rollback
    def unnote() -> None:
        world.pop("undone", None)

    @action
    def put(name: str) -> None:
        world[name] = True

    @put.rollback
    def take(name: str) -> None:
        with transaction("taking back", independent=True):
            forget(name)
            if not mended:
                note(name)

    def scenario() -> None:
        with transaction():
            put("a")

    return Saga(scenario, memory(world))
