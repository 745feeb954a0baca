"""Whether what is about to be undone has been done again since, as by a job queue that gave the job to another worker.

Stands on the store, and on the statements.  Used by recovery, which tells.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .rows import LEFT
from .store import Store

__all__ = ["Repetition", "repetition_of"]

_QUERY: Final = f"""
WITH
    undone AS (
        SELECT DISTINCT name, arguments FROM steps
        WHERE tx = ?1 AND arguments IS NOT NULL AND handler IS NOT '' AND {LEFT}
    ),
    telling AS (SELECT name, arguments FROM undone WHERE arguments NOT IN ('{{}}', '[[], {{}}]')),
    compared AS (SELECT * FROM telling UNION SELECT * FROM undone WHERE NOT EXISTS (SELECT 1 FROM telling))
SELECT transactions.id, steps.name FROM transactions JOIN steps ON steps.tx = transactions.id
WHERE transactions.name = ?2 AND transactions.state = 'committed'
    AND (transactions.ended IS NULL OR transactions.ended >= ?3)
    AND (steps.name, steps.arguments) IN (SELECT name, arguments FROM compared)
ORDER BY transactions.id DESC LIMIT 1
"""  # noqa: S608 - constants


class Repetition(NamedTuple):
    """A transaction that has committed since, and the name of the step that it has made too."""

    id: int
    step: str


def repetition_of(store: Store, tx: int, name: str, started: str) -> Repetition | None:
    """The last transaction of the same name that has made one of the same steps, with the same arguments.

    Steps without arguments count only if there are no others: nearly every transaction may have one.
    """
    rows = store.read(_QUERY, (tx, name, started))
    return Repetition(*rows[0]) if rows else None
