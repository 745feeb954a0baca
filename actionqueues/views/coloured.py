"""A report in colours, for terminals: `Coloured`, which rich can print, and `print_report`, which asks the terminal.

Colours are those that the terminal calls red, green and so on, so they fit a light and a dark one; nothing is told by
colour alone.  Needs rich, an extra, which is imported once something is to be coloured.

Stands on the timeline and on text.  Used by the command, and by programs that use rich.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TextIO

from .labels import knows_unicode
from .text import to_text
from .timeline import timeline

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["Coloured", "print_report"]

_SIGNS: Final = {
    "done": "green",
    "retried": "yellow",
    "failed": "bold red",
    "unknown": "bold yellow",
    "running": "bold cyan",
    "queued": "dim",
    "never started": "dim",
    "rolled back": "cyan",
    "undoing": "bold cyan",
    "undone": "cyan",
    "undo failed": "bold red",
    "conflict": "bold red",
    "skipped": "bold yellow",
    "left": "bold yellow",
    "not landed": "dim",
    "abandoned": "bold red",
}

#: Steps that nobody needs to look at have names in the terminal's own colour.
_PLAIN: Final = ("done", "retried", "running", "rolled back", "undoing", "undone", "not landed")

_STYLES: Final = {
    "state:good": "bold green",
    "state:plain": "bold",
    "state:left": "bold yellow",
    "state:bad": "bold red",
    "heading": "bold",
    "margin": "dim",
    "arguments": "dim",
    "facts": "dim",
    "fold": "dim italic",
    **_SIGNS,
    **{f"label:{mark}": "" if mark in _PLAIN else style for mark, style in _SIGNS.items()},
    **{f"detail:{mark}": style.removeprefix("bold ") for mark, style in _SIGNS.items()},
}


class Coloured:
    """What `Report.as_dict()` gives, to be printed by rich: ``console.print(Coloured(report.as_dict()))``.

    It takes the width that rich gives it, and is drawn in ASCII where the terminal knows no more.

    Raises:
        ImportError: rich is not installed.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        try:
            import_module("rich.console")
        except ImportError as error:
            message = "a report in colours needs rich, which is not installed: pip install 'actionqueues[rich]'"
            raise ImportError(message, name="rich") from error
        self.data = data

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text  # here, because it is an extra

        for line in timeline(self.data, width=options.max_width, unicode=not options.ascii_only):
            pieces = [(text, _STYLES.get(style, "")) for text, style in line]
            yield Text.assemble(*pieces, no_wrap=True, overflow="ignore")


def print_report(data: Mapping[str, Any], file: TextIO | None = None) -> None:
    """Print what `Report.as_dict()` gives to a file, the standard output unless another is given.

    It is as wide as the terminal, or 80 columns where the file is none; in colours on a terminal, if rich is installed
    and the environment has no ``NO_COLOR``; and in ASCII if the encoding of the file is not one of Unicode.

    Raises:
        ValueError: `data` is of a format that this version does not know.
    """
    out: TextIO = sys.stdout if file is None else file
    is_terminal = out.isatty()
    width = shutil.get_terminal_size((80, 24)).columns if is_terminal else 80
    if is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and _has_rich():
        from rich.console import Console  # here, because it is an extra

        Console(file=out, width=width, highlight=False).print(Coloured(data))
    else:
        print(to_text(data, width=width, unicode=knows_unicode(out)), file=out)


def _has_rich() -> bool:
    try:
        import_module("rich.console")
    except ImportError:
        return False
    return True
