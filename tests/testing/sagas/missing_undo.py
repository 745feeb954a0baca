"""A step has no undo."""

from __future__ import annotations

from typing import Any

from actionqueues import action, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("after@post", "post", Bug.NO_UNDO)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    @action
    def post(text: str) -> None:
        world[text] = True

    if mended:

        @post.rollback
        def unpost(text: str) -> None:
            world.pop(text, None)

    @action
    def mail() -> None: ...

    @mail.rollback
    def unmail() -> None: ...

    def scenario() -> None:
        with transaction():
            post("hello")
            mail()

    return Saga(scenario, memory(world))
