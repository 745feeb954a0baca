"""What the tests of a journal share: a path for its file, and actions that start afresh."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from actionqueues.journal import Journal

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


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    """One that waits for no disk and logs nothing, for what a tracer interrupts."""
    monkeypatch.setattr(logging.getLogger("actionqueues"), "disabled", True)
    made = Journal(tmp_path / "actions.db", durability="process")
    tracing = sys.gettrace()
    yield made
    sys.settrace(tracing)
    made.close()


@pytest.fixture
def shared() -> Iterator[Path]:
    """A path in a folder that others may enter."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can become somebody who may not write")
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        yield folder / "actions.db"
    finally:
        Journal(folder / "actions.db").close()
        shutil.rmtree(folder)
