"""An undo needs what a later step has made."""

from __future__ import annotations

from typing import Any

from actionqueues import action, transaction
from actionqueues.testing import Bug, memory

from .saga import Saga

FOUND = ("before@pack", "create", Bug.ORDER)


def make(mended: bool) -> Saga:
    """The saga."""
    world: dict[str, Any] = {}

    @action
    def create(name: str) -> None:
        world[name] = "user"

    @create.rollback
    def remove(name: str) -> None:
        if not mended and len(steps) > 1:
            name = world["home"]
        world.pop(name, None)

    @action
    def make_home(name: str) -> None:
        world["home"] = name
        steps.append("home")

    @make_home.rollback
    def remove_home() -> None:
        world.pop("home", None)

    @action
    def pack() -> None: ...

    @pack.rollback
    def unpack() -> None: ...

    steps: list[str] = []

    def scenario() -> None:
        steps[:] = ["user"]
        with transaction():
            create("ada")
            make_home("ada")
            pack()

    return Saga(scenario, memory(world), {"faults": ["before", "commit"]})
