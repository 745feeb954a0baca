"""What happens when a body raises: it is tried again, or undone, with all that it has made.

Stands on the engine.  Used by the long way of a step, and by the drivers for the short one.
"""

from __future__ import annotations

from typing import Any, cast

from actionqueues.errors import IllegalOperation, TransactionClosed
from actionqueues.report import UndoFailure

from .attempts import Attempts
from .definition import Definition
from .engine import Rollback
from .log import (
    Log,
    Owner,
    changed,
    logs_in,
    new_log,
    take_out,
)
from .requests import Engine, Undo
from .states import StepState
from .step import DEFINITION, Step
from .text import first_of
from .waiting import running_in, settled, waited_for
from .watch import Watch

__all__ = ["adopt", "failing"]


class _Shut:
    """Stands in the place of its block in the logs of a failed step: what is started in them comes too late."""

    quick = plain = left = unsure = False
    undo_at_once = ending = is_shut = True
    watch: Watch | None = None
    rollback: Rollback | None = None  # of the step

    def __init__(self, block: Owner, step: str) -> None:
        self.block = block
        self.step = step
        self.name, self.loop = block.name, block.loop
        self.running = block.running
        self.awaits, self.direct = block.awaits, block.direct
        self.report = block.report
        self.label = block.label
        self.state = f"{block.state}, but the step {step}, which has started it, has failed"

    def refuse(self, log: Log, what: str) -> BaseException | None:
        """It came too late."""
        return TransactionClosed(what, self.label, self.state)

    @property
    def waiters(self) -> tuple[Any, ...]:
        """As in its block."""
        return self.block.waiters

    @waiters.setter
    def waiters(self, waiters: tuple[Any, ...]) -> None:
        self.block.waiters = waiters

    def wake(self) -> None:
        """As in its block."""
        self.block.wake()

    def check_loop(self, what: str) -> None:
        """It refuses all."""

    def forget(self) -> bool:
        """It has not been left."""
        return False

    def keep(self, interrupt: BaseException) -> bool:
        """As in its block."""
        return self.block.keep(interrupt)

    def doom(self, problems: list[UndoFailure]) -> None:
        """As in its block."""
        self.block.doom(problems)

    def unwound(self, log: Log, *, failed: bool) -> None:
        """What was in the log of the step has been undone with what it stood in, since that was cut short before."""
        if self.rollback is not None:
            self.rollback.settle()

    def shut(self) -> None:
        """It is."""


def adopt(log: Log, place: int) -> Log:
    """Give the step whose record stands at `place` a log of its own, with all that it has made.

    That is what stands behind it in the same log, except the logs of other threads, which belong to the block.
    """
    end = len(log)
    own = new_log(log, log.block, log.thread, direct=log.direct, record=log[place])
    others: list[Log] = []
    for entry in log[place + 1 : end]:
        if type(entry) is Log and entry.thread != log.thread:
            others.append(entry)
        else:
            own.append(entry)
            if type(entry) is Log:
                entry.up = own
    log[place:end] = [own, *others]
    changed(log, place)
    log.block.plain = False
    return own


def failing(own: Log, error: BaseException, started: float | None = None, *, waiting: bool = False) -> Engine[bool]:
    """The body of the step whose log this is has raised.  Undo what it has done.

    Args:
        own: the log.
        error: what was raised.
        started: when the first attempt began, if anybody knows.
        waiting: it was raised in the wait for the next attempt, and not by the body.

    Returns:
        Whether the exception is to go on.  Otherwise there is to be another attempt, and only what this one has made
        has been undone.
    """
    if own.record is None:
        return True  # it has been undone without waiting for it, as where a coroutine was closed
    step = own.record = settled(own)
    block: Owner = own.block
    definition: Definition = step._record[DEFINITION]
    step.error = error
    if step._tries is None:
        step._tries = Attempts(definition.retry, started)
    if isinstance(error, GeneratorExit) and block.awaits:  # nothing can be awaited where a coroutine is being closed
        step._move(StepState.UNKNOWN)
        closed = IllegalOperation(f"undo {step.name}", "its coroutine was closed", "await it to its end")
        block.doom([UndoFailure(step, closed)])
        return True
    # What came after it had returned, as from a journal that cannot record the result, is no reason to do it again.
    again = not waiting and not step.has_result and not block.ending and step._tries.another(error)
    interrupt: BaseException | None = None
    if again:
        if not _holds_anything(own):
            return False
        clean, interrupt = yield from _undone(own, step, error, whole=False)
        if clean and interrupt is None:
            return False
    timed_out = definition.timeout is not None and isinstance(error, TimeoutError)
    if not step.has_result:
        step._move(StepState.UNKNOWN if timed_out else StepState.FAILED)
    if block.undo_at_once:  # otherwise its caller rolls a classic queue back
        _, late = yield from _undone(own, step, error, whole=True)
        interrupt = first_of(interrupt, late)
        if not own and own.record is None:
            take_out(own)
    if interrupt is not None and not (_is_interrupt(interrupt) and block.keep(interrupt)):
        raise interrupt
    return True


def _holds_anything(own: Log) -> bool:
    """Whether the body of a step has made anything, or something that it has started is still at it."""
    return bool(own) or bool(running_in(own.block, own))


def _undone(
    own: Log, step: Step[Any], error: BaseException, *, whole: bool
) -> Engine[tuple[bool, BaseException | None]]:
    """Undo what the body of a failed step has made, and the step itself, if `whole`.

    Returns:
        Whether nothing is left, and what has to be raised now because it would be lost otherwise.
    """
    owner: Owner | _Shut = own.block
    shut = owner if isinstance(owner, _Shut) else _Shut(owner, step.name)
    if shut is not owner:
        for log in logs_in(own):
            if log.block is shut.block:
                log.block, log.direct = shut, False
            elif not isinstance(log.block, _Shut):
                log.block.shut()
    block = shut.block
    rollback = Rollback(block.report, cause=error, watch=block.watch, awaits=block.awaits)
    rollback.dooms = block
    shut.rollback = rollback
    stuck = yield from waited_for(cast("Owner", shut), own, rollback.interrupts)
    while stuck is None and not (rollback.ended or rollback.guard.broken is not None or rollback.disowned):
        interrupt = yield Undo(rollback, lambda: rollback.unwind(own, whole=whole))
        if interrupt is not None:
            rollback.interrupts.append(interrupt)
    if rollback.cut is not None:
        rollback.settle()  # if there is no room for that either, `shut` does it once what is around has failed too
    broken = rollback.guard.broken
    late = first_of(stuck, broken)
    if late is not None and not rollback.problems:  # cut short before anything was undone
        rollback.problems.append(UndoFailure(step, late))
        block.doom(rollback.problems)
    rollback.note_on(error)
    rollback.cause = rollback.top = shut.rollback = None
    if not whole:
        own.block, own.direct = block, block.direct and not block.ending
        changed(own, 0)
    if broken is not None:
        raise broken
    interrupt = rollback.interrupt()
    # If it was cancelled again, the first cancellation goes on.
    if type(interrupt) is type(error) and not _is_interrupt(error):
        interrupt = None
    return not (rollback.problems or rollback.left), interrupt


def _is_interrupt(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt | SystemExit)
