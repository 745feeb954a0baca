"""`Screen`: a terminal that belongs to one program for a while, and is then what it was before.

While it is open, the other buffer of the terminal is drawn on, keys come one by one and are not shown, and signals come
as keys: so nothing is raised between two instructions, and every way out goes through `Screen.close`.

Stands on nothing.  Used by ``watch``.
"""

from __future__ import annotations

import os
import re
import select
import signal
import sys
from contextlib import suppress
from typing import Any, Final, Self

if sys.platform != "win32":  # pragma: no branch - which has neither
    import termios
    import tty

__all__ = ["Screen"]

#: The other buffer, no cursor, and no line that goes on in the next one; and back.
_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
_LEAVE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l"
#: What is between these is shown at once by terminals that know them; others do not mind.
_BEGIN, _END = "\x1b[?2026h\x1b[H", "\x1b[J\x1b[?2026l"

_KEYS: Final[dict[str, str]] = {
    "\x1b[A": "up", "\x1bOA": "up", "k": "up",
    "\x1b[B": "down", "\x1bOB": "down", "j": "down",
    "\x1b[5~": "page up", "\x1b[6~": "page down", " ": "page down",
    "\x1b[H": "first", "\x1bOH": "first", "\x1b[1~": "first", "g": "first",
    "\x1b[F": "last", "\x1bOF": "last", "\x1b[4~": "last", "G": "last",
    "\x1b[D": "back", "\x1bOD": "back", "\x1b": "back", "\x7f": "back",
    "\x1b[C": "enter", "\x1bOC": "enter", "\r": "enter", "\n": "enter",
}  # fmt: skip

#: What a key sends: a sequence, or a character.
_SENT: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1bO.|.", re.DOTALL)

#: What ends the program, and what the size or the place of the terminal has to do with.
_DEADLY: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
_OTHERS: Final = ("SIGWINCH", "SIGTSTP")


class Screen:
    """Owns the terminal inside a ``with`` block.

    Attributes:
        ended_by: the number of the signal that wants the program to end, or None.
    """

    def __init__(self) -> None:
        self.ended_by: int | None = None
        self._in, self._out = sys.stdin.fileno(), sys.stdout.fileno()
        self._encoding = sys.stdout.encoding
        self._drawn: object = None
        self._pressed: list[str] = []
        self._to_stop = False
        self._before: Any = None
        self._handlers: dict[int, Any] = {}

    @staticmethod
    def possible() -> bool:
        """Whether there is a terminal that can be drawn on, and has keys."""
        if sys.platform == "win32" or os.environ.get("TERM", "dumb") == "dumb":
            return False
        with suppress(OSError, ValueError, AttributeError):  # closed, or replaced by something that is no file
            return os.isatty(sys.stdin.fileno()) and os.isatty(sys.stdout.fileno())
        return False

    def __enter__(self) -> Self:
        sys.stdout.flush()
        self._before = termios.tcgetattr(self._in)
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)
        self._wakeup = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for name in (*_DEADLY, *_OTHERS):
            number = getattr(signal, name)
            self._handlers[number] = signal.signal(number, self._came)
        try:
            self._take()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the terminal back, as it was; after that, signals do what they did."""
        self._give_back()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._woken)
        os.close(self._wake)

    def _take(self) -> None:
        tty.setcbreak(self._in)
        self._drawn = None
        self._write(_ENTER)

    def _give_back(self) -> None:
        with suppress(EOFError):
            self._write(_LEAVE)
        with suppress(termios.error):  # it may have gone
            termios.tcsetattr(self._in, termios.TCSADRAIN, self._before)

    def _came(self, number: int, _: object) -> None:
        self._to_stop = self._to_stop or number == signal.SIGTSTP
        if number not in (signal.SIGTSTP, signal.SIGWINCH):
            self.ended_by = number

    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        with suppress(OSError):
            columns, lines = os.get_terminal_size(self._out)
            if columns and lines:
                return columns, lines
        return 80, 24

    def draw(self, lines: list[tuple[str, str]]) -> None:
        """Show these, unless they are there already.

        Args:
            lines: each with its style, as the numbers of an SGR escape: "1;31" is bold and red, "" is plain.
        """
        size = self.size()
        if (size, lines) == self._drawn:
            return
        self._drawn = size, lines
        shown = (f"\x1b[{style}m{text}\x1b[m\x1b[K" if style else f"{text}\x1b[K" for text, style in lines[: size[1]])
        self._write(_BEGIN + "\r\n".join(shown) + _END)

    def _write(self, text: str) -> None:
        data = text.encode(self._encoding, "backslashreplace")
        try:
            while data:
                data = data[os.write(self._out, data) :]
        except OSError as error:
            raise EOFError("the terminal has gone") from error

    def key(self, seconds: float) -> str:
        """Wait so long for a key: its name, or the letter; "" if none was pressed, or the size is another now.

        Raises:
            EOFError: if the terminal has gone.
        """
        if not self._pressed and self._ready(seconds, self._in, self._woken):
            self._read()
        if self._to_stop:  # pragma: no cover - in a process of its own, which stops
            self._stop()
        return self._pressed.pop(0) if self._pressed else ""

    @staticmethod
    def _ready(seconds: float, *files: int) -> bool:
        return bool(select.select(files, (), (), seconds)[0])

    def _read(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._woken, 1024)
        if not self._ready(0, self._in):
            return
        data = b""
        with suppress(OSError):
            data = os.read(self._in, 1024)
        if data.endswith(b"\x1b") and self._ready(0.05, self._in):  # a key that sends several, and is on its way
            data += os.read(self._in, 1024)
        if not data:
            raise EOFError("the terminal has gone")
        sent: list[str] = _SENT.findall(data.decode("utf-8", "replace"))
        self._pressed += [_KEYS.get(each, each) for each in sent]

    def _stop(self) -> None:  # pragma: no cover - likewise
        """Ctrl-Z: the shell has the terminal until it lets this go on."""
        self._to_stop = False
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._came)
        self._take()
