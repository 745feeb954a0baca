"""The two shells of a block: `Transaction` for sync code, `AsyncTransaction` for async code."""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable, Coroutine
from threading import Event
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast

from .block import Block
from .concurrency import Signal, cancel_steps, is_closing, running_loop
from .decorated import in_transaction
from .drivers import drive, drive_async, roll_back, roll_back_async, run_hooks_async
from .errors import IllegalOperation
from .owner import current, get_current
from .queueing import fill_in
from .runner import close
from .states import TransactionState
from .step import BARRIER, CLOSED, FIRST, NO_LOG

__all__ = ["AsyncTransaction", "Transaction"]

F = TypeVar("F", bound=Callable[..., object])

_NEW, _OPEN, _ROLLING_BACK = TransactionState.NEW, TransactionState.OPEN, TransactionState.ROLLING_BACK
_COMMITTED = TransactionState.COMMITTED
_set_current, _reset_current = current.set, current.reset


class Transaction(Block):
    """One block of sync code whose steps are undone if it fails.  Made by `transaction()`; serves one block."""

    __module__ = "actionqueues"

    _ended: Event | None = None
    _fresh_class: ClassVar[type[Transaction]]
    _intercepted_class: ClassVar[type[Transaction]]
    _async_class: ClassVar[type[AsyncTransaction]]

    @classmethod
    def _use(cls, fresh: type[Transaction], intercepted: type[Transaction], opened: type[AsyncTransaction]) -> None:
        """What it is until it has ended, see `opened.py`."""
        cls._fresh_class, cls._intercepted_class, cls._async_class = fresh, intercepted, opened

    def __enter__(self) -> Self:
        if self._state is not _NEW or get_current() is not None:
            self._enter(awaits=False)
            return self
        # The common case again, in line: an outermost block of one step should not cost much more than the step.
        try:
            log = self.log = [0, get_ident(), self, False]
            self._token = _set_current(log)
            self._state = _OPEN
            return self
        except BaseException:
            self._detach()
            raise

    def _enter_slowly(self) -> Self:
        self._enter(awaits=False)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        # What keeps it from committing, and an interrupt between any two of these lines, leads to `_recover`; nothing
        # is done twice.  The outer `try` is for an interrupt in the inner `except`.
        try:
            try:
                if exc is None and self.plain and self._state is _OPEN:
                    # The common case again: nothing but finished steps.  What `_commit` and `_detach` do, in line.
                    self._state = _COMMITTED
                    log = self.log
                    log[BARRIER] = CLOSED
                    del log[FIRST:]
                    self.log = NO_LOG
                    token: Any = self._token
                    try:
                        _reset_current(token)
                        self._token = None
                        self.__class__ = _closed
                    except (ValueError, RuntimeError):
                        self._detach()
                    return
                if exc is not None:
                    self._roll_back(exc)
                elif self._state is _OPEN:
                    self._check_commit()
                    self.execute()
                    self._check_commit()
                    close(self, spare_others=True)
                    self._wait()
                    self._check_commit()
                    self._end_well()
                self._detach()
            except BaseException as error:
                self._recover(error)
                raise
        except BaseException as error:
            self._recover(error)
            raise

    def _end_well(self) -> None:
        """Commit, and then call the hooks: no interrupt comes between them."""
        late = None if self.interceptor is None else self._allowed(drive(self._ask()))
        if late is None and (self._hooks is None or self.outer is not None):
            self._commit()
            return
        run = self._hook_run(late)
        try:
            run.guard.begin()
            run.hooks = self._due_hooks()
            self._commit()
            self._detach()
            drive(run.calls())
        finally:
            run.guard.end()
        run.result()

    def _recover(self, error: BaseException) -> None:
        try:
            self._roll_back(error)
        finally:
            self._detach()

    def _wait(self) -> None:
        """Wait for the steps in other threads."""
        if self.busy:
            self._ended = Event()
            while self.busy:
                self._ended.wait()
                self._ended.clear()

    def ended(self) -> None:
        """A step in another thread has ended."""
        if self._ended is not None:
            self._ended.set()
        if self.outer is not None:
            self.outer.ended()

    def _roll_back(self, error: BaseException | None) -> None:
        """Undo everything that has not been undone yet; a no-op once the transaction has ended."""
        if self._state is not _OPEN and self._state is not _ROLLING_BACK:
            return
        if self._left_to_outer():
            return
        rollback = self._begin_rollback()
        try:
            self._undoing = True
            roll_back(rollback, lambda: rollback.unwind_block(self, error), self._wait)
        finally:
            self._undoing = False
            self._finish_rollback(rollback, error)
        self._raise_interrupt(rollback)

    def execute(self) -> None:
        """Run the queued steps now, in order; those that are added later run at the next call, or at the end.

        Raises:
            BaseException: whatever a step raises; that step has been undone, and the ones after it stay queued.
        """
        self._must_be_mine("execute()")
        queue = self._queue
        if not queue:
            return
        token = _set_current(self._here().log)  # it may be called inside a block that shares nothing with this one
        try:
            while self._drop_undone():
                fill_in(queue[0])
                self._here().run_here(queue.popleft())
        finally:
            current.reset(token)

    def rollback(self) -> None:
        """Undo everything now and close the transaction; the block then ends without an exception.

        Raises:
            RollbackFailed: after all undos have run, if any failed.
            TransactionClosed: if the transaction has already ended.
        """
        self._must_be_mine("rollback()")
        self._must_be_between_steps()
        self._roll_back(None)
        self._raise_problems()

    def savepoint(self, name: str | None = None) -> Transaction:
        """A block inside this one that can be undone by itself; the same as ``transaction(name)`` inside it."""
        return _savepoint(self, name)

    async def __aenter__(self) -> AsyncTransaction:
        if self._state is not _NEW:
            self._enter(awaits=False)  # which says so
        # Entering decides which of the two it is, so that `q`, if it was made before the block, is the same object.
        this: Any = self
        this.__class__ = self._async_class
        this._loop = running_loop()
        this._enter(awaits=True)
        return this  # type: ignore[no-any-return] # its class has just been set

    def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> Coroutine[Any, Any, None]:
        # `async with` has looked this up before it entered.
        return AsyncTransaction.__aexit__(cast("AsyncTransaction", self), exc_type, exc, traceback)

    def __call__(self, fn: F, /) -> F:
        """Open a fresh block like this one for each call of `fn`, sync or async."""
        if self._state is not _NEW:
            raise IllegalOperation(f"decorate with {self.label}", f"it is {self.state}", "use a fresh transaction(...)")
        return in_transaction(fn, self._fresh, self._retry)

    def _fresh(self) -> Transaction:
        """Another one with the same options."""
        fresh = self._fresh_class() if self._intercept is None else self._intercepted_class()
        fresh.__dict__.update({name: value for name, value in self.__dict__.items() if name in _OPTIONS})
        return fresh


_OPTIONS = {"name", "_independent", "_outermost", "_intercept"}
_closed: Any = Transaction  # without a finalizer, see `opened.py`


class _Savepoint(Transaction):
    """What `Transaction.savepoint` returns: nested in that transaction, wherever it is entered."""

    _kind = "Savepoint"
    __enter__ = Transaction._enter_slowly


class AsyncTransaction(Block):
    """One block of async code whose steps, sync and async, are undone if it fails.

    Made by ``async with transaction() as q:``; serves one block, in one event loop.
    """

    __module__ = "actionqueues"

    awaits = True
    _kind = "AsyncTransaction"
    _ended: Signal | None = None

    if not TYPE_CHECKING:  # pragma: no branch - type checkers are to find `with q:` on an async block

        def __enter__(self):
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
                    self._check_commit()
                    await self.execute()
                    self._check_commit()
                    close(self, spare_others=True)
                    await self._wait()
                    self._check_commit()
                    await self._end_well()
                self._detach()
            except BaseException as error:
                await self._recover(error)
                raise
        except BaseException as error:
            await self._recover(error)
            raise

    async def _recover(self, error: BaseException) -> None:
        try:
            if self._rollback is None or not self._rollback.orphaned:
                await self._roll_back(error)
        finally:
            self._detach()

    async def _end_well(self) -> None:
        """Commit, and then call the hooks: no interrupt comes between them."""
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
                await self._ended.wait()

    async def _roll_back(self, error: BaseException | None, *, closing: bool = False) -> None:
        """Undo everything that has not been undone yet; a no-op once the transaction has ended.

        If a coroutine is being closed, nothing can be awaited: only handlers that do not suspend can undo anything.
        """
        if self._state is not _OPEN and self._state is not _ROLLING_BACK:
            return
        if self._left_to_outer():
            return
        rollback = self._begin_rollback()
        if closing and isinstance(error, GeneratorExit):
            try:
                roll_back(rollback, lambda: rollback.unwind_block(self, error))
            finally:
                self._finish_rollback(rollback, error)
            return
        if self.busy:
            cancel_steps(self.holds)
        turns = None if self.outer is None else self.turn
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
            self._undoing = False
            if not rollback.orphaned:
                self._finish_rollback(rollback, error)
        self._raise_interrupt(rollback)

    async def execute(self) -> None:
        """Run the queued steps now, in order; those that are added later run at the next call, or at the end.

        Raises:
            BaseException: whatever a step raises; that step has been undone, and the ones after it stay queued.
        """
        self._must_be_mine("execute()")
        queue = self._queue
        if not queue:
            return
        token = _set_current(self._here().log)  # likewise
        try:
            while self._drop_undone():
                fill_in(queue[0])
                owner = self._here().owner_here()
                step = queue.popleft()
                if step.definition.is_async or step.definition.frame is None:
                    await owner.run_here_async(step)
                else:
                    owner.run_here(step)
        finally:
            current.reset(token)

    async def rollback(self) -> None:
        """Undo everything now and close the transaction; the block then ends without an exception.

        Raises:
            RollbackFailed: after all undos have run, if any failed.
            TransactionClosed: if the transaction has already ended.
        """
        self._must_be_mine("rollback()")
        self._must_be_between_steps()
        await self._roll_back(None)
        self._raise_problems()

    def savepoint(self, name: str | None = None) -> Transaction:
        """A block inside this one that can be undone by itself: ``async with q.savepoint():``."""
        return _savepoint(self, name)


def _savepoint(outer: Block, name: str | None) -> Transaction:
    outer._must_be_open("savepoint()")
    inner = _Savepoint()
    inner.name = name or "savepoint"
    inner.outer = outer
    return inner
