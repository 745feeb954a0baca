"""``watch``: a journal while programs work in it; on a terminal as a picture, elsewhere as a line for each change.

Stands on the screen, the pictures, and the journal that is named.  Used by the parser.
"""

from __future__ import annotations

import argparse
import logging
import os
import select
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final, TypeVar

from actionqueues.errors import ActionQueuesError
from actionqueues.views.labels import knows_unicode

from .naming import journal_of, let_go
from .pages import Pages
from .printing import one_line, say
from .screen import Screen
from .showing import state_of, why_of
from .status import INTERRUPTED, OK, interrupted_by

if TYPE_CHECKING:
    from actionqueues.journal import Journal
    from actionqueues.journal.inspecting import Entry

__all__ = ["watch"]

T = TypeVar("T")

#: What is another once somebody else has committed something.
_VERSION: Final = "PRAGMA data_version"

#: In seconds: how often to ask whether anything was committed, and how often to look in any case, since a process that
#: dies commits nothing.
_ASKS: Final = 0.2
_LOOKS: Final = 1.0


def watch(options: argparse.Namespace) -> int:
    """Show a journal until somebody has seen enough."""
    journal = journal_of(options)
    with let_go(journal):
        journal.store.read(_VERSION)  # what is no journal is refused now
        return _watch(_Seen(journal), options.file)


def _watch(seen: _Seen, file: str) -> int:
    if not Screen.possible():
        return _tell(seen)
    logging.getLogger("actionqueues").addHandler(logging.NullHandler())  # what is logged would stand in the picture
    with Screen() as screen:
        ended_by = _draw(seen, screen, one_line(file))
    return OK if ended_by is None else interrupted_by(ended_by)


class _Seen:
    """The journal as one who waits for changes sees it; it may be removed, replaced or damaged meanwhile."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._looked = -_LOOKS
        self._version: object = None
        self.problem = ""

    def has_changed(self) -> bool:
        """Whether it is time to look again."""
        version = self.look(lambda journal: journal.store.read(_VERSION))
        if version == self._version and monotonic() < self._looked + _LOOKS:
            return False
        self._version, self._looked = version, monotonic()
        return True

    def look(self, find: Callable[[Journal], T]) -> T | None:
        """What it finds there; or None, and `problem` says why.  What is not there is not made."""
        path = self._journal.path
        for _ in range(2):  # what was replaced can be read once it has been opened again
            try:
                if not os.path.isfile(path) or not os.path.getsize(path):
                    raise FileNotFoundError(f"the journal {path!r} is not there any more; waiting for it")
                found = find(self._journal)
            except (ActionQueuesError, OSError) as error:
                self.problem = one_line(str(error))
                with suppress(ActionQueuesError):  # a program of its own may be at work in it
                    self._journal.close()
            else:
                self.problem = ""
                return found
        return None


def _draw(seen: _Seen, screen: Screen, title: str) -> int | None:
    """Draw pictures until `q` is pressed, or a signal comes, whose number is returned."""
    unicode = knows_unicode(sys.stdout)
    pages = Pages(seen.look, title, unicode=unicode, coloured=not os.environ.get("NO_COLOR"))
    with suppress(EOFError):
        while screen.ended_by is None and not pages.closed:
            width, height = screen.size()
            if seen.has_changed() or not pages.fits(width, height):
                pages.look(width, height)
            screen.draw(pages.lines(seen.problem, datetime.now(UTC)))
            pages.press(screen.key(_ASKS))
    return screen.ended_by


def _tell(seen: _Seen) -> int:
    """Print a line for each change until nobody reads them, or somebody interrupts it."""
    told, problem = _Told(), ""
    wait = _waiting()
    with suppress(KeyboardInterrupt):
        while True:
            if seen.has_changed():
                for line in seen.look(told.lines) or ():
                    say(line)
                if seen.problem:
                    told = _Told()  # what comes back may be another file
                if seen.problem != problem:
                    problem = seen.problem
                    say(problem or "it is there again")
                sys.stdout.flush()
            wait()
    return INTERRUPTED


def _waiting() -> Callable[[], Any]:
    """What waits a moment, and raises BrokenPipeError as soon as nobody reads what is printed."""
    try:
        asked = select.poll()
        asked.register(sys.stdout.fileno(), 0)  # for errors only
    except (AttributeError, OSError, ValueError):  # Windows, or a program that has replaced its output
        return lambda: sleep(_ASKS)

    def wait() -> None:
        for _, event in asked.poll(_ASKS * 1000):
            if event & (select.POLLERR | select.POLLHUP):
                raise BrokenPipeError
            sleep(_ASKS)  # pragma: no cover - a system that cannot tell

    return wait


class _Told:
    """What has been told of the transactions that have not ended, and of those that were undone after they had."""

    def __init__(self) -> None:
        self._newest: int | None = None
        self._states: dict[int, str] = {}
        self._undone: set[int] = set()
        self._since = ""  # when the last of them has ended

    def lines(self, journal: Journal) -> list[str]:
        """What is new."""
        from actionqueues.journal.inspecting import current_entries  # here, so that `--help` needs no sqlite3

        begins, newest = self._newest is None, self._newest or 0
        if begins:
            ((newest,),) = journal.store.read("SELECT coalesce(max(id), 0) FROM transactions")
        undone = self._undone_since(journal)
        found = current_entries(journal.store, after=newest, also=[*self._states, *(() if begins else undone)])
        self._newest = max([newest, *(each.id for each in found)])
        lines: list[str] = []
        for entry in found:
            if entry.id not in self._states and entry.id > newest:
                lines.append(_line(entry, entry.started, "opened"))
                self._states[entry.id] = "running"
            state, why = state_of(entry), why_of(entry)
            now = f"{state}: {why}" if why else state
            if self._states.get(entry.id) != now:
                lines.append(_line(entry, entry.ended or (entry.started if begins else _now()), now))
            self._states[entry.id] = now
        self._states = {each.id: self._states[each.id] for each in found if each.ended is None}
        return lines

    def _undone_since(self, journal: Journal) -> set[int]:
        """The numbers of those that have been undone later since it was called before."""
        query = "SELECT id, ended FROM transactions WHERE ended >= ? AND state = 'undone later'"
        found = {number: str(ended) for number, ended in journal.store.read(query, (self._since,))}
        self._since = max([self._since, *found.values()])
        new = set(found) - self._undone
        self._undone |= new
        return new


def _line(entry: Entry, time: str, what: str) -> str:
    return one_line(f"{time[:19]} {entry.id} {entry.name}: {what}")


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
