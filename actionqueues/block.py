"""The block: one transaction, its savepoints, its queue and its hooks, whatever kind of code it runs in.

The shells for sync and async code derive from `Block`.  They differ in how they wait; what a transaction is, they have
from here.
"""

from __future__ import annotations

from _thread import get_ident
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Token
from typing import Any, ParamSpec

from .engine import Rollback
from .errors import (
    AsyncActionInSyncBlock,
    IllegalOperation,
    NestedTransaction,
    RollbackFailed,
    TransactionClosed,
    TransactionDoomed,
)
from .hooks import Hook
from .owner import current, get_current, running_step, undoing
from .queueing import Adding, check_arguments, undo_entry
from .report import Report, UndoFailure
from .retry import Policy
from .runner import Lane, Runner, close
from .signature import display_name, is_async
from .states import TRANSACTION_TRANSITIONS, StepState, TransactionState, check_transition
from .step import FIRST, OWNER, THREAD, Entry, Log, Step

__all__ = ["Block"]

P = ParamSpec("P")

_NEW, _OPEN, _ROLLING_BACK = TransactionState.NEW, TransactionState.OPEN, TransactionState.ROLLING_BACK


class Block(Runner, Adding):
    """What the transactions of sync and of async code share.

    Attributes:
        name: the name it was given, or ``"transaction"``.
    """

    # What a transaction starts with.  What every one changes has a slot; the rest is kept in the class, since a block
    # of one step should not cost much more than the step.
    __slots__ = ("_state", "_token", "log", "plain")

    log: Log
    plain: bool
    _state: TransactionState
    _token: Token[Log | None] | None

    name = "transaction"
    undo_at_once = True
    _kind = "Transaction"
    _independent = False
    _outermost = False
    _retry: Policy | None = None
    outer: Runner | None = None
    _parent: Block | None = None  # what it is a savepoint of
    _rollback: Rollback | None = None
    _report: Report | None = None
    _queue: deque[Step[Any]] | None = None
    _hooks: list[Hook | Block] | None = None
    _doom: list[UndoFailure] | None = None

    def __init__(self) -> None:
        self._state = _NEW
        self._token = None
        self.plain = True

    @property
    def state(self) -> TransactionState:
        """How far it has come, or how it ended."""
        return self._state

    @property
    def label(self) -> str:
        """What messages call it."""
        kind = "transaction" if self._parent is None else "savepoint"
        return f"the {kind} {self.name!r}" if self.name not in ("transaction", "savepoint") else f"the {self.name}"

    @property
    def root(self) -> Block:
        """The outermost transaction that it is a part of."""
        root = self
        while root._parent is not None:
            root = root._parent
        return root

    @property
    def block(self) -> Block:
        """Itself."""
        return self

    @property
    def report(self) -> Report:
        """What has happened so far."""
        report = self._report
        if report is None:
            report = self._report = Report(self.name, self.state)
        report.state = self._state
        return report

    # -- what is done in it

    def _add(self, step: Step[Any]) -> Step[Any]:
        self._must_be_open(f"{step.name} was added, which")
        handler = step.definition.handler
        if not self.awaits and (step.definition.is_async or (handler is not None and handler.is_async)):
            raise AsyncActionInSyncBlock(step.name, self.label)
        self.plain = False
        if self._queue is None:
            self._queue = deque()
        self._queue.append(step)
        return step

    def on_rollback(self, fn: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Record how to undo something that has just been done by hand.

        It takes its place among the steps: what was done after it is undone before it.

        Raises:
            TypeError: if the arguments do not fit.
            TransactionClosed: if the transaction has ended.
        """
        self._must_be_open(f"on_rollback({display_name(fn)})")
        self._check_async(fn)
        self._record(undo_entry(fn, args, kwargs))

    def _record(self, entry: Entry) -> None:
        """Record something that is done, where the running code belongs if that is in this block."""
        owner = self._here().owner_here()
        if owner.log[THREAD] == get_ident():
            owner.log += entry
        else:
            lane = Lane(owner, None)
            lane.log += entry
            owner.enter_lane(lane)

    def _here(self) -> Runner:
        """The innermost owner in this transaction that the running code belongs to."""
        log = get_current()
        around: Runner | None = None if log is None else log[OWNER]
        owner = around
        while owner is not None and owner is not self:
            owner = owner.outer
        return self if owner is None or around is None else around

    def on_commit(self, fn: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call `fn` once the outermost transaction has committed, and not at all if this one is undone.

        Hooks are called in the order in which they were registered, all of them, outside the block.  If any raise, they
        are raised together as `CommitHookFailed`.

        Raises:
            TypeError: if the arguments do not fit.
            TransactionClosed: if the transaction has ended.
        """
        self._must_be_open(f"on_commit({display_name(fn)})")
        self._check_async(fn)
        check_arguments(fn, args, kwargs)
        self._hook_list().append(Hook(fn, args, kwargs, running_step(self._here())))

    def _hook_list(self) -> list[Hook | Block]:
        self.plain = False
        if self._hooks is None:
            if self._parent is not None:
                self._parent._hook_list().append(self)  # so that they keep their place among the outer ones
            self._hooks = []
        return self._hooks

    def _check_async(self, fn: object) -> None:
        if is_async(fn) and not self.awaits:
            raise AsyncActionInSyncBlock(display_name(fn), self.label)

    def _must_be_open(self, what: str) -> None:
        if self._state is _NEW:
            raise IllegalOperation(f"use {self.label}", "it has not been entered", "write `with transaction() as q:`")
        if self._state is not _OPEN:
            raise TransactionClosed(what, self.label, self._state)
        if undoing.get() is not None and get_current() is None:
            advice = "a handler only undoes; it may open a transaction of its own"
            raise IllegalOperation(f"use {self.label}", "a rollback handler of a step in it is running", advice)

    def _must_be_mine(self, what: str) -> None:
        self._must_be_open(what)
        if self.log[THREAD] != get_ident():
            advice = "call it in the thread that entered the block, or wrap it in an action"
            raise IllegalOperation(f"call {what} of {self.label}", "another thread has entered it", advice)

    def _must_be_between_steps(self) -> None:
        step = running_step(self._here())
        if step is not None:
            advice = "raise an exception in it instead: leaving the block with that rolls back"
            raise IllegalOperation(f"roll back {self.label}", f"the step {step.name} of it is running", advice)

    # -- entering and leaving

    def _enter(self, *, awaits: bool) -> None:
        if self._state is not _NEW:
            again = "a transaction object serves one block; make another one for the next"
            raise IllegalOperation(f"enter {self.label}", f"it is {self._state}", again)
        self.log = log = [0, get_ident(), self, awaits]
        try:
            self.surrounding = surrounding = get_current()
            if surrounding is not None or self.outer is not None:
                self.plain = False
                self._nest(surrounding)
            self._token = current.set(log)
            self._state = _OPEN
        except BaseException:
            self._detach()
            if self.outer is not None:
                self.outer.leave_lane(self)
            raise

    def _nest(self, surrounding: Log | None) -> None:
        """Become a savepoint of the transaction around, if that is wanted."""
        if self.outer is None and surrounding is not None:
            around: Runner = surrounding[OWNER].owner_here()
            if around.block is not None and self._outermost:
                raise NestedTransaction(self.label, around.label)
            if around.block is not None and not self._independent:
                self.outer = around
        outer = self.outer
        if outer is not None and outer.block is not None:
            if self.awaits and not outer.block.awaits:
                raise AsyncActionInSyncBlock("`async with transaction()`", outer.block.label)
            self._parent = outer.block
            outer.enter_lane(self)
            outer.check_open(self.label)  # after it has been entered: who closes the log then looks for lanes

    def _detach(self) -> None:
        """Make the surrounding block the current one again."""
        token = self._token
        if token is not None:
            try:
                current.reset(token)
            except (ValueError, RuntimeError):  # left in another context than it was entered in
                log = get_current()
                if log is not None and log[OWNER] is self:
                    current.set(self.surrounding)
            self._token = None
            if self.surrounding is not None:
                self._skip_left()

    def _skip_left(self) -> None:
        """If blocks around this one have been left before it, make the innermost that has not the current one."""
        log = around = get_current()
        while log is not None and isinstance(log[OWNER], Block) and log[OWNER]._token is None:
            log = log[OWNER].surrounding
        if log is not around:
            current.set(log)

    def _move(self, state: TransactionState) -> None:
        check_transition(TRANSACTION_TRANSITIONS, self._state, state, self.label)
        self._state = state

    # -- ending well

    def _check_commit(self) -> None:
        """Raise what keeps a block that was left normally from committing."""
        for lane in self.lanes or ():
            if isinstance(lane, Block) and lane._state is _OPEN:
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
            self.release()
            self._hooks = None
        else:
            self._move(TransactionState.RELEASED)  # a lane of the outer one from now on like any other
            close(self)
            if self._report is not None and self._parent is not None:
                self._parent.report.include(self._report)
            if len(log) == FIRST and not self.lanes:
                self.outer.leave_lane(self)

    def _due_hooks(self) -> list[Hook]:
        """The hooks to be called once it has committed, in order."""
        due: list[Hook] = []
        pending: list[Hook | Block] = [self]
        while pending:
            hook = pending.pop()
            if isinstance(hook, Hook):
                if hook.due:
                    due.append(hook)
            elif hook is self or hook._state is TransactionState.RELEASED:
                pending.extend(reversed(hook._hooks or ()))
        return due

    # -- ending badly

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
        self._drop_queue()
        self._move(TransactionState.ROLLED_BACK if report.clean else TransactionState.ROLLED_BACK_WITH_FAILURES)
        report.state = self._state
        self.release()
        if self.outer is not None and self._parent is not None:
            self.outer.leave_lane(self)
            self._parent.report.include(report)
            if rollback.problems:
                self.doom(rollback.problems)

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

    def _raise_problems(self) -> None:
        """After an explicit rollback, where there is no other exception to tell them."""
        rollback = self._rollback
        if rollback is not None and rollback.problems:
            errors = [error for _, error in rollback.problems if isinstance(error, Exception)]
            names = ", ".join(step.name for step, _ in rollback.problems)
            raise RollbackFailed(f"{self.label}: everything was rolled back, but the undo of {names} failed", errors)

    def __repr__(self) -> str:
        parts = [f"{self.name!r} {self._state}"]
        if self._state is _OPEN:
            count = self.count_steps()
            parts.append(f"{count} step{'' if count == 1 else 's'}")
        if self._queue:
            parts.append(f"{len(self._queue)} queued")
        if self._state is _OPEN and self.root._doom:
            parts.append("doomed")
        outcomes = self.report.outcomes
        return f"<{self._kind} {', '.join(parts)}{': ' + outcomes if outcomes else ''}>"
