"""The long way of a step, and what happens when a body raises.

Most steps take the short way: their frame puts a record into the log and calls the body (see `frames.py`).  Here is
everything else, as generators: steps of a block that somebody watches, steps in other threads and in trio, further
attempts, and failure.  All of these have a log of their own; so has a step of the short way from the moment it fails,
so that failing, trying again and undoing have one path.

Stands on the engine.  Used by the drivers.
"""

from __future__ import annotations

from _thread import get_ident
from inspect import isawaitable, iscoroutine
from typing import Any, NamedTuple

from actionqueues.errors import AsyncActionInSyncBlock

from .attempts import Attempts
from .definition import Definition
from .failing import failing
from .log import (
    Log,
    Owner,
    get_current,
    new_log,
    place_for_another_thread,
    set_current,
)
from .requests import Asking, Await, Engine, Wait
from .states import StepState
from .step import DEFINITION, OUTCOME, PENDING, Record, Step
from .text import first_of
from .watch import ask

__all__ = ["Outcome", "again", "attempts", "running"]


class Outcome(NamedTuple):
    """What became of a step: `error` is what it raised, or None."""

    result: Any
    error: BaseException | None


def running(log: Log, step: Step[Any], task: object = None) -> Engine[Outcome]:
    """Run a step in a log of its own, in `log`."""
    log = place_for_another_thread(log)
    block: Owner = log.block
    own = new_log(log, block, get_ident(), direct=block.direct, record=step)
    own.task = task
    block.plain = False
    # First it is among those that are running, then it looks whether the block is open.  Who closes that does the two
    # the other way round, so that no step is started that its end does not wait for.
    block.running.add(own)
    try:
        error = block.refuse(log, step.name)
        if error is None and block.watch is not None:
            error = first_of(*(yield from ask(block.watch.starting, step)))
            if error is not None:
                step._move(StepState.DROPPED)
                block.report.dropped.append(step)
        if error is not None:
            return Outcome(None, error)
        step._move(StepState.RUNNING)
        step.attempts = 1
        if step._record[DEFINITION].retry is not None:
            step._tries = Attempts(step._record[DEFINITION].retry)
        log.append(own)
        return (yield from attempts(own, step, first=True))
    except BaseException:
        block.unsure = True
        raise
    finally:
        block.running.discard(own)
        block.wake()
        del own, step


def attempts(own: Log, step: Step[Any], *, first: bool = False) -> Engine[Outcome]:
    """Make one attempt after the other at the step whose log this is, as its policy wants; `first`: there was none."""
    error: BaseException | None = None
    try:
        while True:
            interrupt: BaseException | None = None
            if not first:
                interrupt = yield Wait(step._tries.wait)
            if interrupt is None:
                step.attempts += not first
                result, error, late = yield from _attempt(own, step)
                if error is None:
                    step.error = None
                    return Outcome(result, late)
            else:
                error = interrupt
            if (yield from failing(own, error, waiting=interrupt is not None and not first)):
                return Outcome(None, error)
            first = False
    finally:
        del own, step, error  # as in `_attempt`: the frames of what calls that are kept as well


def _attempt(own: Log, step: Step[Any]) -> Asking[tuple[Any, BaseException | None, BaseException | None]]:
    """Call the body of a step.

    Returns:
        What it returned, what it raised, and what is to be raised although it has succeeded.
    """
    definition: Definition = step._record[DEFINITION]
    watch = own.block.watch
    if watch is not None:
        refused = first_of(*(yield from ask(watch.attempting, step)))
        if refused is not None:
            return None, refused, None
    record, around = step._record, get_current()
    # An async block awaits what a plain callable returns, of which nobody knows whether it is async.
    waits = definition.is_async or (own.block.awaits and definition.frame is None)
    error: BaseException | None = None
    value: Any = PENDING
    set_current(own)
    try:
        try:
            # What the body returns is kept by the statement that gets it, so that no interrupt can come between.
            if waits:
                value = definition.run(record)
            else:
                record[OUTCOME] = definition.run(record)
        except BaseException as raised:
            error = raised
        if isawaitable(value):
            error = yield Await(value, step.name, record)
        elif value is not PENDING:
            record[OUTCOME] = value
    finally:
        if iscoroutine(value):
            value.close()  # of one that an interrupt has kept from being awaited
        if get_current() is own:
            set_current(around)
    result, interrupted = record[OUTCOME], None
    if result is not PENDING:
        error, interrupted = None, error  # it came after that
        if iscoroutine(result) and not own.block.awaits:  # of a plain callable, which nobody has declared to be async
            result.close()
            error, record[OUTCOME] = AsyncActionInSyncBlock(step.name, own.block.label), PENDING
    if watch is not None:
        late, also = yield from ask(watch.attempted, step, record[OUTCOME], error)
        error, interrupted = first_of(error, late), first_of(interrupted, also)
        if error is not None:
            record[OUTCOME] = PENDING  # its reply is lost
    try:
        return result, error, interrupted
    finally:
        del own, step, error, interrupted  # which hold what was raised, whose traceback has this frame in it


def again(log: Log, record: Record) -> tuple[Log, Step[Any]]:
    """The log, and the step, of a record that has failed, and is to be tried again."""
    for entry in reversed(log):
        if type(entry) is Log and isinstance(entry.record, Step) and entry.record._record is record:
            return entry, entry.record
    raise AssertionError  # pragma: no cover - `failing` has put it there
