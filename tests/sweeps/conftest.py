"""What each test of sweeps begins with."""

import pytest

from .world import world


@pytest.fixture(autouse=True)
def empty_world() -> None:
    world.clear()
