"""Stand-ins for what a test does not want to happen: actions that do nothing, and commit hooks that are not called.

Stands on definitions, whose frames and handlers it replaces, and on the seam.  Used by tests.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from actionqueues.core.current import running_step
from actionqueues.core.definition import Definition, definition_behind
from actionqueues.core.handler import Handler
from actionqueues.core.log import get_current
from actionqueues.core.requests import Request
from actionqueues.core.states import StepState
from actionqueues.core.step import OUTCOME, Step
from actionqueues.core.watch import Hook, Passing, Watch

from .calling import definition_of_step
from .chaining import then, watching

__all__ = ["held_hooks", "stubbed"]


@contextmanager
def stubbed(action: Callable[..., object], *, result: object = None) -> Generator[list[Step[Any]], None, None]:
    """Let an action do nothing, wherever it is called or queued: neither its body nor its undo runs.

    Its calls are steps like others, checked against its parameters, undone and reported.  With `fail_at` they fail.

    Args:
        action: the action.
        result: what its body is to return, each time.

    Yields:
        The steps so far, in order of the calls.  Those in a transaction show what becomes of them.

    Raises:
        TypeError: if it is no action.
    """
    definition = definition_behind(action) or definition_behind(getattr(action, "__func__", None))
    frame = None if definition is None else definition.frame
    if definition is None or frame is None:
        name = getattr(action, "__qualname__", action)
        raise TypeError(f"{name} cannot be stubbed: it is no action; stub what is decorated with @action")
    made: list[Step[Any]] = []

    def body(*args: Any, **kwargs: Any) -> object:
        made.append(_step_of_call(definition, args, kwargs, result))
        return result

    async def body_async(*args: Any, **kwargs: Any) -> object:
        return body(*args, **kwargs)

    # What its frames call; outside any block it may be refused, and then still is.
    variables = frame.__globals__
    before: dict[str, Any] = {"body": variables["body"], "plain": variables["plain"]}
    if variables["outside"] is variables["plain"]:
        before["outside"] = variables["outside"]
    undo = definition.handler, definition.quick, definition._overrides
    variables.update(dict.fromkeys(before, body_async if definition.is_async else body))
    if definition.handler is not None:
        definition.handler = Handler.bound(_nothing, definition.parameters, definition.name)
        definition.quick, definition._overrides = definition.handler.quick, None
    try:
        yield made
    finally:
        variables.update(before)
        definition.handler, definition.quick, definition._overrides = undo


def _nothing() -> None:
    """Stands in for an undo and for a hook."""


def _step_of_call(definition: Definition, args: tuple[Any, ...], kwargs: dict[str, Any], result: object) -> Step[Any]:
    """The step that is running, or one that looks like it where there is none, outside any block."""
    running = running_step(get_current())
    if running is not None and definition_of_step(running) is definition:
        return running
    record = definition.enter(*args, **kwargs)
    record[OUTCOME] = result
    return Step(record, StepState.DONE)


@contextmanager
def held_hooks() -> Generator[list[Hook], None, None]:
    """Let no commit hook be called: each is kept instead, in every transaction, in whatever thread.

    Yields:
        The hooks that were due so far, in order.  Each has a ``name``, a ``function``, its ``args`` and ``kwargs``, and
        can be called by its method ``call``.
    """
    held: list[Hook] = []
    with watching(lambda inner: _Holding(inner, held)):
        yield held


class _Holding(Passing):
    def __init__(self, inner: Watch | None, held: list[Hook]) -> None:
        super().__init__(inner)
        self._held = held

    def calling_hook(self, hook: Hook) -> Request | None:
        return then(self.inner.calling_hook(hook), lambda: self._keep(hook))

    def _keep(self, hook: Hook) -> None:
        self._held.append(Hook(hook.function, hook.args, hook.kwargs, hook.name))
        hook.function, hook.args, hook.kwargs = _nothing, (), {}
