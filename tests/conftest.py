"""What holds for all tests: how they are sorted by time, where compiled code is kept, and what the collector skips."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile

import hypothesis  # noqa: F401 # pyright: ignore[reportUnusedImport] - before trio, which tells it of a generator of its own that is gone by then
import pytest

pytest.register_assert_rewrite("tests.engines.checking")  # before anything imports it


def pytest_configure(config: pytest.Config) -> None:
    """Explain the marks; and let the processes that tests start find the package compiled, however Python is set."""
    config.addinivalue_line("markers", 'slow: left out unless asked for, by `-m ""` for all tests')
    if "PYTHONPYCACHEPREFIX" not in os.environ:  # by this process, or by one that has started it
        folder = tempfile.mkdtemp(prefix="actionqueues-compiled-")
        os.environ |= {"PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_collection_finish() -> None:
    """Many tests call the collector: let it pass over all that has been imported by now."""
    gc.collect()
    gc.freeze()
