"""The numbers by which programs name transactions, steps and hooks.

SQLite takes a text for the number that it reads like, and what compares numbers in the program does not.

Stands on nothing.  Used by `Journal`.
"""

from __future__ import annotations

from operator import index
from typing import Any, Final

__all__ = ["number_of"]

#: More than SQLite can count.
_LIMIT: Final = 1 << 63


def number_of(given: Any, what: str = "transaction") -> int:
    """The number that was given.

    Raises:
        TypeError: for what is no number, such as a text, an entry, or the transaction itself.
        LookupError: for one that no file can hold.
    """
    if isinstance(given, bool) or not hasattr(type(given), "__index__"):
        where = {"transaction": "such as q.report.id, or the id of one of journal.transactions()"}
        advice = where.get(what, f"such as the number of one of journal.show(...).{what}s")
        raise TypeError(f"the number of a {what} is an int, {advice}, and not {given!r:.80}")
    number = index(given)
    if not -_LIMIT <= number < _LIMIT:
        raise LookupError(f"there is no {what} {number}")
    return number
