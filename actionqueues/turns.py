"""`Turns`: undos at once of one transaction, in tasks and in threads, go one after the other.

A step that fails is undone before its exception goes on (at once), so several that fail together would be undone
together.  Each takes a turn instead, the latest started first.  An undo may have to wait for somebody else's step, and
that step for its turn: so whoever has the turn is looked at now and then, and one that waits for others does not keep
them waiting.
"""

from __future__ import annotations

import sys
import threading
from _thread import get_ident
from bisect import insort
from collections.abc import Callable
from time import monotonic
from typing import Any, Final, TypeAlias

from .cancelling import awaits
from .concurrency import Signal, running_task
from .locks import Lock

__all__ = ["Rank", "Turn", "Turns"]

#: Where a step stands among those that have been started: a later one has a higher rank.
Rank: TypeAlias = tuple[int, ...]

#: Seconds between two looks at whoever has the turn.
_LOOK: Final = 0.05

#: Seconds after which an undo that does not come to its end is no longer waited for, since it might wait in its turn.
_PATIENCE: Final = 10.0

#: A thread that stands in one of these modules waits for another one: in `Thread.join`, `Future.result`, `Queue.get`.
_WAITING: Final = {"threading", "queue", "concurrent", "multiprocessing"}


class Turn:
    """One that waits for its turn, or has it.

    Attributes:
        rank: the highest comes first.
        progress: tells how far its undo has come.
        wake: tells it that it may go on; returns whether it can.
        thread: the thread that it runs in.
        task: the task that it runs in; None for one that blocks its thread.
        caller: the task whose step is undone.
    """

    __slots__ = ("_come", "_seen", "_since", "caller", "progress", "rank", "task", "thread", "wake")

    def __init__(self, rank: Rank, progress: Callable[[], object], wake: Callable[[], bool]) -> None:
        self.rank = rank
        self.progress = progress
        self.wake = wake
        self.thread = get_ident()
        self.task: object = None
        self.caller: object = None
        self._seen: object = None
        self._since = 0.0
        self._come: object = None

    def begin(self) -> None:
        """It has its turn from now on."""
        self._since = monotonic()

    def waits(self, others: list[Turn]) -> bool:
        """Whether it seems to wait for others, which wait for it to be done with its turn."""
        come, now = self.progress(), monotonic()
        if come != self._come:
            self._come, self._since = come, now
        if now - self._since > _PATIENCE:
            return True
        if self.task is not None:
            return any(awaits(self.task, other.caller) for other in others)
        frame = sys._current_frames().get(self.thread)
        if frame is None:
            return True  # its thread has ended
        module: str = frame.f_globals.get("__name__") or ""
        seen = (come, id(frame), frame.f_lasti) if module.partition(".")[0] in _WAITING else None
        before, self._seen = self._seen, seen
        return seen is not None and seen == before


class Turns:
    """Lets one at a time of those that wait for it go on, the highest rank first.

    Attributes:
        lock: is held by whoever changes what several threads of the transaction share; never for long.  The thread that
            has it may take it again: a signal handler or a finalizer, which may enter a block, runs in between.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self._waiting: list[Turn] = []
        self._having: list[Turn] = []  # more than one if the first of them waits for another one

    @property
    def taken(self) -> bool:
        """Whether somebody has its turn, or waits for it."""
        return bool(self._having or self._waiting)

    def take(self, rank: Rank, progress: Callable[[], object]) -> Turn | None:
        """Block this thread until it is this one's turn.

        Returns:
            What `leave` is to be given; None if a task of this thread has the turn, which it could never end.
        """
        event = threading.Event()

        def wake() -> bool:
            event.set()
            return True

        turn = Turn(rank, progress, wake)
        self._try_depth()
        try:
            with self.lock:
                if any(having.thread == turn.thread for having in self._having):
                    return None
                self._ask(turn)
                self._grant()
            while not event.wait(_LOOK) and not self._goes_beside(turn):
                pass
        except BaseException:
            self.leave(turn)
            raise
        return turn

    async def take_async(self, rank: Rank, progress: Callable[[], object], caller: object) -> Turn:
        """Suspend this task until it is this one's turn.

        Nobody goes on at once: those that are cancelled together ask for their turns one after the other.
        """
        signal = Signal()
        turn = Turn(rank, progress, signal.set)
        turn.task, turn.caller = running_task(), caller
        self._try_depth()
        try:
            with self.lock:
                self._ask(turn)
            signal.soon(self._next)
            while not await signal.wait(_LOOK) and not self._goes_beside(turn):
                pass
        except BaseException:
            self.leave(turn)
            raise
        return turn

    def leave(self, turn: Turn | None) -> None:
        """Let the next one go on."""
        if turn is None:
            return
        try:
            self._leave(turn)
        except BaseException:  # pragma: no cover - a signal handler of the program's own has raised, unseen by a tracer
            self._leave(turn)  # or the others would wait for ever
            raise

    def _try_depth(self) -> None:
        """Go as deep as `leave` does: near the limit of recursion, a turn that could not be left must not be taken."""
        self._try_lock()

    def _try_lock(self) -> None:
        with self.lock:
            pass

    def _leave(self, turn: Turn) -> None:
        with self.lock:
            for turns in (self._having, self._waiting):
                if turn in turns:
                    turns.remove(turn)
            self._grant()

    def _next(self) -> None:
        with self.lock:
            self._grant()

    def _ask(self, turn: Turn) -> None:
        insort(self._waiting, turn, key=_rank)

    def _grant(self) -> None:
        while self._waiting and not self._having:
            turn = self._waiting[-1]  # it stays there until it has been woken: an interrupt here must not lose it
            turn.begin()
            if turn.wake():
                self._having.append(turn)
            self._waiting.remove(turn)

    def _goes_beside(self, turn: Turn) -> bool:
        """Whether it is this one's turn although others still have theirs, since they wait themselves."""
        with self.lock:
            if self._waiting[-1:] == [turn] and all(having.waits(self._waiting) for having in self._having):
                turn.begin()
                self._having.append(turn)
                self._waiting.remove(turn)
            return turn in self._having  # it may just have been let go on


def _rank(turn: Turn) -> Any:
    return turn.rank
