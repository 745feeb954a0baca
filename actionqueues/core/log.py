"""`Log`: a list of what was started, in order of start; and where the running code stands in the tree of logs.

An entry of a log is a record (see `step.py`), the `Step` that somebody has asked for of one, another log, or a mark: a
tuple that holds what is to be dropped if the walk of an undo meets it, a commit hook or a queued step.

Undo goes backwards, and what an entry contains goes with it, first.  A block has a log, and so has a savepoint, which
stands in the log around it where it was entered; a thread that comes in, where it came in; a step in an async block,
for what its body calls in whatever task or thread; and a step that has failed, for what its body has made.

Nothing is searched for: who runs where is in the context (`current`) and in the log.

Stands on steps.  Used by everything that records, or undoes.
"""

from __future__ import annotations

from _thread import get_ident
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Protocol

from .step import OUTCOME, PENDING, Record, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actionqueues.report import UndoFailure

    from .watch import Watch

__all__ = [
    "Log",
    "Owner",
    "Undoing",
    "changed",
    "current",
    "get_current",
    "inside",
    "logs_in",
    "new_log",
    "place_for_another_thread",
    "place_of",
    "running_record",
    "set_current",
    "take_out",
    "undoing",
]


class Owner(Protocol):
    """Whose log it is: a block, a classic queue, or what stands in the place of its block once a step has failed.

    Attributes:
        name: what it is called in reports.
        quick: whether async steps need only be awaited: in asyncio, while it is open and nobody watches it.
        loop: the event loop that it was entered in, or None.
        running: the logs of what is running in it: async steps, savepoints, and whatever runs in other threads.
        waiters: what waits for one of these to end.
        awaits: whether async steps can be run in it.
        ending: whether everything in it is about to be undone, so that there are no further attempts.
        unsure: whether a step in it has raised, and an interrupt may have kept it from being undone.
        plain: whether nothing is in it but records of finished steps, so that its end is no more than that.
        direct: whether its logs may be written by the short way.
        is_shut: whether it stands in the place of a block because a step has failed.
        undo_at_once: whether a step that raises is undone before its exception goes on.
        watch: what has to know of each step, or None.
    """

    name: str
    quick: bool
    loop: object
    running: set[Log]
    waiters: tuple[Any, ...]
    awaits: bool
    ending: bool
    plain: bool
    unsure: bool
    direct: bool
    is_shut: bool
    undo_at_once: bool
    watch: Watch | None

    @property
    def label(self) -> str:
        """What messages call it."""
        ...

    @property
    def state(self) -> str:
        """How far it has come."""
        ...

    @property
    def report(self) -> Any:
        """Where outcomes go, a `Report`."""
        ...

    def wake(self) -> None:
        """Something that was running has ended: let those that wait for it look."""
        ...

    def refuse(self, log: Log, what: str) -> BaseException | None:
        """What is raised for a step that is started in this log, if that comes too late or from the wrong place."""
        ...

    def check_loop(self, what: str) -> None:
        """Refuse what would run in another event loop than it was entered in."""
        ...

    def forget(self) -> bool:
        """Be current here no longer, if it has been left in another context than it was entered in, this one."""
        ...

    def keep(self, interrupt: BaseException) -> bool:
        """Keep what has interrupted the undo of a step for the end; returns whether that is possible."""
        ...

    def doom(self, problems: list[UndoFailure]) -> None:
        """Undos have failed in a transaction that goes on: it must not commit any more."""
        ...


class Log(list[Any]):
    """A list of what was started.

    Attributes:
        up: the log in which it stands, or None.
        block: whose it is.
        record: of the log of a step, its record or `Step`; None once that has been undone, and for all others.
        thread: the thread that writes it.
        direct: whether a call in that thread may put its record here at once.
        task: what is cancelled if this is running while its block fails, or None.
        asked: once somebody has asked which step is running: the places of those that were found, the innermost last,
            each with the place up to which no other one is.
    """

    __slots__ = ("asked", "block", "direct", "record", "task", "thread", "up")
    __hash__ = object.__hash__  # type: ignore[assignment] # pyright: ignore[reportAssignmentType] - two logs are never equal
    __eq__ = object.__eq__

    up: Log | None
    asked: list[tuple[int, int]]  # not set before
    block: Any
    record: Any
    thread: int
    direct: bool
    task: Any


class Undoing(Protocol):
    """A rollback, while it calls handlers."""

    cause: BaseException | None

    @property
    def step(self) -> Step[Any] | None:
        """The step that is being undone."""
        ...


#: The log that a call belongs to, in this context, or None outside any block.
current: ContextVar[Log | None] = ContextVar("actionqueues.current", default=None)
get_current: Final = current.get
set_current: Final = current.set

#: The rollback that is calling a handler in this context, or None.
undoing: ContextVar[Undoing | None] = ContextVar("actionqueues.undoing", default=None)


def new_log(
    up: Log | None, block: Owner, thread: int, *, direct: bool, record: Record | Step[Any] | None = None
) -> Log:
    """A log that nothing has been started in."""
    log = Log()
    log.up = up
    log.block = block
    log.record = record
    log.thread = thread
    log.direct = direct
    log.task = None
    return log


def inside(log: Log | None, outer: Log) -> bool:
    """Whether a log is `outer`, or stands in it, however deep."""
    while log is not None and log is not outer:
        log = log.up
    return log is outer


def logs_in(top: Log) -> Iterator[Log]:
    """All logs that stand in this one, however deep, and itself."""
    logs = [top]
    while logs:
        log = logs.pop()
        yield log
        logs += [entry for entry in log if type(entry) is Log]


def place_of(log: Log, record: Record) -> int | None:
    """Where a record, or its `Step`, stands in a log, looked for from its end."""
    for place in range(len(log) - 1, -1, -1):
        entry = log[place]
        if entry is record or (type(entry) is Step and entry._record is record):
            return place
    return None


def take_out(log: Log) -> None:
    """Take a log out of the one that it stands in, if it does; only the thread of that deletes from it."""
    up = log.up
    if up is None or up.thread != get_ident():
        return
    for place in range(len(up) - 1, -1, -1):
        if up[place] is log:
            del up[place]
            changed(up, place)
            return


def changed(log: Log, place: int) -> None:
    """What stands in a log from this place on is not what was there before."""
    asked = getattr(log, "asked", None)
    while asked and asked[-1][1] > place:
        found, _ = asked.pop()
        if found < place:
            asked.append((found, place))


def place_for_another_thread(log: Log) -> Log:
    """Where what another thread starts belongs: in a sync block to that block, not to the step whose log this is."""
    if log.block.direct and log.thread != get_ident():
        while log.up is not None and (log.record is not None or log.block.is_shut):
            log = log.up
    return log


def running_record(log: Log) -> int | None:
    """The place of the innermost record in a log whose body is running, if one is.

    What is found is noted, so that a step that asks again does not look through all that it has made in between.
    """
    asked: list[tuple[int, int]] | None = getattr(log, "asked", None)
    if asked is None:
        asked = log.asked = []
    size = end = len(log)
    while True:
        found, seen = asked[-1] if asked else (-1, 0)
        for place in range(end - 1, seen - 1, -1):
            if _is_running(log[place]):
                asked.append((place, size))
                return place
        if not asked:
            return None
        asked.pop()
        if _is_running(log[found]):
            asked.append((found, size))
            return found
        end = found


def _is_running(entry: Any) -> bool:
    if type(entry) is list:
        return entry[OUTCOME] is PENDING
    return type(entry) is Step and entry._record[OUTCOME] is PENDING and entry.state == "running"
