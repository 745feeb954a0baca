"""A world of one dict, with a step that puts a key into it."""

from __future__ import annotations

from typing import Any

from actionqueues import action

world: dict[str, Any] = {}


@action
def put(key: str) -> None:
    world[key] = True


@put.rollback
def take(key: str) -> None:
    world.pop(key, None)
