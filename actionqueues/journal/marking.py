"""`durable`: what recovery may call by its name, besides the handlers of actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from actionqueues.hooks import AsyncDurable, Durable
from actionqueues.signature import is_async

__all__ = ["durable"]

P = ParamSpec("P")
R = TypeVar("R")


def durable(fn: Callable[P, R], /) -> Durable[P, R]:
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
    if isinstance(fn, Durable):
        return fn
    kind: type[Durable[P, R]] = cast("Any", AsyncDurable) if is_async(fn) else Durable
    return kind(fn)
