"""An engine whose units are brought as text to whoever serves them, as to a worker in another process.

It records nothing but what its caller keeps; what it is for is all that is the same on every such engine.  Its event
loop stands for one that an engine moves from thread to thread.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from time import time
from typing import Any, TypeVar

from actionqueues.core.tasks import LOOPS_OF_ENGINES
from actionqueues.engines import Unit
from actionqueues.engines.carrying import Carrier
from actionqueues.engines.serving import serve

T = TypeVar("T")


@dataclass(eq=False)
class CourierEngine:
    """Brings units to `serve`.

    Attributes:
        run_key: identifies the run.
        resources: what the worker supplies, by the names of parameters.
        longest: how many bytes are taken.
        records: what came of the units, by number; they are read again.
        cut: the numbers of those that were cancelled meanwhile.
        requests: what was brought.
        instead: what to say of a unit of that name, without bringing it to anybody.
        kept: what steps have saved, as soon as it was known.
    """

    name = "the courier"
    run_key: str = "run"
    resources: dict[str, Callable[[], Any]] = field(default_factory=dict[str, Any])
    longest: int | None = None
    records: dict[int, str] = field(default_factory=dict[int, str])
    cut: set[int] = field(default_factory=set[int])
    requests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    instead: dict[str, Callable[[Unit], str]] = field(default_factory=dict[str, Any])
    kept: list[Any] = field(default_factory=list[Any])

    def begin(self, block: Any, *, awaits: bool) -> CourierRun:
        assert awaits
        return CourierRun(self)


class CourierRun:
    awaits = carries = True

    def __init__(self, engine: CourierEngine) -> None:
        self.engine, self.key = engine, engine.run_key

    def refuse(self, what: str) -> None:
        """Nothing."""

    async def run(self, unit: Unit) -> str:
        records = self.engine.records
        if unit.number not in records:
            records[unit.number] = await self._served(unit)
        elif unit.number in self.engine.cut:
            try:
                await asyncio.get_running_loop().create_future()  # until what has cancelled it comes again
            except asyncio.CancelledError:
                unit.late = records[unit.number]
                raise
        return records[unit.number]

    async def _served(self, unit: Unit) -> str:
        if unit.kind in ("rolling back", "committing"):
            return json.dumps({"began": time(), "ended": time()})
        if unit.name in self.engine.instead:
            return self.engine.instead[unit.name](unit)
        request = unit.request()
        self.engine.requests.append(json.loads(request))
        carrier = Carrier(self.engine.name, None, self.engine.resources, self.engine.longest)
        given = {name: make() for name, make in self.engine.resources.items()}
        served = serve(request, carrier, given, self.engine.kept.append)
        task = Context().run(partial(asyncio.get_running_loop().create_task, served))
        interrupt: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError as error:
                interrupt = interrupt or error
                task.cancel()
        if interrupt is not None:
            unit.late = self.engine.records[unit.number] = task.result()
            self.engine.cut.add(unit.number)
            raise interrupt
        try:
            return task.result()
        except Exception as error:
            return unit.failed(error, time())

    def pause(self, seconds: float) -> None:
        raise AssertionError("it is awaited")

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        return asyncio.sleep(0)

    def is_control_flow(self, error: BaseException) -> bool:
        return False

    def show(self, state: str) -> None:
        """Nobody looks."""


class MovingLoop(asyncio.SelectorEventLoop):
    """One that its engine might move."""


@contextmanager
def moving() -> Iterator[None]:
    """Meanwhile, such loops are known to be moved."""
    LOOPS_OF_ENGINES.add(MovingLoop)
    try:
        yield
    finally:
        LOOPS_OF_ENGINES.discard(MovingLoop)


def run_moving(main: Coroutine[Any, Any, T]) -> T:
    """Run it in such a loop."""
    with moving(), asyncio.Runner(loop_factory=MovingLoop) as runner:
        return runner.run(main)
