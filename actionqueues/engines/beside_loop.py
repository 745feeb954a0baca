"""Calling what blocks, and refuses to do so where an event loop runs: in another thread, which is waited for.

What that is given to run is run in the first thread nevertheless, so that sync steps of an async block run where they
would without an engine.  The event loop stands still meanwhile, as it does in any sync step.

Stands on the running loop.  Used by the adapter of DBOS.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Final, TypeAlias, TypeVar

from actionqueues.core.tasks import running_loop

__all__ = ["Here", "beside_the_loop"]

T = TypeVar("T")

#: Runs work in the thread that has called `beside_the_loop`, in the context that it is called in itself.
Here: TypeAlias = Callable[[Callable[[], str]], str]

#: What the threads that have nothing to do take their calls from; a forked child has none of these threads.
_idle: Final[list[SimpleQueue[Callable[[], None]]]] = []
if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows
    os.register_at_fork(after_in_child=_idle.clear)


def beside_the_loop(function: Callable[[Here], T]) -> T:
    """Call a function in another thread if an event loop runs in this one; it may have work done in this one."""
    if running_loop() is None:
        return function(_at_once)
    handed: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
    outcome: Future[T] = Future()

    def here(work: Callable[[], str]) -> str:
        answer: Future[str] = Future()
        handed.put(partial(_settle, answer, partial(copy_context().run, work)))
        return answer.result()

    def there() -> None:
        _settle(outcome, partial(function, here))
        handed.put(None)

    _in_another_thread(partial(copy_context().run, there))
    while (work := handed.get()) is not None:
        work()
    return outcome.result()


def _in_another_thread(call: Callable[[], None]) -> None:
    """Make a call in a thread that has nothing to do, or in a new one: to start one takes longer than the call."""
    try:
        calls = _idle.pop()
    except IndexError:
        calls = SimpleQueue[Callable[[], None]]()
        Thread(target=_serve, args=(calls,), name="actionqueues beside a loop", daemon=True).start()
    calls.put(call)


def _serve(calls: SimpleQueue[Callable[[], None]]) -> None:
    while True:
        calls.get()()
        _idle.append(calls)


def _at_once(work: Callable[[], str]) -> str:
    return work()


def _settle(future: Future[T], call: Callable[[], T]) -> None:
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
