"""What holds for all tests: how they are sorted by time, and what the collector need not look at again."""

from __future__ import annotations

import gc

import hypothesis  # noqa: F401 # pyright: ignore[reportUnusedImport] - before trio, which tells it of a generator of its own that is gone by then
import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Explain the marks."""
    config.addinivalue_line("markers", 'slow: left out unless asked for, by `-m ""` for all tests')


def pytest_collection_finish() -> None:
    """Many tests call the collector: let it pass over all that has been imported by now."""
    gc.collect()
    gc.freeze()
