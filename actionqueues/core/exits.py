"""What the generated frames of steps call for what is rare (`EXITS`), in two ways side by side, sync and async.

Stands on the drivers.  Used by `@action`, blocks and the queue.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from itertools import repeat
from operator import is_
from typing import Any, Final, cast

from actionqueues.errors import AsyncActionInSyncBlock, TransactionClosed

from .calls import adopt, again, attempts, failing, not_awaited, running
from .definition import Definition
from .drivers import drive, drive_async
from .log import Log, Owner, current, place_of
from .states import StepState, TransactionState
from .step import DEFINITION, OUTCOME, PENDING, Record, Step, step_of
from .tasks import in_scope, running_task
from .tracebacks import giving, shorten, throw


def failed(log: Log, record: Record, error: BaseException, started: float | None = None) -> bool:
    """The body of a step has raised; returns whether that is to go on."""
    place = place_of(log, record)
    if record[OUTCOME] is not PENDING or place is None:
        return True  # interrupted before the step was started, or after it had succeeded
    shorten(error)
    late: BaseException | None = None
    try:
        late = drive(failing(adopt(log, place), error, started))
        return late is error or (late is not None and throw(late))
    finally:
        del log, record, error, late  # as in `run`


def again_here(log: Log, record: Record) -> Callable[[], Any]:
    """Make the further attempts of a step whose policy wants them."""
    return giving(*drive(attempts(*again(log, record))))


def run(log: Log, step: Step[Any]) -> Callable[[], Any]:
    """Run a step the long way."""
    # In a greenlet, as in the `run_sync` of SQLAlchemy, other tasks go on while a sync step runs.
    task = running_task() if log.block.awaits else None
    if log.block.watch is not None:
        log.block.watch.calling_here(step)
    try:
        return giving(*drive(running(log, step, task)))
    finally:
        del log, step  # which hold what was raised, whose traceback has this frame in it


def _elsewhere(log: Log, record: Record) -> Callable[[], Any]:
    """Run a step that the frame could not record."""
    if log.block.forget():
        return cast("Definition", record[DEFINITION]).call_again(record)
    return run(log, Step(record, StepState.QUEUED))


async def _failed_async(own: Log, error: BaseException, started: float | None = None) -> bool:
    """The body of an async step has raised; returns whether that is to go on."""
    if own.record is None:
        return True  # its block has been undone without waiting for it, in a coroutine that was closed
    record = step_of(own.record)._record
    started_here = own in own.block.running and any(map(is_, reversed(own.up or ()), repeat(own)))
    if record[OUTCOME] is not PENDING or not started_here:
        return True  # pragma: no cover - interrupted before the step was started, or after it had succeeded
    shorten(error)
    late: BaseException | None = None
    try:
        late = await drive_async(failing(own, error, started))
        return late is error or (late is not None and throw(late))
    finally:
        del own, record, error, late  # as in `run`


async def _again_async(own: Log) -> Callable[[], Any]:
    """Make the further attempts of an async step whose policy wants them."""
    return giving(*await drive_async(attempts(own, step_of(own.record))))


async def _run_async(log: Log, record: Record) -> Callable[[], Any]:
    """Run a step of an async block the long way."""
    unawaited = log.block.real.unawaited
    if unawaited:
        unawaited.pop(id(record), None)
    try:
        return giving(await _in_scope(log, Step(record, StepState.QUEUED)), None)
    except BaseException as error:
        return giving(None, error)


async def _in_scope(log: Log, step: Step[Any]) -> Any:
    block: Owner = log.block
    block.check_loop(step.name)

    def cancelled() -> TransactionClosed:
        state = log.block.state
        how = "going back to a mark" if state == TransactionState.OPEN else state
        return TransactionClosed(step.name, block.label, how, cancelled=True)

    async def made(task: object) -> Any:
        return giving(*await drive_async(running(log, step, task)))()

    return await in_scope(made, cancelled)


def _otherwise(log: Log, record: Record) -> Coroutine[Any, Any, Any] | None:
    """Look whether an async action may be called where it takes more than to await its step.

    Returns None if it may, and what to await instead, where the block around it has been left in another context.
    """
    definition: Definition = record[DEFINITION]
    if log.block.forget():
        return cast("Coroutine[Any, Any, Any]", definition.call_again(record)())
    if not log.block.awaits:
        raise AsyncActionInSyncBlock(definition.name, log.block.label)
    block = log.block.real
    if block.unawaited is None:
        block.unawaited = {}
    block.unawaited[id(record)] = record
    return None


def _give_back(own: Log) -> None:
    """Let what is around a step be current again, if the step still is."""
    if current.get() is own:
        current.set(own.up)


#: What the generated frames call, by the names that they have there.
EXITS: Final[dict[str, Callable[..., Any]]] = {
    "again": again_here,
    "again_async": _again_async,
    "elsewhere": _elsewhere,
    "failed": failed,
    "failed_async": _failed_async,
    "give_back": _give_back,
    "not_awaited": not_awaited,
    "otherwise": _otherwise,
    "run_async": _run_async,
}
