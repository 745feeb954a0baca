"""`Before`: what the records say of a rollback that an execution before this one has begun, and what that covers.

A note "rolling back" stands before the undos of a whole block, or of a part of it: a savepoint, or what comes after a
mark.  An execution that finds it undoes everything.  Behind the undos of a part there has to be a note for the rest, so
that each further execution finds one, wherever its code fails or does not.

Stands on the errors.  Used by `running.py`.
"""

from __future__ import annotations

from .errors import RolledBackBefore

__all__ = ["Before"]


class Before:
    """What is known of that in one execution.

    Attributes:
        error: what keeps the block from going forward, or None if nothing does.
    """

    def __init__(self) -> None:
        self.error: RolledBackBefore | None = None
        self._rest: int | None = None  # how many steps of the part have not been undone in this execution
        self._met = False

    def covers(self) -> bool:
        """Whether what is about to be undone has its note; asked once, before each rollback."""
        if self.error is None or (self.error.part and self._met):
            self._rest = None
            return False
        self._met = True
        self._rest = self.error.part or None
        return True

    def found(self, part: int, note: RolledBackBefore) -> None:
        """What the note of a rollback in the records says, where this execution undoes all, or a `part` of it."""
        if part and not note.part:
            self.error = note  # all of it was being rolled back, so that nothing goes forward any more
        elif note.part and not part:
            self._rest = note.part

    def settled(self) -> None:
        """A step has been undone, or could not be."""
        if self._rest:
            self._rest -= 1

    def is_through(self) -> bool:
        """Whether the part has been undone, so that what is undone next needs a note; says so once."""
        if self._rest != 0:
            return False
        self._rest = None
        return True
