"""`Block`: how a transaction is entered, commits, and is rolled back; the rest of what its two shells share.

The shells for sync and async code derive from it.  They differ in how they wait.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable, Sequence
from sys import modules
from typing import ClassVar

from .blockstate import BlockState
from .concurrency import running_task
from .engine import Rollback
from .errors import (
    AsyncActionInSyncBlock,
    IllegalOperation,
    NestedTransaction,
    RollbackFailed,
    TransactionDoomed,
)
from .hooks import Hook, HookRun
from .interceptor import Asking, Interceptor, ask
from .owner import close, current, get_current
from .report import UndoFailure
from .runner import Runner
from .states import TRANSACTION_TRANSITIONS, StepState, TransactionState, check_transition
from .step import BARRIER, FIRST, OWNER, SAVEPOINT, SPLIT, SUSPENDS, THREAD, WATCHED, Log

__all__ = ["Block"]

_NEW, _OPEN, _ROLLING_BACK = TransactionState.NEW, TransactionState.OPEN, TransactionState.ROLLING_BACK

#: Once one of these is imported, sync code that a task calls may suspend; the second one imports the first when needed.
_GREENLETS = frozenset({"greenlet", "sqlalchemy.ext.asyncio"})


class Block(BlockState):
    """How a transaction begins and ends."""

    __slots__ = ()

    #: The class that it gets then, see `opened.py`.
    _when_ended: ClassVar[type | None] = None

    #: Makes the interceptor of this transaction, once it is entered.
    _intercept: Callable[[Block], Interceptor | None] | None = None

    #: Makes the interceptor of every transaction, given the one that it has already: set by `observed` alone.
    observe: ClassVar[Callable[[Block, Interceptor | None], Interceptor | None] | None] = None

    def _enter(self, *, awaits: int) -> None:
        if self._state is not _NEW:
            again = "a transaction object serves one block; make another one for the next"
            raise IllegalOperation(f"enter {self.label}", f"it is {self._state}", again)
        suspends = awaits and not _GREENLETS.isdisjoint(modules)
        self.log = log = [SUSPENDS if suspends else 0, get_ident(), self, awaits]
        try:
            surrounding = get_current()
            while surrounding is not None and surrounding[OWNER].forget():
                surrounding = get_current()
            self.surrounding = surrounding
            if surrounding is not None or self.outer is not None:
                self.plain = False
                self._nest(surrounding)
            if self.outer is not None or self._intercept is not None or Block.observe is not None:
                self._watch(log)
            self._token = current.set(log)
            self._state = _OPEN
        except BaseException:
            self._state = _NEW
            self._detach()
            if self.outer is not None:
                self._leave_beside()
                self.outer.leave_lane(self)
            raise

    def _nest(self, surrounding: Log | None) -> None:
        """Become a savepoint of the transaction around, if that is wanted."""
        if self.outer is not None and self.outer.block is not None:  # a savepoint by name, wherever in that block
            self.outer = self.outer.block._innermost().owner_here()
        if self.outer is None and surrounding is not None:
            around: Runner = surrounding[OWNER].owner_here()
            if around.block is not None and around.block.left:
                self.surrounding = None  # this code has outlived that block
                return
            if around.block is not None and self._outermost:
                raise NestedTransaction(self.label, around.label)
            if around.block is not None and not self._independent:
                self.outer = around
        if self.outer is not None and self.outer.block is not None:
            parent = self.outer.block
            if self.awaits and not parent.awaits:
                advice = "enter that by `async with` too, or share nothing with it: transaction(independent=True)"
                raise AsyncActionInSyncBlock("`async with transaction()`", parent.label, advice)
            if self.awaits:
                parent.check_loop(self.label)
            self._parent = parent
            outer = self.outer = self.outer.writer()
            if outer.log[THREAD] != self.log[THREAD]:
                self.log[BARRIER] += SPLIT
            elif outer.awaits:
                self._enter_beside(outer)
            elif outer.block is outer and not outer.log[BARRIER] & SPLIT:
                outer.ahead = self
            else:
                self.log[BARRIER] += SPLIT
            outer.enter_lane(self)
            outer.check_open(self.label)  # after it has been entered: who closes the log then looks for lanes

    def _watch(self, log: Log) -> None:
        """Find out what stands between it and its steps."""
        watch = None if self.outer is None else self.outer.interceptor
        own = self.__dict__.get("_intercept")
        if self.outer is not None and own is not None and own != self.root.__dict__.get("_intercept"):
            advice = "give the journal to the outermost transaction, or use independent=True"
            raise IllegalOperation(f"enter {self.label}", f"it has a journal, and {self.root.label} has not", advice)
        if self.outer is None:
            watch = None if self._intercept is None else self._intercept(self)
            if Block.observe is not None:
                watch = Block.observe(self, watch)
        if watch is not None:
            self.interceptor = watch
            self.plain = False
            log[BARRIER] += WATCHED
            if self.outer is None:
                watch.entering(self)

    def _enter_beside(self, outer: Runner) -> None:
        """Be open in the log of an async block, which other tasks may write to, or be in other savepoints of."""
        outer.split()
        crowded = (
            outer.runs_async
            or outer.outermost.shared
            or outer.log[BARRIER] & SPLIT
            or outer.log[BARRIER] & (SUSPENDS - 1) >= SAVEPOINT
        )
        if not crowded and outer.block is outer:
            outer.ahead = self
        else:
            self.log[BARRIER] += SPLIT
        outer.log[BARRIER] += SAVEPOINT
        self._beside = True
        self.task = running_task()

    def _leave_beside(self) -> None:
        outer = self.outer
        if outer is not None and outer.ahead is self:
            outer.ahead = None
        if self._beside and outer is not None:
            self._beside = False
            outer.log[BARRIER] -= SAVEPOINT

    def _detach(self) -> None:
        """Make the surrounding block the current one again."""
        token = self._token
        if token is None:
            log = get_current()
            if log is not None and log[OWNER] is self:  # interrupted while it was entered
                current.set(self.surrounding)
        else:
            try:
                current.reset(token)
            except (ValueError, RuntimeError):  # left in another context than it was entered in
                log = get_current()
                if log is not None and log[OWNER] is self:
                    current.set(self.surrounding)
                self._lost = token
            self._token = None
            if self._when_ended is not None:
                self.__class__ = self._when_ended
            if self.surrounding is not None:
                self._skip_left()

    def forget(self) -> bool:
        """Be the current one here no longer, if it has been left in another context than it was entered in, this one.

        So are the blocks in async generators that are never finished: they are closed in a task of their own.
        """
        if self._lost is None:
            return False
        try:
            current.reset(self._lost)
        except (
            ValueError,
            RuntimeError,
        ):  # another context, of a task or thread that has outlived it
            return False
        self._lost = None
        self._skip_left()
        return True

    def _skip_left(self) -> None:
        """If blocks around this one have been left before it, make the innermost that has not the current one."""
        log = around = get_current()
        while log is not None and isinstance(log[OWNER], Block) and log[OWNER]._token is None:
            log = log[OWNER].surrounding
        if log is not around:
            current.set(log)

    def _move(self, state: TransactionState) -> None:
        if state not in TRANSACTION_TRANSITIONS[self._state]:
            check_transition(TRANSACTION_TRANSITIONS, self._state, state, self.label)
        self._state = state

    # -- ending well

    def _check_commit(self) -> None:
        """Raise what keeps a block that was left normally from committing."""
        for lane in self.lanes or ():
            if isinstance(lane, Block) and lane._state is _OPEN and not lane.runs_beside(self.leaver):
                advice = "leave the inner block first, as `with` does"
                raise IllegalOperation(f"commit {self.label}", f"{lane.label} inside it is still open", advice)
        doom = self.root._doom
        if doom is not None:
            raise TransactionDoomed(self.label, [f.error for f in doom], [f.step.name for f in doom])

    def _commit(self) -> None:
        """The point of no return: nothing that comes later undoes anything."""
        log = self.log
        if self.outer is None:
            self._move(TransactionState.COMMITTED)
            close(self)
            if self.interceptor is not None:
                self.interceptor.committed(self)
            self.release()
            self._hooks = None
        else:
            self._move(TransactionState.RELEASED)  # a lane of the outer one from now on like any other
            close(self)
            self._leave_beside()
            if self._report is not None and self._parent is not None:
                self._parent.report.include(self._report)
            if len(log) == FIRST and not self.lanes:
                self.outer.leave_lane(self)
            self.outer.ended()

    def _ask(self) -> Asking:
        """Ask the interceptor of an outermost transaction whether it may commit."""
        if self.interceptor is None or self.outer is not None:
            return None, None
        return (yield from ask(self.interceptor.committing, self, self._due_hooks()))

    @staticmethod
    def _allowed(asked: tuple[BaseException | None, BaseException | None]) -> BaseException | None:
        """Raise what keeps it from committing; return what is to be raised although it may."""
        if asked[0] is not None:
            raise asked[0]
        return asked[1]

    def _hook_run(self, late: BaseException | None) -> HookRun:
        run = HookRun(self.report, self.label, self.interceptor)
        if late is not None:
            run.interrupts.append(late)
        return run

    def _due_hooks(self) -> list[Hook]:
        """The hooks to be called once it has committed, in order."""
        due: list[Hook] = []
        pending: list[Hook | BlockState] = [self]
        while pending:
            hook = pending.pop()
            if isinstance(hook, Hook):
                if hook.due:
                    due.append(hook)
            elif hook is self or hook._state is TransactionState.RELEASED:
                pending.extend(reversed(hook._hooks or ()))
        return due

    # -- ending badly

    @property
    def ending(self) -> bool:  # type: ignore[override] # it follows from the blocks around it
        """Whether everything in it is about to be undone."""
        return self._ending or (self.outer is not None and self.outer.ending)

    def _left_to_outer(self) -> bool:
        """Leave it, if a block around it is being rolled back, which undoes this one with it."""
        outer = self.outer
        if self._rollback is not None or outer is None or outer.log[THREAD] != self.log[THREAD] or not outer.ending:
            return False
        self._detach()
        outer.ended()
        return True

    def _begin_rollback(self) -> Rollback:
        """Close to steps; may be called again to go on with a rollback that was interrupted."""
        rollback = self._rollback
        if rollback is None:
            rollback = self._rollback = Rollback(self.report)
        self.begin_unwinding()
        return rollback

    def begin_unwinding(self) -> None:
        """Close to steps."""
        if self._state is _OPEN:
            self._move(_ROLLING_BACK)
            self._ending = True
            close(self)

    def end_unwinding(self, *, failed: bool) -> None:
        """Left open, it has been undone as a part of the rollback of the outer one."""
        if self._state is _ROLLING_BACK:
            self._drop_queue()
            clean = self.report.clean and not failed
            self._move(TransactionState.ROLLED_BACK if clean else TransactionState.ROLLED_BACK_WITH_FAILURES)
        self.release()

    def _end_rollback(self, rollback: Rollback) -> None:
        """Everything has been undone that could be."""
        report = rollback.report
        if rollback.guard.broken is not None:
            rollback.abandon(self)
            if self.interceptor is not None and self.outer is None:
                self.interceptor.abandoned(self)
        if self._queue:
            self._drop_queue()
        self._move(TransactionState.ROLLED_BACK if report.clean else TransactionState.ROLLED_BACK_WITH_FAILURES)
        report.state = self._state
        self.release()
        if self.outer is not None and self._parent is not None:
            self._leave_beside()
            self.outer.leave_lane(self)
            self._parent.report.include(report)
            if rollback.problems:
                self.doom(rollback.problems)
            self.outer.ended()

    def _drop_queue(self) -> None:
        while self._queue:
            step = self._queue.popleft()
            step.move(StepState.DROPPED)
            self.report.dropped.append(step)

    def doom(self, problems: Sequence[UndoFailure]) -> None:
        """Undos have failed in a transaction that goes on: it must not commit any more."""
        root = self.root
        self.plain = root.plain = False
        root._doom = [*(root._doom or ()), *problems]

    def _finish_rollback(self, rollback: Rollback, error: BaseException | None) -> None:
        """Account for a rollback that has come to its end, and only for such a one."""
        if len(self.log) == FIRST or rollback.guard.broken is not None:
            self._end_rollback(rollback)
            if error is not None:
                rollback.note_on(error, () if isinstance(error, TransactionDoomed) else self._doom or ())

    def _raise_interrupt(self, rollback: Rollback) -> None:
        interrupt = rollback.interrupt()
        if interrupt is not None:
            raise interrupt

    def _note_problems(self, interrupt: BaseException) -> None:
        """Tell, on what has interrupted an explicit rollback, what could not be undone."""
        if self._rollback is not None:  # pragma: no branch - unless an interrupt has come before there was one
            self._rollback.note_on(interrupt)

    def _raise_problems(self) -> None:
        """After an explicit rollback, where there is no other exception to tell them."""
        rollback = self._rollback
        if rollback is not None and rollback.problems:
            errors = [error for _, error in rollback.problems if isinstance(error, Exception)]
            names = ", ".join(step.name for step, _ in rollback.problems)
            raise RollbackFailed(f"{self.label}: everything else was rolled back, but not {names}", errors)
