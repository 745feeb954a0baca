"""An undo looks at what the object remembers, and that is of a later call."""

from __future__ import annotations

from typing import Any

from actionqueues import action, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("after@Desk.book#2", "Desk.book", Bug.INCOMPLETE)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    class Desk:
        last = ""

        @action
        def book(self, seat: str) -> None:
            self.last = seat
            world[seat] = True

        @book.rollback
        def free(self, seat: str) -> None:
            world.pop(seat if mended else self.last, None)

    def scenario() -> None:
        desk = Desk()
        with transaction():
            desk.book("1A")
            desk.book("1B")

    return Saga(scenario, memory(world))
