"""`Block`: the life of a transaction or savepoint: made, entered, closed, committed or rolled back.

A block has a log, which stands in the log around it where it was entered if it is a savepoint.  What ends it is decided
here, in generators; the shells (`transaction.py`) drive them.

Stands on the drivers' requests, the engine and hooks.  Used by the shells.
"""

from __future__ import annotations

import os
from _thread import get_ident
from collections import deque
from contextvars import Token
from typing import Any, Final, cast

from actionqueues.errors import (
    AsyncActionInSyncBlock,
    IllegalOperation,
    NestedTransaction,
    TransactionClosed,
)
from actionqueues.report import Report, UndoFailure

from .engine import Rollback
from .hooks import HookRun
from .log import Log, Owner, get_current, new_log, place_for_another_thread, set_current, take_out, undoing
from .states import TRANSACTION_TRANSITIONS, StepState, TransactionState, check_transition
from .step import Step
from .surroundings import Current
from .tasks import can_be_cancelled, cancel, has_ended, in_trio, running_loop, running_task
from .text import raise_late
from .watch import SEAM, Factory, Hook, Watch

__all__ = ["ENDED", "Block", "forked"]

_NEW, _OPEN, _ROLLING_BACK = TransactionState.NEW, TransactionState.OPEN, TransactionState.ROLLING_BACK
_COMMITTED, _RELEASED = TransactionState.COMMITTED, TransactionState.RELEASED


class _Rare(Current):
    """What most blocks never change is kept in the class, since a block of one step should not cost much more."""

    name = "transaction"
    kind = "Transaction"
    factory: Factory | None = None  # makes its watch
    independent = outermost = False
    awaits = ending = leaving = disowned = is_shut = False
    undo_at_once = direct = True
    task: object = None
    parent: Block | None = None  # what it is a savepoint of
    watch: Watch | None = None
    rollback: Rollback | None = None
    hooks: list[Hook] | None = None  # those of all blocks in it, in the outermost
    hook_run: HookRun | None = None
    doomed: list[UndoFailure] | None = None
    unsure = False  # whether a step in it has raised, and an interrupt may have kept it from being undone
    kept: tuple[BaseException, ...] = ()  # what has to be raised at its end, whatever that is
    cancels = 0  # how often its own task was cancelled for that
    taken = False  # whether what undoes the block around it does it, though it has not been left: it has another task
    told = False  # whether its watch knows of the rollback
    retry: Any = None  # the policy of a decorated function
    top: Block | None = None  # the outermost block that it is a part of, if that is another one
    _report: Report | None = None


class Block(_Rare):
    """One transaction or savepoint.

    Attributes:
        log: what was started in it.
        plain: whether nothing is in it but records of steps, and nothing has to be done at its end.
        queue: the steps that were added and have not been started.

    The rest is in `Owner`.
    """

    __slots__ = ("face", "log", "loop", "plain", "queue", "quick", "running", "state", "token", "waiters")

    state: TransactionState
    log: Log
    token: Token[Log | None] | None
    queue: deque[Step[Any]] | None
    face: Any  # the shell that current_transaction() gives
    loop: object
    quick: bool
    running: set[Log]
    waiters: tuple[Any, ...]

    def __init__(self) -> None:
        self.state = _NEW
        self.plain = True
        self.log = ENDED
        self.token = self.queue = self.face = self.loop = None
        self.quick = False
        self.running = set()
        self.waiters = ()

    @property
    def root(self) -> Block:
        """The outermost block that it is a part of."""
        return self.top or self

    @property
    def label(self) -> str:
        """What messages call it."""
        kind = "transaction" if self.parent is None else "savepoint"
        return f"the {kind} {self.name!r}" if self.name not in ("transaction", "savepoint") else f"the {self.name}"

    @property
    def report(self) -> Report:
        """What has happened so far."""
        report = self._report
        if report is None:
            report = self._report = Report(self.name, self.state)
        report.state = self.state
        return report

    # -- entering

    def refuse_again(self) -> None:
        """Refuse to be entered for the second time."""
        if self.state is not _NEW:
            again = "a transaction object serves one block; make another one for the next"
            raise IllegalOperation(f"enter {self.label}", f"it is {self.state}", again)

    def enter(self, *, awaits: bool) -> None:
        """Begin."""
        self.plain = True
        parent, top = self.parent, self.top
        trio, self.loop = False, None
        if awaits:
            self.awaits, trio = True, in_trio()
            self.loop, self.task = running_loop(), running_task()
        self.log = log = new_log(None, cast("Owner", self), get_ident(), direct=not awaits)
        try:
            surrounding = get_current()
            while surrounding is not None and surrounding.block.forget():
                surrounding = get_current()
            self.surrounding = surrounding
            self._nest(surrounding, log)
            if self.parent is None and (SEAM.used or self.factory is not None):
                self.watch = SEAM.watch(self, self.factory)
                if self.watch is not None:
                    self.watch.entering(self)
            if self.watch is not None:
                self.plain = self.direct = log.direct = False
            if awaits:
                self.plain = self.direct = False
                self.quick = not trio and self.watch is None
            self.token = set_current(log)
            self.state = _OPEN
        except BaseException:
            self.abort()
            self.parent, self.top, self.watch = parent, top, None  # it may be entered elsewhere, and otherwise
            self.awaits, self.direct = False, True
            raise

    def _nest(self, surrounding: Log | None, log: Log) -> None:
        """Become a savepoint of the block around, if that is wanted."""
        around = surrounding
        if self.parent is not None:  # a savepoint by name, wherever in that block
            around = self.parent.here()
            raise_late(self.parent.refuse(around, self.label))
        while around is not None:
            owner: Any = getattr(around.block, "block", around.block)  # whatever stands in for it
            if isinstance(owner, Block) and not (owner.root if around.block.is_shut else owner).left:
                break
            around = owner.surrounding if isinstance(owner, Block) else None
        if around is None:
            return
        around = place_for_another_thread(around)
        parent: Block = around.block
        if self.outermost:
            raise NestedTransaction(self.label, parent.label)
        if self.independent:
            return
        if parent.is_shut:  # the step has failed that this is to belong to
            raise cast("BaseException", parent.refuse(around, self.label))
        if self.factory is not None and self.factory != parent.root.factory:
            advice = "give the journal to the outermost transaction, or use independent=True"
            raise IllegalOperation(f"enter {self.label}", f"it has a journal, and {parent.root.label} has not", advice)
        self.parent, self.top = parent, parent.root
        if self.awaits:
            if not parent.awaits:
                advice = "enter that by `async with` too, or share nothing with it: transaction(independent=True)"
                raise AsyncActionInSyncBlock("`async with transaction()`", parent.label, advice)
            parent.check_loop(self.label)
        self.watch = parent.watch
        self.direct = log.direct = parent.direct and not self.awaits
        self.plain = parent.plain = False
        log.up = around
        log.task = self.task = running_task() if parent.awaits else None
        parent.running.add(log)
        raise_late(parent.refuse(around, self.label))
        around.append(log)

    def check_loop(self, what: str) -> None:
        """Refuse what would run in another event loop than it was entered in."""
        if self.loop is not None and running_loop() is not self.loop:
            advice = "open a transaction in this one"
            raise IllegalOperation(f"run {what} in {self.label}", "that was entered in another event loop", advice)

    @property
    def unfinished(self) -> bool:
        """Whether anything may be left to be undone."""
        return (self.state is _OPEN or self.state is _ROLLING_BACK) and not self.disowned

    def abort(self) -> None:
        """It was interrupted while it was entered, so nothing was done in it."""
        log, self.log = self.log, ENDED
        self.state = _NEW
        self.detach()
        if self.parent is not None and log.up is not None:
            self.parent.ended(log)
            take_out(log)
            log.up = None

    # -- what stands in it

    def here(self) -> Log:
        """The log in this block that what is done here belongs to: that of the context, if it is in this block."""
        log = get_current()
        found = log
        while log is not None and log is not self.log:
            log = log.up
        if log is None:
            return self.log
        while found is not None and found is not self.log and found.block is not self and found.block.left:
            found = found.up  # this code has outlived it
        return self.log if found is None else found

    def put(self, log: Log, entry: Any) -> None:
        """Put a record or a mark into a log of this block, whichever thread this is."""
        self.plain = False
        log = place_for_another_thread(log)
        if log.direct and log.thread != get_ident():
            own = new_log(log, log.block, get_ident(), direct=False)
            own.append(entry)
            entry = own
        log.append(entry)

    def refuse(self, log: Log, what: str) -> BaseException | None:
        """What is raised for a step that is started in this log, if that comes too late or from the wrong place."""
        if self.state is not _OPEN or self.ending or (self.leaving and not self._is_made_by_a_running_step(log)):
            return TransactionClosed(what, self.label, self.state)
        return None

    def _is_made_by_a_running_step(self, log: Log | None) -> bool:
        while log is not None and log is not self.log:
            if log in self.running:
                return True
            log = log.up
        return False

    def ended(self, log: Log) -> None:
        """Something that was running has ended."""
        self.running.discard(log)
        self.wake()

    def wake(self) -> None:
        """Let those that wait for something look whether it has ended."""
        for waiter in self.waiters:
            waiter.set()

    def close(self) -> None:
        """Take no more steps, except what running ones make."""
        self.leaving = True
        self.quick = self.log.direct = False

    def shut(self) -> None:
        """Take no more steps, nor does what is in it: it is about to be undone."""
        blocks = [self]
        while blocks:
            block = blocks.pop()
            block.close()
            block.ending = True
            for log in tuple(block.running):  # of steps in other threads, which are waited for
                log.direct = False
            inner = [log.block for log in tuple(block.running) if log.record is None]
            blocks += [each for each in inner if isinstance(each, Block) and each is not block]

    def doom(self, problems: list[UndoFailure]) -> None:
        """Undos have failed in a transaction that goes on: it must not commit any more."""
        self.plain = self.root.plain = False
        self.root.doomed = [*(self.root.doomed or ()), *problems]

    def keep(self, interrupt: BaseException) -> bool:
        """Keep what has interrupted the undo of a step in another task of asyncio: there it would end the event loop.

        It is raised at the end of the outermost block, whose task is cancelled.  Returns whether that is possible.
        """
        root, me = self.root, running_task()
        task = root.task
        if me is None or me is task or not can_be_cancelled(task) or has_ended(task) or not root.unfinished:
            return False
        root.kept += (interrupt,)
        if root.state is _OPEN:
            cancel(task)
            root.cancels += 1
        return True

    def drop_undone(self) -> bool:
        """Drop the queued steps whose mark has been undone; returns whether there is a step left to be run."""
        queue = self.queue
        while queue and queue[0].state is StepState.DROPPED:
            queue.popleft()
        return bool(queue)

    # -- ending

    def move(self, state: TransactionState) -> None:
        """Change the state, if the table of transitions allows it."""
        if state not in TRANSACTION_TRANSITIONS[self.state]:
            check_transition(TRANSACTION_TRANSITIONS, self.state, state, self.label)
        self.state = state

    def end(self, *, failed: bool = False) -> None:
        """It has been rolled back; `failed`: with what it stands in, an undo of which has failed."""
        report = self.report
        while self.queue:
            step = self.queue.popleft()
            if step.state is StepState.QUEUED:
                step._move(StepState.DROPPED)
                report.dropped.append(step)
        failed = failed or report.failed
        if self.parent is not None:
            self.parent.report.include(report)
            take_out(self.log)
            self.parent.ended(self.log)
        # Last, so that what comes out of the above, by an interrupt or for lack of room, can be repaired.
        self.move(TransactionState.ROLLED_BACK_WITH_FAILURES if failed else TransactionState.ROLLED_BACK)
        report.state = self.state
        self.release()

    def unwound(self, log: Log, *, failed: bool) -> None:
        """What was in this log has been undone with what it stood in: its own, if that has not ended yet."""
        if log is not self.log or (self.state is not _OPEN and self.state is not _ROLLING_BACK):
            return
        if self.state is _OPEN:
            self.move(_ROLLING_BACK)
        if self.rollback is not None:  # it was cut short
            self.rollback.settle()
        self.shut()
        self.end(failed=failed)

    def release(self) -> None:
        """Let go of all that was recorded: logs refer to each other, and would wait for the collector."""
        log, self.log = self.log, ENDED
        self.used = self.used or bool(log) or self._report is not None
        log.direct = self.quick = False
        logs = [log]
        while logs:
            each = logs.pop()
            if not self.plain:
                logs += [entry for entry in each if type(entry) is Log and (entry or entry.direct)]
            each.direct = False  # the system gives the numbers of threads that have ended to new ones
            each.clear()

    def disown(self) -> None:
        """Leave it to the process that has entered it: this is a child of that."""
        self.state, self.plain = _RELEASED, False
        self.ending = self.disowned = True
        self.undo_at_once = False
        if self.rollback is not None:
            self.rollback.disowned = True


def forked() -> None:
    """In a child process: the blocks that the parent is in are the parent's."""
    rollback = undoing.get()
    found, logs = set[Log](), [get_current()]
    while logs:
        log = logs.pop()
        if log is None or log in found:
            continue
        found.add(log)
        if isinstance(log.block, Block):
            log.block.disown()
        logs += [log.up, getattr(log.block, "surrounding", None)]
    set_current(None)
    if isinstance(rollback, Rollback):  # pragma: no cover - in a child process that a handler forks, see test_forks.py
        rollback.disowned = True


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows
    os.register_at_fork(after_in_child=forked)

#: What a block has instead of a log before and after; nothing is ever put into it.
ENDED: Final = new_log(None, cast("Owner", Block.__new__(Block)), 0, direct=False)
