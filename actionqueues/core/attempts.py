"""`Attempts`: how often something has been tried, and whether it is to be tried again.

Stands on the retry policies.  Used by the engine, for bodies and for undos.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutine
from time import monotonic
from typing import Any

from actionqueues.errors import ActionQueuesError, ActionRetryException, RetryError
from actionqueues.retry import Policy, answer_of, result_predicate, uniform, verdict

from .step import PENDING
from .text import add_note, copy_notes, shown
from .tracebacks import throw

__all__ = ["Attempts", "judged"]


class Attempts:
    """Counts the attempts of one body or one undo, and says whether there is to be another.

    Attributes:
        wait: how many seconds to wait for the next one.
        instead: what is to go on instead of the last error, which has hidden it.
        result: what the last attempt has returned, if that is not what the policy waits for.
        watch: whose clock and whose random numbers count, or None for those of this process.
    """

    __slots__ = ("instead", "made", "policy", "result", "started", "wait", "watch")

    def __init__(self, policy: Policy | None, started: float | None = None, watch: Any = None) -> None:
        self.policy = policy
        self.watch = watch
        self.started = self._now() if started is None else started
        self.made = 0
        self.wait = 0.0
        self.instead: BaseException | None = None
        self.result: Any = PENDING

    def _now(self) -> float:
        return monotonic() if self.watch is None else float(self.watch.now())

    def another(self, error: BaseException) -> bool:
        """Whether there is to be another attempt, `wait` seconds from now; otherwise what goes on gets a note."""
        self.made += 1
        if _is_final(error):
            return False
        elapsed = self._now() - self.started
        try:
            random = uniform if self.watch is None else self.watch.uniform
            wait, why, late = verdict(self.policy, self.made, error, elapsed, random)
        except Exception as broken:
            what = "its ms_backoff is no time to wait" if self.policy is None else "the retry policy failed"
            self.give_up(error, f"not retried, because {what}: {shown(broken)}")
            return False
        except BaseException as interrupt:
            add_note(interrupt, f"raised by the retry policy that was asked about {shown(error)}")
            raise
        if wait is None:
            # After the first attempt that needs no telling, unless a time has ended it, or there was to be another one.
            asked = isinstance(error, ActionRetryException) or (isinstance(error, RetryError) and error.is_asked)
            note = f"gave up after {self.made} attempt{'' if self.made == 1 else 's'} in {elapsed:.3g} s"
            note += f": {why}" if why else ""
            self.give_up(error, note if isinstance(error, Exception) and (self.made > 1 or late or asked) else None)
            return False
        self.wait = wait
        return True

    def give_up(self, error: BaseException, note: str | None) -> None:
        """There is to be no other attempt: find what goes on, if that is not the error itself, and add a note."""
        asked, passed = error, set[int]()
        while self.policy is not None and isinstance(asked, ActionRetryException) and id(asked) not in passed:
            passed.add(id(asked))
            asked = asked if asked.__cause__ is None else asked.__cause__
        if asked is not error:
            self.instead = asked
            copy_notes(error, asked)
        if note is not None:
            add_note(asked, note, once=True)

    def raise_instead(self) -> None:
        """Raise what is to go on instead, if there is anything, with the context that it has."""
        error, self.instead = self.instead, None
        try:
            if error is not None:
                throw(error)
        finally:
            del error


def judged(function: Callable[..., Any], policy: Policy | None, name: str, *, is_async: bool) -> Callable[..., Any]:
    """`function`, but for results that are not what a policy waits for: these come out in a `RetryError`."""
    predicate = result_predicate(policy)
    if predicate is None:
        return function

    def judge(result: Any) -> Any:
        if iscoroutine(result):  # of a sync function, whose caller says what is wrong with it
            return result
        error = RetryError(name, result)
        try:
            error._answer = answer_of(predicate, result, "on_result")
        except Exception as broken:
            error._answer = error.__cause__ = broken
        try:
            if error._answer is False:
                return result
            raise error
        finally:
            del error

    def call(*args: Any, **kwargs: Any) -> Any:
        return judge(function(*args, **kwargs))

    async def call_async(*args: Any, **kwargs: Any) -> Any:
        return judge(await function(*args, **kwargs))

    return call_async if is_async else call


def _is_final(error: BaseException) -> bool:
    """Whether it, or one of those in a group, would be raised again, behind one effect more."""
    if isinstance(error, BaseExceptionGroup):
        return any(_is_final(each) for each in error.exceptions)
    return isinstance(error, ActionQueuesError) and not error._retried
