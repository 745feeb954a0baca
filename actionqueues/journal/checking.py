"""Whether a journal is healthy: what has been left longer than it may be, found without touching the file.

Stands on what is in a journal.  Used by the command, and by the gauge of what is stuck.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from actionqueues.core.text import log_warning

from .errors import JournalError
from .inspecting import Entry, Source, current_entries
from .opening import FAULTS, explained
from .ownership import OwnerLocks, of_open_file
from .readonly import reading
from .repeating import repetition_of
from .store import Store

__all__ = ["Left", "left_in", "repeated_by", "source_of"]


class Left(NamedTuple):
    """A transaction that nobody brings to its end.

    Attributes:
        entry: the transaction.
        age: the time since it began, in seconds; None if somebody has written nonsense there.
    """

    entry: Entry
    age: float | None

    @property
    def why(self) -> str:
        """What was wrong, or else what has become of the process that worked on it."""
        if self.entry.reason is not None:
            return self.entry.reason
        return "its process has died" if self.entry.live is False else "its process may live: nobody can tell from here"


def left_in(source: Source, older_than: timedelta = timedelta(0)) -> list[Left]:
    """What is left: stuck, without a process, or with hooks that nobody calls; live work is not.

    What a recovery has tried in vain counts also while it is tried again; otherwise something that is tried every few
    seconds would be healthy whenever somebody looks just then.

    Args:
        source: where to look; what has ended is not read.
        older_than: only what began so long ago, or nobody knows when.
    """
    found = [entry for entry in current_entries(source) if entry.ended is None]
    left = [Left(entry, _age(entry.started)) for entry in found if entry.reason is not None or not entry.live]
    return [each for each in left if each.age is None or each.age >= older_than.total_seconds()]


def repeated_by(source: Source, entry: Entry) -> int | None:
    """The number of a transaction that has done the same again since, whose effect a recovery may undo: a WARNING."""
    found = None if entry.state == "committed" else repetition_of(source, entry.id, entry.name, entry.started)
    if found is None:
        return None
    log_warning(
        f"{source.path}: a recovery would undo transaction {entry.id}, {entry.name!r}, though transaction {found.id} "
        f"of the same name has committed since, with {found.step} of the same arguments: look first whether undoing "
        "it takes away what that has made",
        transaction=entry.name,
        step=found.step,
        state=entry.state,
    )
    return found.id


def _age(started: str) -> float | None:
    try:
        since = datetime.now(UTC) - datetime.fromisoformat(started).replace(tzinfo=UTC)
    except ValueError:
        return None
    return max(0.0, since.total_seconds())  # the clock may have been set back


class _Unopened:
    """A journal that is only read: no file is made beside it, and an older one is not brought up to date."""

    def __init__(self, path: str) -> None:
        self.path = path

    @property
    def locks(self) -> OwnerLocks:
        """None: whoever asks for them then looks at their file alone."""
        raise JournalError(self.path, "it is only read")

    def read(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        """The rows of a query."""
        try:
            with reading(self.path) as db:
                db.text_factory = _text
                return db.execute(statement, parameters).fetchall()
        except FAULTS as error:
            raise explained(self.path, error, 5.0) from error


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def source_of(store: Store) -> Source:
    """The file of a journal, to be looked at from outside; where only who may write can tell who lives, the store."""
    return _Unopened(store.path) if of_open_file(sys.platform) else store
