"""Threads in which steps fail together, for the tests of turns."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from actionqueues import Transaction, action
from actionqueues.owner import current

from .async_library import watched
from .async_stage import Boom

LONG = 30.0  # seconds after which a test fails instead of hanging


def each(*calls: Callable[[], object]) -> Callable[[], None]:
    """One after the other."""

    def call() -> None:
        for each_ in calls:
            each_()

    return call


class Crowd:
    """Steps of several threads in one block, whose every moment can be stopped at."""

    def __init__(self) -> None:
        self.trail: list[str] = []
        self.inside: list[str] = []
        self.undoing: dict[str, Callable[[], object]] = {}
        self.threads: list[threading.Thread] = []
        self.raised: dict[str, BaseException] = {}
        self.fails_together = threading.Event()

    def undo(self, name: str) -> None:
        """What every handler does."""
        if self.inside:
            self.trail.append(f"{name} during {self.inside[-1]}")
        self.inside.append(name)
        try:
            self.undoing.get(name, lambda: None)()
        finally:
            self.inside.remove(name)
            self.trail.append(f"-{name}")

    def start(self, name: str, work: Callable[[], object]) -> threading.Thread:
        """Do this in another thread, in a copy of this context."""

        def run() -> None:
            try:
                work()
            except BaseException as error:
                self.raised[name] = error

        thread = threading.Thread(target=copy_context().run, args=(run,), name=name, daemon=True)
        self.threads.append(thread)
        thread.start()
        return thread

    def failing(self, name: str, before: Callable[[], object] = lambda: None) -> threading.Thread:
        """A step in another thread that has been started, and fails once it is told to."""
        started = threading.Event()

        def wait() -> None:
            started.set()
            assert self.fails_together.wait(LONG)
            before()

        thread = self.start(name, lambda: fail(self, name, wait))
        assert started.wait(LONG)
        return thread

    def ask(self, q: Transaction, count: int) -> None:
        """Wait until so many undos wait for their turn."""
        asking = q.turn
        while len(asking._waiting) < count:
            threading.Event().wait(0.001)

    def end(self) -> None:
        """Wait for all of them."""
        for thread in self.threads:
            thread.join(LONG)
            assert not thread.is_alive()


@action
def fail(crowd: Crowd, name: str, inside: Callable[[], object] = lambda: None) -> None:
    crowd.trail.append(f"+{name}")
    inside()
    raise Boom(name)


@fail.rollback
def mend(crowd: Crowd, name: str) -> None:
    crowd.undo(name)


def waiting_for(how: str, crowd: Crowd, name: str) -> Callable[[], object]:
    """Ways to wait for a thread in which a step fails."""
    if how == "join":
        thread = crowd.failing(name)
        return lambda: thread.join(LONG)
    if how == "result":
        pool, q, started = ThreadPoolExecutor(1), current.get(), threading.Event()
        assert q is not None
        wait = crowd.fails_together.wait
        future: Future[Any] = pool.submit(q[2].run, fail, crowd, name, each(started.set, lambda: wait(LONG)))
        assert started.wait(LONG)
        return each(lambda: future.exception(LONG), pool.shutdown)
    told: queue.Queue[str] = queue.Queue()
    started = threading.Event()

    def there() -> None:
        with suppress(Boom):
            fail(crowd, name, each(started.set, lambda: crowd.fails_together.wait(LONG)))
        told.put("done")

    crowd.start(name, there)
    assert started.wait(LONG)
    return lambda: told.get(timeout=LONG)


def spin(event: threading.Event) -> None:
    while not event.is_set():
        pass


def crowd_that_ends() -> Iterator[Crowd]:
    """For a fixture: a crowd whose threads have ended after the test."""
    made = Crowd()
    with watched(25):
        yield made
        made.fails_together.set()
        made.end()
    assert current.get() is None
