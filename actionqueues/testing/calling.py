"""Handlers that are called outside a rollback: a second time, at last after a failed undo, or alone in a test.

Stands on the definition of a step.  Used by the injector and by `fake_step`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from contextlib import contextmanager
from inspect import isawaitable
from typing import Any

from actionqueues.core.definition import Definition
from actionqueues.core.log import undoing
from actionqueues.core.step import DEFINITION, Step

__all__ = ["as_if_undone", "call_again", "definition_of_step"]


def definition_of_step(step: Step[Any]) -> Definition:
    """What is fixed about the action that a step has called."""
    definition: Definition = step._record[DEFINITION]
    return definition


class _Undoing:
    """What a rollback looks like from a handler."""

    def __init__(self, step: Step[Any], cause: BaseException | None) -> None:
        self.step = step
        self.cause = cause


@contextmanager
def as_if_undone(step: Step[Any]) -> Generator[None, None, None]:
    """Let `current_step()` give this step, as in a handler of it, where none is running."""
    around = undoing.get()
    token = undoing.set(_Undoing(step, None if around is None else around.cause))
    try:
        yield
    finally:
        undoing.reset(token)


def call_again(step: Step[Any]) -> Awaitable[object] | None:
    """Call the handler of a step once more; returns what has to be awaited, if it is async.

    Raises:
        BaseException: whatever the handler raises.
    """
    handler = definition_of_step(step).handler_of(step._record)
    assert handler is not None  # noqa: S101 - it has been called before
    with as_if_undone(step):
        value = handler.call(step)
    return _awaited(step, value) if isawaitable(value) else None


async def _awaited(step: Step[Any], value: Awaitable[object]) -> None:
    with as_if_undone(step):
        await value
