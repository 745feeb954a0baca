"""``check``, ``retry`` and ``abandon``: whether anything is left, and what a person does about one transaction.

Stands on the journal that is named, and on how a recovery is told.  Used by the parser.
"""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING

from actionqueues.errors import IllegalOperation

from .deciding import recover
from .naming import journal_of
from .printing import one_line, print_json, say, told_age
from .showing import state_of
from .status import LEFT, OK

if TYPE_CHECKING:
    from actionqueues.journal import Journal

__all__ = ["abandon", "check", "retry"]


def check(options: argparse.Namespace) -> int:
    """Print what has been left for too long; nothing, if there is nothing."""
    from actionqueues.journal.checking import left_in, repeated_by, source_of  # here, so that `--help` needs no sqlite3

    logging.getLogger("actionqueues").addHandler(logging.NullHandler())  # what is warned of is printed
    source = source_of(journal_of(options).store)
    left = left_in(source, options.older_than)
    again = [repeated_by(source, each.entry) for each in left]
    if options.json:
        print_json(
            [
                {
                    "id": each.entry.id,
                    "name": each.entry.name,
                    "state": each.entry.state,
                    "age": each.age,
                    "why": each.why,
                    "repeated_by": number,
                }
                for each, number in zip(left, again, strict=True)
            ]
        )
    else:
        for each, number in zip(left, again, strict=True):
            entry = each.entry
            began = "began at an unknown time" if each.age is None else f"began {told_age(each.age)} ago"
            since = "" if number is None else f"; {number} has done the same again since"
            say(one_line(f"{entry.id} {entry.name}: {state_of(entry)}, {began}: {each.why}{since}"))
    return LEFT if left else OK


def retry(options: argparse.Namespace) -> int:
    """Recover one transaction."""
    from actionqueues.journal.inspecting import has_only_conflicts  # here, so that `--help` needs no sqlite3

    journal = _to_be_decided(options)
    if has_only_conflicts(journal.show(options.id)):
        what = f"retry transaction {options.id} of {journal.path!r}"
        state = "its undo has found that somebody else had changed the thing, which is not tried again"
        raise IllegalOperation(what, state, "look at it (show), then resolve its steps, or abandon it")
    options.ids = [options.id]
    return recover(options)


def abandon(options: argparse.Namespace) -> int:
    """Record that what is left of a transaction stays as it is."""
    journal = _to_be_decided(options)
    entry = journal.abandon(options.id, options.reason)
    if options.json:
        print_json(entry.as_dict())
    else:
        say(one_line(f"transaction {entry.id} is {entry.state}, {entry.reason}"))
    return OK


def _to_be_decided(options: argparse.Namespace) -> Journal:
    """The journal, if the transaction is there, has not ended, and nobody works on it; before anything is imported."""
    journal = journal_of(options)
    entry = journal.show(options.id)
    what = f"{options.run.__name__} transaction {entry.id} of {journal.path!r}"
    if entry.ended is not None:
        raise IllegalOperation(what, f"it is {entry.state}", "it has ended, and nothing is to be done about it")
    if entry.live:
        raise IllegalOperation(
            what, "a live process is working on it", "wait for that to end, or end it, and then do it"
        )
    return journal
