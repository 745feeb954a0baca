"""The pages of ``watch``: what is in the journal, the timeline of one transaction, and the keys.

Stands on the views, and on how the command names states.  Used by ``watch``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from actionqueues.views.labels import clipped, safe
from actionqueues.views.timeline import timeline

from .printing import table, told_age
from .showing import is_left, state_of, why_of

if TYPE_CHECKING:
    from actionqueues.journal import Journal
    from actionqueues.journal.inspecting import Entry

__all__ = ["Pages"]

#: A line, and its style as the numbers of an SGR escape.
_Line: TypeAlias = tuple[str, str]

_BOLD, _RED, _YELLOW, _CYAN, _DIM, _REVERSED = "1", "31", "33", "36", "2", "7"

#: What the pieces of a timeline make of their line.
_MARKS: Final = {
    "state:good": _BOLD, "state:plain": _BOLD, "state:left": _YELLOW, "state:bad": _RED, "heading": _BOLD,
    "running": _CYAN, "undoing": _CYAN,
    **dict.fromkeys(("failed", "undo failed", "conflict", "abandoned"), _RED),
    **dict.fromkeys(("left", "skipped", "unknown"), _YELLOW),
}  # fmt: skip

_HEAD: Final = ["ID", "AGE", "STEPS", "STATE", "NAME", "WHY"]

#: So many of those that have ended are listed; `list` has all.
_RECENT: Final = 200

#: With fewer lines than this, there is no room for headings.
_ROOMY: Final = 10

_HELP: Final = """\
Up, Down, k, j       choose a transaction; scroll its timeline
Page Up, Page Down   the same by pages
Home, End, g, G      the first, the last
Enter                the timeline of the chosen transaction
Esc, Backspace       back
q                    back; from the list, quit
Ctrl-C               quit
"""


class Pages:
    """What is shown, and what keys do.

    Args:
        look: reads the journal, by a function that is given it; None if that is not possible.
        title: what the journal is called.
        unicode: whether the terminal shows more than ASCII.
        coloured: whether it may use styles.

    Attributes:
        closed: whether somebody has seen enough.
    """

    def __init__(
        self, look: Callable[[Callable[[Journal], Any]], Any], title: str, *, unicode: bool, coloured: bool
    ) -> None:
        self.closed = False
        self._look, self._title, self._unicode, self._coloured = look, title, unicode, coloured
        self._size: tuple[int, int] = (0, 0)
        self._entries: list[Entry] = []  # in the order in which they stand there
        self._latest: dict[int, str] = {}
        self._place = 0  # of the chosen one
        self._chosen: int | None = None  # its number, so that it stays chosen when it moves; None: whatever is first
        self._opened: int | None = None  # whose timeline is shown
        self._help = False
        self._page: list[_Line] = []
        self._top = 0

    def fits(self, width: int, height: int) -> bool:
        """Whether what was read is what there is room for."""
        return self._size == (width, height)

    def look(self, width: int, height: int) -> None:
        """Read what is to be shown."""
        self._size = width, height
        if self._help:
            self._page = [(line, "") for line in _HELP.splitlines()]
        elif self._opened is not None:
            self._page = self._look(self._timeline) or self._page
        else:
            self._look(self._list)

    def _list(self, journal: Journal) -> None:
        from actionqueues.journal.inspecting import current_entries, latest_steps  # likewise: `--help` needs no sqlite3

        found = current_entries(journal.store, ended=_RECENT)
        left = [each for each in found if is_left(each)]
        running = [each for each in found if each.ended is None and each.live]
        recent = sorted((each for each in found if each.ended is not None), key=lambda each: str(each.ended))
        self._latest = latest_steps(journal.store, [each.id for each in running])
        self._entries = [*left, *running, *reversed(recent)]
        numbers = [each.id for each in self._entries]
        if self._chosen in numbers:
            self._place = numbers.index(self._chosen)
        self._place = max(0, min(self._place, len(numbers) - 1))

    def _timeline(self, journal: Journal) -> list[_Line]:
        from actionqueues.journal.reporting import report_data  # likewise

        try:
            data = report_data(journal.show(self._opened or 0))
        except LookupError:
            return [("It is not in the journal any more: it has ended, and was pruned.", "")]
        return [
            ("".join(text for text, _ in line), next((_MARKS[what] for _, what in line if what in _MARKS), ""))
            for line in timeline(data, width=self._size[0], unicode=self._unicode)
        ]

    # -- keys

    def press(self, key: str) -> None:
        """Do what a key does."""
        way = {"up": -1, "down": 1, "page up": -self._room, "page down": self._room, "first": -1 << 30, "last": 1 << 30}
        if key in ("q", "back"):
            self.closed = not self._paged
            self._turn(opened=None)
        elif key == "?":
            self._turn(opened=None, help_=True)
        elif key in way and self._paged:
            self._top += way[key]
        elif key in way:
            self._choose(self._place + way[key])
        elif key == "enter" and not self._paged and self._entries:
            self._turn(opened=self._entries[self._place].id)

    def _turn(self, *, opened: int | None, help_: bool = False) -> None:
        self._opened, self._help, self._top, self._page = opened, help_, 0, []
        self._size = (0, 0)  # so that it is read at once

    def _choose(self, place: int) -> None:
        self._place = max(0, min(place, len(self._entries) - 1))
        self._chosen = self._entries[self._place].id if self._place else None

    @property
    def _paged(self) -> bool:
        return self._help or self._opened is not None

    # -- lines

    @property
    def _room(self) -> int:
        """How many lines there are between the first and the last, which are left out where there is no room."""
        return self._size[1] - 2 if self._size[1] > 2 else max(self._size[1], 1)

    def lines(self, problem: str, now: datetime) -> list[_Line]:
        """The picture: as many lines as there are, or fewer, none wider than there is room for."""
        width, height = self._size
        if self._paged:
            body = [*self._page]
            self._top = max(0, min(self._top, len(body) - self._room))
            title = "Keys" if self._help else f"Transaction {self._opened}  {self._title}"
            keys = "Esc back  {up}{down} scroll"
        else:
            body, chosen = self._rows(now)
            self._top = max(0, min(chosen - self._room // 2, len(body) - self._room))
            title, keys = f"{self._counts()}  {self._title}", "q quit  {up}{down} choose  Enter timeline  ? keys"
        if problem:
            body, self._top = [(problem[at : at + width], _RED) for at in range(0, len(problem), max(width, 1))], 0
        shown = body[self._top : self._top + self._room]
        if height > 2:
            arrows = {"up": "↑", "down": "↓"} if self._unicode else {"up": "j", "down": "k"}
            last = [("", "")] * (height - 2 - len(shown)) + [(keys.format(**arrows), _DIM)]
            shown = [(title, _BOLD), *shown, *last]
        return [(self._fitting(text), style if self._coloured else "") for text, style in shown]

    def _fitting(self, text: str) -> str:
        return clipped(safe(text, ascii_only=not self._unicode), self._size[0], self._mark)

    @property
    def _mark(self) -> str:
        return "…" if self._unicode else "."

    def _counts(self) -> str:
        left, running = (sum(map(which, self._entries)) for which in (is_left, _is_running))
        return f"{left} left, {running} running" if left else f"{running} running"

    def _rows(self, now: datetime) -> tuple[list[_Line], int]:
        """The lines of all transactions, and which of them is the chosen one's."""
        if not self._entries:
            return [("No transaction has been recorded yet.", "")], 0
        cells = [
            [safe(cell, ascii_only=not self._unicode) for cell in self._cells(each, now)] for each in self._entries
        ]
        spare = ("STEPS", "WHY", "AGE")
        head, *rows = table(_HEAD, cells, room=max(self._size[0] - 2, 1), givers=3, spare=spare, mark=self._mark)
        roomy, pointer = self._size[1] >= _ROOMY, "\N{BLACK RIGHT-POINTING SMALL TRIANGLE} " if self._unicode else "> "
        lines: list[_Line] = [(f"  {head}", _DIM)] if roomy else []
        chosen, group = 0, ""
        for place, (entry, row) in enumerate(zip(self._entries, rows, strict=True)):
            its = "Left" if is_left(entry) else "Running" if _is_running(entry) else "Recent"
            if roomy and its != group:
                lines.append((its, _BOLD))
            group = its
            if place == self._place:
                chosen = len(lines)
            here = place == self._place
            style = _RED if is_left(entry) else _CYAN if _is_running(entry) else _YELLOW if entry.error else ""
            lines.append((f"{pointer if here else '  '}{row}", ";".join(filter(None, [style, _REVERSED * here]))))
        return lines, chosen

    def _cells(self, entry: Entry, now: datetime) -> Sequence[str]:
        module_and_name = self._latest.get(entry.id, "")
        why = why_of(entry) or module_and_name.rpartition(":")[2]
        age = _age(entry.ended or entry.started, now)
        return str(entry.id), age, str(entry.step_count), state_of(entry), entry.name, why


def _is_running(entry: Entry) -> bool:
    return entry.ended is None and bool(entry.live)


def _age(time: object, now: datetime) -> str:
    try:
        return told_age((now - datetime.fromisoformat(str(time)).replace(tzinfo=UTC)).total_seconds())
    except (ValueError, OverflowError):  # somebody has written into the file
        return "?"
