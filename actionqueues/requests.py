"""What the engine asks its driver for.

What has to be done once something has gone wrong, or where something stands between a block and its steps, is a
generator.  It yields a request whenever something has to be waited for.  Its driver does that and sends back what came
of it: None, or what was raised.  Outcomes are sent as values, never thrown, since a `StopIteration` thrown into a
generator would be lost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from .engine import Rollback

__all__ = ["Attempting", "Await", "Call", "Failing", "Probing", "Request", "Undo", "Unwinding", "Wait"]


class Wait:
    """Go on in so many seconds.  Answered with None, or with what interrupted the wait."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Await:
    """Await this.  Answered with None, or with what it raised.

    Attributes:
        awaitable: the coroutine of a body, a rollback handler or a hook.
        name: what messages call it.
        result: what it returned.
    """

    __slots__ = ("awaitable", "name", "result")

    def __init__(self, awaitable: Awaitable[object], name: str) -> None:
        self.awaitable = awaitable
        self.name = name
        self.result: Any = None


class Call:
    """Call this, which may block: async code lets a worker thread do it.  Answered with None, or with what it raised.

    It is not cut short: what interrupts it meanwhile, Ctrl-C or a cancellation, is kept.

    Attributes:
        function: takes no arguments.
        interrupted: what has interrupted it, to be raised by whoever has made the request.
    """

    __slots__ = ("function", "interrupted")

    def __init__(self, function: Callable[[], object]) -> None:
        self.function = function
        self.interrupted: BaseException | None = None


#: What an interceptor may ask for.
Request: TypeAlias = Call | Await

#: One attempt of an undo, or of a hook: returns what it raised, or None.
Attempting: TypeAlias = Generator[Request, BaseException | None, BaseException | None]

#: The question whether a step has happened: returns whether it has not.
Probing: TypeAlias = Generator[Await, BaseException | None, bool]

#: An unwinding: returns nothing, and is sent the answers.
Unwinding: TypeAlias = Generator[Wait | Request, BaseException | None, None]


class Undo:
    """Run an unwinding, outside any block, and without letting anything cut it short.  Answered with None."""

    __slots__ = ("rollback", "unwind")

    def __init__(self, rollback: Rollback, unwind: Callable[[], Unwinding]) -> None:
        self.rollback = rollback
        self.unwind = unwind


#: What handles a step that has raised; returns a decision.
Failing: TypeAlias = Generator[Undo, BaseException | None, bool]
