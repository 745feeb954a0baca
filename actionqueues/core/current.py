"""Where the running code stands: `current_step()`, and the log that what it does belongs to.

Who runs where is in the context and in the log.  A step with a log of its own has put that into the context; in the log
of a sync block, the innermost step is the last one whose body has not returned.

Stands on logs.  Used by blocks, and by users.
"""

from __future__ import annotations

from _thread import get_ident
from typing import Any, cast

from actionqueues.errors import IllegalOperation, NoTransaction

from .log import Log, Owner, get_current, running_record, undoing
from .states import StepState
from .step import Step


def running_step(log: Log | None, within: Any = None) -> Step[Any] | None:
    """The innermost step whose body is running in a log, or around it; `within`: in this block and those in it."""
    while log is not None:
        place = running_record(log) if log.block.direct and log.thread == get_ident() else None
        if place is not None:
            if not isinstance(log[place], Step):
                log[place] = Step(log[place], StepState.RUNNING)
            return cast("Step[Any]", log[place])
        if log.record is not None:  # its body, or what that has started, is running here
            if not isinstance(log.record, Step):
                log.record = Step(log.record, StepState.RUNNING)
            return cast("Step[Any]", log.record)
        if within is not None and log.block is within and within.log is log:
            return None
        log = log.up if log.up is not None or within is not None else log.block.surrounding
    return None


def refused_to_handlers(block: Owner) -> IllegalOperation | None:
    """What is raised where a rollback handler uses a block, if it has not opened the transaction of that itself."""
    if undoing.get() is None:
        return None
    log = get_current()
    while log is not None and log.block.real.root is not block.root:
        log = log.block.real.surrounding if log.up is None else log.up
    if log is not None:
        return None
    advice = "a handler only undoes; it may open a transaction of its own"
    return IllegalOperation(f"use {block.label}", "a rollback handler of a step in it is running", advice)


def current_step() -> Step[Any]:
    """The step whose body or rollback handler is running: the innermost one.

    What the body of a step in an ``async with`` block starts, in whatever task or thread, belongs to that step.

    Raises:
        NoTransaction: if none is, as in an action that was called outside any block.
    """
    step = running_step(get_current())
    if step is None:
        rollback = undoing.get()
        step = None if rollback is None else rollback.step
    if step is None:
        advice = "call it in the body or the rollback handler of an action that is called inside `with transaction():`"
        raise NoTransaction("current_step()", advice, "step")
    return step
