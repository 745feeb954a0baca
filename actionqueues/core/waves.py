"""Undoing at the same time what has run at the same time: `transaction(undo_concurrently=True)`.

One rule decides: *a step that had ended before another one began is undone only once that other one has been; all
others need not wait for each other.*  It holds among the entries of one log, and what an entry contains belongs to it:
a step with inner steps, or a savepoint, has run from the first of these to the last, and is undone as one, its contents
by the same rule.

When each step has begun and ended is read off the clock of its block, which only counts (`Log.span`).  An undo of a log
puts each of its entries into a log of its own, in its place there, and walks through all of these at once, as the rule
allows, each by a rollback of its own.  So whatever interrupts that leaves a tree of logs that an ordinary walk takes to
its end; and that is what is done where nothing can be awaited.

Stands on the engine.  Used by what fails, ends or goes back: steps, blocks and marks.
"""

from __future__ import annotations

from collections.abc import Sequence
from inspect import iscoroutine
from math import inf
from typing import Any, Final

from .engine import Rollback
from .log import Log, Owner, new_log
from .requests import Await, Shielded, Together, Undo


def rollback_of(block: Owner, cause: BaseException | None) -> Rollback:
    """What undoes a block, or a step in it."""
    kind = Rollback if block.clock is None else ConcurrentRollback
    return kind(block.report, cause=cause, watch=block.watch, awaits=block.awaits)


class ConcurrentRollback(Rollback):
    """One undoing, parts of which are done at the same time.

    Attributes:
        parts: the rollbacks of what is being undone at the same time, in the order of undoing.
        undo: of a part, what the driver is asked for.
        span: of a part, from when to when what it undoes has run.
    """

    parts: Sequence[ConcurrentRollback] = ()
    undo: Undo
    span: tuple[float, float]
    _walk: Shielded | None = None

    def unwind(self, top: Log, *, whole: bool = False, more: bool = False) -> Shielded:
        yield from self._beside_each_other(top)
        yield from super().unwind(top, whole=whole, more=more)

    def _beside_each_other(self, top: Log) -> Shielded:
        """Undo what a log contains, as far as anything of it can be undone at the same time."""
        self.path, self.log = [top], top
        log = top
        while True:
            for mark in [entry for entry in reversed(log) if type(entry) is tuple]:
                self._drop(mark[0])
            log[:] = [entry for entry in log if type(entry) is not tuple]
            if len(log) != 1 or type(log[0]) is not Log:
                break
            log = log[0]
        if len(log) < 2:
            return
        made = [_carrier(log, entry) for entry in log]
        log[:] = made
        for carrier in [each for each in made if type(each[0]) is Log]:
            carrier[0].up = carrier
        made.sort(key=lambda carrier: carrier.span[0], reverse=True)
        self.parts = parts = [self._part(carrier) for carrier in made]
        waiting = Waiting(parts)
        request = Together(self, lambda: waiting.ready() if self.parts is parts else (), self._gather)
        answer = yield request
        if request.begun:
            self._gather(answer)
        else:
            self.parts = ()
        if answer is not None:
            if self.disowned or answer is self.guard.broken:
                raise answer
            self.interrupts.append(answer)

    def _part(self, carrier: Log) -> ConcurrentRollback:
        made = ConcurrentRollback(self.report, cause=self.cause, watch=self.watch, awaits=self.awaits)
        made.guard, made.interrupts, made.dooms = self.guard, self.interrupts, self.dooms
        made.by_hand, made.log, made.main, made.span = self.by_hand, carrier, self.main or self, carrier.span

        def walk() -> Shielded:
            made._walk = made.unwind(carrier)
            return made._walk

        made.undo = Undo(made, walk)
        return made

    def _gather(self, interrupt: BaseException | None) -> None:
        """Take over what its parts have to tell, in the order of undoing; what they have not done, they leave."""
        parts, self.parts = self.parts, ()
        for part in parts:
            part._stop(interrupt)
            self.problems += part.problems
            self.left += part.left
            self.left_before = self.left_before or part.left_before
            part.release()
        if parts and self.main is None:
            report = self.report
            _put_in_order(report.failures, self.problems)
            _put_in_order(report.conflicts, self.problems)
            _put_in_order(report.not_undone, self.left)
            _put_in_order(report.skipped, self.left)

    def _stop(self, interrupt: BaseException | None) -> None:
        """Do nothing more."""
        self.ended = True
        self._gather(interrupt)
        if self._walk is not None:
            self._walk.close()
        first, self.undo.first = self.undo.first, None
        if isinstance(first, Await) and iscoroutine(first.awaitable):
            first.awaitable.close()  # nobody has begun to await it
        if interrupt is not None and self.entry is not None and not self.disowned:
            self.settle(interrupt)

    # -- what interrupts it

    def interrupted(self, interrupt: BaseException) -> None:
        self._gather(interrupt)
        super().interrupted(interrupt)

    def abandon(self, top: Log) -> None:
        self._gather(self.guard.broken)
        super().abandon(top)

    def in_hand(self) -> int:
        return super().in_hand() + sum(part.in_hand() for part in self.parts)


class Waiting:
    """What of several rollbacks, of which each has a span, waits for which others."""

    def __init__(self, parts: Sequence[ConcurrentRollback]) -> None:
        self._by_start = sorted(parts, key=lambda part: part.span[0])
        self._by_end = sorted(parts, key=lambda part: part.span[1])

    def ready(self) -> Sequence[Undo]:
        """What had not ended before anything began that is not undone yet; each once, the last to begin first."""
        while self._by_start and self._by_start[-1].ended:
            self._by_start.pop()
        last = self._by_start[-1].span[0] if self._by_start else 0
        found: list[ConcurrentRollback] = []
        while self._by_end and self._by_end[-1].span[1] >= last:
            found.append(self._by_end.pop())
        found.sort(key=lambda part: part.span[0], reverse=True)
        return [part.undo for part in found]


def _carrier(log: Log, entry: Any) -> Log:
    """A log that stands for an entry of a log, and has it in it."""
    made = new_log(log, log.block, log.thread, direct=False)
    made.append(entry)
    span = _span_of(entry) if type(entry) is Log else _EVER
    made.span = span if span[0] <= span[1] else _EVER  # otherwise there is nothing in it
    return made


_EVER: Final = (0.0, inf)


def _span_of(entry: Log) -> tuple[float, float]:
    """From when to when it has run: a savepoint, or what another thread has made, from its first step to its last."""
    unknown = [] if hasattr(entry, "span") else [entry]
    for log in unknown:  # which grows
        unknown += [each for each in log if type(each) is Log and not hasattr(each, "span")]
    for log in reversed(unknown):
        spans = [each.span for each in log if type(each) is Log]
        log.span = min((began for began, _ in spans), default=inf), max((ended for _, ended in spans), default=0.0)
    return entry.span


def _put_in_order(told: list[Any], order: Sequence[object]) -> None:
    """Put those in it that are in `order` into that, behind the others."""
    places = {id(each): place for place, each in enumerate(order)}
    told.sort(key=lambda each: places.get(id(each), -1))
