"""What each saga of this folder gives to the sweep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Saga:
    """A scenario, and the options of its sweep."""

    scenario: Callable[[], object]
    state: Any
    options: dict[str, Any] = field(default_factory=dict[str, Any])
