"""A lasting fault meets a policy without a bound."""

from __future__ import annotations

from typing import Any

from actionqueues import Retry, action, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("before-always@call", "call", Bug.ENDLESS)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    @action(retry=Retry(attempts=3 if mended else None, timeout=None, on=ConnectionError))
    def call() -> None:
        world["called"] = True

    @call.rollback
    def hang_up() -> None:
        world.pop("called", None)

    def scenario() -> None:
        with transaction():
            call()

    return Saga(scenario, memory(world))
