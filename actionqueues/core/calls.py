"""The long way of a step, and what happens when a body raises: it is tried again, or undone, with all that it has made.

Most steps take the short way: their frame puts a record into the log and calls the body (see `frames.py`).  Here is
everything else, as generators: steps of a block that somebody watches, steps in other threads and in trio, further
attempts, and failure.  All of these have a log of their own; so has a step of the short way from the moment it fails,
so that failing, trying again and undoing have one path.

Stands on the engine.  Used by the drivers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import isawaitable, iscoroutine
from math import inf
from types import CoroutineType
from typing import Any, NamedTuple

from actionqueues.errors import CoroutineNotAwaited, IllegalOperation, RetryError
from actionqueues.report import UndoFailure

from .attempts import Attempts
from .definition import Definition
from .giving_up import give_up, given_up
from .interrupts import is_exit
from .kept import Undos, keep, kept_step, marks_of, told, undos_of
from .log import (
    Log,
    Owner,
    end_span,
    get_current,
    logs_in,
    new_log,
    place_for_another_thread,
    set_current,
    take_out,
    this_thread,
)
from .requests import Asking, Await, Engine
from .signature import unawaited
from .states import StepState
from .step import DEFINITION, OUTCOME, PENDING, Record, Step, step_of
from .telling import NOT_AGAIN, log_retry, tell_of_step, tell_where_queued
from .text import first_of
from .tracebacks import from_theirs
from .waiting import running_in, waited_for
from .watch import ask, pause_before, tell
from .waves import rollback_of


class Outcome(NamedTuple):
    """What became of a step: `error` is what it raised, or None."""

    result: Any
    error: BaseException | None


# -- the long way


def running(log: Log, step: Step[Any], task: object = None) -> Engine[Outcome]:
    """Run a step in a log of its own, in `log`."""
    log = place_for_another_thread(log)
    block: Owner = log.block
    own = new_log(log, block, this_thread(), direct=block.direct, record=step)
    own.task = task
    block.plain = False
    clock, began = block.clock, 0
    # First it is among those that are running, then it looks whether the block is open.  Who closes that does the two
    # the other way round, so that no step is started that its end does not wait for.
    block.running[own] = None
    try:
        error = block.refuse(log, step.name)
        if error is None and block.watch is not None:
            error = first_of(*(yield from ask(block.watch.starting, step)))
            if error is not None:
                step._move(StepState.DROPPED)
                block.report.dropped.append(step)
        if error is not None:
            tell_where_queued(step, error)
            return Outcome(None, error)
        step._move(StepState.RUNNING)
        step.attempts = 1
        if step._record[DEFINITION].retry is not None:
            step._tries = Attempts(step._record[DEFINITION].retry, watch=block.watch)
        if clock is not None:
            began = next(clock)
            own.span = began, inf
        log.append(own)
        return (yield from attempts(own, step, first=True))
    except BaseException:
        block.unsure = True
        raise
    finally:
        if began and clock is not None:
            end_span(own, began, next(clock))
        own.direct = False  # what outlives it here takes the long way, which looks whether the block is open
        block.running.pop(own, None)
        block.wake()
        del own, step


def attempts(own: Log, step: Step[Any], *, first: bool = False) -> Engine[Outcome]:
    """Make one attempt after the other at the step whose log this is, as its policy wants; `first`: there was none."""
    error: BaseException | None = None
    late: BaseException | None = None
    try:
        while True:
            interrupt: BaseException | None = None
            if not first:
                log_retry(own.block.report, step, step.name, step._tries, step.error)
                interrupt = yield pause_before(own.block.watch, step._tries.wait)
            if interrupt is None:
                step.attempts += not first
                result, error, late = yield from _attempt(own, step)
                if error is None:
                    step.error = None
                    if own.block.watch is not None:
                        late = first_of(late, *(yield from tell(own.block.watch.over, step, None)))
                    return Outcome(result, late)
            else:
                error = interrupt
            if given_up(own.block, error):
                return Outcome(None, error)
            if _never_ran(own, step):
                return Outcome(None, first_of(error, *(yield from tell(own.block.watch.over, step, error))))
            late = yield from failing(own, error, waiting=interrupt is not None and not first)
            if late is not None:
                return Outcome(None, late)
            first = False
    finally:
        del own, step, error, late  # as in `_attempt`: the frames of what calls that are kept as well


def _never_ran(own: Log, step: Step[Any]) -> bool:
    """Whether its engine has not run a step at all; then it stands in the log no longer."""
    watch = own.block.watch
    if watch is None or watch.left_in(step) is not StepState.DROPPED:
        return False
    step._move(StepState.DROPPED)
    own.block.report.dropped.append(step)
    own.record = None
    take_out(own)
    return True


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
    if step._tries is not None:
        step._tries.result = PENDING  # until now, what the attempt before has returned could be undone
    # An async block awaits what a plain callable returns, of which nobody knows whether it is async.
    waits = definition.is_async or (own.block.awaits and definition.frame is None)
    run: Callable[[], Any] = partial(definition.run, record)
    if watch is not None and watch.runs:
        run, waits = partial(watch.run_step, step), waits or watch.awaits
    error: BaseException | None = None
    value: Any = PENDING
    set_current(own)
    try:
        try:
            # What the body returns is kept by the statement that gets it, so that no interrupt can come between.
            if waits:
                value = run()
            else:
                record[OUTCOME] = run()
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
    if error is not None:
        from_theirs(error)
    result, interrupted = record[OUTCOME], None
    if result is not PENDING:
        error, interrupted = None, error  # it came after that
        if type(result) is CoroutineType:
            error = not_awaited(record)
    if watch is not None:
        reply = None if error is not None else record[OUTCOME]
        late, also = yield from tell(watch.attempted, step, reply, error)
        error, interrupted = first_of(error, late), first_of(interrupted, also)
        if error is not None:
            error, interrupted = first_of(interrupted, error), None  # Ctrl-C, or a limit that was set
    try:
        return result, error, interrupted
    finally:
        del own, step, run, watch, error, interrupted  # which hold what was raised: its traceback has this frame


def not_awaited(record: Record) -> CoroutineNotAwaited:
    """Take back the result of a record, which is a coroutine; returns what is wrong with that."""
    coroutine, record[OUTCOME] = record[OUTCOME], PENDING
    definition: Definition = record[DEFINITION]
    function = None if definition.is_object else definition.function
    return unawaited(coroutine, function, definition.name)


def again(log: Log, record: Record) -> tuple[Log, Step[Any]]:
    """The log, and the step, of a record that has failed, and is to be tried again."""
    for entry in reversed(log):
        if type(entry) is Log and isinstance(entry.record, Step) and entry.record._record is record:
            return entry, entry.record
    raise AssertionError  # pragma: no cover - `failing` has put it there


# -- failure


class Shut(Owner):
    """Stands in the place of its block in the logs of what is undone where it is: what starts in them comes too late.

    That is a failed step, or what has come after a mark.
    """

    ending = stand_in = True
    plain = False

    def __init__(self, block: Owner, why: str) -> None:
        self.block = block
        self.name, self.label, self.report, self.watch = block.name, block.label, block.report, block.watch
        self.loop, self.running, self.awaits, self.direct = block.loop, block.running, block.awaits, block.direct
        self.state = f"{block.state}, but {why}"
        self.clock = block.clock

    @property
    def real(self) -> Owner:
        return self.block


def shut_in(top: Log, shut: Shut) -> None:
    """Let it stand in the place of its block in all logs there, and close the savepoints that are open in them."""
    for log in logs_in(top):
        if log.block is shut.block:
            log.block, log.direct = shut, False
        elif not isinstance(log.block, Shut):
            log.block.shut()


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
    log.block.plain = False
    return own


def failing(
    own: Log, error: BaseException, started: float | None = None, *, waiting: bool = False
) -> Engine[BaseException | None]:
    """The body of the step whose log this is has raised.  Undo what it has done.

    Args:
        own: the log.
        error: what was raised.
        started: when the first attempt began, if anybody knows.
        waiting: it was raised in the wait for the next attempt, and not by the body.

    Returns:
        What is to go on.  If it is None, there is to be another attempt, and only what this one has made has been
        undone.
    """
    if own.record is None:
        return error  # it has been undone without waiting for it, as where a coroutine was closed
    step = own.record = step_of(own.record)
    block: Owner = own.block
    definition: Definition = step._record[DEFINITION]
    step.error = error
    if step._tries is None:
        step._tries = Attempts(definition.retry, started, block.watch)
    tries: Attempts = step._tries
    asked = error if isinstance(error, RetryError) and error.is_asked else None
    if asked is not None:
        tries.result = asked.result
    if isinstance(error, GeneratorExit) and block.awaits:  # nothing can be awaited where a coroutine is being closed
        step._move(StepState.UNKNOWN)
        closed = IllegalOperation(f"undo {step.name}", "its coroutine was closed", "await it to its end")
        block.real.doom([UndoFailure(step, closed)])
        return error
    returned = step._record[OUTCOME] is not PENDING  # it could not be recorded: its effect is there, and its result
    again = not (waiting or returned or block.ending) and tries.another(error)
    clean, interrupt = True, None
    if again:
        if not own and not running_in(block, own):
            return None  # it has made nothing
        clean, interrupt, _ = yield from _undone(own, step, error, whole=False)
        if clean and interrupt is None:
            return None
        if not clean:
            tries.give_up(error, NOT_AGAIN)
    if tries.instead is not None:
        step.error, tries.instead = tries.instead, None
        error = step.error
    if asked is not None:
        asked.attempts = step.attempts
    unknown = definition.timeout is not None and isinstance(error, TimeoutError)
    if not unknown and block.watch is not None:
        unknown = block.watch.left_in(step) is StepState.UNKNOWN
    if not returned:
        step._move(StepState.UNKNOWN if unknown else StepState.FAILED)
        step._record[OUTCOME], tries.result = tries.result, PENDING  # what is there is undone with it
    tell_where_queued(step, error)
    if block.watch is not None:
        interrupt = first_of(interrupt, *(yield from tell(block.watch.over, step, error)))
    if block.undo_at_once:  # otherwise its caller rolls a classic queue back
        kept = None if block.watch is not None else kept_step(step, keep(own))
        all_clean, late, undos = yield from _undone(own, step, error, whole=True)
        interrupt = first_of(interrupt, late)
        if not own and own.record is None:
            entries = [] if kept is None else told([kept], undos, over=True)
            take_out(own, marks_of(entries, left=not (clean and all_clean)))
    if interrupt is not None and not (is_exit(interrupt) and block.real.keep(interrupt)):
        raise interrupt
    return error


def _undone(
    own: Log, step: Step[Any], error: BaseException, *, whole: bool
) -> Engine[tuple[bool, BaseException | None, Undos]]:
    """Undo what the body of a failed step has made, and the step itself, if `whole`.

    Returns:
        Whether nothing is left, what has to be raised now because it would be lost otherwise, and what has become of
        undos that have not succeeded.
    """
    block: Owner = own.block
    if not isinstance(block, Shut):
        shut_in(own, Shut(block, f"the step {step.name}, which has started it, has failed"))
    rollback = rollback_of(block, error)
    rollback.dooms = block.real
    stuck = yield from waited_for(block.real, own, rollback.interrupts)
    if stuck is None:
        yield from rollback.to_its_end(lambda: rollback.unwind(own, whole=whole))
        if rollback.disowned and not block.real.disowned:
            give_up(block, rollback.interrupts[-1])
    if rollback.entry is not None:
        block.real.unsettled += (rollback,)
    late = first_of(stuck, rollback.guard.broken)
    if late is not None and not rollback.problems:  # cut short before anything was undone
        rollback.problems.append(UndoFailure(step, late))
        block.real.doom(rollback.problems)
    rollback.log_left()
    tell_of_step(block.real, error, rollback.left, rollback.problems)
    interrupt = rollback.interrupt()
    rollback.release()
    if not whole:
        own.block, own.direct = block, block.direct and not block.ending
    if rollback.guard.broken is not None:
        raise rollback.guard.broken
    left = any(each is not step for each in rollback.left)  # the step itself is what a policy is asked about
    undos = undos_of(rollback.left, rollback.problems)
    return not (rollback.problems or left or rollback.left_before), interrupt, undos
