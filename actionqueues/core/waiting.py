"""What has to be waited for before anything is undone: what is running in other tasks and threads.

Stands on logs and requests.  Used by what ends: failed steps, and blocks.
"""

from __future__ import annotations

from _thread import _count
from threading import enumerate as enumerate_threads

from actionqueues.errors import IllegalOperation

from .log import Log, Owner, inside, logs_in, this_thread
from .requests import Engine, Until
from .states import StepState, TransactionState
from .step import step_of
from .tasks import can_be_cancelled, cancel, has_ended, running_task
from .text import listed


def running_in(block: Owner, top: Log | None) -> list[Log]:
    """What is running in a block, or, if `top` is not None, in that log of it; and in the savepoints there."""
    if top is not None and not _count():  # otherwise another thread may be about to put its log there
        return [log for log in logs_in(top) if log is not top and log.up is not None and log in log.up.block.running]
    owners = [block]
    for owner in owners:  # and the savepoints in it that have not been left
        owners += [log.block for log in tuple(owner.running) if log.block.running is not owner.running]
    logs = [log for owner in owners for log in tuple(owner.running)]
    return logs if top is None else [log for log in logs if log is not top and inside(log, top)]


def others_running(block: Owner, top: Log | None, me: object, *, calling_off: bool = False) -> list[Log]:
    """What of it has to be waited for: what other threads, and tasks other than `me`, are in.

    Where it is called off, a savepoint of another task is not waited for if that cannot be cancelled, as in trio:
    nobody knows what it waits for, and it will find its savepoint undone.
    """
    thread = this_thread()
    others: list[Log] = []
    for log in running_in(block, top):
        of_savepoint = is_savepoint(log)
        if log.thread != thread:
            waits = not of_savepoint or _is_alive(log.thread)
        else:
            waits = log.task is not None and log.task is not me and not has_ended(log.task)
            if calling_off and of_savepoint and not can_be_cancelled(log.task):
                waits = waits and log.block.state is not TransactionState.OPEN
        if waits:
            others.append(log)
    return others


def _is_alive(ident: int) -> bool:
    """Whether a thread has not ended, which tells nobody; one that Python has not started was told of on entering."""
    return any(thread.ident == ident for thread in enumerate_threads())


def waited_for(
    block: Owner, top: Log | None, interrupts: list[BaseException], *, calling_off: bool = True
) -> Engine[BaseException | None]:
    """Wait until nothing is running there any more, having cancelled its tasks.

    An interrupt ends the wait for what is not called off, and no other.

    Returns:
        What keeps it from being waited for, or None.
    """
    me = running_task()
    cancelled: set[Log] = set()
    while others := others_running(block, top, me, calling_off=calling_off):
        for log in others:
            if calling_off and log not in cancelled:
                cancelled.add(log)
                if not _is_undone(log):  # otherwise its own exception is to come out of it
                    cancel(log.task)
        interrupt = yield Until(
            lambda: not others_running(block, top, me, calling_off=calling_off),
            block,
            lambda: listed(others_running(block, top, me, calling_off=calling_off), _called),
            shielded=calling_off,
            tasks=any(log.task is not None and log.thread == this_thread() for log in others),
        )
        if isinstance(interrupt, IllegalOperation):
            return interrupt
        if interrupt is not None:
            interrupts.append(interrupt)
            if not calling_off:
                return None
    if calling_off:
        for log in running_in(block, top):
            if is_savepoint(log):
                log.block.taken = True
    return None


def _called(log: Log) -> str:
    if log.record is not None:
        return f"the step {step_of(log.record).name}"
    return str(log.block.label) if is_savepoint(log) else f"what another thread does in {log.block.label}"


def is_savepoint(log: Log) -> bool:
    """Whether it is the log of a block, and not of what a thread or a step has made in one."""
    return getattr(log.block, "log", None) is log


def _is_undone(log: Log) -> bool:
    """Whether what was running there has failed, and is being undone."""
    if log.record is None:
        return log.block.state is not TransactionState.OPEN
    return step_of(log.record).state is not StepState.RUNNING
