"""An undo deletes what was there before."""

from __future__ import annotations

from typing import Any

from actionqueues import Step, action, current_step, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("before@claim", "claim", Bug.TOO_MUCH)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    world["ada"] = "an older home"

    @action
    def claim(name: str) -> None:
        if name not in world:
            current_step().save(made=True)
            world[name] = "a new home"

    @claim.rollback
    def release(name: str, step: Step[Any]) -> None:
        if step.saved.get("made") or not mended:
            world.pop(name, None)

    def scenario() -> None:
        with transaction():
            claim("ada")

    return Saga(scenario, memory(world))
