"""`AsyncTransaction`: a block of async code."""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from .block import Block
from .cancelling import awaits, cancel_steps, open_nurseries
from .concurrency import Signal, in_trio, is_closing, running_loop, running_task, shielded
from .drivers import drive_async, roll_back, roll_back_async, run_hooks_async
from .engine import Rollback
from .errors import IllegalOperation, TransactionClosed
from .owner import Owner, close, current, set_back
from .queueing import fill_in
from .running import running_step
from .shells import LOOK, Transaction, savepoint_of
from .states import TransactionState
from .step import Step
from .turns import Turns

__all__ = ["AsyncTransaction"]

_OPEN, _ROLLING_BACK = TransactionState.OPEN, TransactionState.ROLLING_BACK
_set_current = current.set

#: A task that executes a queue, the nurseries that it had open before, and what tells that it has done so.
_Execution: TypeAlias = tuple[object, Sequence[object], Signal]


class AsyncTransaction(Block):
    """One block of async code whose steps, sync and async, are undone if it fails.

    Made by ``async with transaction() as q:``; serves one block, in one event loop.
    """

    __module__ = "actionqueues"

    awaits = True
    _kind = "AsyncTransaction"
    _ended: Signal | None = None
    _undone: Signal
    _undoer: object = None
    _executing: list[_Execution] | None = None  # those of its queue, the last to begin last
    _committing = False
    _cancelled: frozenset[object] = frozenset()  # the tasks that its rollback, or an interrupt, has cancelled
    _handed_up: tuple[BaseException, ...] = ()  # interrupts that its tasks have left to its end
    _asked_for: Coroutine[Any, Any, None] | None = None  # a rollback that has not begun

    if not TYPE_CHECKING:  # pragma: no branch - type checkers are to find `with q:` on an async block

        def __enter__(self):
            if self._state is TransactionState.NEW:
                raise TypeError("an AsyncTransaction is entered by `async with`; use transaction() for either kind")
            self._enter(awaits=True)  # which says that it has been entered before

        __exit__ = None  # not reached

    async def __aenter__(self) -> Self:
        self._loop = running_loop()
        self._enter(awaits=True)
        return self  # pragma: no cover - what is one already has been entered, which `_enter` refuses

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        try:
            try:
                if exc is not None:
                    await self._roll_back(exc, closing=is_closing(exc))
                elif self._state is _OPEN:
                    if self.lanes:
                        self.leaver = running_task()
                    self._check_commit()
                    await self.execute()
                    self._check_commit()
                    close(self, spare_others=True)
                    await self._wait()
                    if self._state is _OPEN:
                        self._check_commit()
                        await self._end_well()
                    else:  # another task has called `q.rollback()` meanwhile
                        await self._roll_back(None)
                else:
                    await self._roll_back(None)  # if another task is in it, wait for that
                self._detach()
                if self._cancelled and self._called_off(exc):
                    raise TransactionClosed("what was running in it", self.label, self._state, True) from exc
            except BaseException as error:
                await self._recover(error)
                if not self._called_off(error) or exc is not None:
                    raise
        except BaseException as error:
            await self._recover(error)
            self._called_off(error)
            raise

    def _check_commit(self) -> None:
        """Raise what keeps a block that was left normally from committing."""
        forgotten, self._asked_for = self._asked_for, None
        if forgotten is not None:
            advice = "write `await q.rollback()`"
            raise IllegalOperation(f"commit {self.label}", "its rollback() was called, but not awaited", advice)
        if self._handed_up:
            raise self._handed_up[0]
        super()._check_commit()

    def hand_up(self, interrupt: BaseException) -> bool:
        """Whether an interrupt that was kept while a step was undone at once is left to the end of the block.

        In another task of asyncio's than the block's it would end the event loop at once, with the block still open.
        """
        task: Any = self.task
        if task is None or task is running_task() or self._state is not _OPEN:
            return False
        if not isinstance(interrupt, KeyboardInterrupt | SystemExit):
            return False
        self._handed_up += (interrupt,)
        self._cancelled |= {task}
        task.cancel()
        return True

    def _called_off(self, error: BaseException | None) -> bool:
        """Whether this task has been cancelled, with this result, only because another one has rolled the block back.

        That cancellation is nobody else's business: it is taken back, as `asyncio.timeout` does with its own.
        """
        if isinstance(error, TransactionClosed):
            return error.cancelled and error.transaction == self.label  # what becomes of a cancelled step in trio
        task: Any = running_task()
        cancelled, self._cancelled = self._cancelled, frozenset[object]()
        if task not in cancelled or not hasattr(task, "uncancel"):
            return False
        import asyncio

        by_others: bool = task.uncancel() > 0
        return isinstance(error, asyncio.CancelledError) and not by_others

    async def _recover(self, error: BaseException) -> None:
        try:
            if self._rollback is None or not self._rollback.orphaned:
                await self._roll_back(error, closing=isinstance(error, GeneratorExit))
        finally:
            self._detach()

    async def _end_well(self) -> None:
        """Commit, and then call the hooks: no interrupt comes between them."""
        self._committing = True  # other tasks run while an interceptor is asked
        late = None if self.interceptor is None else self._allowed(await drive_async(self._ask()))
        if late is None and (self._hooks is None or self.outer is not None):
            self._commit()
            return
        run = self._hook_run(late)

        def commit() -> None:
            run.hooks = self._due_hooks()
            self._commit()
            current.set(self.surrounding)  # in the context of the task that calls the hooks

        await run_hooks_async(run, commit)

    def ended(self) -> None:
        """A step has ended after the log was closed."""
        if self._ended is not None:
            self._ended.set()
        if self.outer is not None:
            self.outer.ended()

    async def _wait(self) -> None:
        """Wait for the steps that are running in other tasks and threads."""
        while self.busy:
            self._ended = Signal()
            if self.busy:  # pragma: no branch - a thread may have ended one meanwhile
                await self._ended.wait(LOOK)  # a task may have ended without having left its savepoint

    def _tasks_inside(self) -> set[object]:
        """The other tasks that are in savepoints in it, and are not undoing them."""
        tasks: set[object] = set()
        owners: list[Owner] = [self]
        while owners:
            owner = owners.pop()
            if isinstance(owner, Block) and owner.state is _OPEN and owner.runs_beside(self.leaver):
                tasks.add(owner.task)
            owners += owner.lanes or ()
            owners += owner.parts or ()
        return tasks

    async def _roll_back(self, error: BaseException | None, *, closing: bool = False) -> None:
        """Undo everything that has not been undone yet; a no-op once the transaction has ended.

        If a coroutine is being closed, nothing can be awaited in it: only handlers that do not suspend undo anything.
        """
        if self._state is not _OPEN and self._state is not _ROLLING_BACK:
            return
        if self._left_to_outer():
            return
        if self._undoing and (closing or self._undoer is not running_task()):  # another task has called `q.rollback()`
            if not closing:
                await shielded(self._undone.wait)
            return
        self.leaver = None if in_trio() else running_task()  # there, who is in a savepoint cannot be cancelled
        rollback = self._begin_rollback()
        closing = closing and isinstance(error, GeneratorExit)
        undoing = closing and self.outermost.turns is not None and self.turn.taken
        in_loop = running_loop() is not None
        if self.busy and in_loop:
            self._cancelled |= cancel_steps(self.holds, self.outermost.scopes, self._tasks_inside())
        if closing and not (in_loop and not in_trio() and (self.busy or undoing)):
            try:
                roll_back(rollback, lambda: rollback.unwind_block(self, error))
            finally:
                self._finish_rollback(rollback, error)
            return
        turns = self.turn if self.outer is not None or undoing else None
        if not closing:
            await self._unwind(rollback, error, turns)
            return
        import asyncio

        # What has to be waited for can be in a task of its own, while the event loop runs.
        self._undoing, self._undone = True, Signal()
        self._undoer = asyncio.get_running_loop().create_task(self._unwind(rollback, error, turns))

    async def _unwind(self, rollback: Rollback, error: BaseException | None, turns: Turns | None) -> None:
        """Wait for the steps that are running, and undo everything, without being cut short."""
        if not self._undoing:
            self._undone = Signal()
        self._undoer = running_task()
        try:
            self._undoing = True
            await roll_back_async(
                rollback,
                lambda: rollback.unwind_block(self, error),
                self._wait,
                turns=turns,
                rank=self.rank(len(self.log)),
            )
        except BaseException as late:
            if type(late) is not type(error) or isinstance(late, KeyboardInterrupt | SystemExit):
                raise
            # cancelled again: the first cancellation goes on, and the task counts both
        finally:
            self._undoing, self._undoer = False, None
            if not rollback.orphaned:
                self._finish_rollback(rollback, error)
            self._undone.set()
        rollback.interrupts += self._handed_up
        self._raise_interrupt(rollback)

    async def execute(self) -> None:
        """Run the queued steps now, in order; those that are added later run at the next call, or at the end.

        Raises:
            BaseException: whatever a step raises; that step has been undone, and the ones after it stay queued.
            TransactionClosed: if the transaction has ended.
            IllegalOperation: if another thread has entered it, or a step among the arguments of another has no result.
        """
        self._must_be_mine("execute()")
        queue = self._queue
        if queue is None:
            return
        executing = self._executing
        if executing is None:
            executing = self._executing = []
        me, beside = running_task(), False
        while executing and not beside and running_step(self._here()) is None:
            # Another task executes them.  If one of them waits for this task, it is as if that one had called this.
            executor, open_before, ended = executing[-1]
            beside = not await ended.wait(LOOK) and awaits(executor, me, open_before)
        if not queue:
            return
        execution = me, open_nurseries(me), Signal()
        token = _set_current(self._here().log)  # it may be called inside a block that shares nothing with this one
        try:
            executing.append(execution)
            while self._drop_undone():
                await self._execute(queue)
        finally:
            set_back(current, token)
            executing[:] = [each for each in executing if each is not execution]  # it may not be the last one
            execution[-1].set()

    async def _execute(self, queue: deque[Step[Any]]) -> None:
        fill_in(queue[0])
        owner = self._here().owner_here()
        definition = queue[0].definition
        if definition.is_async and not owner.awaits:
            raise owner.refusal(definition.name)
        step = queue.popleft()
        if definition.is_async or definition.frame is None or definition.retry is not None:
            # A sync one with a policy too, so that its waits can be interrupted.
            await owner.in_scope(step.name, lambda: owner.run_here_async(step))
        else:
            owner.run_here(step)

    def rollback(self) -> Coroutine[Any, Any, None]:
        """Undo everything now and close the transaction; the block then ends without an exception.

        To be awaited: a block in which that was forgotten does not commit.

        Raises:
            RollbackFailed: after all undos have run, if any failed.
            TransactionClosed: if the transaction has already ended.
            IllegalOperation: if a step is running here, another thread has entered it, or it is being committed.
        """
        self._must_be_mine("rollback()")
        self._must_be_between_steps()
        self._asked_for = self._roll_back_explicitly()
        return self._asked_for

    async def _roll_back_explicitly(self) -> None:
        self._asked_for = None
        if self._committing and self._state is _OPEN:
            advice = "do it before the block ends, or raise an exception in the block"
            raise IllegalOperation(f"roll back {self.label}", "it is being committed", advice)
        try:
            await self._roll_back(None)
        except BaseException as interrupt:
            self._note_problems(interrupt)
            raise
        self._raise_problems()

    def savepoint(self, name: str | None = None) -> Transaction:
        """A block inside this one that can be undone by itself: ``async with q.savepoint():``.

        Raises:
            TypeError: if the name is no string.
            TransactionClosed: if the transaction has ended.
            IllegalOperation: if it has not been entered.
        """
        return savepoint_of(self, name)
