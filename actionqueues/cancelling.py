"""Cancelling the steps that run in other tasks, and seeing who waits for whom.

Asyncio cancels a task, so the tasks that run a step are looked for, by its frame, once that is needed.  Trio cancels a
scope, so there each step has one.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, TypeVar

from .concurrency import in_trio
from .frames import ASYNC_STEPS

if TYPE_CHECKING:
    from .step import Log

__all__ = ["awaits", "cancel_steps", "in_scope", "open_nurseries"]

T = TypeVar("T")


async def in_scope(
    scopes: dict[Any, Log], log: Log, step: Callable[[], Awaitable[T]], cancelled: Callable[[], BaseException]
) -> T:
    """Run a step in trio so that it can be cancelled from other tasks, which have their own nurseries.

    Args:
        scopes: where it can be found meanwhile.
        log: the log of its block.
        step: the step.
        cancelled: makes what its caller sees then, to which that cancellation does not belong.
    """
    import trio

    with trio.CancelScope() as scope:
        scopes[scope] = log
        try:
            return await step()
        finally:
            del scopes[scope]
    raise cancelled()


def cancel_steps(belongs: Callable[[Log], bool], scopes: Mapping[Any, Log] | None, inside: set[object]) -> set[object]:
    """Cancel what runs a step whose log `belongs`: its task in asyncio, its scope in trio.

    Args:
        belongs: tells whether a log does.
        scopes: what is running in trio.
        inside: tasks of asyncio that are to be cancelled as well.

    Returns:
        The tasks of asyncio that have been cancelled.
    """
    if in_trio():
        for scope, log in list((scopes or {}).items()):
            if belongs(log):
                scope.cancel()
        return set()
    import asyncio

    found: set[object] = set()
    for task in asyncio.all_tasks():
        if task in inside or _runs_step(task.get_coro(), belongs):
            task.cancel()
            found.add(task)
    return found


def _runs_step(awaited: object, belongs: Callable[[Log], bool]) -> bool:
    """Look for the frame of a step along what a coroutine is awaiting."""
    seen = 0
    while awaited is not None and seen < _DEEP:
        seen += 1
        frame = next((f for name in _FRAMES if (f := getattr(awaited, name, None)) is not None), None)
        if frame is not None and frame.f_code in ASYNC_STEPS and belongs(frame.f_locals["log"]):
            return True
        awaited = _awaited_by(awaited)
    return False


_FRAMES = "cr_frame", "gi_frame", "ag_frame"
_DEEP = 10_000  # nobody awaits so deeply; what refers to itself must not be followed for ever


def _awaited_by(waiting: Any) -> Any:
    """What a coroutine, a generator or what either awaits is waiting for."""
    for name in ("cr_await", "gi_yieldfrom", "ag_await"):
        if hasattr(waiting, name):
            return getattr(waiting, name)
    # What awaits an async generator, or a coroutine by its `__await__`, has no attribute that leads there.
    referents: list[Any] = gc.get_referents(waiting)
    return next((each for each in referents if isinstance(each, _Awaiting)), None)


async def _generate() -> AsyncGenerator[None, None]:
    yield  # pragma: no cover - made for its type, and never run


def _kinds() -> tuple[type[Any], ...]:
    """The types of what can stand between a coroutine and what it waits for."""
    made = _generate()
    steps = made.asend(None), made.aclose()
    for step in steps:
        step.close()
    return (CoroutineType, GeneratorType, AsyncGeneratorType, *map(type, steps))


_Awaiting = _kinds()


def open_nurseries(task: Any) -> Sequence[object]:
    """The nurseries that a task of trio's has open; asyncio's tasks have none."""
    return tuple(getattr(task, "child_nurseries", ()))


def awaits(task: Any, other: Any, open_before: Sequence[object] | None = None) -> bool:
    """Whether a task waits for another one to end, as far as that can be seen.

    In trio a task waits for all that it has started in its nurseries, but only at the end of those.

    Args:
        task: the one that may wait.
        other: the other one.
        open_before: the nurseries that were open before the work began that is to come to its end; the end of one that
            has been opened since is a part of that work.
    """
    if hasattr(task, "child_nurseries"):
        nursery = other.parent_nursery
        while nursery is not None and nursery.parent_task is not task:
            nursery = nursery.parent_task.parent_nursery
        return nursery is not None and open_before is not None and nursery not in open_before
    kind: Any = getattr(sys.modules.get("asyncio"), "Task", ())
    seen: set[int] = set()
    waiting: list[Any] = [task]
    while waiting:
        waiter = waiting.pop()
        if waiter is other:
            return True
        if id(waiter) in seen:
            continue
        seen.add(id(waiter))
        waiting += getattr(waiter, "_children", ())  # of what `gather` has returned
        if isinstance(waiter, kind):
            waiting.append(getattr(waiter, "_fut_waiter", None))
            waiting += _waited_for(waiter.get_coro(), kind)
    return False


def _waited_for(awaited: Any, kind: type[Any]) -> list[Any]:
    """The tasks that a coroutine waits for in `asyncio.wait`, `wait_for` or at the end of a task group."""
    found: list[Any] = []
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None)
        if frame is not None and frame.f_globals.get("__name__", "").startswith("asyncio."):
            held: list[Any] = list(frame.f_locals.values())
            held += [each for value in held for each in (*gc.get_referents(value), *_values(value))]
            found += [each for each in held if isinstance(each, kind)]
        awaited = _awaited_by(awaited)
    return found


def _values(value: object) -> list[Any]:
    """What the sets among the attributes of an object hold."""
    sets: list[set[Any]] = [each for each in getattr(value, "__dict__", {}).values() if isinstance(each, set)]
    return [each for found in sets for each in found]
