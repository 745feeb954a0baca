"""`progress`: how far transactions are, while they run: forward, and then, if something fails, backward.

On a terminal, rich draws it again and again; where there is none, or no rich, a line is printed every few seconds.

Stands on counting, and on listening.  Used by programs, and by ``q.execute(progress=True)``.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any, Final, Protocol, TextIO

from actionqueues.tracing.listening import Listening, listen

from .counting import Counted, Run

__all__ = ["progress", "showing"]

#: So many transactions are drawn at a time; the others are counted.
_ROWS: Final = 5

#: In fewer columns than these, there is room for the numbers and the name only.
_WIDE: Final = 50

#: In seconds, between two lines where there is no terminal.
_EVERY: Final = 5.0


class _Drawing(Protocol):
    """Shows what is counted until it is stopped, and then how it has ended."""

    def stop(self) -> None: ...


class _Lines:
    """Prints a line now and then."""

    def __init__(self, counted: Counted, file: TextIO | None, every: float) -> None:
        self._counted, self._file, self._every = counted, file, every
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="actionqueues progress", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            self._print(self._counted.line())

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        self._print(self._counted.result())

    def _print(self, line: str) -> None:
        with suppress(Exception):  # whoever reads it may have gone, which is no matter of the program's
            if line and self._file is not None:
                encoding = self._file.encoding or "utf-8"
                self._file.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
                self._file.flush()


class _Live:
    """Draws bars by rich, and at last the result."""

    def __init__(self, counted: Counted, console: Any) -> None:
        from rich.live import Live  # an extra

        self._counted, self._console, self._over = counted, console, False
        self._live = Live(
            console=console,
            get_renderable=self._drawn,
            refresh_per_second=8,
            redirect_stdout=sys.stdout.isatty(),  # otherwise what the program prints would go where this is drawn
        )
        self._live.start()

    def stop(self) -> None:
        self._over = True
        self._live.stop()

    def _drawn(self) -> Any:
        from rich.text import Text  # likewise

        try:
            if self._over:
                return Text(self._counted.result(), style="green" if self._counted.fine else "yellow")
            return self._table()
        except Exception as error:  # in a thread of rich's, which would print its traceback
            return Text(f"progress cannot be drawn: {type(error).__name__}")

    def _table(self) -> Any:
        from rich.console import Group  # likewise
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        width = self._console.width
        figures, others = self._counted.figures(_ROWS)
        below = [Text(others, style="dim", no_wrap=True, overflow="ellipsis")] if others else []
        if width < _WIDE:
            texts = (Text(f"{each.far} {each.name}", no_wrap=True, overflow="ellipsis") for each in figures)
            return Group(*texts, *below)
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True, max_width=width // 4)
        table.add_column(width=min(width // 4, 30))
        for _ in range(3):
            table.add_column(no_wrap=True)
        for each in figures:
            colour = "yellow" if each.back else "cyan"
            bar = ProgressBar(
                total=each.total, completed=each.done, pulse=each.total is None, complete_style=colour,
                finished_style=colour, pulse_style=colour,
            )  # fmt: skip
            cells = (each.name, each.far, each.rate, each.now)
            name, *rest = (Text(cell, style="yellow" if each.back else "", overflow="ellipsis") for cell in cells)
            table.add_row(name, bar, *rest)
        return Group(table, *below)


def _drawing(counted: Counted, every: float = _EVERY) -> _Drawing:
    file: TextIO | None = sys.stderr
    with suppress(Exception):  # no rich, or one that cannot draw here
        from rich.console import Console  # an extra, which nobody needs who does not want this

        console = Console(stderr=True)
        if console.is_terminal and not console.is_dumb_terminal:
            return _Live(counted, console)
    return _Lines(counted, file, every)


class _Shown:
    """What this process shows: one drawing, whoever asks for it, and for how many."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = self._listeners = 0
        self._counted: Counted | None = None
        self._drawing: _Drawing | None = None
        self._listening: Listening | None = None

    def begin(self, *, listens: bool) -> Counted:
        """One more wants it."""
        with self._lock:
            if self._counted is None:
                self._counted = Counted(monotonic)
                with suppress(Exception):  # where no thread can be started, nothing is shown
                    self._drawing = _drawing(self._counted)
            self._users += 1
            self._listeners += listens
            if listens and self._listening is None:
                self._listening = listen(self._counted)
            return self._counted

    def end(self, *, listens: bool) -> None:
        """One less; after the last one, it is over."""
        with self._lock:
            self._users -= 1
            self._listeners -= listens
            if not self._listeners and self._listening is not None:
                self._listening.stop()
                self._listening = None
            if not self._users:
                drawing, self._counted, self._drawing = self._drawing, None, None
                with suppress(Exception):
                    if drawing is not None:
                        drawing.stop()


_shown: Final = _Shown()


@contextmanager
def progress() -> Generator[None, None, None]:
    """Show on stderr how far the transactions are that begin inside a ``with``, in any thread or task.

    For each: the steps that are done, of how many if these were queued, how fast they are, and what is running now; if
    it is rolled back, the same backward.  With rich (``pip install 'actionqueues[rich]'``) it is drawn on a terminal;
    otherwise it is a line every five seconds.  At the end, one line tells how it has come out.  Inside another
    ``progress()``, it is shown once.

    ```python
    with progress(), transaction("upload") as q:
        for path in paths:
            q.add(upload, path)
        q.execute()
    ```
    """
    _shown.begin(listens=True)
    try:
        yield
    finally:
        _shown.end(listens=True)


@contextmanager
def showing(name: str, total: int | None = None, *, report: object = None) -> Generator[Run, None, None]:
    """The same for one transaction that tells of itself how far it is, by the methods of what it is given.

    Args:
        name: what it is called.
        total: how many steps it will have, if that is known.
        report: its report; if it is listened to by `progress` already, it is shown once, and what it tells is ignored.
    """
    counted = _shown.begin(listens=False)
    run = counted.begin(name, total, report)
    try:
        yield run
    finally:
        counted.end(run)
        _shown.end(listens=False)
