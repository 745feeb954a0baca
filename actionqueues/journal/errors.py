"""The exceptions of the journal: when each is raised, what to do now, and how it differs from its neighbours.

All are `JournalError`s, so one `except` catches them, and all name the file where there is one.

Stands on the errors of the package.  Used by the rest of the journal, and by programs.
"""

from __future__ import annotations

from actionqueues.errors import ActionQueuesError

__all__ = ["JournalCorrupt", "JournalError", "NotRecordable", "NotRestorable"]


class JournalError(ActionQueuesError):
    """The journal could not be read or written; the message names the file and the way out.

    A step whose intent could not be recorded was not run, and the rollback has started.  Raised during a rollback, it
    has not stopped the undoing: ``q.report.journal_failures`` says what is missing in the file.

    Attributes:
        path: the file.
        reason: what is wrong with it, and what to do.
    """

    __module__ = "actionqueues.journal"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"journal {self.path!r}: {self.reason}"


class JournalCorrupt(JournalError):
    """The file is damaged, or is no journal.  Nothing in it has been changed.

    Unlike its base this does not pass by itself: put a copy of the file and of its ``-wal`` aside, look at it with
    ``sqlite3 FILE .recover``, and start with a new file.
    """

    __module__ = "actionqueues.journal"


class NotRecordable(JournalError, TypeError):
    """Something cannot be recorded as plain data; the step that it belongs to has not run, or has been undone.

    Give the plain data that identify the thing instead of the thing, declare a live object as a resource of the
    journal (``resources={"db": connect}``), or give the journal a serializer that knows the type.  A step that has
    saved something of that kind, or returned it for a handler that asks for it, has failed with this: it is undone at
    once, with what it has returned and saved, and no policy repeats it.

    Attributes:
        what: the argument, result or name, and the step it belongs to.
        value_type: the type that cannot be recorded.
    """

    __module__ = "actionqueues.journal"
    _retried = False

    def __init__(self, path: str, reason: str, what: str = "", value_type: str = "") -> None:
        super().__init__(path, reason)
        self.args = (path, reason, what, value_type)
        self.what = what
        self.value_type = value_type


class NotRestorable(JournalError):
    """What the file says cannot be turned into a call again; the step stays as it is, and its transaction is stuck.

    The action, a class or a resource is not there (import the module that defines it, and recover again), an argument
    was redacted, a path is relative to another directory, or the file was changed by hand.  A handler raises this when
    it reads from its ``step`` what nobody knows, such as the result of a step whose process died in its body.
    """

    __module__ = "actionqueues.journal"
    _retried = False
