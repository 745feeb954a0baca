"""`durable`: what recovery may call by its name, besides the handlers of actions.

Stands on the commit hooks.  Used by programs.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, cast

from actionqueues.core.hooks import Durable
from actionqueues.core.signature import display_name, is_async

__all__ = ["AsyncDurableFunction", "DurableFunction", "durable"]

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
T = TypeVar("T")


class DurableFunction(Durable, Generic[P, R]):
    """A function that recovery may call by its name: what `durable` makes.

    Attributes:
        function: the function, or the action.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        self.function = function
        update_wrapper(self, function)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<durable {display_name(self.function)}>"


class AsyncDurableFunction(DurableFunction[P, Coroutine[Any, Any, T]]):
    """One whose function is async, which is told by looking at how it is called."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.function(*args, **kwargs)


def durable(fn: Callable[P, R], /) -> DurableFunction[P, R]:
    """Mark a function as one that recovery may call by its name.

    Over a function at module level, as a decorator; `q.on_commit` then registers a durable hook, which is recorded with
    the commit and called at least once, by recovery if need be, and `q.on_rollback` can be given it in a transaction
    with a journal.  An action needs no mark: ``q.on_commit(durable(action), ...)`` makes a durable hook of it::

        @durable
        def send_welcome(user): mailer.send(user, idempotency_key=current_hook_key())

        with transaction("sign-up", journal="actions.db") as q:
            q.on_commit(send_welcome, user)

    It is a call around the function and not a ``durable=True`` among its arguments, since those are the function's own.
    """
    if not callable(fn):
        raise TypeError(f"durable() marks a function, not {fn!r}")
    if isinstance(fn, DurableFunction):
        return fn
    kind: type[DurableFunction[P, R]] = cast("Any", AsyncDurableFunction) if is_async(fn) else DurableFunction
    return kind(fn)
