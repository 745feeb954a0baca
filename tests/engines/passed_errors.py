"""What steps raise and return; only `passed_steps` imports it, so the sandbox of Temporal has no copy of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Busy(Exception):
    """An exception with a constructor of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(f"busy {number}")
        self.number = number


class Refused(Exception):
    """One that no policy repeats."""


class Level(Enum):
    """An enumeration."""

    HIGH = "high"


@dataclass
class Receipt:
    """A result."""

    number: int
    level: Level
