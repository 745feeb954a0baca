"""`OnEngine`: what makes the watches of the transactions that are given an engine.

Stands on `running.py`.  Used by ``transaction(engine=...)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actionqueues.core.watch import Watch

from .engine import Engine
from .running import Running

__all__ = ["OnEngine"]


@dataclass(frozen=True)
class OnEngine:
    """Makes the watches of an engine; two of equal engines are one."""

    engine: Engine

    def __post_init__(self) -> None:
        if not callable(getattr(type(self.engine), "begin", None)):
            raise TypeError(f"transaction(engine=...) takes an engine, such as DBOSEngine(), not {self.engine!r}")

    def __call__(self, block: Any) -> Watch:
        return Running(self.engine, block)
