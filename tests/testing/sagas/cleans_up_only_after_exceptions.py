"""A body cleans up after itself, but not after Ctrl-C; its undo trusts that."""

from __future__ import annotations

from typing import Any

from actionqueues import action, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("interrupt@build", "build", Bug.INCOMPLETE)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    @action
    def build() -> None:
        world["built"] = True

    @build.rollback
    def tear_down(error: BaseException | None) -> None:
        if mended or error is None or isinstance(error, Exception):
            world.pop("built", None)

    def scenario() -> None:
        with transaction():
            build()

    return Saga(scenario, memory(world))
