"""What the tests of the page share: a journal in which something of each sort has happened, and its page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from actionqueues.journal import Journal
from tests.journal.actions import failing
from tests.journal.conftest import afresh, path

from .browser import opened
from .visitor import Visitor, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["afresh", "path"]


@pytest.fixture
def visitor(path: Path) -> Iterator[Visitor]:
    """Somebody who has opened a page that may only be read."""
    with serving(Journal(path)) as made:
        yield made


@pytest.fixture
def decider(path: Path) -> Iterator[Visitor]:
    """Somebody who has opened a page that may be changed."""
    with serving(Journal(path), allow_actions=True) as made:
        yield made
    failing.clear()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for many tests, since it takes longer to start than to be used; each has a context of its own.

    Not for all: as long as playwright is there, an event loop runs in this thread, where other tests want their own.
    """
    with opened() as made:
        yield made
