"""A thread that is no step writes once the rollback has ended."""

from __future__ import annotations

from threading import Event, Thread
from typing import Any

from actionqueues import action, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("before@put", "", Bug.LATE)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    @action
    def put(key: str) -> None:
        world[key] = 1

    @put.rollback
    def take(key: str) -> None:
        world.pop(key, None)

    def scenario() -> None:
        done = Event()

        def write() -> None:
            done.wait()
            world["late"] = True

        sibling = Thread(target=write)
        if not mended:
            sibling.start()
        try:
            with transaction():
                put("a")
                if mended:
                    put("late")
        finally:
            done.set()

    return Saga(scenario, memory(world))
