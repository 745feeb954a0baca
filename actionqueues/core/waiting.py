"""What has to be waited for before anything is undone: what is running in other tasks and threads.

Stands on logs and requests.  Used by what ends: failed steps, and blocks.
"""

from __future__ import annotations

from _thread import _count, get_ident
from typing import Any, cast

from actionqueues.errors import IllegalOperation

from .log import Log, Owner, inside, logs_in
from .requests import Engine, Until
from .states import StepState, TransactionState
from .step import Record, Step
from .tasks import can_be_cancelled, cancel, has_ended, running_task

__all__ = ["others_running", "running_in", "running_owners", "settled", "waited_for"]


def settled(own: Log) -> Step[Any]:
    """The step whose log this is."""
    record: Record | Step[Any] = own.record
    if isinstance(record, Step):
        return record
    return Step(record, StepState.RUNNING)


def running_in(block: Owner, top: Log | None) -> list[Log]:
    """What is running in a block, or, if `top` is not None, in that log of it; and in the savepoints there."""
    if top is not None and not _count():  # otherwise another thread may be about to put its log there
        return [log for log in logs_in(top) if log is not top and log in cast("Log", log.up).block.running]
    logs = [log for owner in running_owners(block) for log in tuple(owner.running)]
    return logs if top is None else [log for log in logs if log is not top and inside(log, top)]


def others_running(block: Owner, top: Log | None, me: object, *, calling_off: bool = False) -> list[Log]:
    """What of it has to be waited for: what other threads, and tasks other than `me`, are in.

    Where it is called off, a savepoint of another task is not waited for if that cannot be cancelled, since nobody
    knows what it waits for: it will find its savepoint undone.
    """
    thread = get_ident()
    return [
        log
        for log in running_in(block, top)
        if (log.thread != thread or (log.task is not None and log.task is not me and not has_ended(log.task)))
        and not (calling_off and log.record is None and log.thread == thread and _may_be_left(log))
    ]


def _may_be_left(savepoint: Log) -> bool:
    return not can_be_cancelled(savepoint.task) and savepoint.block.state is TransactionState.OPEN


def running_owners(block: Owner) -> list[Owner]:
    """A block, and the savepoints in it that have not been left."""
    owners = [block]
    for owner in owners:
        owners += [log.block for log in tuple(owner.running) if log.block.running is not owner.running]
    return owners


def waited_for(
    block: Owner, top: Log | None, interrupts: list[BaseException], *, calling_off: bool = True
) -> Engine[BaseException | None]:
    """Wait until nothing is running there any more, having cancelled its tasks.

    An interrupt ends the wait for what is not called off, and no other.

    Returns:
        What keeps it from being waited for, or None.
    """
    me = running_task()

    def others_in() -> list[Log]:
        return others_running(block, top, me, calling_off=calling_off)

    others = others_in()
    cancelled: set[Log] = set()
    while others:
        for log in others:
            if calling_off and log not in cancelled:
                cancelled.add(log)
                if not _is_undone(log):  # otherwise its own exception is to come out of it
                    cancel(log.task)
        interrupt = yield Until(
            lambda: not others_in(),
            lambda: running_owners(block),
            lambda: ", ".join(_called(log) for log in others_in()),
            tasks=any(log.task is not None and log.thread == get_ident() for log in others),
        )
        if isinstance(interrupt, IllegalOperation):
            return interrupt
        if interrupt is not None:
            interrupts.append(interrupt)
            if not calling_off:
                return None
        others = others_in()
    if calling_off:
        for log in running_in(block, top):
            if log.block.running is not cast("Log", log.up).block.running and log.task is not me:
                log.block.taken = True  # a savepoint that is not waited for
    return None


def _called(log: Log) -> str:
    record = log.record
    if record is None:
        return cast("str", getattr(log.block, "label", "a thread"))
    return f"the step {settled(log).name}"


def _is_undone(log: Log) -> bool:
    """Whether what was running there has failed, and is being undone."""
    if log.record is None:
        return log.block.state is not TransactionState.OPEN
    return settled(log).state is not StepState.RUNNING
