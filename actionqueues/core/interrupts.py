"""Interrupts lose no undo: Ctrl-C is kept while something is being undone, and nothing can slip in just before that.

Python runs signal handlers between two instructions of the main thread, and they may raise.  During a rollback that
would cut it short: `InterruptGuard` installs a handler that does not raise, in the place of Python's default or of the
one of asyncio or trio; a handler of the program's own stays.  On entry to what starts the rollback, such as `__exit__`,
it would hit the instructions in front of its first `try`: `protected_from_start` lets that `try` cover them.

Stands on the standard library alone.  Used by what ends a block or rolls back a queue, and by `signals.py`.
"""

from __future__ import annotations

import sys
import threading
from _thread import get_ident, start_new_thread
from contextlib import suppress
from opcode import opmap
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, TypeVar, cast

# From `_signal`, whose functions `signal` wraps: the wrappers turn numbers into enum members and back, which costs more
# than all the rest of rolling back a few steps, and importing them costs as much again.
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from signal import SIGINT, default_int_handler, getsignal
    from signal import signal as set_handler
else:
    from _signal import SIGINT, default_int_handler, getsignal
    from _signal import signal as set_handler

F = TypeVar("F", bound="Callable[..., Any]")

#: The guards that are on duty, the last to begin last, and the handler of SIGINT before the first of them began.  Only
#: ever touched by the main thread, which alone is sent signals.
_on_duty: list[InterruptGuard] = []
_before: list[Any] = []


class InterruptGuard:
    """Keeps Ctrl-C, and the signals of `handle_signals`, from cutting short what is done between `begin` and `end`."""

    # What most guards never change is kept in the class: there is one for each rollback.
    kept: BaseException | None = None  #: the first interrupt that arrived, to be raised once everything is done
    broken: BaseException | None = None  #: the third one, which was raised at once
    #: Says, when the first one has been kept, that two more get out.  Called in a signal handler; its errors are lost.
    told: Callable[[], None] | None = None
    disowned = False  #: whether what has begun here goes on elsewhere: see `giving_up.py`
    _presses = 0

    def begin(self) -> None:
        """Take over Ctrl-C, where it could interrupt this thread and the program has not taken it itself."""
        handler = getsignal(SIGINT)
        if handler is default_int_handler or _is_of_event_loop(handler):
            try:
                set_handler(SIGINT, _pressed)
            except ValueError:  # another thread, or a subinterpreter, which signals never reach
                return
            _before.append(handler)
        elif get_ident() != threading.main_thread().ident:
            return
        _on_duty.append(self)  # last, so that an interrupt of this leaves none behind

    def end(self) -> None:
        """Give Ctrl-C back once the last guard ends, unless somebody else has taken it in the meantime."""
        try:
            if self in _on_duty:
                _on_duty.remove(self)  # first, while Ctrl-C is still kept: one left here would keep the next SIGTERM
        finally:
            if _on_duty and self in _on_duty:  # pragma: no cover - the program's own handler has interrupted that
                _on_duty.remove(self)
            if not _on_duty and _before:
                if getsignal(SIGINT) is _pressed:
                    set_handler(SIGINT, default_int_handler if _is_given_up(_before[-1]) else _before[-1])
                _before.clear()

    def arrived(self, interrupt: BaseException) -> None:
        """An interrupt has arrived: keep the first, raise the third."""
        self._presses += 1
        if self._presses == 1:
            self.kept = interrupt
            if self.told is not None:
                try:
                    self.told()
                except Exception:  # noqa: S110 - as for lack of room; a third Ctrl-C is no `Exception`
                    pass
        elif self._presses >= 3:
            self.broken = interrupt
            raise interrupt


def is_exit(error: BaseException | None) -> bool:
    """Whether it ends the program, and is not to be lost in favour of a cancellation."""
    return isinstance(error, KeyboardInterrupt | SystemExit)


def in_another_thread(function: Callable[[], None]) -> None:
    """Call this in another thread, from a signal handler, which must not wait for locks, as `Thread.start` does.

    The interpreter waits for that thread at its end, as long as it has not begun to end before it.  One that it does
    not wait for would be stopped there, perhaps with a lock of the log in its hands, for which the end would wait for
    ever.
    """

    def call() -> None:
        if threading.main_thread().is_alive():  # pragma: no branch - the interpreter has begun to end before it
            function()

    def begin() -> None:  # pragma: no cover - in a thread that no tracer looks into
        with suppress(RuntimeError):  # the interpreter is ending, or there is no room for a thread
            threading.Thread(target=call, name="actionqueues", daemon=False).start()

    start_new_thread(begin, ())


def guard_on_duty() -> InterruptGuard | None:
    """The guard that an interrupt of the main thread goes to now; None if nothing is being undone there."""
    return _on_duty[-1] if _on_duty else None


def is_handler_of_trio(handler: Any) -> bool:
    """Whether it is the handler by which trio interrupts the main task."""
    return getattr(handler, "__module__", None) == "trio._core._ki"


def _pressed(signum: int, frame: FrameType | None) -> None:
    if not _on_duty:  # the last guard is just about to give it back
        handler = _before[-1] if _before else default_int_handler
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
    return is_handler_of_trio(handler) or (name == "asyncio.runners" and function.__name__ == "_on_sigint")


def _is_given_up(handler: Any) -> bool:
    """Whether it is that of an `asyncio.run` that has left the main task, and found a guard's when it put it back."""
    function: Any = getattr(handler, "func", None)  # the default one and trio's have none
    if function is None or not _is_of_event_loop(handler):
        return False
    run, frame = function.__self__.run.__code__, cast("FrameType | None", sys._getframe())
    while frame is not None and frame.f_code is not run:
        frame = frame.f_back
    return frame is None


def protected_from_start(function: F) -> F:
    """Let the `try` with which the body of `function` begins cover the instructions in front of it too.

    A function looks for pending signals at its first instruction, `RESUME`, which no `try` can be written around.  What
    a signal handler raises there now goes to the `except` of that `try`: of the innermost one, where several are nested
    at the head.  A coroutine is covered from its first `send` on.  While Python 3.11 is traced, `RESUME` of a plain
    function stays uncovered, since it then takes what is raised there for raised in front of it.

    Returns `function` itself, its `__code__` replaced.  With a closure, whose cells the protected instructions would
    have to make, with what does not begin with a ``try``, or is compiled to another form than that of CPython 3.11 to
    3.14, nothing is changed.

    Source: CPython's `Objects/exception_handling_notes.txt`, later `InternalDocs/exception_handling.md`.
    """
    code: Any = getattr(function, "__code__", None)
    table = _extended_table(code) if isinstance(code, CodeType) else None
    if table is not None:
        function.__code__ = code.replace(co_exceptiontable=table)
    return function


#: What may stand in front of the first instruction inside a `try`: the start of the function, and a `NOP` for a `try:`.
#: What makes the cells of a closure is not in it, so that these stay as they are.
_HEAD = {opmap.get(name) for name in ("CACHE", "NOP", "POP_TOP", "RESUME", "RETURN_GENERATOR")}


def _extended_table(code: CodeType) -> bytes | None:
    """The exception table of `code` with the entry of its first `try` extended to the start; None if it has none."""
    entries = list(_entries(code.co_exceptiontable))
    opcodes = code.co_code[::2]  # the table counts in code units, of two bytes
    inside = next((offset for offset, opcode in enumerate(opcodes) if opcode not in _HEAD), 0)
    found = next((place for place, (start, size, _, _) in enumerate(entries) if start <= inside < start + size), None)
    if found is None or _encoded(entries) != code.co_exceptiontable:
        return None
    start, size, target, depth_and_lasti = entries[found]
    # Without `RETURN_GENERATOR`, which makes the coroutine: before it there is none in which an `except` could await.
    first = 1 if opcodes[0] == opmap.get("RETURN_GENERATOR") else 0
    # A `try` at the head finds nothing on the stack, and does not ask where it was interrupted.  What does ask is the
    # wrapper of a coroutine, from 3.12 on, that turns `StopIteration` into `RuntimeError`.  Only that can have entries
    # in front, for `RESUME`, and gives them up, since an instruction has one entry; its others stay.
    if depth_and_lasti != 0 or any(entry[0] < first for entry in entries[:found]):
        return None
    return _encoded([(first, start + size - first, target, depth_and_lasti), *entries[found + 1 :]])


def _entries(table: bytes) -> Iterator[tuple[int, int, int, int]]:
    """The entries of an exception table: start, size and target in code units, and twice the depth, plus `lasti`."""
    numbers: list[int] = []
    value = 0
    for byte in table:
        value = value << 6 | byte & 0x3F  # six bits at a time, the highest first
        if not byte & 0x40:  # the last of this number
            numbers.append(value)
            value = 0
        if len(numbers) == 4:
            yield numbers[0], numbers[1], numbers[2], numbers[3]
            numbers.clear()


def _encoded(entries: list[tuple[int, int, int, int]]) -> bytes:
    """The exception table that has these entries, as the compiler writes it."""
    table = bytearray()
    for entry in entries:
        first = len(table)
        for value in entry:
            digits = range((max(value.bit_length(), 1) + 5) // 6 - 1, -1, -1)
            table += bytes(value >> 6 * digit & 0x3F | (0x40 if digit else 0) for digit in digits)
        table[first] |= 0x80  # by which a binary search finds where an entry begins
    return bytes(table)


protected_from_start(InterruptGuard.end)
