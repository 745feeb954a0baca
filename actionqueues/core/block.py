"""`Block`: the life of a transaction or savepoint: made, entered, closed, committed or rolled back.

A block has a log, which stands in the log around it where it was entered if it is a savepoint.  It is current in the
context that it was entered in, until it is left, wherever that is.  How it ends is decided in `ending.py`.

Stands on the engine, hooks and logs.  Used by the shells.
"""

from __future__ import annotations

from _thread import get_ident
from collections import deque
from contextvars import Token
from threading import current_thread
from typing import Any, Final

from actionqueues.errors import AsyncActionInSyncBlock, IllegalOperation, NestedTransaction
from actionqueues.report import Report, UndoFailure

from .current import refused_to_handlers
from .engine import Rollback
from .hooks import HookRun
from .kept import marks_of, standing_in
from .log import (
    Log,
    Owner,
    current,
    get_current,
    in_a_moment,
    new_log,
    place_for_another_thread,
    set_current,
    surrounding_log,
    take_out,
    this_thread,
)
from .states import TRANSACTION_TRANSITIONS, StepState, TransactionState, check_transition
from .step import Record, Step
from .tasks import can_be_cancelled, cancel, has_ended, in_debug_mode, in_trio, running_loop, running_task
from .telling import tell_unawaited, too_late
from .text import log_warning, raise_late
from .watch import SEAM, Factory, Hook

_NEW, _OPEN, _ROLLING_BACK = TransactionState.NEW, TransactionState.OPEN, TransactionState.ROLLING_BACK
_ROLLED_BACK, _FAILED = TransactionState.ROLLED_BACK, TransactionState.ROLLED_BACK_WITH_FAILURES


class _Rare(Owner):
    """What most blocks never change is kept in the class, since a block of one step should not cost much more."""

    name = "transaction"
    kind = "Transaction"
    factory: Factory | None = None  # makes its watch
    trace: bool | None = None  # whether it is traced though nobody records it
    independent = outermost = leaving = False
    taken = False  # whether what undoes the block around it undoes it too, though it has not been left
    parent: Block | None = None  # what it is a savepoint of
    top: Block | None = None  # the outermost block that it is a part of, if that is another one
    rollback: Rollback | None = None
    hooks: list[Hook] | None = None  # those of all blocks in it, in the outermost
    hook_run: HookRun | None = None
    doomed: list[UndoFailure] | None = None
    kept: tuple[BaseException, ...] = ()  # what has to be raised at its end, whatever that is
    told = False  # whether its watch knows of the rollback
    unawaited: dict[int, Record] | None = None  # the calls of async steps that nobody has awaited yet, where known
    retry: Any = None  # the policy of a decorated function
    lost: Token[Log | None] | None = None  # what makes it current no longer in the context that it was entered in
    used = False  # whether anything was done in it
    _report: Report | None = None


class Block(_Rare):
    """One transaction or savepoint.

    Attributes:
        log: what was started in it.
        queue: the steps that were added and have not been started.
        face: the shell that `current_transaction()` gives.  The rest is in `Owner`.
    """

    __slots__ = ("face", "log", "loop", "plain", "queue", "quick", "running", "state", "token", "waiters")

    state: TransactionState
    log: Log
    token: Token[Log | None] | None
    queue: deque[Step[Any]] | None
    face: Any
    waiters: tuple[Any, ...]

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
        if (report := self._report) is None:
            report = self._report = Report(self.name, self.state)
            report._live, report.kind = standing_in(self), "transaction" if self.parent is None else "savepoint"
        report.state = self.state
        return report

    @property
    def left(self) -> bool:
        """Whether it has ended, and its ``with`` has been left."""
        return self.token is None and self.state is not _NEW and self.state is not _OPEN

    @property
    def unfinished(self) -> bool:
        """Whether anything may be left to be undone."""
        return (self.state is _OPEN or self.state is _ROLLING_BACK) and not self.disowned

    # -- entering

    def refuse_again(self) -> None:
        """Refuse to be entered for the second time."""
        if self.state is not _NEW:
            advice = "a transaction object serves one block; make another one for the next"
            raise IllegalOperation(f"enter {self.label}", f"it is {self.state}", advice)

    def enter(self, *, awaits: bool) -> None:
        """Begin."""
        self.plain = True
        parent, top, clock = self.parent, self.top, self.clock
        if awaits:
            self.awaits, self.loop, self.task = True, running_loop(), running_task()
        self.log = log = new_log(None, self, this_thread(), direct=not awaits)
        try:
            around = surrounding_log()
            self._nest(around, log)
            if around is not None and not around.block.left:
                self.surrounding = around
            if self.parent is None and (SEAM.used or self.trace or self.factory is not None):
                self.watch = SEAM.watch(self, self.factory, trace=self.trace)
                if self.watch is not None:
                    self.watch.entering(self)
            if awaits or self.watch is not None:
                self.plain = self.direct = log.direct = False
                self.quick = awaits and not (self.watch or self.clock or in_trio() or in_debug_mode(self.loop))
            self.token = set_current(log)
            self.state = _OPEN
        except BaseException:
            self.abort()
            self.parent, self.top, self.watch = parent, top, None  # it may be entered elsewhere, and otherwise
            self.awaits, self.direct, self.clock = False, True, clock
            raise

    def _nest(self, around: Log | None, log: Log) -> None:
        """Become a savepoint of the block around, if that is wanted."""
        if self.parent is not None:  # a savepoint by name, wherever in that block
            around = self.parent.here(self.label)
            raise_late(refused_to_handlers(self.parent) or self.parent.refuse(around, self.label))
        watch = None if around is None or self.factory is None else around.block.real.root.watch
        independent = self.independent or (watch is not None and watch.is_elsewhere())
        while around is not None:
            owner: Owner = around.block.real
            if isinstance(owner, Block) and not (owner if owner is around.block else owner.root).left:
                break
            if not independent:
                owner.refuse_inside(f"enter {self.label}", "leave that to it, or use independent=True")
            around = owner.surrounding if isinstance(owner, Block) else None
        if around is None or independent:
            return
        around = place_for_another_thread(around)
        parent: Block = around.block
        if self.outermost:
            raise NestedTransaction(self.label, parent.label)
        if parent.stand_in:  # the step that this is to belong to is being undone
            raise_late(parent.refuse(around, self.label))
        if self.factory is not None and self.factory != parent.root.factory:
            advice = "give that to the outermost transaction, or use independent=True"
            other = f"its journal or engine is not that of {parent.root.label}"
            raise IllegalOperation(f"enter {self.label}", other, advice)
        self.parent, self.top = parent, parent.root
        if self.awaits:
            if not parent.awaits:
                advice = "enter that by `async with` too, or share nothing with it: transaction(independent=True)"
                raise AsyncActionInSyncBlock("`async with transaction()`", parent.label, advice)
            parent.check_loop(self.label)
        self.watch, self.clock = parent.watch, parent.clock or self.clock
        self.direct = log.direct = parent.direct and not self.awaits
        self.plain = parent.plain = False
        if around.thread != log.thread:
            current_thread()  # which may be none that Python has started: now it knows whether that has ended
        log.up = around
        log.task = self.task = running_task() if parent.awaits else None
        parent.running[log] = None
        raise_late(parent.refuse(around, self.label))
        around.append(log)

    def check_loop(self, what: str) -> None:
        if self.loop is not None and running_loop() is not self.loop:
            advice = "open a transaction in this one"
            raise IllegalOperation(f"run {what} in {self.label}", "that was entered in another event loop", advice)

    def abort(self) -> None:
        """It was interrupted while it was entered, so nothing was done in it."""
        log, self.log = self.log, ENDED
        self.state = _NEW
        self.detach()
        if self.parent is not None and log.up is not None:
            self.parent.ended(log)
            take_out(log)
            log.up = None

    # -- where it is current

    def detach(self) -> None:
        """Make what surrounds it the current one again."""
        token, self.token, self.face = self.token, None, None
        try:
            if token is not None:
                current.reset(token)
        except (ValueError, RuntimeError):  # left in another context than it was entered in
            self.lost = token
            if not (self.used or self.log):
                log_warning(
                    f"{self.label} was left in another context than it was entered in, and no step was made in it: "
                    "what was called meanwhile ran outside it; enter and leave it in one place, or bring calls in "
                    "by q.run(...)",
                    transaction=self.name,
                    state=str(self.state),
                )
        if self.surrounding is not None or token is None:
            self._skip_left()

    def forget(self) -> bool:
        """Be current here no longer, if it has been left in another context than it was entered in, this one.

        So are the blocks in async generators that are never finished: they are closed in a task of their own.
        """
        if self.lost is None:
            return False
        try:
            current.reset(self.lost)
        except (ValueError, RuntimeError):  # a third context, of a task or thread that has outlived it
            return False
        self.lost = None
        self._skip_left()
        return True

    def _skip_left(self) -> None:
        """If this is current still, or blocks around it were left before it, go on outwards to one that was not."""
        log = around = get_current()
        while log is not None and (log.block is self or log.block.left):
            log = log.block.surrounding
        if log is not around:
            set_current(log)

    # -- what stands in it

    def here(self, what: str = "what was called") -> Log:
        """The log in this block that what is done here belongs to: that of the context, if it is in this block.

        Raises:
            TransactionClosed: if there is none any more, as where another thread has just ended the block.
        """
        own = self.log
        if own is ENDED:
            raise_late(self.refuse(own, what))
        log = found = get_current()
        while log is not None and log is not own:
            log = log.up
        if log is None:
            return own
        while found is not None and found is not own and found.block is not self and found.block.left:
            found = found.up  # this code has outlived it
        return own if found is None else found

    def put(self, log: Log, entry: Any) -> None:
        self.plain = False
        log = place_for_another_thread(log)
        if log.direct and log.thread != get_ident():
            own = new_log(log, log.block, get_ident(), direct=False)
            own.append(entry)
            entry = own
        elif self.clock is not None and type(entry) is not tuple:
            entry = in_a_moment(log, entry, next(self.clock))
        log.append(entry)

    def refuse(self, log: Log, what: str) -> BaseException | None:
        if self.state is not _OPEN or self.ending or (self.leaving and not self._is_made_by_a_running_step(log)):
            return too_late(what, self)
        return None

    def _is_made_by_a_running_step(self, log: Log | None) -> bool:
        while log is not None and log is not self.log:
            if log in self.running:
                return True
            log = log.up
        return False

    def ended(self, log: Log) -> None:
        """Something that was running has ended."""
        self.running.pop(log, None)
        self.wake()

    def close(self) -> None:
        """Take no more steps, except what running ones make."""
        self.leaving = True
        self.quick = self.log.direct = False

    def shut(self) -> None:
        """Take no more steps, nor does what is in it: it is about to be undone."""
        blocks: list[Block] = [self]
        while blocks:
            block = blocks.pop()
            block.close()
            block.ending = True
            for log in tuple(block.running):
                log.direct = False  # of steps in other threads, which are waited for
                if log.record is None and isinstance(log.block, Block) and log.block is not block:
                    blocks.append(log.block)

    def doom(self, problems: list[UndoFailure]) -> None:
        self.plain = self.root.plain = False
        vars(self.root).setdefault("doomed", []).extend(problems)  # by threads at the same time, too

    def keep(self, interrupt: BaseException) -> bool:
        root, me = self.root, running_task()
        task = root.task
        if me is None or me is task or not can_be_cancelled(task) or has_ended(task) or not root.unfinished:
            return False
        root.kept += (interrupt,)
        cancel(task)
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
        tell_unawaited(self)
        while self.queue:
            step = self.queue.popleft()
            if step.state is StepState.QUEUED:
                step._move(StepState.DROPPED)
                report.dropped.append(step)
        failed = failed or report.failed
        self.hooks = None
        if self.parent is not None:
            self.parent.report._include(report)
            left = self.rollback is not None and self.rollback.left_something
            kept = [report._as_step(_FAILED if failed else _ROLLED_BACK)] if self.watch is None else []
            take_out(self.log, marks_of(kept, left=left))
            self.parent.ended(self.log)
        # Last, so that what comes out of the above, by an interrupt or for lack of room, can be repaired.
        self.move(_FAILED if failed else _ROLLED_BACK)
        report.state = self.state
        if self.parent is not None and self.watch is not None:
            self.watch.ended(self)
        self.release()

    def unwound(self, log: Log, rollback: Rollback) -> None:
        """What was in this log has been undone with what it stood in: its own, if that has not ended yet."""
        if log is not self.log or not self.unfinished:
            return
        if self.state is _OPEN:
            self.move(_ROLLING_BACK)
        self.shut()
        self.rollback = self.rollback or rollback
        self.end(failed=bool(rollback.problems or rollback.guard.broken is not None))

    def release(self) -> None:
        """Let go of all that was recorded: logs refer to each other, and would wait for the collector."""
        log, self.log = self.log, ENDED
        self.used = self.used or bool(log) or self._report is not None
        self.quick = log.direct = False
        logs = [log]
        for each in logs:
            if not self.plain:
                logs += [entry for entry in each if type(entry) is Log and (entry or entry.direct)]
            each.direct = False  # the system gives the numbers of threads that have ended to new ones
            each.clear()


#: What a block has instead of a log before and after; nothing is ever put into it.
ENDED: Final = new_log(None, Block.__new__(Block), 0, direct=False)
