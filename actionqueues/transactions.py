"""`transaction()`, and the two shells of a block: `Transaction` for sync code, `AsyncTransaction` for async code."""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable
from threading import Event
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar, cast, overload

from .block import Block
from .concurrency import Signal, cancel_steps
from .decorated import in_transaction
from .drivers import drive, roll_back, roll_back_async, run_hooks_async
from .errors import IllegalOperation, NoTransaction
from .hooks import HookRun
from .owner import Owner, current, get_current
from .queueing import fill_in
from .retry import Policy, check_policy
from .runner import close
from .states import TransactionState
from .step import BARRIER, FIRST, NO_LOG, OWNER, Log

__all__ = ["AsyncTransaction", "Transaction", "current_transaction", "transaction"]

F = TypeVar("F", bound=Callable[..., object])

_NEW, _OPEN, _ROLLING_BACK = TransactionState.NEW, TransactionState.OPEN, TransactionState.ROLLING_BACK
_COMMITTED = TransactionState.COMMITTED
_new, _set_current = object.__new__, current.set


class Transaction(Block):
    """One block of sync code whose steps are undone if it fails.  Made by `transaction()`; serves one block."""

    __module__ = "actionqueues"

    _ended: Event | None = None

    def __enter__(self) -> Self:
        if self._state is not _NEW or get_current() is not None:
            self._enter(None)
            return self
        # The common case again, in line: an outermost block of one step should not cost much more than the step.
        try:
            log = self.log = [False, get_ident(), self, None]
            self._token = _set_current(log)
            self._state = _OPEN
            return self
        except BaseException:
            self._detach()
            raise

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
                    log[BARRIER] = True
                    del log[FIRST:]
                    self.log = NO_LOG
                    self._detach()
                    return
                if exc is not None:
                    self._roll_back(exc)
                elif self._state is _OPEN:
                    self._check_commit()
                    self.execute()
                    self._check_commit()
                    close(self)
                    self._wait()
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
        if self._hooks is None or self.outer is not None:
            self._commit()
            return
        run = HookRun(self.report, self.label)
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

    def _roll_back(self, error: BaseException | None) -> None:
        """Undo everything that has not been undone yet; a no-op once the transaction has ended."""
        if self._state is not _OPEN and self._state is not _ROLLING_BACK:
            return
        rollback = self._begin_rollback()
        try:
            roll_back(rollback, lambda: rollback.unwind(self), self._wait)
        finally:
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
            while queue:
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
            self._enter(None)  # which says so
        # Entering decides which of the two it is, so that `q`, if it was made before the block, is the same object.
        this: Any = self
        this.__class__ = AsyncTransaction
        this._enter(0)
        return this  # type: ignore[no-any-return]

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        # `async with` has looked this up before it entered.
        this: Any = self
        await AsyncTransaction.__aexit__(this, exc_type, exc, traceback)

    def __call__(self, fn: F, /) -> F:
        """Open a fresh block like this one for each call of `fn`, sync or async."""
        if self._state is not _NEW:
            raise IllegalOperation(f"decorate with {self.label}", f"it is {self.state}", "use a fresh transaction(...)")
        return in_transaction(fn, self._fresh, self._retry)

    def _fresh(self) -> Transaction:
        """Another one with the same options."""
        return transaction(self.name, independent=self._independent, outermost=self._outermost)


class _Savepoint(Transaction):
    """What `Transaction.savepoint` returns: nested in that transaction, wherever it is entered."""

    _kind = "Savepoint"

    def __enter__(self) -> Self:
        self._enter(None)
        return self


class _Retried(Transaction):
    """What `transaction` returns if it is given a policy: only a function can be called again."""

    def __enter__(self) -> NoReturn:
        raise TypeError(
            "transaction(retry=...) is for decorating a function, which can be called again; a block cannot: put "
            "its lines into a function, or give the policy to the actions"
        )

    async def __aenter__(self) -> NoReturn:
        self.__enter__()


class AsyncTransaction(Block):
    """One block of async code whose steps, sync and async, are undone if it fails.

    Made by ``async with transaction() as q:``; serves one block, in one event loop.
    """

    __module__ = "actionqueues"

    awaits = True
    _kind = "AsyncTransaction"
    _ended: Signal | None = None

    def __enter__(self) -> NoReturn:
        self._enter(0)
        raise AssertionError  # pragma: no cover - it has been entered before

    def __exit__(self, *exc_info: object) -> None:
        """Not reached."""

    async def __aenter__(self) -> Self:
        self._enter(0)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        try:
            try:
                if exc is not None:
                    await self._roll_back(exc)
                elif self._state is _OPEN:
                    self._check_commit()
                    await self.execute()
                    self._check_commit()
                    close(self)
                    await self._wait()
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
            await self._roll_back(error)
        finally:
            self._detach()

    async def _end_well(self) -> None:
        """Commit, and then call the hooks: no interrupt comes between them."""
        if self._hooks is None or self.outer is not None:
            self._commit()
            return
        run = HookRun(self.report, self.label)
        run.hooks = self._due_hooks()
        self._commit()
        self._detach()
        await run_hooks_async(run)

    def ended(self) -> None:
        """A step has ended after the log was closed."""
        if self._ended is not None:
            self._ended.set()

    async def _wait(self) -> None:
        """Wait for the steps that are running in other tasks and threads."""
        while self.busy:
            self._ended = Signal()
            if self.busy:
                await self._ended.wait()

    async def _roll_back(self, error: BaseException | None) -> None:
        """Undo everything that has not been undone yet; a no-op once the transaction has ended."""
        if self._state is not _OPEN and self._state is not _ROLLING_BACK:
            return
        rollback = self._begin_rollback()
        if self.busy:
            cancel_steps(self._holds)
        try:
            await roll_back_async(rollback, lambda: rollback.unwind(self), self._wait)
        finally:
            self._finish_rollback(rollback, error)
        self._raise_interrupt(rollback)

    def _holds(self, log: Log) -> bool:
        """Whether a log is this block's, or that of a step or block in it."""
        owner: Owner | None = log[OWNER]
        while owner is not None and owner is not self:
            owner = owner.outer
        return owner is self

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
            while queue:
                fill_in(queue[0])
                owner = self._here().owner_here()
                step = queue.popleft()
                if step.definition.is_async:
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


@overload
def transaction(fn: F, /) -> F: ...
@overload
def transaction(
    name: str | None = None, /, *, independent: bool = False, outermost: bool = False, retry: Policy | None = None
) -> Transaction: ...
def transaction(
    name: Any = None, /, *, independent: bool = False, outermost: bool = False, retry: Policy | None = None
) -> Any:
    """A block of steps that are undone, in reverse order, if the block is left by an exception.

    As a block, ``with transaction("sign-up") as q:``.  Leaving it by any exception undoes every step that was started
    in it, and the exception goes on; leaving it normally runs the queued steps and commits.  A block inside a block is
    a savepoint: if it fails, its own steps are undone; if it succeeds, they belong to the outer one.

    As a decorator, ``@transaction`` or ``@transaction("sign-up", retry=Retry(...))`` over a function, sync or async,
    which opens a fresh block for each call.

    Args:
        name: what messages and reports call it.
        independent: share nothing with a block around it: what is done here stays if that one fails.
        outermost: refuse to be a savepoint.
        retry: for the decorator: when a call fails and everything has been undone, call again after this policy.

    Raises:
        TypeError: for options that exclude each other, or `retry` without a function.
        NestedTransaction: on entering, if it is `outermost` and there is a block around it.
    """
    if name is not None and not isinstance(name, str):
        if independent or outermost or retry is not None:
            raise TypeError("transaction(): options go before the function: @transaction(retry=...) over the def")
        return Transaction()(name)
    made: Transaction = _new(Transaction)  # and not Transaction(), which would cost a frame
    made._state = _NEW
    made._token = None
    made.plain = True
    if name is not None:
        made.name = name
    if independent:
        made._independent = True
    if outermost:
        if independent:
            raise TypeError("transaction(): independent=True and outermost=True exclude each other")
        made._outermost = True
    if retry is not None:
        made._retry = check_policy(retry, "transaction(retry=...)")
        made.__class__ = _Retried
    return made


def current_transaction() -> Transaction | AsyncTransaction:
    """The transaction that a step called here would belong to: the innermost open block.

    For code that has no ``q``, such as the body of a function decorated with ``@transaction``.

    Raises:
        NoTransaction: outside any block.
    """
    log = get_current()
    block: Any = None if log is None else log[OWNER].block
    if block is None:
        raise NoTransaction("current_transaction()")
    return cast("Transaction | AsyncTransaction", block)
