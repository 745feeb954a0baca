"""What the tests of undoing later share: transactions that have committed, and both drivers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Protocol

from actionqueues import transaction
from actionqueues.journal import Journal, Recovered

from .actions import trail
from .leaving import Body

__all__ = ["Undo", "committed", "undone", "undone_async"]


class Undo(Protocol):
    """`Journal.undo`, or the same in an event loop."""

    def __call__(self, journal: Journal, transaction: int, **options: Any) -> Recovered: ...


def undone(journal: Journal, transaction: int, **options: Any) -> Recovered:
    return journal.undo(transaction, **options)


def undone_async(journal: Journal, transaction: int, **options: Any) -> Recovered:
    return asyncio.run(journal.undo_async(transaction, **options))


def committed(path: Path, body: Body, **options: Any) -> Journal:
    """A journal in which a transaction has committed; what its steps have told is forgotten."""
    journal = Journal(path, **options)
    with transaction("done", journal=journal) as q:
        body(q)
    trail.clear()
    return journal
