"""The example that is a test passes, and our other examples stand a sweep."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actionqueues.testing import database, directory, sweep

from .test_plugin import run

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def test_the_test_that_newcomers_copy_passes(tmp_path: Path) -> None:
    done = run(tmp_path, str(EXAMPLES / "test_signup_rollback.py"), "-v", "--color=no")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    assert "charge       ok" in done.stdout


@pytest.fixture
def examples() -> Iterator[None]:
    sys.path.insert(0, str(EXAMPLES))
    yield
    sys.path.remove(str(EXAMPLES))


def test_the_agent_of_the_examples_takes_everything_back(examples: None, monkeypatch: Any, capsys: Any) -> None:
    tools: Any = importlib.import_module("agent_tools")
    with tools.workspace() as belt:
        state = {"calendar": database(belt.calendar), "files": directory(belt.folder)}
        made = sweep(lambda: tools.work(belt), state=state, ignore=[".git*"], faults=["before", "after", "commit"])
        made.check()
    assert "after@ToolBelt.add_event" in [outcome.id for outcome in made.outcomes]
