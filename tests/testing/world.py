"""A world of one dict, with a step that puts a key into it."""

from __future__ import annotations

from typing import Any

from actionqueues import action

world: dict[str, Any] = {}


class Taken(Exception):
    """The key is there already."""


def claim(key: str) -> None:
    if key in world:
        raise Taken(key)
    world[key] = True


def free(key: str, error: BaseException | None = None) -> None:
    if not isinstance(error, Taken):  # otherwise it is somebody else's
        world.pop(key, None)


@action
def put(key: str) -> None:
    claim(key)


@put.rollback
def take(key: str, error: BaseException | None = None) -> None:
    free(key, error)
