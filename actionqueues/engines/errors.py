"""The exceptions of engines: when each is raised, and what it means now.

Stands on the errors of the package.  Used by the rest of the engines, and by programs.
"""

from __future__ import annotations

import json
from typing import Any

from actionqueues.errors import ActionQueuesError

__all__ = ["EngineError", "NotCarried", "RolledBackBefore", "WorkflowCancelled"]


class EngineError(ActionQueuesError):
    """What the errors of engines have in common, so that one `except` catches them."""

    __module__ = "actionqueues.engines"
    _retried = False


class NotCarried(EngineError, TypeError):
    """Something is no plain data, so the engine could not keep it, or bring it to another process.

    An argument: the step has not run.  A result: the step has failed with this, and is undone; no policy repeats it.
    Give, or return, the plain data that identify the thing instead of the thing.

    Attributes:
        what: the argument, result or name, and the step it belongs to.
    """

    __module__ = "actionqueues.engines"

    def __init__(self, reason: str, what: str = "") -> None:
        super().__init__(reason, what)
        self.reason, self.what = reason, what

    def __str__(self) -> str:
        return self.reason


class RolledBackBefore(EngineError):
    """The block has failed here in an execution before this one, which did not come to the end of its rollback.

    This execution did not fail there by itself; it is rolled back all the same, since some undos may have run already.

    Attributes:
        error: what it failed with then, as text.
        part: how many steps were to be undone then, if only a savepoint in it was being rolled back, or what came after
            a mark; 0 if it was all of it.
    """

    part = 0

    __module__ = "actionqueues.engines"

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error

    @classmethod
    def recorded(cls, text: str) -> RolledBackBefore:
        """What to raise where the records have the note "rolling back", with this text, in the place of a unit."""
        told: Any = json.loads(text)
        before = cls((told.get("why") or {"text": "q.rollback()"})["text"])
        before.part = told.get("part", 0)
        return before

    def __str__(self) -> str:
        return f"the block was being rolled back in an earlier execution, because of {self.error}"


class WorkflowCancelled(EngineError):
    """Somebody has asked for the workflow to be cancelled, and everything that it has done to be undone.

    The block notices it before the next step, which does not run.  Let it out of the block.

    Attributes:
        reason: what they have said, or None.
    """

    __module__ = "actionqueues.engines"

    def __init__(self, reason: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return "the workflow was cancelled" + (f": {self.reason}" if self.reason else "")
