"""The state of a block, and what may be done in it: the part that users call."""

from __future__ import annotations

import atexit
import os
import sys
from _thread import get_ident
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Token
from typing import Any, NoReturn, ParamSpec, TypeVar, cast

from .concurrency import has_ended, running_loop
from .drivers import asked
from .engine import Rollback
from .errors import AsyncActionInSyncBlock, IllegalOperation, TransactionClosed
from .hooks import Durable, Hook
from .lanes import Lane
from .owner import current, get_current, set_back, undoing
from .queueing import Adding, check_arguments, undo_entry
from .report import Report, UndoFailure
from .retry import Policy
from .runner import Runner
from .running import running_step
from .signature import display_name, is_async
from .states import StepState, TransactionState
from .step import BARRIER, CLOSED, NO_LOG, OWNER, SPLIT, THREAD, Entry, Log, Step

__all__ = ["BlockState"]

P = ParamSpec("P")
R = TypeVar("R")

_NEW, _OPEN = TransactionState.NEW, TransactionState.OPEN
_STANDING = (_OPEN, TransactionState.RELEASED, TransactionState.COMMITTED)


class BlockState(Runner, Adding):
    """What a transaction is and takes, whatever kind of code it runs in.

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
    is_block = True
    _kind = "Transaction"
    _independent = False
    _outermost = False
    _retry: Policy | None = None
    outer: Runner | None = None
    _parent: BlockState | None = None  # what it is a savepoint of
    _rollback: Rollback | None = None
    _report: Report | None = None
    _queue: deque[Step[Any]] | None = None
    _hooks: list[Hook | BlockState] | None = None
    _doom: list[UndoFailure] | None = None
    _ending = False
    _undoing = False  # whether it is being rolled back by itself right now
    _beside = False
    _loop: object = None
    _lost: Token[Log | None] | None = None  # what makes it current no longer in the context that it was entered in

    def __init__(self) -> None:
        self._state = _NEW
        self._token = None
        self.plain = True

    @property
    def state(self) -> TransactionState:
        """How far it has come, or how it ended."""
        return self._state

    @property
    def left(self) -> bool:
        """Whether it has ended, and its block has been left."""
        return self._token is None and self._state is not _NEW and self._state is not _OPEN

    @property
    def undone(self) -> bool:
        """Whether it, or a savepoint around it, has been rolled back or is about to be."""
        return self._state not in _STANDING or (self._parent is not None and self._parent.undone)

    @property
    def label(self) -> str:
        """What messages call it."""
        kind = "transaction" if self._parent is None else "savepoint"
        return f"the {kind} {self.name!r}" if self.name not in ("transaction", "savepoint") else f"the {self.name}"

    @property
    def root(self) -> BlockState:
        """The outermost transaction that it is a part of."""
        root = self
        while root._parent is not None:
            root = root._parent
        return root

    @property
    def block(self) -> BlockState:
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

    def _add(self, step: Step[Any]) -> Step[Any]:
        if self._state is not _OPEN or undoing.get() is not None:
            self._must_be_open(f"add({step.name})")
        if not self.awaits:
            step.definition.refuse_async(self)
        self.plain = False
        if self._queue is None:
            self._queue = deque()
        here = self._here()
        if here is not self:
            step.savepoint = self._innermost().block
        within = None if here is self and self.idle and self.outer is None else running_step(here)
        if within is not None:
            step.within = within, within.attempts
        self._queue.append(step)
        return step

    def on_rollback(self, fn: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Record how to undo something that has just been done by hand.

        It takes its place among the steps: what was done after it is undone before it.

        Raises:
            TypeError: if the arguments do not fit, or it is async and the block is not.
            TransactionClosed: if the transaction has ended.
        """
        self._must_be_open(f"on_rollback({display_name(fn)})")
        self._check_async(fn)
        self._record(undo_entry(fn, args, kwargs, awaits=self.awaits))

    def _record(self, entry: Entry) -> None:
        """Record something that is done, where the running code belongs if that is in this block."""
        if self.interceptor is not None:
            step: Step[Any] = Step(entry[-1], entry, StepState.DONE)
            self._allow(asked(self.interceptor.recorded, step))
            entry = [None, step]
        owner = self._here().owner_here()
        owner.split()
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
            owner = owner.of or owner.outer
        return self if owner is None or around is None else around

    def _innermost(self) -> Runner:
        """The same, or this one where that has been left: this code has outlived it."""
        here = self._here()
        return self if here.block is None or here.block.left else here

    def on_commit(self, fn: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call `fn` once the outermost transaction has committed, and not at all if this one is undone.

        Nor is it called if the savepoint or the step that registers it is undone.  Hooks are called in the order in
        which they were registered, all of them, outside the block.  If any raise, they are raised together as
        `CommitHookFailed`.

        Raises:
            TypeError: if the arguments do not fit, or it is async and the block is not.
            TransactionClosed: if the transaction has ended.
        """
        self._must_be_open(f"on_commit({display_name(fn)})")
        self._check_async(fn)
        check_arguments(fn, args, kwargs)
        here = self._here()
        hook = Hook(fn, args, kwargs, running_step(here))
        if self.interceptor is not None:
            self.interceptor.registering(hook)
        elif isinstance(fn, Durable):
            raise TypeError(f"{hook.name} is durable, but there is no journal: transaction(journal=...) records it")
        block = here.block
        # If that has ended, this code has outlived it, and what is open is this one.
        (block if block is not None and block.state is _OPEN else self)._hook_list().append(hook)

    def run(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `fn` as a part of this block, from whatever thread; return what it returns.

        For threads, which start outside any block: ``pool.submit(q.run, upload, name)``.  Steps that `fn` calls are
        undone with the block, in reverse order of start; the end of the block waits for those that are running.  If
        `fn` is async, await what this returns, in the event loop that the block is in.

        Inside the block it is a plain call: what `fn` does belongs to the savepoint and the step that call it.

        Raises:
            TransactionClosed: if the transaction has ended.
        """
        self._must_be_open(f"run({display_name(fn)})")
        if is_async(fn):
            self._check_async(fn)
            awaiting = cast("Callable[P, Awaitable[object]]", fn)
            return cast("R", self._run_async(awaiting, *args, **kwargs))
        token = current.set(self._innermost().log)
        try:
            return fn(*args, **kwargs)
        finally:
            current.reset(token)

    async def _run_async(self, fn: Callable[P, Awaitable[object]], /, *args: P.args, **kwargs: P.kwargs) -> object:
        token = current.set(self._innermost().log)
        try:
            return await fn(*args, **kwargs)
        finally:
            set_back(current, token)

    def runs_beside(self, leaver: object) -> bool:
        """Whether it is a savepoint that another thread or task is in, or that is being rolled back by itself."""
        if self.outer is None:
            return False
        foreign = self.log[THREAD] != self.outer.log[THREAD]
        if self._undoing:
            return foreign or self.awaits
        if self._state is not _OPEN:
            return False
        if foreign:
            return self.log[THREAD] in sys._current_frames()  # otherwise its thread has ended without leaving it
        others = None not in (leaver, self.task, self._token) and leaver is not self.task
        return others and not has_ended(self.task)

    def go_on_behind(self) -> None:
        """Something else is about to be started: what is recorded here later has to be undone before that."""
        self.mark_as_split()
        self.split()  # the savepoints in it as well

    def mark_as_split(self) -> None:
        """Let the next step here look whether something else has been started since the last one."""
        log = self.log
        if log is not NO_LOG:  # pragma: no branch - unless another thread ends it at the same time
            log[BARRIER] |= SPLIT
            if self._state is not _OPEN and log[BARRIER] < CLOSED:  # its own thread has closed it at the same time
                log[BARRIER] += CLOSED  # pragma: no cover - two threads at one instruction, in no order of a test

    def call_soon(self, function: Callable[[], object]) -> None:
        """Let its event loop call something."""
        loop: Any = self.root._loop
        with suppress(RuntimeError):  # it has ended
            (loop.run_sync_soon if hasattr(loop, "run_sync_soon") else loop.call_soon_threadsafe)(function)

    def writer(self) -> Runner:
        """Whose log takes what is to be recorded now."""
        return super().writer() if self.log[BARRIER] & SPLIT else self

    def continued_in(self, owner: Runner) -> Lane:
        """The lane of `owner` in which it goes on."""
        return owner.lane_of(None, self, self)

    def remember(self, lane: Lane) -> None:
        """Remember that what is in this lane goes with it."""
        if self.parts is None:
            self.parts = []
        if self.parts[-1:] != [lane]:
            self.parts.append(lane)

    def check_loop(self, what: str) -> None:
        """Refuse what would run in another event loop than it was entered in."""
        if self._loop is not None and running_loop() is not self._loop:
            advice = "open a transaction in this one"
            raise IllegalOperation(f"run {what} in {self.label}", "that was entered in another event loop", advice)

    def _disown(self) -> None:
        """Leave it to the process that has entered it."""
        self._state, self.plain = TransactionState.RELEASED, False
        self._ending = True  # a step that raises here is not undone here

    def _drop_undone(self) -> bool:
        """Drop the queued steps that were added by a step, or an attempt of one, that has been undone since.

        Returns:
            Whether there is a step left to be run.
        """
        queue = self._queue
        while queue and not queue[0].due:
            step = queue.popleft()
            step.move(StepState.DROPPED)
            self.report.dropped.append(step)
        return bool(queue)

    def _hook_list(self) -> list[Hook | BlockState]:
        self.plain = False
        if self._hooks is None:
            if self._parent is not None:
                self._parent._hook_list().append(self)  # so that they keep their place among the outer ones
            self._hooks = []
        return self._hooks

    def _check_async(self, fn: object) -> None:
        if is_async(fn) and not (self.awaits and self._here().awaits):
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
        self.check_loop(what)

    def _must_be_between_steps(self) -> None:
        owner = self._here()
        while (step := owner.running()) is None and owner is not self and owner.outer is not None:
            owner = owner.outer
        if step is not None:
            advice = "raise an exception in it instead: leaving the block with that rolls back"
            raise IllegalOperation(f"roll back {self.label}", f"the step {step.name} of it is running", advice)

    def _warn_left_open(self) -> None:
        """Tell that it has been entered by hand and forgotten: nothing has committed or undone its steps."""
        from warnings import warn  # here, because most programs forget none

        steps = ", ".join(self.step_names()) or "none so far"
        told = f"{self.label} was never left, so its steps were neither committed nor undone: {steps}"
        advice = "use `with`, or see to it that `__exit__` is called"
        warn(f"{told}; {advice}", ResourceWarning, stacklevel=2, source=self)

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError(f"{self!r} cannot be pickled or copied: it belongs to the process and the block it is used in")

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


def _forked() -> None:
    """In a child process: the blocks that the parent is in are the parent's."""
    log, rollback = current.get(), undoing.get()
    while log is not None:
        owner = log[OWNER]
        if isinstance(owner, BlockState):
            owner._disown()
        log = owner.surrounding
    current.set(None)
    if isinstance(rollback, Rollback):  # pragma: no cover - in a child process that a handler forks, see test_forks.py
        rollback.disowned = True
        outer = rollback.owner
        while outer is not None:
            if isinstance(outer, BlockState):
                outer._disown()
            outer = outer.outer


def _warn_at_exit() -> None:  # pragma: no cover - called once the tracer has ended
    """The context of the main thread outlives everything, and so does a block that was forgotten there."""
    log = current.get()
    while log is not None:
        if isinstance(log[OWNER], BlockState) and log[OWNER].state is _OPEN:
            log[OWNER]._warn_left_open()
        log = log[OWNER].surrounding


atexit.register(_warn_at_exit)
if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows
    os.register_at_fork(after_in_child=_forked)
