"""What the tests of tools share: actions of each kind, and a scenario that runs in each kind of block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from inspect import isawaitable
from typing import Any

import pytest
import trio

from actionqueues import AsyncTransaction, Step, Transaction, action, current_step, transaction

there: dict[str, str] = {}
done: list[str] = []


class Full(Exception):
    """What a model can mend."""


@action
def put(name: str, size: int = 1) -> int:
    """Put something there.

    Args:
        name: what.
    """
    there[current_step().key] = name
    if name == "too much":
        raise Full("no room")
    if name == "broken":
        raise OSError("a bug")
    return size


@put.rollback
def take(step: Step[int]) -> None:
    name = there.pop(step.key, "")
    if name == "stuck":
        raise PermissionError("it cannot be taken")


@action
async def put_async(name: str) -> int:
    """Put something there."""
    there[current_step().key] = name
    return 1


@put_async.rollback
async def take_async(step: Step[int]) -> None:
    there.pop(step.key, None)


@action(irreversible=True)
def pay(euros: int) -> str:
    """Pay."""
    done.append(f"paid {euros}")
    return "paid"


@action(irreversible=True)
async def pay_async(euros: int) -> str:
    """Pay."""
    done.append(f"paid {euros}")
    return "paid"


@action(irreversible=True, when="commit")
def mail(to: str) -> None:
    """Send a mail."""
    done.append(f"mail to {to}")


@action(irreversible=True, when="commit")
async def mail_async(to: str) -> None:
    """Send a mail."""
    done.append(f"mail to {to}")


@action(read_only=True)
def look() -> list[str]:
    """List what is there."""
    return sorted(there.values())


@action
def forgotten() -> None: ...


def always(*_: object) -> bool:
    return True


async def answer(tool: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """What a tool answers, sync or async."""
    value = tool(*args, **kwargs)
    return await value if isawaitable(value) else value


@asynccontextmanager
async def block(kind: str) -> AsyncGenerator[Transaction | AsyncTransaction, None]:
    if kind == "sync":
        with transaction("agent") as q:
            yield q
    else:
        async with transaction("agent") as q:
            yield q


Scenario = Callable[[str], Coroutine[Any, Any, None]]


def everywhere(scenario: Scenario) -> Any:
    """Run a scenario in a sync block, and in an async one of asyncio and of trio."""

    def test(kind: str) -> None:
        there.clear()
        done.clear()
        if kind == "trio":
            trio.run(scenario, kind)
        else:
            asyncio.run(scenario(kind))

    test.__doc__, test.__name__ = scenario.__doc__, scenario.__name__
    return pytest.mark.parametrize("kind", ["sync", "asyncio", "trio"])(test)
