"""An undo that is repeated does more."""

from __future__ import annotations

from typing import Any

from actionqueues import Step, action, current_step, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("twice@reserve", "reserve", Bug.NOT_IDEMPOTENT)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    world["stock"] = 5

    @action
    def reserve(count: int) -> None:
        world["stock"] -= count
        current_step().save(count=count)

    @reserve.rollback
    def release(step: Step[Any]) -> None:
        world["stock"] += (step.saved.pop if mended else step.saved.get)("count", 0)

    def scenario() -> None:
        with transaction():
            reserve(2)

    return Saga(scenario, memory(world))
