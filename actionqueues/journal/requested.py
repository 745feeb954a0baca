"""`UndoRequested`: who wants a transaction undone that has committed, and why; in the file, and for its handlers.

Stands on the texts of values.  Used by what undoes later, and by recovery, which goes on with that.
"""

from __future__ import annotations

import getpass
import json
from contextlib import suppress
from typing import Any

from .values import readable

__all__ = ["UndoRequested", "requested_by"]


class UndoRequested(Exception):
    """The `cause` that a rollback handler is given where `Journal.undo` takes back what had committed.

    Nobody raises it.  A recovery that goes on with an undo whose process has died gives the same.

    Attributes:
        by: who has asked for it, the name of the user unless the program says something else.
        reason: why, or None.
    """

    __module__ = "actionqueues.journal"

    def __init__(self, by: str, reason: str | None = None) -> None:
        super().__init__(by, reason)
        self.by = by
        self.reason = reason

    def __str__(self) -> str:
        return f"by {self.by}" + (f": {self.reason}" if self.reason else "")

    def __repr__(self) -> str:
        return f"UndoRequested({str(self)!r})"

    def to_json(self) -> str:
        """What is recorded of it."""
        return json.dumps({"by": self.by, "reason": self.reason})

    @classmethod
    def from_json(cls, recorded: str) -> UndoRequested:
        """It again, of whatever somebody has written there."""
        with suppress(ValueError, LookupError, TypeError, RecursionError):
            data = json.loads(recorded)
            return cls(str(data["by"]), None if data["reason"] is None else str(data["reason"]))
        return cls("somebody", readable(recorded))


def requested_by(by: Any, reason: Any) -> UndoRequested:
    """A request of this process.

    Raises:
        TypeError: for names and reasons that are no text.
    """
    for name, value in (("by", by), ("reason", reason)):
        if not isinstance(value, str | None):
            raise TypeError(f"journal.undo({name}=...) takes a text, not {value!r}")
    by, reason = (by or "").strip() or _user(), (reason or "").strip()  # a script may give a variable that is not set
    return UndoRequested(readable(by), readable(reason) or None)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, ImportError, KeyError):  # a container has users without names
        return "a user without a name"
