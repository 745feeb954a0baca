"""An undo that has failed cannot be repeated later: what it needs is undone meanwhile."""

from __future__ import annotations

from typing import Any

from actionqueues import Step, action, current_step, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("undo@migrate", "migrate", Bug.NOT_REPEATABLE)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {"schema": 1, "releases": {}}

    @action
    def unpack(name: str) -> None:
        world["releases"][name] = {"up": 1, "down": -1}

    @unpack.rollback
    def remove(name: str) -> None:
        world["releases"].pop(name, None)

    @action
    def migrate(name: str) -> None:
        current_step().save(down=world["releases"][name]["down"])
        world["schema"] += world["releases"][name]["up"]
        current_step().save(done=True)

    @migrate.rollback
    def migrate_down(name: str, step: Step[Any]) -> None:
        if step.saved.pop("done", False):
            world["schema"] += step.saved["down"] if mended else world["releases"][name]["down"]

    def scenario() -> None:
        with transaction():
            unpack("shop-2")
            migrate("shop-2")

    return Saga(scenario, memory(world))
