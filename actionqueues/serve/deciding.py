"""What the page lets a person do: try again, decide, and abandon.

Stands on `Journal`.  Used by the application.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from actionqueues.journal import Journal
from actionqueues.journal.inspecting import Entry

__all__ = ["ACTIONS", "Action", "BadRequest"]

#: Given the journal, the numbers in the path, and the data that were sent; returns what has become of it.
Action: TypeAlias = Callable[[Journal, int, int, Mapping[str, Any]], str]

_LONGEST: Final = 500


class BadRequest(ValueError):
    """What was sent is not what the page sends."""


def _retry(journal: Journal, transaction: int, _: int, __: Mapping[str, Any]) -> str:
    """Recover one transaction, in an event loop if its handlers need one."""
    journal.show(transaction)  # it has to be there
    try:
        done = journal.recover(transaction)
        if any(each.state == "waiting" for each in done):
            done = asyncio.run(journal.recover_async(transaction))
    except (KeyboardInterrupt, SystemExit) as end:  # a handler's: that ends its recovery, and not this server
        return f"ended by what it called, with {end!r}; what is not done yet is left to the next time"
    return str(done[0]) if done else "nothing was done: it has ended, or a live process is working on it"


def _resolve(journal: Journal, transaction: int, step: int, sent: Mapping[str, Any]) -> str:
    undone = sent.get("undone")
    if not isinstance(undone, bool):
        raise BadRequest("`undone` has to be true or false")
    return _told(journal.resolve(transaction, step, undone=undone))


def _resolve_hook(journal: Journal, transaction: int, hook: int, _: Mapping[str, Any]) -> str:
    return _told(journal.resolve_hook(transaction, hook))


def _abandon(journal: Journal, transaction: int, _: int, sent: Mapping[str, Any]) -> str:
    why = sent.get("why", "")
    if not isinstance(why, str) or len(why) > _LONGEST:
        raise BadRequest(f"`why` has to be a text of at most {_LONGEST} characters")
    return _told(journal.abandon(transaction, why.strip() or "decided by a person"))


def _told(entry: Entry) -> str:
    reason = f": {entry.reason}" if entry.reason else ""
    return f"transaction {entry.id} is {entry.state}{reason}"


#: By what stands behind the number of the transaction in the path.
ACTIONS: Final[Mapping[str, Action]] = {
    "retry": _retry,
    "abandon": _abandon,
    "steps/{number:int}": _resolve,
    "hooks/{number:int}": _resolve_hook,
}
