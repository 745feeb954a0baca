"""Which faults a step can meet: what its action is, and what earlier runs have shown of it, decide that.

Stands on what runs have recorded.  Used by the sweep.
"""

from __future__ import annotations

from collections.abc import Iterator

from .faults import Fault
from .record import Run
from .steps import StepRecord

__all__ = ["body_faults", "can_be_taken", "more_of", "undo_faults"]


def body_faults(record: StepRecord) -> Iterator[Fault]:
    """The faults of its body, but for those that keep it from being reached."""
    yield from (Fault.AFTER, Fault.INTERRUPT)
    if record.in_loop:
        if record.definition.is_async:
            yield from (Fault.CANCEL_BEFORE, Fault.CANCEL_INSIDE)
        yield Fault.CANCEL_AFTER


def more_of(run: Run, record: StepRecord, twice: Fault, always: Fault) -> Iterator[Fault]:
    """The variants of a fault that differ from it, as its run has shown: another attempt or call came after it."""
    if record.attempts > 1:
        yield twice
    later = run.records[run.records.index(record) + 1 :]
    if record.attempts > 1 or any(each.name == record.name for each in later):
        yield always


def undo_faults(record: StepRecord, *, disturbing: bool) -> Iterator[Fault]:
    """The faults of its undo; `disturbing`: something plays somebody else who changes what it has made."""
    handler = record.definition.handler
    if handler is None:
        return
    yield Fault.UNDO
    if handler.retry is not None:
        yield Fault.UNDO_ONCE
    yield Fault.TWICE
    if disturbing:
        yield Fault.STALE


def can_be_taken(record: StepRecord) -> bool:
    """Whether somebody else can do what it does, and its undo could take that for its own work."""
    definition = record.definition
    return not (definition.handler is None or definition.is_object or record.by_hand)
