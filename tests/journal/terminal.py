"""A terminal of our own: what is drawn on it can be read, and keys can be pressed."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Self

import actionqueues

PACKAGE = str(Path(actionqueues.__file__).parent.parent)

FRAME = re.compile(r"\x1b\[\?2026h\x1b\[H(.*?)\x1b\[J\x1b\[\?2026l", re.DOTALL)
STYLE = re.compile(r"\x1b\[[0-9;]*m|\x1b\[K")


class Terminal:
    """A pseudo-terminal with so many columns and lines."""

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self.slave)
        self.output = ""
        self.read_to = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self.master, self.slave):
            try:
                os.close(file)
            except OSError:  # hung up in the test
                pass

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    @property
    def modes(self) -> list[object]:
        return termios.tcgetattr(self.slave)

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    @property
    def frames(self) -> list[list[str]]:
        """All that was drawn, without styles."""
        return [re.split("\r+\n", STYLE.sub("", frame)) for frame in FRAME.findall(self.output)]

    @property
    def screen(self) -> list[str]:
        """What is on it now."""
        frames = self.frames
        return [line.rstrip() for line in frames[-1]] if frames else []

    def read(self, until: Callable[[], object]) -> None:
        """Read what is written to it until that is so."""
        end = monotonic() + 30
        while not until():
            assert monotonic() < end, f"never seen; the screen:\n{chr(10).join(self.screen)}\n{self.output[-2000:]!r}"
            if select.select([self.master], (), (), 0.05)[0]:
                try:
                    self.output += os.read(self.master, 65536).decode("utf-8", "replace")
                except OSError:  # nobody has the other end any more
                    assert until(), self.output[-2000:]
                    return

    def shows(self, *texts: str, without: str = "\0") -> list[str]:
        """Wait until all of them are on the screen, and the other one is not; returns the screen."""

        def until() -> bool:
            shown = "\n".join(self.screen)
            return all(text in shown for text in texts) and without not in shown

        self.read(until)
        return self.screen

    @property
    def restored(self) -> bool:
        """Whether all that was set was set back: the buffer, the cursor, the wrapping, and the modes."""
        last = {name: self.output.rfind(name) for name in ("?1049h", "?1049l", "?25h", "?25l", "?7h", "?7l")}
        back = last["?1049l"] > last["?1049h"] and last["?25h"] > last["?25l"] and last["?7h"] > last["?7l"]
        return back and self.modes == self.before


def command(*arguments: str) -> list[str]:
    """What starts the command in a process of its own."""
    return [sys.executable, "-m", "actionqueues", *arguments]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    return {**kept, "PYTHONPATH": PACKAGE, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **more}
