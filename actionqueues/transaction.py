"""`transaction()`, and what it makes: `Transaction` and `AsyncTransaction`, thin shells over one block.

Stands on `core/rollbacks.py` and `core/face.py`, which have what both share, and on the drivers.  Used by programs.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable
from functools import partial, wraps
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar, cast, overload

from .core.block import ENDED, Block
from .core.definition import function_of
from .core.drivers import drive, drive_async
from .core.ending import end_plainly, executing, leave, roll_back, tell_ended
from .core.interrupts import protected_from_start
from .core.log import Log, get_current, set_current, surrounding_log
from .core.options import check_flag, check_options
from .core.queue import fill_in, run_queued
from .core.rollbacks import Marking, RollsBack, RollsBackAsync
from .core.signature import display_name
from .core.states import StepState, TransactionState
from .core.tasks import is_closing
from .core.tracebacks import shorten, throw
from .core.watch import SEAM, Factory
from .decorated import NotCalled, in_transaction, refuse_in_a_block
from .errors import IllegalOperation, NoTransaction
from .retry import Policy, check_policy, refuse_on_result

if TYPE_CHECKING:
    from os import PathLike

    from .engines import Engine
    from .journal import Journal

__all__ = ["AsyncTransaction", "Transaction", "current_transaction", "transaction"]

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., object])

_OPTIONS = ("name", "independent", "outermost", "retry", "journal", "engine", "trace", "undo_concurrently")
_NEW, _OPEN = TransactionState.NEW, TransactionState.OPEN
_new = object.__new__


class _Common(Marking):
    """What sync and async blocks do alike, but for `Marking`."""

    __slots__ = ()

    def savepoint(self, name: str | None = None) -> Transaction:
        """A block inside this one that can be undone by itself; the same as ``transaction(name)`` inside it.

        It is entered as the block around it is: ``with q.savepoint():``, or ``async with q.savepoint():``.

        Raises:
            TypeError: if the name is no string.
            TransactionClosed: if the transaction has ended.
            IllegalOperation: if it has not been entered.
        """
        self._must_be_open("savepoint()")
        if name is not None and not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - if checked
            raise TypeError(f"savepoint() takes a name, not {name!r}")
        made = transaction(name or "savepoint")
        made._block.parent, made._block.plain, made._block.kind = self._block, False, "Savepoint"
        return made


class Transaction(_Common, RollsBack):
    """One block of sync code whose steps are undone if it fails.  Made by `transaction()`; serves one block.

    Entered by ``async with`` it gives an `AsyncTransaction`, which is another face of the same block.
    """

    __slots__ = ()
    __module__ = "actionqueues"

    def __init__(self) -> None:
        raise TypeError("a Transaction is what transaction() makes; call that")

    def __enter__(self) -> Self:
        block = self._block
        if block.state is not _NEW:
            block.refuse_again()
        try:
            if block.plain and get_current() is None and not SEAM.used:
                # The common case, an outermost block that nobody watches, should not cost much more than one step.
                log = block.log = Log()
                log.up = log.record = log.task = None
                log.block = block
                log.thread = get_ident()
                log.direct = True
                block.face = self
                block.token = set_current(log)
                block.state = _OPEN
            else:
                refuse_in_a_block(block, awaits=False)
                block.enter(awaits=False)
                block.face = self
            return self
        except BaseException:
            block.abort()
            raise

    @protected_from_start
    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        # What keeps it from committing, and an interrupt between any two instructions, from the first one on, leads to
        # `_recover`; nothing is done twice.  The outer `try` is for an interrupt in the inner `except`.
        try:
            try:
                block = self._block
                plainly = block.plain and block.state is _OPEN
                late = end_plainly(block, exc) if plainly else drive(leave(block, exc))
                if late is not None and late is not exc:
                    raise late
            except BaseException as error:
                late = None  # otherwise it holds this frame, which holds it
                _recover(self._block, error)
                raise
        except BaseException as error:
            _recover(self._block, error)
            raise

    def execute(self, *, progress: bool = False) -> None:
        """Run the queued steps now, in order; those that are added later run at the next call, or at the end.

        With `progress`, stderr shows how far it is, and how far the rollback is, if there is one.

        Raises:
            BaseException: whatever a step raises; that step has been undone, and the ones after it stay queued.
            TransactionClosed: if the transaction has ended.
            IllegalOperation: if another task or thread has entered it, or an argument is a step without a result.
        """
        self._must_be_mine("execute()")
        self._shows(progress)
        block, queue = self._block, self._block.queue
        if not queue:
            return
        around, here = get_current(), block.here()
        set_current(here)  # it may be called inside a block that shares nothing with this one
        step: Any = None
        try:
            while queue:
                step = queue[0]
                dropped = step._state is StepState.DROPPED
                if step._fill and not dropped:
                    fill_in(step)  # before it is taken: it stays queued if that fails
                queue.popleft()
                if not dropped:
                    run_queued(here, step)
        except BaseException as error:
            shorten(error)
            raise
        finally:
            step = None  # it holds what it has raised, whose traceback has this frame in it
            set_current(around)

    async def __aenter__(self) -> AsyncTransaction:
        block = self._block
        refuse_in_a_block(block, awaits=True)
        block.refuse_again()
        try:
            block.enter(awaits=True)
            face = block.face = AsyncTransaction.__new__(AsyncTransaction)
            face._block = block
        except BaseException:
            block.abort()
            raise
        return face

    @protected_from_start
    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        try:
            try:
                if exc is not None and is_closing(exc):  # nothing can be awaited
                    late = drive(leave(self._block, exc))
                else:
                    late = await drive_async(leave(self._block, exc))
                if late is not None and late is not exc:
                    raise late
            except BaseException as error:
                late = None
                await _recover_async(self._block, error)
                raise
        except BaseException as error:
            await _recover_async(self._block, error)
            raise

    def __call__(self, fn: F, /) -> F:
        """Open a fresh block like this one for each call of `fn`, sync or async."""
        block = self._block
        if block.state is not _NEW:
            advice = "use a fresh transaction(...)"
            raise IllegalOperation(f"decorate with {block.label}", f"it is {block.state}", advice)
        return in_transaction(fn, partial(_fresh, block), block.retry, concurrently=block.clock is not None)


class AsyncTransaction(_Common, RollsBackAsync):
    """One block of async code whose steps, sync and async, are undone if it fails.

    What ``async with transaction() as q:`` gives; serves one block, in one event loop.
    """

    __slots__ = ()
    __module__ = "actionqueues"

    def __init__(self) -> None:
        raise TypeError("an AsyncTransaction is what `async with transaction() as q:` gives; call transaction()")

    async def execute(self, *, progress: bool = False) -> None:
        """Run the queued steps now, in order, as `Transaction.execute` does."""
        self._must_be_mine("execute()")
        self._shows(progress)
        around = get_current()
        set_current(self._block.here())
        try:
            error = await drive_async(executing(self._block))
        finally:
            set_current(around)
        try:
            if error is not None:
                throw(error)
        finally:
            del error  # whose traceback has this frame in it


def _recover(block: Block, error: BaseException) -> None:
    """What has come out of the end of a block, or has kept it from beginning: undo what is left to be undone."""
    try:
        if block.unfinished:
            drive(roll_back(block, error))
    finally:
        tell_ended(block)
        block.detach()


async def _recover_async(block: Block, error: BaseException) -> None:
    try:
        if block.unfinished:
            await drive_async(roll_back(block, error))
    finally:
        tell_ended(block)
        block.detach()


def _fresh(block: Block) -> Transaction:
    """Another one with the same options."""
    made = transaction()
    for option in ("name", "independent", "outermost", "factory", "trace", "clock"):
        if option in vars(block):
            setattr(made._block, option, getattr(block, option))
    made._block.plain = block.factory is None and not (block.trace or block.clock)
    return made


@overload
def transaction(fn: F, /) -> F: ...
@overload
def transaction(
    name: str | None = None,
    *,
    independent: bool = False,
    outermost: bool = False,
    retry: Policy | None = None,
    journal: Journal | str | PathLike[str] | Literal[False] | None = None,
    engine: Engine | None = None,
    trace: bool = False,
    undo_concurrently: bool = False,
) -> Transaction: ...
def transaction(
    name: Any = None,
    *,
    independent: bool = False,
    outermost: bool = False,
    retry: Policy | None = None,
    journal: Any = None,
    engine: Any = None,
    trace: bool = False,
    undo_concurrently: bool = False,
) -> Any:
    """A block of steps that are undone, in reverse order, if the block is left by an exception.

    As a block, ``with transaction("sign-up") as q:``.  Leaving it by any exception undoes every step started in it, and
    the exception goes on; leaving it normally runs the queued steps and commits.  In a block it is a savepoint: if
    it fails, its own steps are undone; if it succeeds, they belong to the outer one.

    As a decorator, ``@transaction`` or ``@transaction("sign-up", retry=Retry(...))`` over a function, sync or async,
    which opens a fresh block for each call.

    Args:
        name: what messages and reports call it.
        independent: share nothing with a block around it: what is done here stays if that one fails.
        outermost: refuse to be a savepoint.
        retry: for the decorator: when a call fails and nothing was left behind, call again after this policy.
        journal: a `Journal`, or the path of one, in which every step is recorded before it runs, so that recovery can
            undo what a dead process has started; False for none, whatever the default is.
        engine: where its steps run and are recorded, such as a `DBOSEngine`; see `actionqueues.engines`.
        undo_concurrently: for async blocks: what has run at the same time is undone at the same time.  A step that had
            ended before another one began is undone only once that one has been.  What a step or a savepoint contains
            is undone with it, by the same rule; savepoints in the block need no option.  Only async handlers overlap.
        trace: of an outermost block: keep all steps in ``q.report``, with times, also if it commits, as rollbacks do.

    Raises:
        TypeError: for options that exclude each other, or `retry` without a function.
        NestedTransaction: on entering, if `outermost` is True and there is a block around it.
    """
    if name is not None and not isinstance(name, str):
        given = (retry, journal, engine)
        if independent or outermost or trace or undo_concurrently or any(each is not None for each in given):
            raise TypeError("transaction(): options go before the function: @transaction(retry=...) over the def")
        return transaction(display_name(function_of(name)))(name)
    made: Transaction = transaction()
    block = made._block
    if name is not None:
        block.name = name
    if independent and outermost:
        raise TypeError("transaction(): independent=True and outermost=True exclude each other")
    block.independent, block.outermost = independent, outermost
    if journal is not None:
        block.factory, block.plain = _factory(journal), False
    if engine is not None:
        if journal is not None:
            raise TypeError("transaction(): engine=... and journal=... exclude each other: it keeps its own records")
        if retry is not None:
            advice = "give policies to the actions, or let the engine run the workflow again"
            raise TypeError(f"transaction(): engine=... and retry=... exclude each other; {advice}")
        block.factory, block.plain = _on(engine), False
    check_flag("transaction(trace=...)", trace)
    check_flag("transaction(undo_concurrently=...)", undo_concurrently)
    if trace or undo_concurrently:
        block.trace, block.clock, block.plain = trace or None, count(1) if undo_concurrently else None, False
    if retry is not None:
        block.retry, block.plain = check_policy(retry, "transaction(retry=...)"), False
        refuse_on_result(retry, "transaction(retry=...)", "when it has returned, the block has committed")
    return made


if not TYPE_CHECKING:  # pragma: no branch - always so where it runs

    @wraps(transaction)
    def _transaction(name=None, **options):
        # Without parameters for the options, whose defaults would cost more than all the checks of the rest.
        if options or not (name is None or isinstance(name, str)):
            check_options("transaction()", options, _OPTIONS)
            return _transaction.__wrapped__(name, **options)
        made = _new(Transaction)
        block = made._block = _new(Block)  # and not Block(), which would cost a frame
        block.state = _NEW
        block.plain = True
        block.log = ENDED
        block.token = block.queue = block.face = block.loop = None
        block.quick = False
        block.running = {}
        block.waiters = ()
        if name is not None:
            block.name = name
        return made

    transaction = NotCalled(_transaction)


def _factory(journal: Any) -> Factory:
    """What makes the watches of a journal."""
    if journal is False:
        return lambda _block: None
    if not hasattr(cast("Any", type(journal)), "intercept"):  # the type: a mock answers to every name
        from .journal import shared_journal  # here, because most programs have none, and it imports sqlite3

        journal = shared_journal(journal)
    return cast("Factory", journal.intercept)


def _on(engine: Any) -> Factory:
    from .engines.attaching import OnEngine  # here, because most programs have none

    return OnEngine(engine)


def current_transaction() -> Transaction | AsyncTransaction:
    """The transaction that a step called here would belong to: the innermost open block.

    For code that has no ``q``, such as the body of a function decorated with ``@transaction``.

    Raises:
        NoTransaction: outside any block.
    """
    log = surrounding_log()
    face = None if log is None else getattr(log.block, "face", None)
    if face is None:
        raise NoTransaction("current_transaction()")
    return cast("Transaction | AsyncTransaction", face)
