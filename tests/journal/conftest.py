"""What the tests of a journal share: a path for its file, and actions that start afresh."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from actionqueues.journal import Journal

from .actions import failing, trail


@pytest.fixture
def path(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Path]:
    """Where a journal may be made; what the shared actions have done is forgotten."""
    caplog.set_level(logging.CRITICAL)
    trail.clear()
    failing.clear()
    yield tmp_path / "actions.db"
    Journal(tmp_path / "actions.db").close()
