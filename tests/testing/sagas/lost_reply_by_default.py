"""The undo takes no result for nothing done."""

from __future__ import annotations

from typing import Any

from actionqueues import action, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("after@charge", "charge", Bug.LOST_REPLY)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    @action
    def charge(card: str) -> str:
        world[card] = 900
        return card

    @charge.rollback
    def refund(card: str, result: str | None = None) -> None:
        if mended:
            world.pop(card, None)
        elif result is not None:
            world.pop(result, None)

    def scenario() -> None:
        with transaction():
            charge("card-1")

    return Saga(scenario, memory(world))
