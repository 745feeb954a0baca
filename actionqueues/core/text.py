"""What is told of the user's exceptions: in notes, in the log, in reports; whatever these exceptions do.

Stands on nothing.  Used by all that calls the user's code.
"""

from __future__ import annotations

__all__ = ["add_note", "first_of", "log_error", "log_warning", "raise_late", "shown"]


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


def shown(error: BaseException) -> str:
    """The `repr` of an exception of the user's, in one line, whatever that does."""
    try:
        return " ".join(line.strip() for line in repr(error).splitlines())
    except Exception:
        return f"<{type(error).__qualname__}, whose repr() fails>"


def add_note(error: BaseException, note: str, *, once: bool = False) -> None:
    """Add a note to an exception of the user's, if it takes one; `once`, if it has not got it already."""
    text = f"actionqueues: {note}"
    try:
        if not (once and text in getattr(error, "__notes__", ())):
            error.add_note(text)
    except Exception:
        log_error(note, error)


def log_error(message: str, error: BaseException) -> None:
    """Log a failure that does not get out as an exception, with its traceback."""
    _log("error", message, error)


def log_warning(message: str) -> None:
    """Log what somebody should know, likewise."""
    _log("warning", message, None)


def _log(level: str, message: str, error: BaseException | None) -> None:
    import logging  # here, because most programs never fail to roll back

    try:
        getattr(logging.getLogger("actionqueues"), level)(message, exc_info=error)
    except Exception:  # of a filter or handler of the program's: told as `logging` tells those in its own handlers
        logging.Handler().handleError(logging.makeLogRecord({"msg": message}))
