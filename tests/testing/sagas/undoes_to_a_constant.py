"""An undo sets what it should have put back."""

from __future__ import annotations

from typing import Any

from actionqueues import Step, action, current_step, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("after@sell", "sell", Bug.INCOMPLETE)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    world["stock"] = 5

    @action
    def sell(count: int) -> None:
        current_step().save(before=world["stock"])
        world["stock"] -= count

    @sell.rollback
    def put_back(step: Step[Any]) -> None:
        if "before" in step.saved:
            world["stock"] = step.saved["before"] if mended else 3

    def scenario() -> None:
        with transaction():
            sell(1)

    return Saga(scenario, memory(world))
