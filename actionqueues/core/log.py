"""`Log`: a list of what was started, in order of start; and where the running code stands in the tree of logs.

An entry of a log is a record (see `step.py`), the `Step` that somebody has asked for of one, another log, or a mark: a
tuple that holds what is to be dropped if the walk of an undo meets it, a commit hook, a queued step or a `Mark`, or
what is kept of something that has been undone already.

Undo goes backwards, and what an entry contains goes with it, first.  A block has a log, and so has a savepoint, which
stands in the log around it where it was entered; a thread that comes in, where it came in; a step in an async block,
for what its body calls in whatever task or thread; and a step that has failed, for what its body has made.

Nothing is searched for: who runs where is in the context (`current`) and in the log.

Stands on steps.  Used by everything that records, or undoes.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from itertools import chain
from typing import Any, Final, Protocol

from actionqueues.errors import TransactionClosed

from .step import OUTCOME, PENDING, Record, Step
from .tasks import moving_loop
from .watch import Watch


class Owner:
    """Whose log it is: a block, a classic queue, or what stands in the place of its block once a step has failed.

    Attributes:
        name: what it is called in reports.
        label: what messages call it.
        state: how far it has come.
        report: where outcomes go, a `Report`.
        running: the logs of what is running in it, in order of start: async steps, savepoints, and whatever runs in
            other threads.
        loop, task: the event loop that it was entered in, and the task, or None.
        quick: whether async steps need only be awaited: in asyncio, while it is open and nobody watches it.
        awaits: whether async steps can be run in it.
        ending: whether everything in it is about to be undone, so that there are no further attempts.
        unsure: whether a step in it has raised, and an interrupt may have kept it from being undone.
        plain: whether nothing is in it but records of finished steps, so that its end is no more than that.
        direct: whether its logs may be written by the short way.
        undo_at_once: whether a step that raises is undone before its exception goes on.
        left: whether it has ended, and its ``with`` has been left.
        surrounding: the log that was current when it was entered.
        watch: what has to know of each step, or None.
        waiters: what waits for one of those that are running to end.
        unsettled: the rollbacks of its steps that had no room to account for the undo that this has cut short.
        stand_in: whether it stands in the place of its block, where a step has failed or a mark was gone back to.
        backs: how often it was gone back to a mark in it.
        disowned: why nothing of it is undone here, as messages say it: see `giving_up.py`; or "".
        gone: what has interrupted it, if its engine has, which goes on with it elsewhere; of the outermost block.
        noted: the notes that its rollbacks have added to exceptions, each once; of the outermost block.
        clock: counts the starts and ends of steps, where those that ran together are undone together; None elsewhere.
    """

    name: str
    label: Any
    state: Any
    report: Any
    left: Any = False
    running: dict[Log, None]
    loop: object = None
    task: object = None
    quick = awaits = ending = unsure = stand_in = False
    plain = direct = undo_at_once = True
    surrounding: Log | None = None
    watch: Watch | None = None
    waiters: tuple[Any, ...] = ()
    unsettled: tuple[Any, ...] = ()
    backs = 0
    disowned: str = ""
    gone: BaseException | None = None
    noted: set[str] | None = None
    clock: Iterator[int] | None = None

    @property
    def real(self) -> Any:
        """The block in whose place it stands, or itself."""
        return self

    @property
    def root(self) -> Any:
        """The outermost block that it is a part of, or itself."""
        return self

    def wake(self) -> None:
        """Something that was running has ended: let those that wait for it look."""
        for waiter in self.real.waiters:
            waiter.set()

    def refuse(self, log: Log, what: str) -> BaseException | None:  # noqa: ARG002 - blocks look at the log
        """What is raised for a step that is started in this log, if that comes too late or from the wrong place."""
        return TransactionClosed(what, self.label, self.state)

    def refuse_inside(self, what: str, advice: str) -> None:
        """Refuse what would become a part of it, if it only stands for a block that is in another process."""

    def check_loop(self, what: str) -> None:
        """Refuse what would run in another event loop than it was entered in."""

    def forget(self) -> bool:
        """Be current here no longer, if it has been left in another context than it was entered in, this one."""
        return False

    def keep(self, interrupt: BaseException) -> bool:  # noqa: ARG002 - blocks do
        """Keep what has interrupted the undo of a step in another task of asyncio, where it would end the event loop.

        It is raised at the end of the outermost block, whose task is cancelled.  Returns whether that is possible.
        """
        return False

    def doom(self, problems: list[Any]) -> None:
        """Undos have failed in a transaction that goes on: it must not commit any more."""

    def put(self, log: Log, entry: Any) -> None:
        """Put a record or a mark into a log of this block, whichever thread this is."""
        log.append(entry)

    def unwound(self, log: Log, rollback: Any) -> None:
        """What was in this log has been undone with what it stood in, by that rollback."""


class Log(list[Any]):
    """A list of what was started.

    Attributes:
        up: the log in which it stands, or None.
        block: whose it is.
        record: of the log of a step, its record or `Step`; None once that has been undone, and for all others.
        thread: the thread that writes it.
        direct: whether a call in that thread may put its record here at once.
        task: what is cancelled if this is running while its block fails, or None.
        asked: of what `running_record` has found, its place (-1: nothing), how long the log was, and what stood last in
            it.
        span: when what it is the log of has started and ended, by the clock of the block.
    """

    __slots__ = ("asked", "block", "direct", "record", "span", "task", "thread", "up")
    __hash__ = object.__hash__  # type: ignore[assignment] # pyright: ignore[reportAssignmentType] - two logs are never equal
    __eq__ = object.__eq__

    up: Log | None
    block: Any
    record: Any
    thread: int
    direct: bool
    task: Any
    asked: tuple[int, int, Any]  # not set before
    span: tuple[float, float]  # likewise


class Undoing(Protocol):
    """A rollback, while it calls handlers."""

    cause: BaseException | None

    @property
    def step(self) -> Step[Any] | None:
        """The step that is being undone."""
        ...


#: The mark of something that was undone before, but not all of it.
LEFT: Final = (None,)

#: How far from the end of a log one looks again and again.
_FAR: Final = 16

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
    log.up, log.block, log.record, log.thread, log.direct, log.task = up, block, record, thread, direct, None
    return log


def this_thread() -> int:
    """The thread that runs this; in an event loop that its engine moves from thread to thread, that loop."""
    loop = moving_loop()
    return get_ident() if loop is None else id(loop)


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


def in_a_moment(log: Log, entry: Any, now: int) -> Log:
    """A log for what was done by hand, at that moment."""
    made = new_log(log, log.block, log.thread, direct=False)
    made.append(entry)
    made.span = now, now
    return made


def end_span(log: Log, began: float, ended: float) -> None:
    """A step has ended, by the clock of its block; so have those around it, no sooner, that it has outlived."""
    log.span = began, ended
    up = log.up
    while up is not None:
        around = getattr(up, "span", None)
        if around is not None:
            if around[1] >= ended:
                break
            up.span = around[0], ended
        up = up.up


def count_steps(top: Log) -> int:
    """How many steps stand in this log, however deep."""
    return sum(
        (log is not top and log.record is not None) + sum(type(entry) in (list, Step) for entry in log)
        for log in logs_in(top)
    )


def surrounding_log() -> Log | None:
    """The current log, but not that of a block that was entered here and has been left in another context."""
    log = get_current()
    while log is not None and log.block.forget():
        log = get_current()
    return log


def place_of(log: Log, entry: Any) -> int | None:
    """Where a log, a record or its `Step` stands in a log, looked for from its end."""
    for place in range(len(log) - 1, -1, -1):
        found = log[place]
        if found is entry or (type(found) is Step and found._record is entry):
            return place
    return None


def take_out(log: Log, marks: Sequence[tuple[Any]] = ()) -> None:
    """Take a log out of the one that it stands in, if it does; only the thread of that deletes from it.

    Marks in its place tell what became of it, and whether something was left of what it contained.
    """
    up = log.up
    if up is not None and up.thread == this_thread():
        place = place_of(up, log)
        if place is not None:
            up[place : place + 1] = marks
    elif marks:
        log.extend(marks)


def place_for_another_thread(log: Log) -> Log:
    """Where what another thread starts belongs: in a sync block to that block, not to the step whose log this is."""
    if not log.block.awaits and log.thread != get_ident():
        while log.up is not None and (log.record is not None or log.block.stand_in):
            log = log.up
    return log


def running_record(log: Log) -> int | None:
    """The place of the innermost record in a log whose body is running, if one is.

    What was found far from the end is noted, so that a step that asks again does not look through all that it has made,
    and so is that nothing was.
    """
    size = len(log)
    found, seen, last = getattr(log, "asked", (-1, 0, None))
    if not 0 < seen <= size or log[seen - 1] is not last:  # what stood there has failed since
        found, seen = -1, 0
    for place in chain(range(size - 1, seen - 1, -1), range(found, -1, -1)):
        entry = log[place]
        record = entry._record if type(entry) is Step and entry.state == "running" else entry
        if type(record) is list and record[OUTCOME] is PENDING:
            if size - place > _FAR:
                log.asked = place, size, log[-1]
            return place
    if size > _FAR:
        log.asked = -1, size, log[-1]
    return None
