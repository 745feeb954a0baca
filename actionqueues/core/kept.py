"""What a rollback keeps of the steps that it undoes, though nobody has watched: the same tree, without its logs.

It is kept as it stands in the log, with little of the arguments, and becomes `StepReport`s once somebody asks: a
rollback does not pay for that.  What was undone earlier has become one, which is a mark in the log.

Stands on logs and entries.  Used by blocks, by steps that fail, and by reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias
from weakref import ref

from .entries import StepReport, are_plain, args_of, frozen, frozen_record
from .log import LEFT, Log
from .states import StepState
from .step import DEFINITION, OUTCOME, PENDING, Record, Step
from .text import shown

__all__ = [
    "Undos",
    "cause_of",
    "keep",
    "kept_step",
    "marks_of",
    "numbered",
    "past_of",
    "reason_of",
    "standing_in",
    "text_of",
    "told",
    "told_of",
    "undos_of",
]


#: By the `id` of a record: what has become of its undo, what that has raised, as text, and why it was left.
Undos: TypeAlias = dict[int, tuple[str, str | None, str | None]]


class Kept:
    """A step or savepoint, as it is kept: by what it was called with, not by what it raised, whose frames hold all.

    Attributes:
        record: of a step, frozen.
        name: of a savepoint.
        state: what became of its body, or of the savepoint.
        attempts: how often the body was started.
        error: what is kept of what it raised.
        key: its idempotency key, if somebody has asked for it.
        contains: what is in it, likewise.
    """

    __slots__ = ("attempts", "contains", "error", "key", "name", "record", "state")

    def __init__(self, state: str, contains: list[Any]) -> None:
        self.state, self.contains = state, contains
        self.record: Record | None = None
        self.name, self.attempts = "", 1
        self.error: Cause | None = None
        self.key: str | None = None


class Past:
    """What is told of all that was undone on the way to a mark, in one: who goes back further passes it on as it is.

    Attributes:
        entries: `StepReport`s, and others of these.
    """

    __slots__ = ("entries",)

    def __init__(self, entries: list[StepReport | Past]) -> None:
        self.entries = entries


_PLAIN_REPR = BaseException.__repr__


#: What is kept of an error.
Cause: TypeAlias = tuple[type[BaseException], tuple[Any, ...]] | str


def cause_of(error: BaseException) -> Cause:
    """What is kept of an error: its text, if its class has a `repr` of its own, or what that is cheaply made of later.

    Of an argument that is no text no `repr` is called, as of those of steps.
    """
    cls, args = type(error), args_of(error)
    if cls.__repr__ is not _PLAIN_REPR:
        return shown(error)
    for each in args:
        if type(each) is not str:
            return cls, tuple([each if type(each) is str else frozen(each) for each in args])
    return cls, args


def text_of(error: BaseException | Cause) -> str:
    """The text of an error, or of what `cause_of` has kept of it."""
    cause = cause_of(error) if isinstance(error, BaseException) else error
    return cause if isinstance(cause, str) else shown(*cause)


def kept_step(step: Step[Any], contains: list[Any]) -> Kept:
    """A step, as it is now."""
    made = Kept(str(step.state), contains)
    made.record, made.attempts, made.key = frozen_record(step._record), step.attempts, step._key
    made.error = None if step.error is None else cause_of(step.error)
    return made


def keep(log: Log) -> list[Any]:
    """What stands in a log, and in those in it: frozen records, `Kept`s, and tuples of records as they are."""
    entries = _entries(log)
    if are_plain(entries):
        return [entries]
    made: list[Any] = []
    stack: list[tuple[Log, Iterator[Any], list[Any]]] = [(log, iter(entries), made)]
    while stack:  # a tree may be deeper than the stack of calls
        log, rest, kept = stack[-1]
        entry = next(rest, None)
        if entry is None:
            stack.pop()
        elif type(entry) is list:
            kept.append(frozen_record(entry) if entry[OUTCOME] is not PENDING else _kept_record(entry, []))
        elif type(entry) is Log:
            # What another thread has made is made by the block.
            around = kept if entry.record is None and entry.block.real is log.block.real else _contained(entry, kept)
            entries = _entries(entry)
            if are_plain(entries):
                around.append(entries)
            else:
                stack.append((entry, iter(entries), around))
        elif type(entry) is Step:
            kept.append(kept_step(entry, []))
        elif type(entry[0]) in (StepReport, Past):
            kept.append(entry[0])
        elif isinstance(entry[0], Step) and entry[0].state is StepState.QUEUED:
            kept.append(kept_step(entry[0], []))
    return made


def standing_in(owner: Any, how: Callable[[Any], list[Any]] = lambda block: keep(block.log)) -> Callable[[], list[Any]]:
    """Keeps what stands in a block or queue, once somebody asks, and does not hold that."""
    here = ref(owner)
    return lambda: [] if (found := here()) is None else how(found)


def _entries(log: Log) -> tuple[Any, ...]:
    """What stands in a log; in the place of that of an async step that has made nothing, its record."""
    if not log.block.awaits:
        return tuple(log)
    return tuple([e.record if type(e) is Log and not e and type(e.record) is list else e for e in tuple(log)])


def _contained(log: Log, kept: list[Any]) -> list[Any]:
    """Keep the step or the savepoint whose log this is; returns where what it contains goes."""
    contains: list[Any] = []
    if isinstance(log.record, Step):
        made = kept_step(log.record, contains)
    elif log.record is not None:
        made = _kept_record(log.record, contains)
    else:
        made = Kept(str(log.block.real.state), contains)
        made.name = log.block.real.name
    kept.append(made)
    return contains


def _kept_record(record: Record, contains: list[Any]) -> Kept:
    """A step that nobody has asked for, as it is now."""
    made = Kept("running" if record[OUTCOME] is PENDING else "done", contains)
    made.record = frozen_record(record)
    return made


def reason_of(step: Step[Any]) -> str:
    """Why nothing undoes a step that was left."""
    definition = step._record[DEFINITION]
    if step.state is StepState.SKIPPED:
        return f"{definition.handler_of(step._record).name} needs its result, which it does not have"
    return "irreversible" if definition.irreversible else "no rollback handler"


def undos_of(
    left: Iterable[Step[Any]],
    failures: Iterable[tuple[Step[Any], BaseException]],
    abandoned: Iterable[Step[Any]] = (),
    reason: str | None = None,
) -> Undos:
    """What has become of undos that have not succeeded, for `told`."""
    undos: Undos = {id(step._record): (str(step.state), None, reason_of(step)) for step in left}
    undos.update((id(step._record), ("abandoned", None, reason)) for step in abandoned)
    undos.update((id(step._record), (str(step.state), text_of(error), None)) for step, error in failures)
    return undos


def told(kept: Iterable[Any], undos: Undos, *, over: bool) -> list[StepReport]:
    """What is told of what was kept.

    Args:
        kept: that, as `keep` has returned it.
        undos: what has become of undos that have not succeeded.
        over: whether it has been rolled back, so that all others are undone, and what is queued will never start.
    """
    made: list[StepReport] = []
    stack: list[tuple[Any, StepReport | None]] = [(each, None) for each in reversed(list(kept))]
    while stack:
        each, parent = stack.pop()
        if type(each) is tuple:
            stack += [(frozen_record(record), parent) for record in reversed(each)]
            continue
        if type(each) is Past:
            stack += [(earlier, parent) for earlier in reversed(each.entries)]
            continue
        if type(each) is StepReport:
            entry = each  # that of something that was undone before
        else:
            entry = _told(each, undos, over=over)
            stack += [(inner, entry) for inner in reversed(each.contains if type(each) is Kept else ())]
        entry.parent = parent
        (made if parent is None else parent.contains).append(entry)
    return made


def past_of(kept: Iterable[Any], undos: Undos, back: int) -> list[StepReport | Past]:
    """What is told of what was undone on the way to a mark, the `back`-th time, in one at most."""
    made: list[StepReport | Past] = []
    for each in kept:
        if type(each) is Past:
            made.append(each)
            continue
        for entry in told([each], undos, over=True):
            entry.went_back = entry.went_back or back
            made.append(entry)
    return [Past(made)] if len(made) > 1 else made


#: What becomes of the state of what has not ended, or begun, once all has been rolled back.
_OVER: Final = {"queued": "dropped", "running": "unknown", "open": "rolled back"}


def _told(kept: Any, undos: Undos, *, over: bool) -> StepReport:
    made: Kept | None = kept if type(kept) is Kept else None
    state = "done" if made is None else _OVER.get(made.state, made.state) if over else made.state
    record: Any = kept if made is None else made.record
    if record is None:
        return StepReport("savepoint", kept.name, state)
    entry = told_of(record, state)
    if not record[DEFINITION].read_only and state not in ("queued", "dropped"):
        undone = ("undone" if over else None, None, None)
        entry.undo, entry.undo_error, entry.reason = undos.get(record[OUTCOME], undone)
    if type(kept) is Kept:
        entry.attempts, entry.key = kept.attempts, kept.key
        entry.error = None if kept.error is None else text_of(kept.error)
    return entry


def marks_of(kept: Iterable[StepReport | Past], *, left: bool) -> list[tuple[Any]]:
    """What stands in a log in the place of what has been undone, of which something may have been left."""
    return [*([LEFT] if left else []), *((entry,) for entry in kept)]


def numbered(steps: list[StepReport]) -> list[StepReport]:
    """The same, with what was started numbered, and in front of what was not."""
    steps.sort(key=_waits)
    number, stack = 0, steps[::-1]
    while stack:
        entry = stack.pop()
        entry.contains.sort(key=_waits)
        stack += reversed(entry.contains)
        if not _waits(entry):
            number += 1
            entry.number = number
    return steps


def _waits(entry: StepReport) -> bool:
    return entry.state in ("queued", "dropped")


def told_of(record: Record, state: str) -> StepReport:
    """What is told of the step of a frozen record, without what became of its undo."""
    definition = record[DEFINITION]
    by_hand = definition.handler is not None and definition.frame is None and not definition.is_object
    entry = StepReport("by hand" if by_hand else "step", definition.name, state, record)
    entry.attempts = 1
    return entry
