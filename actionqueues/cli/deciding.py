"""``recover``, ``resolve`` and ``prune``: what is done about what is in a journal.

Stands on the journal that is named.  Used by the parser.
"""

from __future__ import annotations

import argparse
from typing import Any

from .naming import import_all, journal_of
from .printing import log_nothing, one_line, print_json, say
from .status import LEFT, OK, WRONG

__all__ = ["prune", "recover", "resolve", "told"]


def recover(options: argparse.Namespace) -> int:
    """Undo what dead processes have left, and print what has become of it."""
    log_nothing(options)
    from actionqueues.journal.rounds import recover_here  # here, so that `--help` needs no sqlite3

    all_imported = import_all(options.modules)
    journal = journal_of(options)
    named = [journal.show(each) for each in options.ids]  # before anything is done: all of them have to be there
    done = recover_here(journal, options.ids, chdir=options.chdir)
    left = [entry for entry in named if all(entry.id != each.id for each in done)]
    if options.json:
        print_json([told(each) for each in done])
    else:
        for each in done:
            say(one_line(str(each)))
        for entry in left:
            why = "a live process is working on it" if entry.ended is None else "there is nothing to do"
            say(one_line(f"{entry.id} {entry.name}: {entry.state}, {why}"))
        say(f"{sum(each.clean for each in done)} recovered, {sum(not each.clean for each in done)} left to a person")
    nothing_is_left = all(each.clean and each.report.clean for each in done) and all(entry.ended for entry in left)
    if not all_imported:
        return WRONG
    return OK if nothing_is_left else LEFT


#: What a recovery tells of itself, and its report of the transaction.
_OWN = ("id", "name", "state", "reason")


def told(recovered: Any) -> dict[str, Any]:
    """What has become of a transaction, as plain data."""
    own = {name: getattr(recovered, name) for name in (*_OWN, "repeated_by", "changed")}
    return {**own, **{key: value for key, value in recovered.report.as_dict().items() if key not in _OWN}}


def resolve(options: argparse.Namespace) -> int:
    """Record a decision of a person."""
    journal = journal_of(options)
    if options.hook:
        entry = journal.resolve_hook(options.id, options.step)
    else:
        entry = journal.resolve(options.id, options.step, undone=options.undone)
    if options.json:
        print_json(entry.as_dict())
    else:
        say(f"transaction {entry.id} is {entry.state}" + (f": {one_line(entry.reason)}" if entry.reason else ""))
    return LEFT if entry.ended is None else OK


def prune(options: argparse.Namespace) -> int:
    """Delete what has ended."""
    count = journal_of(options).prune(options.older_than)
    if options.json:
        print_json({"deleted": count})
    else:
        say(f"{count} deleted")
    return OK
