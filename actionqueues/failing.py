"""What is done when the body of a step has raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .engine import Rollback
from .owner import Owner
from .report import UndoFailure
from .requests import Failing, Undo, Unwinding
from .states import StepState
from .step import Step

__all__ = ["failing"]


def failing(
    owner: Owner,
    step: Step[Any],
    error: BaseException,
    unwind: Callable[[Rollback, bool], Unwinding],
    *,
    made: bool,
    waiting: bool,
) -> Failing:
    """The body of a step has raised.  Undo what it has done.

    Args:
        owner: whose step it is.
        step: the step.
        error: what was raised.
        unwind: undoes the steps that its body has made, and the step as well if its second argument is true.
        made: whether its body has made steps.
        waiting: it was raised in the wait for the next attempt, and not by the body.

    Returns:
        Whether the exception is to go on.  Otherwise there is to be another attempt, and only the steps that this one
        has made have been undone.
    """
    step.error = error
    assert step.tries is not None  # noqa: S101 - the caller knows when it was started
    again = not waiting and not owner.ending and step.tries.another(error)
    if again and (not made or (yield from _undoing(owner, step, error, lambda rollback: unwind(rollback, False)))):
        return False
    timed_out = step.definition.timeout is not None and isinstance(error, TimeoutError)
    step.move(StepState.UNKNOWN if timed_out else StepState.FAILED)
    if owner.undo_at_once and not owner.ending:
        yield from _undoing(owner, step, error, lambda rollback: unwind(rollback, True))
    return True


def _undoing(owner: Owner, step: Step[Any], error: BaseException, unwind: Callable[[Rollback], Unwinding]) -> Failing:
    rollback = Rollback(owner.report)
    yield Undo(rollback, lambda: unwind(rollback))
    try:
        rollback.settle()
    except BaseException as no_room:  # pragma: no cover - the last few frames of the stack, which a tracer takes
        rollback.interrupts.append(no_room)
    if rollback.guard.broken is not None and not rollback.problems:  # cut short before anything was undone
        owner.doom([UndoFailure(step, rollback.guard.broken)])
    elif rollback.problems or rollback.cut is not None:
        rollback.note_on(error)
        owner.doom(rollback.problems)
    interrupt = rollback.interrupt()
    again = type(interrupt) is type(error) and not isinstance(error, KeyboardInterrupt | SystemExit)
    broken = rollback.guard.broken is not None
    if interrupt is not None and not again and (broken or not owner.outermost.hand_up(interrupt)):
        raise interrupt  # but if it was cancelled again, the first cancellation goes on
    return not rollback.problems
