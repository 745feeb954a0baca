"""Every exception of the package: when it is raised, what to do now, and how it differs from its neighbours.

All derive from `ActionQueuesError`, except those that user code raises itself (`RollbackConflict`, `NotLanded`,
`ActionRetryException`).  Their data are attributes, and all of them survive pickling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from .core.text import listed

__all__ = [
    "ActionQueuesError",
    "ActionRetryException",
    "AsyncActionInSyncBlock",
    "CommitHookFailed",
    "CoroutineNotAwaited",
    "IllegalOperation",
    "NestedTransaction",
    "NoTransaction",
    "NotLanded",
    "RetryError",
    "RollbackConflict",
    "RollbackFailed",
    "TransactionClosed",
    "TransactionDoomed",
]


class ActionQueuesError(Exception):
    """Base of what this package raises on its own account; catch it to catch all of them."""

    _retried: ClassVar[bool] = True  # whether a policy is asked about it: another attempt may do better

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({str(self)!r})"  # as in notes and reports; its args are not what it says


@dataclass(eq=False, repr=False)
class IllegalOperation(ActionQueuesError, AssertionError):
    """A queue, transaction or step was asked for something that its state does not allow.

    Nothing has been changed by the call.  It is a mistake in the calling code: mend the order of the calls.
    It is an `AssertionError` too because `actionqueues` 0.8 raised one; unlike that one it is raised under
    ``python -O`` as well.  `TransactionClosed` is its neighbour for steps that come too late.
    """

    operation: str  #: what was asked for, such as ``"execute this queue"``
    state: str  #: what the object is, such as ``"it has already been executed"``
    advice: str  #: what to do instead

    def __str__(self) -> str:
        return f"cannot {self.operation}: {self.state}; {self.advice}"


@dataclass(eq=False, repr=False)
class NoTransaction(ActionQueuesError, RuntimeError):
    """What needs a block was called outside any: an ``@action(transaction_required=True)``, any action in a program
    that says `require_transactions()`, or `current_step()` where no step is running.

    Nothing has run.  Call it inside ``with transaction():``; a thread comes into a block by ``q.run``.
    """

    name: str  #: what was called
    advice: str = "call it inside `with transaction():`"  #: what to do instead
    where: str = "transaction"  #: what there is none of, ``"transaction"`` or ``"step"``

    def __str__(self) -> str:
        return f"{self.name} was called outside any {self.where}; {self.advice}"


@dataclass(eq=False, repr=False)
class NestedTransaction(ActionQueuesError, RuntimeError):
    """A ``transaction(outermost=True)`` was entered inside another block.

    Nothing has run.  Move the block out of the other one, drop ``outermost=True`` to make it a savepoint, or use
    ``independent=True`` for one that shares nothing with its surroundings.
    """

    name: str  #: the transaction that wanted to be outermost
    outer: str  #: the transaction that it was entered in

    def __str__(self) -> str:
        return (
            f"{self.name} is declared outermost=True, but was entered inside {self.outer}; enter it outside, drop "
            "outermost=True to make it a savepoint, or use independent=True to share nothing"
        )


@dataclass(eq=False, repr=False)
class TransactionClosed(ActionQueuesError, RuntimeError):
    """A step was called, added or registered in a transaction that has already ended or is ending.

    Its body has not run, so there is nothing to undo.  It happens after ``q.rollback()``, and to code that outlives the
    block: a callback, a thread, a task.  Do the work before that, or open a transaction of its own for it.

    In trio it is also what the caller of a step sees that was running in another task while the block
    failed.  It has been cancelled and is undone with the block, but the cancellation is not one of the caller's scopes.
    """

    what: str  #: the step or call that came too late
    transaction: str  #: the transaction
    state: str  #: how that transaction ended, or that it is ending
    cancelled: bool = False  #: whether it was running, and was cancelled
    how: str = ""  #: what came before, if `state` does not tell all: such as ``"was rolled back by q.rollback()"``
    advice: str = "call it before the block ends, or in a transaction of its own"  #: what to do instead

    def __str__(self) -> str:
        if self.cancelled:
            return f"{self.what} was cancelled: {self.transaction} is {self.state}, and it is undone with that"
        how = self.how or f"is {self.state}"
        return f"{self.what} came too late: {self.transaction} {how}, and nothing was run; {self.advice}"


@dataclass(eq=False, repr=False)
class TransactionDoomed(ActionQueuesError, RuntimeError):
    """The block was left normally, but an undo inside it had failed, so everything was rolled back instead.

    Or it is a savepoint that had been undone already, because the block around it had failed (`failures` is empty).
    Committing would have made half a step permanent.  The world is as after any rollback, but for the steps listed
    here, which a person has to look at.  Where the block was left by an exception, that exception goes on instead, with
    a note.
    """

    transaction: str  #: the transaction that could not commit
    failures: Sequence[BaseException]  #: what the failed undos raised
    steps: Sequence[str] = ()  #: the names of their steps

    def __post_init__(self) -> None:
        self.failures, self.steps = tuple(self.failures), tuple(self.steps)

    def __str__(self) -> str:
        if not self.failures:
            return f"{self.transaction} could not commit: it has been undone with the block around it, which failed"
        return (
            f"{self.transaction} was rolled back instead of committed, because an undo inside it had failed: "
            f"{listed(self.steps)}; see q.report.failures, and put right by hand what they left"
        )


@dataclass(eq=False, repr=False)
class AsyncActionInSyncBlock(ActionQueuesError, TypeError):
    """An async action, or an async callable, was given to a ``with transaction()`` block or a classic queue.

    Nothing has run, and no coroutine was made.  Use ``async with transaction() as q:`` inside an ``async def``.
    """

    name: str  #: the async callable
    where: str  #: the block or queue that cannot await it
    advice: str = "use `async with transaction():`"  #: what to do instead

    def __str__(self) -> str:
        return f"{self.name} is async, and {self.where} cannot await it; {self.advice}"


@dataclass(eq=False, repr=False)
class CoroutineNotAwaited(ActionQueuesError, TypeError):
    """What is no ``async def`` has returned a coroutine, which nobody would have awaited.

    Mostly it is a plain function around an ``async def``: a decorator, a ``lambda``.  The step, hook or undo has
    failed: what the plain function did itself is undone, the coroutine has been closed and has done nothing, and no
    policy tries again.  `AsyncActionInSyncBlock` is its neighbour for what is known to be async before it is called.
    """

    name: str  #: what has returned it
    coroutine: str  #: the ``async def`` whose coroutine it is
    _retried = False  # as a class attribute: another attempt would return another one

    def __str__(self) -> str:
        return (
            f"{self.name} returned a coroutine of {self.coroutine}, which nobody awaits: make it an `async def` that "
            "awaits it, or mark it as one, with functools.wraps and inspect.markcoroutinefunction (Python 3.12)"
        )


@dataclass(eq=False, repr=False)
class RetryError(ActionQueuesError):
    """The last result that ``Retry(on_result=...)`` was given was not what it waits for, and the policy has given up.

    It is the error of the step like any other: that is undone at once, and its handler is given this result.  What an
    action raises itself comes out itself, and never as this.
    """

    name: str  #: the action
    result: Any  #: what it has returned last
    attempts: int = 0  #: how many attempts were made; 0 as long as the policy has not given up

    #: What the predicate has said: how many seconds to wait, True, or what it has raised.
    _answer: Any = field(default=True, init=False)

    @property
    def is_asked(self) -> bool:
        """Whether it still asks the policy for another attempt."""
        return not self.attempts

    def wait(self) -> float | None:
        """How many seconds to wait, if the predicate has said that; raise what it has raised."""
        if isinstance(self._answer, Exception):
            raise self._answer
        return None if self._answer is True else self._answer

    def __str__(self) -> str:
        try:
            result = repr(self.result)
        except Exception:
            result = f"<{type(self.result).__qualname__}, whose repr() fails>"
        result = result if len(result) <= 200 else f"{result[:200]}..."
        made = f"{self.attempts} attempt{'' if self.attempts == 1 else 's'}"
        return f"{self.name} was not done after {made}: the last one returned {result}"


class _Several(ActionQueuesError, ExceptionGroup[Exception]):
    """Raised when all has been called, for what has failed in it."""

    def derive(self, excs: Sequence[Any], /) -> Self:  # type: ignore[override]  # only ever given `Exception`s
        return type(self)(self.message, excs)

    def __repr__(self) -> str:
        return ExceptionGroup.__repr__(self)


class RollbackFailed(_Several):
    """An explicit ``q.rollback()``, or one to a mark, ran every undo, and these failed.

    What failed is left as it was, for a person; everything else has been undone.  It is raised only where there is no
    exception that it could hide: a block left by an exception adds a note to that one instead.  What each undo raised
    is in `exceptions`, and the steps are in ``q.report.failures`` and ``q.report.conflicts``.
    """


class CommitHookFailed(_Several):
    """The transaction has committed, all its ``on_commit`` hooks have run, and these failed.

    Nothing was or will be undone.  Do not retry the block: its steps are done.  Repeat or repair what the failed
    hooks were to do; what each raised is in `exceptions`.
    """


class RollbackConflict(Exception):
    """Raise it in a rollback handler: somebody else has changed the thing since, so it was left alone.

    It is not retried.  The step is listed in ``q.report.conflicts`` instead of ``q.report.failures``, for a person to
    decide; like any step that could not be undone it keeps a transaction from committing.
    """


class NotLanded(Exception):
    """Raise it in a probe (``@fn.landed``): the step never happened, so there is nothing to undo.

    Whatever else a probe raises leaves the outcome unknown, and the rollback handler is called.
    """


class ActionRetryException(Exception):
    """Raise it in a step or in a rollback handler: call me again in `ms_backoff` milliseconds.

    It is obeyed as often as it is raised, so whoever raises it has to count (`DoublingBackoffExceptionFactory` does),
    unless the step has a `Retry` or another policy, which bounds it.
    """

    def __init__(self, ms_backoff: float = 0) -> None:
        if type(self) is ActionRetryException:  # the `args` of a subclass are what its own constructor was given
            self.args = (ms_backoff,)
        self.ms_backoff = ms_backoff


for _name in __all__:  # tracebacks and documentation name them as users import them
    globals()[_name].__module__ = "actionqueues"
