"""An undo ends the program."""

from __future__ import annotations

import sys
from typing import Any

from actionqueues import action, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("after@put", "put", Bug.UNDO_FAILED)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    @action
    def put(name: str) -> None:
        world[name] = True

    @put.rollback
    def take(name: str) -> None:
        if world.pop(name, None) and not mended:
            sys.exit("taken back")

    def scenario() -> None:
        try:
            with transaction():
                put("a")
        except Exception as error:  # as a script does
            sys.exit(f"failed: {error}")

    return Saga(scenario, memory(world))
