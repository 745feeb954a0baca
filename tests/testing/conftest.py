"""What each test of sweeps begins with."""

# Here, before the collector passes over all that there is: a pytest within a test would import it, and it would warn.
import hypothesis  # noqa: F401  # pyright: ignore[reportUnusedImport]
import pytest

from .world import world


@pytest.fixture(autouse=True)
def empty_world() -> None:
    world.clear()
