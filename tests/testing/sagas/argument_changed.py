"""An argument is changed after the call."""

from __future__ import annotations

from typing import Any

from actionqueues import action, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("before@ship", "order", Bug.MUTATED)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    @action
    def order(items: list[str]) -> None:
        world.update(dict.fromkeys(items, "ordered"))

    @order.rollback
    def cancel(items: list[str]) -> None:
        for item in items:
            world.pop(item, None)

    @action
    def ship() -> None: ...

    @ship.rollback
    def unship() -> None: ...

    def scenario() -> None:
        cart = ["tea"]
        with transaction():
            order(list(cart) if mended else cart)
            cart.clear()
            ship()

    return Saga(scenario, memory(world))
