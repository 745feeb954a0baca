"""How one interceptor passes on to another one, and how a handler is called outside a rollback."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, cast

from actionqueues.concurrency import in_worker_thread, shielded
from actionqueues.interceptor import Interceptor
from actionqueues.owner import undoing
from actionqueues.requests import Await, Call, Request
from actionqueues.step import Step

from .waiting import loop_runs

__all__ = ["Passing", "call_again", "then"]

_METHODS = frozenset(name for name in vars(Interceptor) if not name.startswith("_"))


class Passing(Interceptor):
    """Passes everything on to another interceptor that a subclass has no method of its own for."""

    def __init__(self, inner: Interceptor | None) -> None:
        self._inner = inner or Interceptor()

    def __getattribute__(self, name: str) -> Any:
        if name in _METHODS and name not in type(self).__dict__:
            return getattr(self._inner, name)
        return super().__getattribute__(name)


def then(request: Request | None, action: Callable[[], Request | None]) -> Request | None:
    """A request that does what another one asks for, and then `action`, which may raise or ask for more."""
    if request is None:
        return action()
    if isinstance(request, Call) and not loop_runs():
        call: Call = request

        def both() -> None:
            call.function()
            action()

        return Call(both)
    first: Request = request

    async def one_after_the_other() -> None:
        if isinstance(first, Call):
            function = first.function
            await shielded(lambda: in_worker_thread(lambda: cast("None", function())))
        else:
            await first.awaitable
        second = action()
        if isinstance(second, Await):
            await second.awaitable

    return Await(one_after_the_other(), "an interceptor")


class _Undoing:
    """Lets `current_step()` find the step of a handler that is called outside a rollback."""

    def __init__(self, step: Step[Any]) -> None:
        self.step = step


def call_again(step: Step[Any]) -> Awaitable[object] | None:
    """Call the handler of a step once more; returns what has to be awaited, if it is async.

    Raises:
        BaseException: whatever the handler raises.
    """
    handler = step.definition.handler_of(step.entry)
    assert handler is not None  # noqa: S101 - it has been called before
    token = undoing.set(_Undoing(step))
    try:
        value = handler.call(step)
    finally:
        undoing.reset(token)
    return value if isawaitable(value) else None
