"""`RecoverEvery`: recovery beside a program, as a thread or as a task, until the end of a ``with`` block.

Stands on rounds.  Used by `Journal.recover_every`.
"""

from __future__ import annotations

import os
import threading
from contextvars import Context
from datetime import timedelta
from typing import Any, Self

from actionqueues.core.drivers import drive
from actionqueues.core.tasks import Signal, in_trio, shielded
from actionqueues.core.text import log_warning
from actionqueues.errors import IllegalOperation

from .leftover import called
from .recording import JournalFile
from .rounds import Rounds

__all__ = ["RecoverEvery"]


class RecoverEvery:
    """What `Journal.recover_every` returns: enter it by ``with`` for a thread, or by ``async with`` for a task.

    Args:
        journal: the journal.
        seconds: the time from the end of a round to the next one.
        chdir: whether to undo each step in the directory that it was begun in.

    Raises:
        ValueError: if that is no time, or not more than 0.
    """

    __module__ = "actionqueues.journal"

    def __init__(self, journal: JournalFile, seconds: float | timedelta, *, chdir: bool = False) -> None:
        pause: Any = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
        if type(pause) not in (int, float) or not 0 < pause <= threading.TIMEOUT_MAX:
            raise ValueError(f"recover_every() takes a number of seconds above 0, such as 30, and not {seconds!r}")
        self._journal, self._seconds, self._chdir = journal, pause, chdir
        self._process = os.getpid()
        self._entered = False

    def _enter(self, *ends: type[BaseException]) -> None:
        advice = "call journal.recover_every() again, for another one"
        if os.getpid() != self._process:
            state = f"it was made in process {self._process}, which this one was forked from"
            raise IllegalOperation(f"enter {self!r}", state, advice)
        if self._entered:
            raise IllegalOperation(f"enter {self!r}", "it has been entered already", advice)
        self._entered = True
        self._rounds = Rounds(self._journal, chdir=self._chdir, ends=ends)

    def _leave(self) -> None:
        if not self._entered:
            raise IllegalOperation(f"leave {self!r}", "it has not been entered", "use it as a with block")

    # -- a thread

    def __enter__(self) -> Self:
        self._enter()
        self._awake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=repr(self), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if os.getpid() == self._process:  # and not in a child, which has no such thread
            self._leave()
            drive(called(self._end))

    def _end(self) -> None:
        self._rounds.stopping = True
        self._awake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._rounds.stopping:
            self._rounds.run()
            self._awake.wait(self._seconds)

    # -- a task

    async def __aenter__(self) -> Self:
        # Ctrl-C may be raised in any task, but by another thread than the main one never.
        pressed = (KeyboardInterrupt,) if threading.current_thread() is threading.main_thread() else ()
        if in_trio():
            import trio

            self._enter(GeneratorExit, trio.Cancelled, *pressed)
            self._wanted, self._over = Signal(), Signal()
            trio.lowlevel.spawn_system_task(self._run_async, name=repr(self))
        else:
            import asyncio

            self._enter(GeneratorExit, asyncio.CancelledError, *pressed)
            self._wanted, self._over = Signal(), Signal()
            self._task = asyncio.create_task(self._run_async(), name=repr(self), context=Context())
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())  # it has got out already
        return self

    async def __aexit__(self, *_: object) -> None:
        if os.getpid() == self._process:
            self._leave()
            self._rounds.stopping = True
            self._wanted.set()
            await shielded(lambda: self._over.wait(threading.TIMEOUT_MAX))

    async def _run_async(self) -> None:
        try:
            while not self._rounds.stopping:
                await self._rounds.run_async()
                await self._wanted.wait(self._seconds)
        finally:
            if not self._rounds.stopping:
                log_warning(f"{self._journal} is not recovered any more: the task that did it was cancelled")
            self._over.set()

    def __repr__(self) -> str:
        return f"<recover_every({self._seconds:g}) of {self._journal}>"
