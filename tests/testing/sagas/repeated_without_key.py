"""A second attempt has a second effect."""

from __future__ import annotations

from typing import Any

from actionqueues import Retry, Step, action, current_step, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("after@charge", "charge", Bug.REPEATED)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    @action(retry=Retry(attempts=3, on=ConnectionError))
    def charge(card: str) -> str:
        key = current_step().key
        if not mended:
            key += f"-{current_step().attempts}"
            current_step().save(last=key)
        world[key] = card
        return key

    @charge.rollback
    def refund(step: Step[Any]) -> None:
        world.pop(step.saved.get("last", step.key), None)

    def scenario() -> None:
        with transaction():
            charge("card-1")

    return Saga(scenario, memory(world))
