"""What cannot be undone is done first."""

from __future__ import annotations

from typing import Any

from actionqueues import action, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("after@send", "send", Bug.IRREVERSIBLE)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    @action(irreversible=True)
    def send() -> None:
        world["sent"] = True

    @action
    def book() -> None:
        world["booked"] = True

    @book.rollback
    def unbook() -> None:
        world.pop("booked", None)

    def scenario() -> None:
        with transaction() as q:
            if mended:
                book()
                q.on_commit(send)
            else:
                send()
                book()

    return Saga(scenario, memory(world))
