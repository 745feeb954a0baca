"""Which parameters of a test are tried each time, and which only where all tests are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def slow_but(values: Iterable[Any], *quick: Any) -> list[Any]:
    """The values as parameters; all but `quick` are of slow tests."""
    return [value if value in quick else pytest.param(value, marks=pytest.mark.slow) for value in values]
