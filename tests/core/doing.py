"""A step that says what it does, and can do something else in its body and in its undo."""

from __future__ import annotations

from collections.abc import Callable

from actionqueues import action

#: What has been done, ``+a``, and undone, ``-a``, in order.
done: list[str] = []


@action
def do(name: str, undo: Callable[[], object] | None = None, inside: Callable[[], object] | None = None) -> None:
    """Do it."""
    done.append(f"+{name}")
    if inside is not None:
        inside()


@do.rollback
def take_back(name: str, undo: Callable[[], object] | None) -> None:
    """Undo it."""
    done.append(f"-{name}")
    if undo is not None:
        undo()
