"""What is told without being asked for: in notes on the exception that goes on, in the log, to who comes too late.

An exception that goes from a step through savepoints out of the block is told of more and more.  What it has been told
on the way is then said again as a part of the whole, in one place: never twice, and in ten notes at most.

Stands on steps and reports.  Used by what ends or fails: steps, blocks, the classic queue, recovery.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from actionqueues.errors import RollbackConflict, TransactionClosed, TransactionDoomed
from actionqueues.report import Report, UndoFailure

from .attempts import Attempts
from .kept import reason_of, text_of
from .log import Owner
from .states import TransactionState
from .step import DEFINITION, Step
from .text import MOST, add_note, counted, listed, log_info, log_wanted, log_warning, one_line, remove_notes, shown

#: Why something is not tried again that a policy wants to be; what was left is named by other notes.
NOT_AGAIN: Final = "not tried again, because something that it had made was left behind"


def fields(report: Report, step: Step[Any] | None = None, attempt: int | None = None) -> dict[str, Any]:
    """What a record of the log knows of a step, or of a transaction alone."""
    known: dict[str, Any] = {"transaction": report.name, "transaction_id": report.id}
    if step is None:
        return {**known, "state": str(report.state)}
    return {**known, "step": step.name, "key": step.key, "attempt": attempt, "state": str(step.state)}


def log_left(report: Report, steps: Sequence[Step[Any]]) -> None:
    """Log what had to be left, but for failures, which are logged one by one."""
    if steps:
        known = fields(report, steps[0], steps[0].attempts) if len(steps) == 1 else fields(report)
        log_warning(f"{report.name}: {_left(steps)}", event_name="step_left", **known)


def log_rolled_back(report: Report) -> None:
    """Log how a rollback has ended, in one line; what was left is named by its own records."""
    if log_wanted():
        since = None if report.started is None or report.ended is None else report.ended - report.started
        because = "" if report.error is None else f", because of {report.error}"
        known = {**fields(report), "duration": since}
        undone, left = counted(len(report.undone)), counted(len(report.left))
        told = report.summary if report.clean else f"{report.name} {report.state}: {undone} undone, {left} left"
        event = "transaction_stuck" if report.failed else "transaction_rolled_back"
        log_info(one_line(f"{told}{because}"), event_name=event, **known)


def log_retry(report: Report, step: Step[Any], what: str, attempts: Attempts, error: Any) -> None:
    """Log that a body, or its undo, is about to be tried again."""
    if log_wanted():
        number = attempts.made + 1
        when = f"in {attempts.wait:.3g} s, for attempt {number}, after {text_of(error)}"
        told = f"{report.name}: {what} is tried again {when}"
        log_info(one_line(told), event_name="step_retried", **fields(report, step, number))


def cut_short(report: Report, abandoned: Sequence[Step[Any]]) -> str:
    """What is told of steps whose undo was never started."""
    return f"the rollback was cut short {report._cut_short}; not undone: {listed(abandoned, _name)}"


def tell_of_step(
    owner: Owner, error: BaseException, left: Sequence[Step[Any]], failures: Sequence[UndoFailure]
) -> None:
    """Tell, on the exception of a step that has been undone where it failed, of what could not be undone just then."""
    _tell(owner, error, _notes(left, failures))


def tell_of_all(owner: Owner, error: BaseException) -> None:
    """Tell, on the exception that leaves a block, of all that could not be undone in it, whenever that was tried."""
    report: Report = owner.report
    failures = [*report.failures, *report.conflicts]
    if isinstance(error, TransactionDoomed):  # which names them itself
        named = set(map(id, error.failures))
        failures = [failure for failure in failures if id(failure.error) not in named]
    notes = _notes([*report.not_undone, *report.skipped], failures, more=bool(report.abandoned))
    if report.abandoned:
        notes.append(cut_short(report, report.abandoned))
    remove_notes(error, owner.root.noted or ())
    _tell(owner, error, notes)


def tell_left(owner: Owner, error: BaseException, left: Sequence[Step[Any]]) -> BaseException:
    """Tell, on an exception that names what has failed itself, of what nothing undoes; returns that exception."""
    _tell(owner, error, _notes(left, ()))
    return error


def _tell(owner: Owner, error: BaseException, notes: list[str]) -> None:
    noted = owner.root.noted = owner.root.noted or set()
    for note in notes:
        add_note(error, note)
    noted.update(notes)


def _notes(left: Sequence[Step[Any]], failures: Sequence[UndoFailure], *, more: bool = False) -> list[str]:
    """One line for what is left, and one for each failure; `more`: another line is to come."""
    room = MOST - bool(left) - more
    told = [failed(failure) for failure in failures[:room]]
    if len(failures) > room:
        told[-1] += f" … and {counted(len(failures) - room)} more, see q.report"
    return [_left(left), *told] if left else told


def tell_where_queued(step: Step[Any], error: BaseException) -> BaseException:
    """Tell, on what a queued step has raised or what refuses it, where it was queued; returns that error."""
    if step._queued is not None and isinstance(error, Exception):
        code, offset = step._queued
        line = next((line for start, end, line in code.co_lines() if start <= offset < end), None)
        add_note(error, f"{step.name} was queued at {code.co_filename}:{line}", once=True)
    return error


def too_late(what: str, block: Any) -> TransactionClosed:
    """What is raised for a step that a block refuses: its state alone does not tell who has ended it, and how."""
    rollback, parent, is_open = block.rollback, block.parent, block.state == TransactionState.OPEN
    closed = TransactionClosed(what, block.label, "ending" if is_open else block.state)
    if block.disowned:
        closed.how, closed.advice = block.disowned, "open another one here"
    elif block.state == TransactionState.RELEASED:
        closed.how = f"has been left, and its steps belong to {parent.label}"
    elif rollback is not None and not is_open:
        if parent is not None and _main(parent.rollback) is _main(rollback):
            closed.how = f"was undone with {parent.label}"
        if rollback.by_hand:
            closed.how = f"{closed.how or 'was rolled back'} by q.rollback()"
            closed.advice = "call it before that, or in a transaction of its own"
    return closed


def _main(rollback: Any) -> Any:
    return rollback if rollback is None else rollback.main or rollback


def tell_unawaited(block: Any) -> None:
    """Report the async steps that were called, and are not going to be awaited in time."""
    calls, block.unawaited = block.unawaited or {}, None
    if calls:
        block.report.never_awaited.extend(record[DEFINITION].name for record in calls.values())


def left_something(report: Report, rollback: Any) -> bool:
    """Whether a rollback, or that of something inside, had to leave anything: then that is not to be made again."""
    return not report.clean or (rollback is not None and rollback.left_before)


def failed(failure: UndoFailure) -> str:
    """What has become of an undo that was tried."""
    what = "met a conflict" if isinstance(failure.error, RollbackConflict) else "failed"
    return f"the undo of {failure.step.name} {what}: {shown(failure.error)}"


def _left(steps: Sequence[Step[Any]]) -> str:
    return f"not undone: {listed(steps, lambda step: f'{step.name} ({reason_of(step)})')}"


def _name(step: Step[Any]) -> str:
    return step.name
