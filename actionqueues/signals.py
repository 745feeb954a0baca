"""`handle_signals`: a program that is sent SIGTERM ends by an exception, so that its blocks roll back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from .core.interrupts import guard_on_duty, is_handler_of_trio

# From `_signal`, as in `core/interrupts.py`: who imports the package need not pay for the enums of `signal`.
if TYPE_CHECKING:
    from signal import SIGINT, SIGTERM, getsignal
    from signal import signal as set_handler
    from types import FrameType
else:
    from _signal import SIGINT, SIGTERM, getsignal
    from _signal import signal as set_handler

__all__ = ["SignalHandling", "handle_signals"]


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

    def __exit__(self, _type: object, exc: BaseException | None, _traceback: object, /) -> None:
        self.restore()
        group: Any = exc
        pressed = group.subgroup(KeyboardInterrupt) if isinstance(exc, BaseExceptionGroup) else exc
        if self._handed_over is not None and isinstance(pressed, KeyboardInterrupt | BaseExceptionGroup):
            raise self._handed_over from exc

    def _received(self, signum: int, frame: FrameType | None) -> None:
        ending = SystemExit(128 + signum)
        guard = guard_on_duty()
        if guard is not None:
            guard.arrived(ending)
            return
        handler: Any = getsignal(SIGINT)
        if is_handler_of_trio(handler):
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
