"""What users are told: of their exceptions, in notes, logs and reports, whatever these do.

Stands on nothing.  Used by all that calls the user's code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, cast

__all__ = [
    "FIELDS",
    "MOST",
    "add_note",
    "copy_notes",
    "counted",
    "first_of",
    "listed",
    "log_error",
    "log_info",
    "log_wanted",
    "log_warning",
    "one_line",
    "raise_late",
    "shown",
]

#: As many names as one line tells, and as many notes as an exception gets of one rollback.
MOST: Final = 10

#: What each record of the log has besides its text, for formatters and filters; None where it is not known.
FIELDS: Final = ("event_name", "transaction", "transaction_id", "step", "key", "attempt", "state", "duration")

_logger: Any = None


def first_of(*errors: BaseException | None) -> BaseException | None:
    """The first that there is; an exception of the user's may be false, by its `__bool__` or `__len__`."""
    return next((error for error in errors if error is not None), None)


def raise_late(error: BaseException | None) -> None:
    """Raise it, if there is one, so that no frame that it goes through holds it: that would wait for the collector."""
    try:
        if error is not None:
            raise error
    finally:
        del error


def shown(error: BaseException | type[BaseException], arguments: tuple[Any, ...] | None = None) -> str:
    """The `repr` of an exception of the user's, in one line, whatever that does; or of its class and `arguments`."""
    try:
        if arguments is None:
            text = repr(error)
        else:
            text = f"{cast('type', error).__name__}({', '.join(map(repr, arguments))})"
        return " ".join(line.strip() for line in text.splitlines())
    except Exception:
        cls = error if arguments is not None else type(error)
        return f"<{cast('type', cls).__qualname__}, whose repr() fails>"


def one_line(text: str) -> str:
    """On one line, and nothing that a terminal would obey."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def listed(items: Sequence[Any], show: Callable[[Any], str] = str) -> str:
    """Their texts in one line; of very many, the first ones, and how many there are more."""
    text = ", ".join(map(show, items[:MOST]))
    return text if len(items) <= MOST else f"{text} … and {counted(len(items) - MOST)} more"


def counted(number: int) -> str:
    """A number that may be large, as people read it: ``1 990``."""
    return f"{number:_}".replace("_", " ")


def add_note(error: BaseException, note: str, *, once: bool = False) -> None:
    """Add a note to an exception of the user's, if it takes one; `once`, if it has not got it already."""
    text = f"actionqueues: {note}"
    try:
        if not (once and text in getattr(error, "__notes__", ())):
            error.add_note(text)
    except Exception:
        log_error(note, error)


def copy_notes(error: BaseException, other: BaseException) -> None:
    """Tell of another exception what was told of this one, in whose place it goes on."""
    prefix = "actionqueues: "
    notes = [note for note in getattr(error, "__notes__", ()) if str(note).startswith(prefix)]
    for note in notes:
        add_note(other, note.removeprefix(prefix), once=True)


def remove_notes(error: BaseException, notes: Collection[str]) -> None:
    """Take away those of these notes that `add_note` has added to an exception of the user's."""
    texts = {f"actionqueues: {note}" for note in notes}
    try:
        found = error.__notes__
        found[:] = [note for note in found if note not in texts]
    except Exception:  # noqa: S110 - it has none, or they are not what Python makes them
        pass


def log_error(message: str, error: BaseException | None, **known: object) -> None:
    """Log a failure that does not get out as an exception, with its traceback; `known`: fields of the record."""
    _log("error", message, error, known)


def log_warning(message: str, **known: object) -> None:
    """Log what somebody should know, likewise."""
    _log("warning", message, None, known)


def log_info(message: str, **known: object) -> None:
    """Log a part of the story, likewise."""
    _log("info", message, None, known)


def log_wanted() -> bool:
    """Whether anybody wants to read the story: nobody can have said so before `logging` was imported."""
    global _logger  # noqa: PLW0603 - looked up once, since a rollback of one step asks
    if _logger is None:
        find: Any = getattr(sys.modules.get("logging"), "getLogger", None)
        _logger = None if find is None else find("actionqueues")
    return _logger is not None and bool(_logger.isEnabledFor(20))  # logging.INFO


def _log(level: str, message: str, error: BaseException | None, known: dict[str, object]) -> None:
    import logging  # here, because most programs never fail to roll back

    try:
        extra = {**dict.fromkeys(FIELDS), **known}
        getattr(logging.getLogger("actionqueues"), level)(message, exc_info=error, extra=extra)
    except Exception:  # of a filter or handler of the program's: told as `logging` tells those in its own handlers
        logging.Handler().handleError(logging.makeLogRecord({"msg": message}))
