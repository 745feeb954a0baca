"""What users call on `q`, whatever kind of code the block runs in.

Stands on blocks.  Used by `rollbacks.py`, and through that by the shells.
"""

from __future__ import annotations

import inspect
from _thread import get_ident
from collections import deque
from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, cast

from actionqueues.errors import AsyncActionInSyncBlock, IllegalOperation
from actionqueues.report import Report

from .block import ENDED, Block
from .current import refused_to_handlers
from .drivers import drive
from .hooks import Durable
from .log import Log, count_steps, get_current, new_log, place_for_another_thread, set_current, this_thread, undoing
from .options import check_flag
from .plan import Plan, plan_of
from .queue import Adding, check_arguments, refuse_async, undo_record
from .signature import display_name, is_async, unawaited
from .states import StepState, TransactionState
from .step import DEFINITION, Step
from .tasks import has_ended, running_task
from .text import first_of, raise_late
from .tracebacks import giving
from .waiting import is_savepoint, running_in
from .watch import SEAM, Hook, ask

P = ParamSpec("P")
R = TypeVar("R")

_OPEN = TransactionState.OPEN


class Face(Adding):
    """A face of a block.  All that is done through it is checked here, before anything has happened."""

    __slots__ = ("__weakref__", "_block")

    _block: Block

    @property
    def name(self) -> str:
        """The name it was given, or ``"transaction"``."""
        return self._block.name

    @property
    def state(self) -> TransactionState:
        """How far it has come, or how it ended."""
        return self._block.state

    @property
    def report(self) -> Report:
        """What has happened so far."""
        return self._block.report

    def _add(self, step: Step[Any]) -> Step[Any]:
        block = self._block
        if block.state is not _OPEN or block.leaving or undoing.get() is not None:
            self._must_be_open(f"add({step.name})")
        if step._record[DEFINITION].waits and not block.awaits:
            refuse_async(step._record[DEFINITION], block)
        log = block.log
        direct = log.direct and get_current() is log and log.thread == get_ident()
        if not direct:
            log = self._here(f"add({step.name})")
        if block.queue is None:
            block.queue = deque()
            block.plain = False
        block.queue.append(step)
        if direct:
            log.append((step,))
        else:
            block.put(log, (step,))
        if block.watch is not None:
            block.watch.queued(step)
        return step

    def on_rollback(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Callable[P, R]:
        """Record how to undo something that has just been done by hand; return `fn`, so that it is a decorator too.

        It takes its place among the steps: what was done after it is undone before it.

        Raises:
            TypeError: if the arguments do not fit, or it is async and the block is not.
            TransactionClosed: if the transaction has ended.
        """
        self._must_be_open(f"on_rollback({display_name(fn)})")
        self._check_async(fn)
        block, record = self._block, undo_record(fn, args, kwargs)
        entry: Any = record if block.watch is None else Step(record, StepState.DONE)
        block.put(block.here(), entry)  # also if it cannot be recorded: what it undoes has been done
        if block.watch is not None:
            raise_late(first_of(*drive(ask(block.watch.recorded, entry))))
        return fn

    def on_commit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Callable[P, R]:
        """Call `fn` once the outermost transaction has committed, and not at all if this one is undone; return it.

        Nor is it called if the savepoint or the step that registers it is undone.  Hooks are called in the order in
        which they were registered, all of them, outside the block; one that a hook registers is called behind the
        others.  If any raise, they are raised together as `CommitHookFailed`.

        Raises:
            TypeError: if the arguments do not fit, or it is async and the block is not.
            TransactionClosed: if the transaction has ended.
        """
        block = self._block
        calling = block.root.hook_run
        if calling is None:
            self._must_be_open(f"on_commit({display_name(fn)})")
        self._check_async(fn)
        check_arguments(fn, args, kwargs)
        hook = Hook(fn, args, kwargs, display_name(fn))
        if block.watch is not None:
            block.watch.registering(hook)
        elif isinstance(fn, Durable):
            raise TypeError(f"{hook.name} is durable, but there is no journal: transaction(journal=...) records it")
        if calling is not None and block.state is not _OPEN:
            calling.hooks.append(hook)
            return fn
        root = block.root
        root.plain = block.plain = False
        if root.hooks is None:
            root.hooks = []
        root.hooks.append(hook)
        block.put(block.here(), (hook,))
        return fn

    def plan(self) -> Plan:
        """What is queued, in the order in which it will run, and what will undo it: to be looked at, printed or kept.

        That of savepoints in this block which are open here comes first, as they end first.  Nothing is called but what
        ``@fn.describe`` has been given.

        Raises:
            TransactionClosed: if the transaction has ended.
            IllegalOperation: if it has not been entered.
        """
        self._must_be_open("plan()")
        block, log = self._block, self._block.here("plan()")
        blocks: list[Block] = []
        while log is not block.log and log.up is not None:
            if is_savepoint(log):
                blocks.append(log.block)
            log = log.up
        queues = [(each.name, each.queue or ()) for each in blocks]
        return plan_of(block.name, [*queues, (None, block.queue or ())], block.watch)

    def run(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `fn` as a part of this block, from whatever thread; return what it returns.

        For threads, which start outside any block: ``pool.submit(q.run, upload, name)``.  Steps that `fn` calls are
        undone with the block; the end of the block waits for those that are running.  If `fn` is async, await what
        this returns, in the event loop that the block is in.

        In the thread of the block it is a plain call: what `fn` does belongs to the savepoint and the step that call
        it.

        Raises:
            TransactionClosed: if the transaction has ended.
        """
        block = self._block
        self._must_be_open(f"run({display_name(fn)})")
        if is_async(fn):
            self._check_async(fn)
            awaiting = cast("Callable[P, Awaitable[object]]", fn)
            return cast("R", self._run_async(awaiting, *args, **kwargs))
        here, thread = place_for_another_thread(block.here(f"run({display_name(fn)})")), this_thread()
        if here.thread == thread:
            return self._called_in(here, fn, *args, **kwargs)()
        log = new_log(here, here.block, thread, direct=block.direct)
        block.plain = here.block.plain = False
        here.block.running[log] = None
        try:
            raise_late(here.block.refuse(here, display_name(fn)))
            here.append(log)
            return self._called_in(log, fn, *args, **kwargs)()
        finally:
            log.direct = False
            here.block.running.pop(log, None)
            for each in running_in(here.block, log):
                if each.record is None and each.thread == thread:
                    each.thread = here.thread  # a savepoint that was not left: nobody waits for this thread any more
            here.block.wake()

    def _called_in(self, log: Log, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Callable[[], R]:
        around = get_current()
        try:
            set_current(log)
            value: Any = fn(*args, **kwargs)
        except BaseException as error:
            return giving(None, error)
        finally:
            if get_current() is log:
                set_current(around)
        if type(value) is CoroutineType and not self._block.awaits:  # otherwise it is the caller who awaits it
            raise unawaited(value, fn, display_name(fn))
        return giving(value, None)

    async def _run_async(self, fn: Callable[P, Awaitable[object]], /, *args: P.args, **kwargs: P.kwargs) -> object:
        around, here = get_current(), self._block.here()
        try:
            set_current(here)
            return await fn(*args, **kwargs)
        finally:
            if get_current() is here:
                set_current(around)

    def _check_async(self, fn: object) -> None:
        block = self._block
        if is_async(fn) and not (block.awaits and (block.log is ENDED or block.here().block.awaits)):
            raise AsyncActionInSyncBlock(display_name(fn), block.label)

    def _must_be_open(self, what: str) -> None:
        block = self._block
        if block.state is TransactionState.NEW:
            raise IllegalOperation(f"use {block.label}", "it has not been entered", "write `with transaction() as q:`")
        if block.state is not _OPEN or what != "rollback()":
            raise_late(block.refuse(self._here(what), what))
        raise_late(refused_to_handlers(block))

    def _here(self, what: str) -> Log:
        """The log that what is done here belongs to, unless the step that has started this has failed since."""
        here = self._block.here(what)
        if here.block.stand_in:
            raise_late(here.block.refuse(here, what))
        return here

    def _must_be_mine(self, what: str) -> None:
        self._must_be_open(what)
        block = self._block
        if block.awaits and not inspect.iscoroutinefunction(getattr(self, "execute")):  # noqa: B009 - which this class has not
            advice = "call it on what `async with ... as q` gives, and await it"
            raise IllegalOperation(f"call {what} of {block.label}", "it was entered by `async with`", advice)
        if block.log.thread != this_thread():
            advice = "raise an exception in a step there, or let the thread that entered the block call it"
            raise IllegalOperation(f"call {what} of {block.label}", "another thread has entered it", advice)
        block.check_loop(what)
        if block.awaits and running_task() is not block.task and not has_ended(block.task):
            advice = "raise an exception in a step here, or let the task that entered the block call it"
            raise IllegalOperation(f"call {what} of {block.label}", "another task has entered it", advice)

    def _shows(self, progress: bool) -> None:
        """Show how far it is from now on, if that is wanted."""
        check_flag("execute(progress=...)", progress)
        if progress and self._block.queue:
            SEAM.show(self._block, self._block.log, len(self._block.queue), 0)

    if not TYPE_CHECKING:  # pragma: no branch - to type checkers there is no such attribute

        def __getattr__(self, name):
            if name == "commit":
                advice = (
                    "leaving the block commits; on_commit(fn) calls what has to follow, execute() runs the queue now"
                )
                what = f"{type(self).__name__!r} object has no attribute 'commit'"
                raise AttributeError(f"{what}: {advice}", name=name, obj=self)
            return object.__getattribute__(self, name)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What notebooks show."""
        return self.report._repr_mimebundle_(include, exclude)

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError(f"{self!r} cannot be pickled or copied: it belongs to the process and the block it is used in")

    def __repr__(self) -> str:
        block = self._block
        parts = [f"{self.name!r} {self.state}"]
        if block.state is _OPEN:
            count = 0 if block.log is ENDED else count_steps(block.log)
            parts.append(f"{count} step{'' if count == 1 else 's'}")
        queued = sum(step.state is StepState.QUEUED for step in tuple(block.queue or ()))
        if queued:
            parts.append(f"{queued} queued")
        if block.state is _OPEN and block.root.doomed:
            parts.append("doomed")
        outcomes = self.report.outcomes
        kind = "Savepoint" if block.kind == "Savepoint" else type(self).__name__
        return f"<{kind} {', '.join(parts)}{': ' + outcomes if outcomes else ''}>"
