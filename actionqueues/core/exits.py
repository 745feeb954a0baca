"""What the generated frames of steps call for what is rare (`EXITS`), in two ways side by side, sync and async.

Stands on the drivers.  Used by `@action`, blocks and the queue.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from itertools import repeat
from operator import is_
from typing import Any, Final

from actionqueues.errors import AsyncActionInSyncBlock, TransactionClosed

from .calls import Outcome, adopt, again, attempts, failing, not_awaited, running
from .drivers import drive, drive_async
from .log import Log, Owner, current, place_of
from .states import StepState
from .step import DEFINITION, OUTCOME, PENDING, Record, Step
from .tasks import in_scope, running_task
from .waiting import settled


def value_of(outcome: Outcome) -> Any:
    """The result of a step; what it has raised is raised as it is, with the context that it has."""
    error = outcome.error
    if error is None:
        return outcome.result
    context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context
        del error, outcome


def failed(log: Log, record: Record, error: BaseException, started: float | None = None) -> bool:
    """The body of a step has raised; returns whether that is to go on."""
    place = place_of(log, record)
    if record[OUTCOME] is not PENDING or place is None:
        return True  # interrupted before the step was started, or after it had succeeded
    try:
        return _goes_on(drive(failing(adopt(log, place), error, started)), error)
    finally:
        del log, record, error  # as in `run`


def _goes_on(late: BaseException | None, error: BaseException) -> bool:
    """Whether what a body has raised is to go on; if something else is, raise that."""
    try:
        if late is not None and late is not error:
            value_of(Outcome(None, late))
        return late is not None
    finally:
        del late, error


def again_here(log: Log, record: Record) -> Any:
    """Make the further attempts of a step whose policy wants them."""
    return value_of(drive(attempts(*again(log, record))))


def run(log: Log, step: Step[Any]) -> Any:
    """Run a step the long way."""
    # In a greenlet, as in the `run_sync` of SQLAlchemy, other tasks go on while a sync step runs.
    task = running_task() if log.block.awaits else None
    try:
        return value_of(drive(running(log, step, task)))
    finally:
        del log, step  # which hold what was raised, whose traceback has this frame in it


def _elsewhere(log: Log, record: Record) -> Any:
    """Run a step that the frame could not record."""
    if log.block.forget():
        return record[DEFINITION].call_again(record)
    return run(log, Step(record, StepState.QUEUED))


async def _failed_async(own: Log, error: BaseException, started: float | None = None) -> bool:
    """The body of an async step has raised; returns whether that is to go on."""
    if own.record is None:
        return True  # its block has been undone without waiting for it, in a coroutine that was closed
    record = settled(own)._record
    started_here = own in own.block.running and any(map(is_, reversed(own.up or ()), repeat(own)))
    if record[OUTCOME] is not PENDING or not started_here:
        return True  # pragma: no cover - interrupted before the step was started, or after it had succeeded
    try:
        return _goes_on(await drive_async(failing(own, error, started)), error)
    finally:
        del own, record, error  # as in `run`


async def _again_async(own: Log) -> Any:
    """Make the further attempts of an async step whose policy wants them."""
    return value_of(await drive_async(attempts(own, settled(own))))


async def run_async(log: Log, step: Step[Any]) -> Any:
    """Run a step of an async block the long way."""
    block: Owner = log.block
    block.check_loop(step.name)

    def cancelled() -> TransactionClosed:
        return TransactionClosed(step.name, block.label, block.state, cancelled=True)

    async def made(task: object) -> Any:
        return value_of(await drive_async(running(log, step, task)))

    return await in_scope(made, cancelled)


def _otherwise(log: Log, record: Record) -> Coroutine[Any, Any, Any]:
    """Call an async action where it takes more than to await its step."""
    definition = record[DEFINITION]
    if log.block.forget():
        again: Coroutine[Any, Any, Any] = definition.call_again(record)
        return again
    if not log.block.awaits:
        raise AsyncActionInSyncBlock(definition.name, log.block.label)
    block = log.block.real
    if block.unawaited is None:
        block.unawaited = {}
    block.unawaited[id(record)] = record
    step: Any = _otherwise_async(log, record)
    step.__qualname__ = definition.frame.__qualname__  # what Python calls it if it is never awaited
    return step  # type: ignore[no-any-return] # a coroutine, whose name mypy does not let be set


async def _otherwise_async(log: Log, record: Record) -> Any:
    unawaited = log.block.real.unawaited
    if unawaited:
        unawaited.pop(id(record), None)
    return await run_async(log, Step(record, StepState.QUEUED))


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
    "run_async": _otherwise_async,
}
