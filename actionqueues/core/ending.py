"""How a block ends: what is queued is run, what is running is waited for, and it commits or is rolled back.

Generators, which the shells drive, but for the two ends that nearly all blocks have, for which nothing must be waited.

Stands on blocks and the engine.  Used by the shells.
"""

from __future__ import annotations

import os
from typing import Any, cast

from actionqueues.errors import AsyncActionInSyncBlock, IllegalOperation, TransactionDoomed
from actionqueues.report import Report, UndoFailure

from .block import ENDED, Block
from .calls import running
from .drivers import drive, shielded_here
from .engine import Rollback
from .giving_up import disown, give_up, given_up
from .hooks import HookRun
from .kept import cause_of, keep
from .log import LEFT, Log, Owner, current, get_current, logs_in, set_current, take_out, this_thread, undoing
from .marks import Back
from .queue import fill_in, refuse_async
from .requests import Engine, Shielded
from .states import UNDOABLE, TransactionState
from .step import DEFINITION, OUTCOME, PENDING, Step
from .tasks import running_task
from .telling import left_something, log_rolled_back, tell_of_all, tell_unawaited, tell_where_queued
from .text import first_of
from .waiting import others_running, waited_for
from .watch import ask
from .waves import rollback_of

_NEW, _OPEN, _ROLLING_BACK = TransactionState.NEW, TransactionState.OPEN, TransactionState.ROLLING_BACK
_COMMITTED, _RELEASED = TransactionState.COMMITTED, TransactionState.RELEASED


_reset_current: Any = current.reset


def executing(block: Block) -> Engine[BaseException | None]:
    """Run the queued steps; returns what one of them has raised."""
    while block.drop_undone() and block.queue:
        step, here = block.queue[0], block.here()
        try:
            if not here.block.awaits:  # a savepoint, where an async block is told to execute
                refuse_async(step._record[DEFINITION], here.block)
            fill_in(step)
        except (AsyncActionInSyncBlock, IllegalOperation) as refused:
            tell_where_queued(step, refused)
            return refused
        block.queue.popleft()
        error = (yield from running(here, step, block.task)).error
        if error is not None:
            return error
    return None


def leave(block: Block, error: BaseException | None) -> Engine[BaseException | None]:
    """End it; returns what is to be raised, if that is another exception than `error`."""
    late: BaseException | None = None
    state = block.state
    if state is _NEW:
        return IllegalOperation(f"leave {block.label}", "it has not been entered", "write `with transaction() as q:`")
    if block.log is not ENDED:
        block.log.thread, block.task = this_thread(), running_task() if block.awaits else None
    if block.root.gone is not None or (error is not None and given_up(block, error)):
        late = block.root.gone  # also where the code around it has made something else of that
    elif error is None and state is _OPEN:
        late = yield from _commit(block)
        if late is not None and not given_up(block, late) and block.state is _OPEN:
            error = late
            late = first_of((yield from roll_back(block, error)), error)
    elif state is _OPEN or state is _ROLLING_BACK:
        late = yield from roll_back(block, error)
    elif error is None and block.token is None and (state is _COMMITTED or state is _RELEASED):
        advice = "leave the block once, where it was entered; to undo everything, raise an exception"
        late = IllegalOperation(f"leave {block.label}", f"it is {state}", advice)
    elif error is None and block.rollback is not None and not block.rollback.by_hand:  # that, the program has called
        late = TransactionDoomed(block.label, (), ())
    tell_ended(block)
    block.detach()
    if late is not None and late is not error and late.__context__ is None:
        late.__context__ = error
    return late


def tell_ended(block: Block) -> None:
    """Tell the watch of a transaction that it has been left; again, if that was interrupted."""
    if block.watch is not None and block.parent is None and not block.unfinished:
        block.watch.ended(block)


def _commit(block: Block) -> Engine[BaseException | None]:
    """Run what is queued, wait for what is running, and commit; returns what keeps it from that, or comes after."""
    error = _why_not(block) if block.queue or block.running else None
    while error is None:
        if block.queue:
            block.leaving = False  # what was added while it waited is run
            error = yield from executing(block)
            continue
        block.close()
        if block.running:
            interrupts: list[BaseException] = []
            error = yield from waited_for(block, None, interrupts, calling_off=False)
            error = first_of(error, *interrupts)
        if error is None:
            error = _why_not(block)
        if error is None and block.unsure:
            error = _half_done(block)
        if not block.queue:
            break
    if error is not None:
        return error
    if block.parent is not None:
        release_savepoint(block)
        return None
    late: BaseException | None = None
    if block.watch is not None:
        due = [hook for hook in block.hooks or () if not hook.dropped]
        error, late = yield from ask(block.watch.committing, block, due)
        if error is not None:
            return error
    return (yield from _committed(block, late))


def _why_not(block: Block) -> BaseException | None:
    """What keeps a block that was left normally from committing."""
    if block.kept:
        return block.kept[0]
    if block.ending:  # its exit raises, so it is undone by then, as any savepoint whose exit raises
        return TransactionDoomed(block.label, (), ())
    doomed = block.root.doomed
    if doomed is not None:
        return TransactionDoomed(block.label, [f.error for f in doomed], [f.step.name for f in doomed])
    if block.running:
        others = others_running(block, None, running_task())
        for log in tuple(block.running):
            if log.record is None and log.block is not block and log not in others:
                advice = "leave the inner block first, as `with` does"
                return IllegalOperation(f"commit {block.label}", f"{log.block.label} inside it is still open", advice)
    return None


def _half_done(block: Block) -> BaseException | None:
    """Whether a step has raised, or was interrupted, and what came between kept it from being undone at once.

    Or whether what comes after a mark has not been undone as a whole.
    """
    for log in logs_in(block.log):
        if isinstance(log.block, Back):
            what = f"going back to {log.block.mark} was interrupted"
            return IllegalOperation(f"commit {block.label}", what, "let the interrupt out of the block")
        for entry in (*log, log.record):
            record, raised = entry, False
            if isinstance(entry, Step):
                if entry.state not in UNDOABLE:
                    continue
                record, raised = entry._record, entry.error is not None
            if type(record) is list and (raised or record[OUTCOME] is PENDING):
                what = f"the undo of {record[DEFINITION].name} was interrupted before it had begun"
                return IllegalOperation(f"commit {block.label}", what, "let the interrupt out of the block")
    return None


def _committed(block: Block, late: BaseException | None) -> Engine[BaseException | None]:
    """Commit, and then call the hooks: no interrupt comes between them."""
    if block.hooks is None and late is None:
        _end_well(block)
        return None
    run = block.hook_run = HookRun(block.report, block.label, block.watch, lambda: _end_well(block))
    run.awaits, run.block = block.awaits, block
    if late is not None:
        run.interrupts.append(late)
    yield from run.to_its_end(run.calls)
    block.hook_run = None
    return run.result()


def _end_well(block: Block) -> None:
    """The point of no return: nothing that comes later undoes anything."""
    if block.state is not _OPEN:
        return  # pragma: no cover - it was interrupted after that, before the first hook
    if block.hook_run is not None:  # first: what interrupts this keeps no hook from being called
        block.hook_run.hooks = [hook for hook in block.hooks or () if not hook.dropped]
    block.move(_COMMITTED)
    if block.unawaited is not None:
        tell_unawaited(block)
    if block.watch is not None:
        block.watch.committed(block)
    block.hooks = None
    block.release()


def release_savepoint(block: Block) -> None:
    """A savepoint has succeeded: what is in it belongs to the outer block."""
    parent, log = cast("Block", block.parent), block.log
    if block.unawaited is not None:
        tell_unawaited(block)
    if block._report is not None:
        parent.report._include(block._report)
    block.move(_RELEASED)
    if block.watch is not None:
        block.watch.ended(block)
    if not log:
        take_out(log)
    block.used = bool(log) or block._report is not None
    log.direct = block.quick = False
    parent.ended(log)
    block.log = ENDED


def roll_back(block: Block, error: BaseException | None) -> Engine[BaseException | None]:
    """Undo everything that has not been undone yet; returns what has to be raised after it, besides `error`."""
    if block.taken:
        return None
    if block.state is _OPEN:
        block.move(_ROLLING_BACK)
    block.shut()
    rollback = block.rollback
    if rollback is None:
        rollback = block.rollback = rollback_of(block, error)
        rollback.by_hand = error is None
        rollback.dooms = block.parent
    if block.running:
        yield from waited_for(block, None, rollback.interrupts)
    report = block.report
    if report._kept is None and rollback.kept < 2:  # otherwise it goes on; so may this be, once
        rollback.kept += 1
        report._masked = block.root.report._masked
        if error is not None:
            report._cause = cause_of(error) if block.watch is None else report._text(error)
        report._kept = keep(block.log) if report._traced is None else ()
    yield from rollback.to_its_end(lambda: _unwinding(block, rollback))
    if rollback.disowned and not block.disowned:
        give_up(block, rollback.interrupts[-1])
    return _end_badly(block, rollback, error)


def end_plainly(block: Block, error: BaseException | None) -> BaseException | None:
    """The common end: of a sync block that holds nothing but records of finished steps: nothing is waited for."""
    log = block.log
    log.direct = False
    block.state = _COMMITTED if error is None else _ROLLING_BACK
    if block.running or not block.plain:  # pragma: no cover - another thread has come in at this moment
        block.state = _OPEN
        return drive(leave(block, error))
    late: BaseException | None = None
    if error is None:
        block.log = ENDED
    else:
        late = _undo_plainly(block, log, error)
    try:
        _reset_current(block.token)
        block.token = block.face = None
    except (TypeError, ValueError, RuntimeError):
        block.used = bool(log) or bool(block.report.outcomes)
        block.detach()
    log.clear()
    return late


def _undo_plainly(block: Block, log: Log, error: BaseException) -> BaseException | None:
    report = block._report
    if report is None:
        report = block._report = Report(block.name, _ROLLING_BACK)
    report._kept, report._cause = keep(log), cause_of(error)
    rollback = block.rollback = Rollback(report, error)  # by position, which is twice as fast
    try:
        shielded_here(rollback, lambda: rollback.unwind(log))
    except BaseException as interrupt:
        if rollback.guard.broken is not interrupt:
            raise
    if rollback.ended and rollback.guard.kept is None and not (rollback.problems or rollback.left):
        block.state = report.state = TransactionState.ROLLED_BACK
        block.log = ENDED
        rollback.release()
        log_rolled_back(report)
        return rollback.interrupts[0] if rollback.interrupts else None
    return drive(roll_back(block, error))  # goes on, if it was interrupted before it had begun, and tells what is left


def _unwinding(block: Block, rollback: Rollback) -> Shielded:
    watch, outermost = block.watch, block.parent is None
    if watch is None:
        yield from rollback.unwind(block.log)
        return
    if not block.told:
        block.told = True
        begins, what = (watch.rolling_back, block) if outermost else (watch.going_back, block.log)
        yield from rollback.tell(begins, what, rollback.cause)
    yield from rollback.unwind(block.log, more=outermost)
    if outermost:
        yield from rollback.tell(watch.rolled_back, block)
        rollback.ended = True


def _end_badly(block: Block, rollback: Rollback, error: BaseException | None) -> BaseException | None:
    """Everything has been undone that could be; returns what has to be raised."""
    broken = rollback.guard.broken
    rollback.interrupts[:0] = block.kept
    for _ in block.kept:
        cast("Any", block.task).uncancel()  # it was cancelled for each of them
    for each in block.unsettled:
        each.settle(each.guard.broken)
    block.unsettled = ()
    if block.state is _ROLLING_BACK:  # pragma: no branch - otherwise an interrupt came after that
        if broken is not None:
            rollback.abandon(block.log)
            if block.parent is not None:
                block.doom([UndoFailure(step, broken) for step in rollback.abandoned])
            if block.watch is not None and block.parent is None:
                block.watch.abandoned(block)
        block.end()
        if block.parent is None and block.surrounding is not None and left_something(block.report, rollback):
            block.surrounding.block.real.put(block.surrounding, LEFT)
        rollback.log_left()
        if block.parent is None:
            log_rolled_back(block.report)
        if error is not None:
            tell_of_all(block, error)
    interrupt = rollback.interrupt()
    rollback.release()
    return interrupt


def forked() -> None:
    """In a child process: the blocks that the parent is in are the parent's."""
    rollback = undoing.get()
    found, logs = set[Log](), [get_current(), rollback.log if isinstance(rollback, Rollback) else None]
    while logs:
        log = logs.pop()
        if log is not None and log not in found:
            found.add(log)
            block: Owner = log.block.real
            if isinstance(block, Block):
                disown(block)
            logs += [log.up, block.surrounding]
    set_current(None)
    if isinstance(rollback, Rollback):  # pragma: no cover - in a child process that a handler forks, see test_forks.py
        rollback.guard.disowned = True


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows
    os.register_at_fork(after_in_child=forked)
