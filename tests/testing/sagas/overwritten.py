"""An undo takes back what somebody else has done since."""

from __future__ import annotations

from typing import Any

from actionqueues import RollbackConflict, Step, action, current_step, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("stale@rename", "rename", Bug.OVERWRITTEN)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    world["name"] = "ada"

    @action
    def rename(name: str) -> None:
        current_step().save(before=world["name"])
        world["name"] = name

    @rename.rollback
    def rename_back(name: str, step: Step[Any]) -> None:
        if mended and world["name"] not in (name, step.saved.get("before", world["name"])):
            raise RollbackConflict("renamed by somebody else")
        world["name"] = step.saved.get("before", world["name"])

    def disturb(step: Step[Any]) -> Any:
        ours, world["name"] = world["name"], "eve"
        return lambda: world.update(name=ours)

    def scenario() -> None:
        with transaction():
            rename("lovelace")

    return Saga(scenario, memory(world), {"disturb": disturb})
