"""Ctrl-C and SIGTERM during a rollback: kept until everything has been undone, obeyed at once the third time.

Python raises `KeyboardInterrupt` between any two bytecodes of the main thread, so a rollback can only be safe from it
while the signal's handler does not raise.  The guard installs its own for the time of the rollback, in the place of
Python's default or of the one of asyncio or trio: a handler of the program's own (a debugger's, a server's) stays.
"""

from __future__ import annotations

import sys
import threading
from _thread import get_ident
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

# From `_signal`, whose functions `signal` wraps: the wrappers turn numbers into enum members and back, which costs more
# than all the rest of rolling back a few steps, and importing them costs as much again.
if TYPE_CHECKING:
    from signal import SIGINT, SIGTERM, default_int_handler, getsignal
    from signal import signal as set_handler
else:
    from _signal import SIGINT, SIGTERM, default_int_handler, getsignal
    from _signal import signal as set_handler

__all__ = ["InterruptGuard", "SignalHandling", "handle_signals"]

#: The guards that are on duty, the last to begin last, and the handler of SIGINT before the first of them began.  Only
#: ever touched by the main thread, which alone is sent signals.
_on_duty: list[InterruptGuard] = []
_before: list[Any] = []


class InterruptGuard:
    """Keeps Ctrl-C, and the signals of `handle_signals`, from cutting short what is done between `begin` and `end`.

    Attributes:
        kept: the first interrupt that arrived, to be raised once everything is done; None if there was none.
        broken: the interrupt that was raised at once because it was the third; None if there was none.
    """

    __slots__ = ("_presses", "broken", "kept")

    def __init__(self) -> None:
        self.kept: BaseException | None = None
        self.broken: BaseException | None = None
        self._presses = 0

    def begin(self) -> None:
        """Take over Ctrl-C, where it could interrupt this thread and the program has not taken it itself."""
        if get_ident() != threading.main_thread().ident:
            return
        handler = getsignal(SIGINT)
        if handler is default_int_handler or _is_of_event_loop(handler):
            try:
                set_handler(SIGINT, _pressed)
            except ValueError:  # the main thread of a subinterpreter: signals never reach it
                return
            _before[:] = [handler]
        _on_duty.append(self)  # last, so that an interrupt of this leaves none behind

    def end(self) -> None:
        """Give Ctrl-C back once the last guard ends, unless somebody else has taken it in the meantime."""
        try:
            if self in _on_duty:
                _on_duty.remove(self)  # first, while Ctrl-C is still kept: one left here would keep the next SIGTERM
        finally:
            if not _on_duty and _before:
                before = _before[0]
                if getsignal(SIGINT) is _pressed:
                    set_handler(SIGINT, default_int_handler if _is_given_up(before) else before)
                _before.clear()

    def arrived(self, interrupt: BaseException) -> None:
        """An interrupt has arrived: keep the first, raise the third."""
        self._presses += 1
        if self._presses == 1:
            self.kept = interrupt
        elif self._presses >= 3:
            self.broken = interrupt
            raise interrupt


def _pressed(signum: int, frame: FrameType | None) -> None:
    if not _on_duty:  # the last guard is just about to give it back
        handler = _before[0] if _before else default_int_handler
        _before.clear()
        set_handler(SIGINT, handler)
        handler(signum, frame)
        return
    guard = _on_duty[-1]
    third = ("pressed three times: what was being done was cut short",) if guard._presses >= 2 else ()
    guard.arrived(KeyboardInterrupt(*third))


def _is_of_event_loop(handler: Any) -> bool:
    """Whether it is the handler by which `asyncio.run` or trio cancels or interrupts the main task."""
    function = getattr(handler, "func", handler)  # asyncio's is a partial
    name = getattr(function, "__module__", None)
    return _is_of_trio(handler) or (name == "asyncio.runners" and function.__name__ == "_on_sigint")


def _is_of_trio(handler: Any) -> bool:
    """Whether it is the handler by which trio interrupts the main task."""
    return getattr(handler, "__module__", None) == "trio._core._ki"


def _is_given_up(handler: Any) -> bool:
    """Whether it is the handler of an `asyncio.run` that has left the main task and now cancels what is still there.

    It would have put the default one back if it had not found a guard's.
    """
    function: Any = getattr(handler, "func", None)
    if function is None or not _is_of_event_loop(handler):
        return False
    runner: Any = function.__self__
    run = runner.run.__code__
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code is not run:
        frame = frame.f_back
    return frame is None


class SignalHandling:
    """What `handle_signals` returns: ends the handling, when called for or at the end of a ``with`` block."""

    __module__ = "actionqueues"

    def __init__(self, signals: tuple[int, ...]) -> None:
        self._before: dict[int, Any] = {}
        self._handed_over: BaseException | None = None
        try:
            for number in dict.fromkeys(signals):
                self._before[number] = set_handler(number, self._received)
        except BaseException:
            self.restore()
            raise

    def restore(self) -> None:
        """Put back the handlers that were there before, unless somebody else has replaced these in the meantime."""
        for number, before in self._before.items():
            if getsignal(number) == self._received:
                set_handler(number, before)
        self._before = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self.restore()
        group: Any = exc
        pressed = group.subgroup(KeyboardInterrupt) if isinstance(exc, BaseExceptionGroup) else exc
        if self._handed_over is not None and isinstance(pressed, KeyboardInterrupt | BaseExceptionGroup):
            raise self._handed_over from exc

    def _received(self, signum: int, frame: FrameType | None) -> None:
        ending = SystemExit(128 + signum)
        if _on_duty:
            _on_duty[-1].arrived(ending)
            return
        handler: Any = getsignal(SIGINT)
        if _is_of_trio(handler):
            # An exception in trio's own code would end it without unwinding any task.  Its handler of Ctrl-C knows
            # whether that is what is running, and then lets the main task raise `KeyboardInterrupt` as soon as it can.
            try:
                handler(SIGINT, frame)
            except KeyboardInterrupt:
                pass
            else:
                self._handed_over = ending
                return
        raise ending


def handle_signals(*signals: int) -> SignalHandling:
    """Make the program end by `SystemExit` when it is sent SIGTERM, so that blocks roll back on the way out.

    Without it, SIGTERM ends the process at once, and nothing is undone.  The exit status is 128 plus the number of the
    signal, as shells report it.  During a rollback the signal is kept, like Ctrl-C, until everything has been undone; a
    third one gets out at once.  One that arrives while trio itself runs reaches its main task as `KeyboardInterrupt`,
    like Ctrl-C; the end of the ``with`` block makes `SystemExit` of that.

    As a function it lasts until `restore()` of what it returns; as a context manager, ``with handle_signals():``, until
    the end of the block.

    Args:
        signals: the signals, ``signal.SIGTERM`` if none is given; others that make sense are ``SIGHUP``, and on Windows
            ``SIGBREAK``.

    Raises:
        ValueError: outside the main thread, which alone may install signal handlers; or for what is no signal.
        OSError: for a signal that cannot be handled, such as ``SIGKILL``.  No handler has been installed then.
    """
    return SignalHandling(signals or (SIGTERM,))
