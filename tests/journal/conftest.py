"""What the tests of a journal share: a path for its file, and actions that start afresh."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from .actions import failing, trail
from .leaving import close


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    """Forget what the shared actions did, and were told to do, in the tests before, in whatever order these ran."""
    trail.clear()
    failing.clear()
    yield
    failing.clear()


@pytest.fixture
def path(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Path]:
    """Where a journal may be made."""
    caplog.set_level(logging.CRITICAL)
    yield tmp_path / "actions.db"
    close(tmp_path / "actions.db")
