"""`Lock`: one that no interrupt leaves held.

Stands on nothing.  Used by the journal.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["Lock"]


class Lock:
    """A lock for ``with`` that is free again, whatever a signal handler raises and wherever that hits.

    Python runs signal handlers between two instructions of the main thread, and never within a call of a function in C.
    Up to CPython 3.13, ``with`` lets no signal handler run between getting a lock and entering its block.  From 3.14 on
    it does, after a call of an ``__enter__`` that is written in C; a lock that was got by then would stay held, and the
    next thread to want it would wait for ever.  This one is written in Python, and lets go again.  The lock is
    reentrant, so that a finalizer or a signal handler that comes by in the same thread does not wait for itself.
    """

    __slots__ = ("__exit__", "_lock")

    __exit__: Callable[..., None]  # that of the lock, in C: no signal handler runs between the end of a block and this

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.__exit__ = self._lock.__exit__

    def __enter__(self) -> None:
        """Wait until it is free, and take it."""
        got: list[bool] = []
        try:
            got.extend(map(self._lock.acquire, (True,)))  # in one call in C, so that it is known whether it was got
        except BaseException:
            if got:
                self._lock.release()
            raise

    def is_mine(self) -> bool:
        """Whether this thread has it."""
        lock: Any = self._lock  # what `Condition` asks it, too
        return bool(lock._is_owned())

    def taken_at_once(self) -> bool:
        """Take it if no other thread has it; returns whether that was so."""
        return self._lock.acquire(blocking=False)

    def give_back(self) -> None:
        """Let go of it once, if this thread has it."""
        with suppress(RuntimeError):
            self._lock.release()
