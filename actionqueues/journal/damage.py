"""What a row cannot be, whoever has written it: then its transaction is left alone, and a person is told.

The types of SQLite's columns are no more than a wish: a disk, or somebody's hand, may have put anything into them.

Stands on nothing.  Used by what reads rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["ALL_UNFINISHED", "ANY_DAMAGE", "DAMAGE", "STATES", "can_own", "readable_row", "told"]

#: What has not ended, or nobody knows: years begin with a 1 or a 2.
_UNFINISHED: Final = ("ended IS NULL", "ended < '1'", "ended >= '3'")

#: SQL for the numbers of those; quick: each condition alone has an index, which is not used for several.
ALL_UNFINISHED: Final = " UNION ".join(f"SELECT id FROM transactions WHERE {each}" for each in _UNFINISHED)  # noqa: S608 - constants

_TEXT, _NUMBER, _OPTIONAL = "typeof({0}) != 'text'", "typeof({0}) != 'integer'", "typeof({0}) NOT IN ('text', 'null')"
_TIME: Final = "{0} IS NOT NULL AND (typeof({0}) != 'text' OR {0} < '1' OR {0} >= '3')"


def _other_than(*texts: str, none: bool = False) -> str:
    listed = ", ".join(f"'{text}'" for text in texts)
    return f"{{0}} IS NULL OR {{0}} NOT IN ({listed})" if not none else f"{{0}} IS NOT NULL AND {{0}} NOT IN ({listed})"


#: Those of a transaction in the file.
STATES: Final = ("open", "rolling back", "committed", "rolled back", "undone later", "stuck")

#: When a value is none that this column can have.
_TRANSACTIONS: Final = {
    "name": _TEXT,
    "state": _other_than(*STATES),
    "owner": "{0} IS NOT NULL AND (typeof({0}) != 'integer' OR {0} < 1 OR {0} > 1 << 60)",
    "ended": _TIME,
    "error": _OPTIONAL,
    "reason": _OPTIONAL,
    "directory": _OPTIONAL,
    "origin": _OPTIONAL,
    "requested": _OPTIONAL,
    "plain_hooks": _OPTIONAL,
}
_STEPS: Final = {
    "number": _NUMBER,
    "kind": _other_than("action", "object", "plain", "by hand"),
    "name": _TEXT,
    "arguments": _OPTIONAL,
    "state": _other_than("running", "done", "failed", "unknown", "never run"),
    "result": _OPTIONAL,
    "saved": _OPTIONAL,
    "error": _OPTIONAL,
    "attempts": _NUMBER,
    "key": _TEXT,
    "handler": _OPTIONAL,
    "undo": _other_than("undone", "undo failed", "conflict", "skipped", "not undone", "not landed", none=True),
    "reason": _OPTIONAL,
    "directory": _OPTIONAL,
    "fingerprint": _OPTIONAL,
}
_HOOKS: Final = {
    "number": _NUMBER,
    "name": _TEXT,
    "arguments": _TEXT,
    "key": _TEXT,
    "attempts": _NUMBER,
    "ended": _TIME,
    "error": _OPTIONAL,
    "directory": _OPTIONAL,
}


def _wrong(columns: Mapping[str, str]) -> str:
    """SQL for what is wrong with a row, or NULL."""
    cases = (f"WHEN {wrong.format(name)} THEN {_named(name)}" for name, wrong in columns.items())
    return f"CASE {' '.join(cases)} END"


def _named(column: str) -> str:
    return f"'{column} is ' || substr(quote({column}), 1, 60)"


def _wrong_in(table: str, columns: Mapping[str, str]) -> str:
    wrong = _wrong(columns)
    of = f"FROM {table} WHERE tx = transactions.id AND {wrong} IS NOT NULL LIMIT 1"
    return f"(SELECT '{table.removesuffix('s')} ' || quote(number) || ': ' || {wrong} {of})"


_WRONG_INSIDE: Final = f"coalesce({_wrong_in('steps', _STEPS)}, {_wrong_in('hooks', _HOOKS)})"

#: SQL for what is wrong with a transaction that has not ended: ``owner is 'x'``, ``step 3: name is X'00'``; or NULL.
DAMAGE: Final = f"coalesce({_wrong(_TRANSACTIONS)}, CASE WHEN {' OR '.join(_UNFINISHED)} THEN {_WRONG_INSIDE} END)"

#: The same for one that has ended too, which is looked at only where it is to be undone.
ANY_DAMAGE: Final = f"coalesce({_wrong(_TRANSACTIONS)}, {_WRONG_INSIDE})"


def can_own(owner: object) -> bool:
    """Whether it can be the number of an owner, which is that of a lock."""
    return type(owner) is int and 0 < owner < 1 << 60


def told(damage: str) -> str:
    """Why nothing is done about a transaction."""
    return f"damaged: {damage}; nothing of it is touched until somebody mends that row (sqlite3 FILE)"


def readable_row(row: Iterable[Any]) -> tuple[Any, ...]:
    """A row that can be shown, whatever is in it."""
    return tuple(repr(value) if isinstance(value, bytes) else value for value in row)
