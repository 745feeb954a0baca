"""How watches are added to those that are there already, and how one does something after the next.

Stands on the seam of the core.  Used by all that watches: sweeps, coverage, `fail_at`, `Recorder`, `held_hooks`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from actionqueues.core.requests import Await, Call, Request
from actionqueues.core.watch import SEAM, Watch, observed

__all__ = ["then", "watching"]


@contextmanager
def watching(factory: Callable[[Watch | None], Watch | None]) -> Generator[None, None, None]:
    """Let `factory` make the watch of each transaction and each classic queue, in whatever thread.

    It is given the watch that there would be without it, which the new one has to pass everything on to.
    """
    outer = SEAM.observe

    def observe(owner: Any, before: Watch | None) -> Watch | None:
        return factory(before if outer is None else outer(owner, before))

    with observed(observe):
        yield


def then(request: Request | None, action: Callable[[], Request | None]) -> Request | None:
    """Do what a watch has asked for, and then `action`, which may raise or ask for more.

    A `Call` is made at once, wherever this is.  It may block; but nobody here knows whether what waits for its answer
    is sync or async, and only the latter could await one thing after the other.
    """
    if isinstance(request, Call):
        request.function()
    if not isinstance(request, Await):
        return action()
    first: Await = request

    async def one_after_the_other() -> None:
        await first.awaitable
        second = action()
        if isinstance(second, Await):
            await second.awaitable

    return Await(one_after_the_other(), "a watch")
