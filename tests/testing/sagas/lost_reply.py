"""The undo needs the result, which a lost reply does not have."""

from __future__ import annotations

from typing import Any

from actionqueues import Step, action, current_step, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("after@charge", "charge", Bug.LOST_REPLY)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    @action
    def charge(card: str) -> str:
        world[current_step().key] = card
        return current_step().key

    if mended:

        @charge.rollback
        def refund(step: Step[Any]) -> None:
            world.pop(step.key, None)
    else:

        @charge.rollback
        def refund_result(result: str) -> None:
            world.pop(result, None)

    def scenario() -> None:
        with transaction():
            charge("card-1")

    return Saga(scenario, memory(world))
