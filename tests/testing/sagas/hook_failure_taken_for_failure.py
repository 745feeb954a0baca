"""The failure of a commit hook is taken for one of the transaction."""

from __future__ import annotations

from typing import Any

from actionqueues import CommitHookFailed, action, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("hook@notify", "notify", Bug.HOOK_SPREADS)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    @action
    def put(key: str) -> None:
        world[key] = 1

    @put.rollback
    def take(key: str) -> None:
        world.pop(key, None)

    def notify() -> None:
        world["told"] = True

    def scenario() -> None:
        try:
            with transaction() as q:
                put("a")
                q.on_commit(notify)
        except CommitHookFailed:
            if not mended:
                world.clear()
            raise

    return Saga(scenario, memory(world), {"reset": world.clear})
