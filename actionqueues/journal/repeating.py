"""Whether what is about to be undone has been done again since, as by a job queue that gave the job to another worker.

Stands on what is in a journal, and on the statements.  Used by recovery and by checking, which tell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from .inspecting import Source
from .rows import LEFT, PIECE

__all__ = ["Repetition", "repetition_of"]

_UNDONE: Final = f"FROM steps WHERE tx = ? AND arguments IS NOT NULL AND handler IS NOT '' AND {LEFT}"

_SAME: Final = f"""
SELECT max(transactions.id), steps.name, steps.arguments FROM transactions JOIN steps ON steps.tx = transactions.id
WHERE transactions.name = ? AND transactions.state = 'committed' AND transactions.id != ?
    AND (transactions.ended IS NULL OR transactions.ended >= ?)
    AND (steps.name, steps.arguments) IN (SELECT name, arguments {_UNDONE})
GROUP BY steps.name, steps.arguments ORDER BY 1 DESC
"""  # noqa: S608 - constants


class Repetition(NamedTuple):
    """A transaction that has committed since, and the name of the step that it has made too."""

    id: int
    step: str


def repetition_of(store: Source, tx: int, name: str, started: str) -> Repetition | None:
    """The last transaction of the same name that has made one of the same steps, with the same arguments.

    Steps without arguments, or with none but resources, count only if there are no others: nearly every transaction may
    have one.  Steps whose arguments are all kept out of the file do not count: nobody knows whether they are the same.
    """
    same = store.read(_SAME, (name, tx, started, tx))
    found = [row for row in same if _tells(row[2])]
    if not found and same and not any(map(_tells, _arguments(store, tx))):
        found = [row for row in same if _tells(row[2]) is False]
    return Repetition(*found[0][:2]) if found else None


def _arguments(store: Source, tx: int) -> Iterator[str]:
    """The arguments of the steps that are to be undone."""
    last, rows = -(1 << 62), [(0, "")]
    while rows:
        query = f"SELECT number, arguments {_UNDONE} AND number > ? ORDER BY number LIMIT {PIECE}"
        rows = store.read(query, (tx, last))
        for last, arguments in rows:  # noqa: B007 - where the next piece begins
            yield arguments


def _tells(arguments: str) -> bool | None:
    """Whether recorded arguments tell one call from another; None if all that would is kept out of the file."""
    try:
        data = json.loads(arguments)
    except (ValueError, RecursionError):  # somebody has written into the file: then they tell that
        return True
    args, kwargs = data if isinstance(data, list) and len(data) == 2 else ([], data)
    values: list[Any] = [*args, *(kwargs.values() if isinstance(kwargs, dict) else (kwargs,))]
    if any(value not in ({}, {"$tuple": []}) and _tag(value) not in ("$resource", "$redacted") for value in values):
        return True
    return None if any(_tag(value) == "$redacted" for value in values) else False


def _tag(value: Any) -> str:
    return str(next(iter(value), "")) if isinstance(value, dict) and len(value) == 1 else ""
