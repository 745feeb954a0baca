"""Ctrl-C during a rollback: kept until everything has been undone, obeyed at once when pressed a third time.

Python raises `KeyboardInterrupt` between any two bytecodes of the main thread, so a rollback can only be safe from it
while the signal's handler does not raise.  The guard installs its own for the time of the rollback, and only if the
program left Python's default in place: a handler of the program's own (an event loop's, a debugger's) stays.
"""

from __future__ import annotations

import threading
from types import FrameType
from typing import TYPE_CHECKING

# From `_signal`, whose functions `signal` wraps: the wrappers turn numbers into enum members and back, which costs more
# than all the rest of rolling back a few steps, and importing them costs as much again.
if TYPE_CHECKING:
    from signal import SIGINT, default_int_handler, getsignal
    from signal import signal as set_handler
else:
    from _signal import SIGINT, default_int_handler, getsignal
    from _signal import signal as set_handler

__all__ = ["InterruptGuard"]


class InterruptGuard:
    """Keeps Ctrl-C from cutting short what is done between `begin` and `end`.

    Attributes:
        kept: the first interrupt that arrived, to be raised once everything is done; None if there was none.
        broken: the interrupt that was raised at once because it was the third; None if there was none.
    """

    __slots__ = ("_installed", "_presses", "broken", "kept")

    def __init__(self) -> None:
        self.kept: KeyboardInterrupt | None = None
        self.broken: KeyboardInterrupt | None = None
        self._installed = False
        self._presses = 0

    def begin(self) -> None:
        """Take over Ctrl-C, where it could interrupt this thread and the program has not taken it itself."""
        if threading.current_thread() is not threading.main_thread():
            return
        if getsignal(SIGINT) is default_int_handler:
            try:
                set_handler(SIGINT, self._pressed)
            except ValueError:  # the main thread of a subinterpreter: signals never reach it
                return
            self._installed = True

    def end(self) -> None:
        """Give Ctrl-C back, unless somebody else has taken it in the meantime."""
        if self._installed:
            if getsignal(SIGINT) == self._pressed:
                set_handler(SIGINT, default_int_handler)
            self._installed = False

    def _pressed(self, _signum: int, _frame: FrameType | None) -> None:
        self._presses += 1
        if self._presses == 1:
            self.kept = KeyboardInterrupt()
        elif self._presses >= 3:
            self.broken = KeyboardInterrupt("pressed three times: the rollback was cut short")
            raise self.broken
