"""An engine whose records are a dictionary, and which can be told to raise its control flow anywhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from actionqueues.engines import RolledBackBefore, Unit


class Evicted(Exception):
    """Control flow of the engine; a plain `Exception`, as with some engines."""


@dataclass(eq=False)
class MemoryEngine:
    """Records units in memory.

    Attributes:
        raises: what to raise instead of running a unit of that name, once.
        before: called with each unit that is about to be run for the first time.
        slept: what was waited for.
        shown: what an operator has been shown.
    """

    name = "the memory engine"
    records: dict[int, tuple[str, str]] = field(default_factory=dict[int, tuple[str, str]])
    raises: dict[str, BaseException] = field(default_factory=dict[str, BaseException])
    before: Callable[[Unit], str | None] = lambda _unit: None
    slept: list[float] = field(default_factory=list[float])
    shown: list[str] = field(default_factory=list[str])
    here: str | None = "workflow-1"
    evicting = False

    def begin(self, block: Any, *, awaits: bool) -> MemoryRun:
        return MemoryRun(self, awaits)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.records.values()]


class MemoryRun:
    awaits = carries = False

    def __init__(self, engine: MemoryEngine, awaits: bool) -> None:
        self.engine, self.asynchronous = engine, awaits
        self.key = engine.here or ""

    def refuse(self, what: str) -> None:
        if self.engine.here is None:
            raise RuntimeError(f"cannot {what} here")

    def run(self, unit: Unit) -> str | Awaitable[str]:
        if unit.is_async:
            return self._run_async(unit)
        known = self._known(unit)
        return self._kept(unit, self.engine.before(unit) or unit.perform()) if known is None else known

    async def _run_async(self, unit: Unit) -> str:
        known = self._known(unit)
        if known is not None:
            return known
        return self._kept(unit, self.engine.before(unit) or await unit.perform_async())

    def _known(self, unit: Unit) -> str | None:
        if unit.name in self.engine.raises:
            raise self.engine.raises.pop(unit.name)
        name, text = self.engine.records.get(unit.number, (unit.name, None))
        if name == "rolling back" != unit.name and text is not None:
            raise RolledBackBefore.recorded(text)
        assert name == unit.name
        return text

    def _kept(self, unit: Unit, text: str) -> str:
        self.engine.records[unit.number] = unit.name, text
        return text

    def pause(self, seconds: float) -> None:
        if "sleep" in self.engine.raises:
            raise self.engine.raises.pop("sleep")
        self.engine.slept.append(seconds)

    async def sleep(self, seconds: float) -> None:
        self.pause(seconds)
        if "asleep" in self.engine.raises:
            raise self.engine.raises.pop("asleep")

    def is_control_flow(self, error: BaseException) -> bool:
        return isinstance(error, Evicted) or self.engine.evicting

    def show(self, state: str) -> None:
        self.engine.shown.append(state)
