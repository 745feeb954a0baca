"""Where the running code stands: `current_step()`, and the log that what it does belongs to.

Who runs where is in the context and in the log.  A step with a log of its own has put that into the context; in the log
of a sync block, the innermost step is the last one whose body has not returned.

Stands on logs.  Used by blocks, and by users.
"""

from __future__ import annotations

from _thread import get_ident
from typing import Any

from actionqueues.errors import NoTransaction

from .log import Log, get_current, running_record, undoing
from .states import StepState
from .step import Record, Step

__all__ = ["current_step", "running_step"]


def running_step(start: Log | None, within: Any = None) -> Step[Any] | None:
    """The innermost step whose body is running in a log, or around it; `within`: in this block and those in it."""
    log: Log | None = start
    while log is not None:
        if log.block.direct and log.thread == get_ident():
            place = running_record(log)
            if place is not None:
                entry: Record | Step[Any] = log[place]
                if not isinstance(entry, Step):
                    entry = log[place] = Step(entry, StepState.RUNNING)
                return entry
        step = _step_of(log)
        if step is not None:
            return step
        if within is not None and log.block is within and within.log is log:
            return None
        log = log.up if log.up is not None else None if within is not None else _around(log)
    return None


def _step_of(log: Log) -> Step[Any] | None:
    """The step whose log this is: its body, or what that has started, is running here."""
    record = log.record
    if record is not None and not isinstance(record, Step):
        record = log.record = Step(record, StepState.RUNNING)
    step: Step[Any] | None = record
    return step


def _around(log: Log) -> Log | None:
    """What the code that has opened a block was called in."""
    surrounding: Log | None = getattr(log.block, "surrounding", None)
    return surrounding


def current_step() -> Step[Any]:
    """The step whose body or rollback handler is running: the innermost one.

    What the body of a step in an ``async with`` block starts, in whatever task or thread, belongs to that step.

    Raises:
        NoTransaction: if none is, as in an action that was called outside any block.
    """
    step = running_step(get_current())
    if step is not None:
        return step
    rollback = undoing.get()
    step = None if rollback is None else rollback.step
    if step is None:
        advice = "call it in the body or the rollback handler of an action that is called inside `with transaction():`"
        raise NoTransaction("current_step()", advice, "step")
    return step
