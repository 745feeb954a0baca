"""``recover --watch``: recovery that goes on until somebody ends it.

Stands on rounds, and on the journal that is named.  Used by the parser.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from types import FrameType
from typing import TYPE_CHECKING, Final

from actionqueues.core.interrupts import guard_on_duty
from actionqueues.errors import ActionQueuesError

from .naming import import_all, journal_of, let_go
from .printing import log_nothing, one_line, say
from .status import WRONG, interrupted_by

if TYPE_CHECKING:
    from actionqueues.journal import Journal
    from actionqueues.journal.rounds import Rounds

__all__ = ["keep_recovering"]


#: How long it sleeps at a time, in seconds.
_ASKS: Final = 0.5


class _Signalled(KeyboardInterrupt):
    """Ctrl-C, or SIGTERM; and not a `KeyboardInterrupt` that a handler has made up."""


def keep_recovering(options: argparse.Namespace) -> int:
    """Recover again and again, and print what is new."""
    from actionqueues.journal.rounds import Rounds  # here, so that `--help` needs no sqlite3

    for what, given in (("the number of a transaction", options.ids), ("--json", options.json)):
        if given:
            raise ValueError(f"recover --watch prints lines, of all transactions: leave out {what}, or --watch")
    log_nothing(options)
    if not import_all(options.modules):
        return WRONG
    journal = journal_of(options)
    with let_go(journal):
        journal.store.open()  # what is no journal is refused now
        ended_by = _recover(journal, Rounds(journal, chdir=options.chdir, ends=(_Signalled,)), options.watch)
    return interrupted_by(ended_by)


def _recover(journal: Journal, rounds: Rounds, seconds: float) -> int:
    """Recover until a signal comes; returns its number."""
    told: set[object] = set()
    problem = ""
    try:
        with _signals():
            while True:
                found = _problem_of(journal.path)
                done = [] if found else rounds.run()
                found = one_line(found or rounds.problem)
                if found != problem:
                    problem = found
                    say(problem or "it can be recovered again")
                for each in done:
                    if each.clean or (each.id, each.state, each.reason) not in told:
                        say(one_line(str(each)))
                if found:
                    with suppress(ActionQueuesError):  # so that what has replaced it is opened; a module may use it
                        journal.close()
                else:
                    told = {(each.id, each.state, each.reason) for each in done}
                sys.stdout.flush()
                _pause(seconds)
    except _Signalled as end:
        number: int = end.args[0]
        return number


def _pause(seconds: float) -> None:
    """Wait; a signal that comes just before this sleeps is looked at when it wakes."""
    end = monotonic() + seconds
    while (left := end - monotonic()) > 0:
        sleep(min(left, _ASKS))


def _problem_of(path: str) -> str:
    """Why there is nothing to be recovered, if it is not there: what is not there is not made."""
    there = os.path.isfile(path) and os.path.getsize(path)
    return "" if there else f"the journal {path!r} is not there any more; waiting for it"


@contextmanager
def _signals() -> Generator[None, None, None]:
    """Let Ctrl-C and SIGTERM end it, once what is just being undone has been."""

    def received(number: int, _: FrameType | None) -> None:
        guard = guard_on_duty()
        if guard is None:
            raise _Signalled(number)
        guard.arrived(_Signalled(number))

    before = {number: signal.signal(number, received) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
