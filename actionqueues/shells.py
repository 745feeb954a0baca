"""`Transaction`: a block of sync code; once it is entered by ``async with``, it is an `AsyncTransaction`."""

from __future__ import annotations

from _thread import _count, get_ident
from collections.abc import Callable, Coroutine
from threading import Event
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast

from .block import Block
from .concurrency import in_trio, running_loop, running_task
from .decorated import in_transaction
from .drivers import drive, roll_back, run_hooks
from .errors import IllegalOperation
from .owner import close, current, get_current
from .queueing import fill_in
from .states import TransactionState
from .step import BARRIER, CLOSED, FIRST, NO_LOG, SCOPED, THREAD

if TYPE_CHECKING:
    from .asyncshell import AsyncTransaction

__all__ = ["LOOK", "Transaction", "savepoint_of"]

F = TypeVar("F", bound=Callable[..., object])

_NEW, _OPEN, _ROLLING_BACK = TransactionState.NEW, TransactionState.OPEN, TransactionState.ROLLING_BACK
_COMMITTED = TransactionState.COMMITTED
_set_current, _reset_current = current.set, current.reset

#: Seconds between two looks at those that a block waits for.
LOOK = 0.1


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
            self._state = _NEW
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
                    self.log[THREAD] = get_ident()  # a generator may be left in another thread than it was begun in
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

        def commit() -> None:
            run.hooks = self._due_hooks()
            self._commit()
            self._detach()

        run_hooks(run, commit)

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
                self._ended.wait(LOOK)  # a thread may have ended without having left its savepoint
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
        self._undoing = True  # before it is no longer open: another thread may wait for it
        rollback = self._begin_rollback()
        turns = self.turn if self.outer is not None and _count() else None
        rank = () if turns is None else self.rank(len(self.log))
        try:
            roll_back(rollback, lambda: rollback.unwind_block(self, error), self._wait, turns=turns, rank=rank)
        finally:
            self._undoing = False
            self._finish_rollback(rollback, error)
        self._raise_interrupt(rollback)

    def execute(self) -> None:
        """Run the queued steps now, in order; those that are added later run at the next call, or at the end.

        Raises:
            BaseException: whatever a step raises; that step has been undone, and the ones after it stay queued.
            TransactionClosed: if the transaction has ended.
            IllegalOperation: if another thread has entered it, or a step among the arguments of another has no result.
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
            IllegalOperation: if a step is running here, or another thread has entered it.
        """
        self._must_be_mine("rollback()")
        self._must_be_between_steps()
        try:
            self._roll_back(None)
        except BaseException as interrupt:
            self._note_problems(interrupt)
            raise
        self._raise_problems()

    def savepoint(self, name: str | None = None) -> Transaction:
        """A block inside this one that can be undone by itself; the same as ``transaction(name)`` inside it.

        Raises:
            TypeError: if the name is no string.
            TransactionClosed: if the transaction has ended.
            IllegalOperation: if it has not been entered.
        """
        return savepoint_of(self, name)

    async def __aenter__(self) -> AsyncTransaction:
        if self._state is not _NEW:
            self._enter(awaits=False)  # which says so
        # Entering decides which of the two it is, so that `q`, if it was made before the block, is the same object.
        this: Any = self
        this.__class__ = self._async_class
        this._loop = running_loop()
        if in_trio():
            this._enter(awaits=SCOPED)
        else:
            this._enter(awaits=True)
            this.task = running_task()
        return this  # type: ignore[no-any-return] # its class has just been set

    def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> Coroutine[Any, Any, None]:
        # `async with` has looked this up before it entered.
        return Transaction._async_class.__aexit__(cast("AsyncTransaction", self), exc_type, exc, traceback)

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


def savepoint_of(outer: Block, name: Any) -> Transaction:
    """A savepoint in `outer`, to be entered."""
    outer._must_be_open("savepoint()")
    if name is not None and not isinstance(name, str):
        raise TypeError(f"savepoint() takes a name, not {name!r}")
    inner = _Savepoint()
    inner.name = name or "savepoint"
    inner.outer = outer
    return inner
