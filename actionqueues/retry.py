"""Retry policies: how long to wait before the next attempt, or not to make one.

Pure: a policy holds no state of a call, so one object serves any number of them.  The engine counts and measures time.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from inspect import isawaitable, iscoroutine
from math import inf
from numbers import Number
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from .core.frames import place_outside
from .core.options import known_options
from .core.signature import code_of, display_name, is_async, refuse_lazy
from .errors import ActionRetryException, RetryError

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = [
    "LONGEST_WAIT",
    "Policy",
    "Retry",
    "Verdict",
    "answer_of",
    "bounded",
    "check_policy",
    "is_made_policy",
    "next_wait",
    "refuse_on_result",
    "result_predicate",
    "uniform",
    "verdict",
]

#: ``(attempt, error) -> seconds | None``: `attempt` is the number of attempts made so far (1 after the first one has
#: failed), `error` what the last one raised; None means to give up.
Policy: TypeAlias = Callable[[int, BaseException], "float | timedelta | None"]

#: More than a thread can sleep, and longer than anybody means to wait: 31 years.
LONGEST_WAIT = 1_000_000_000

_Answer: TypeAlias = "bool | float | timedelta"
_On: TypeAlias = "type[BaseException] | tuple[type[BaseException], ...] | Callable[[Exception], _Answer]"


class _Attempts(int):
    """A number of attempts that nobody has named: of a class of its own, so that `dataclasses.replace` tells it too."""

    def __reduce__(self) -> Any:
        return int, (int(self),)


class _Timeout(float):
    """A time that nobody has named."""

    def __reduce__(self) -> Any:
        return float, (float(self),)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """Try again after a failure, with exponential backoff and jitter, up to a number of attempts and a time.

    The wait after the `attempt`-th failed attempt (1, 2, …) is, in seconds::

        min(wait_max, wait_initial * wait_exp_base ** (attempt - 1) + random(0, wait_jitter))

    which is the formula, and these are the names and defaults, of the `stamina` library.  No wait is begun that would
    end later than `timeout` seconds after the first attempt was started: then, and after `attempts` attempts, the last
    error itself is raised, with a note that says how many attempts were made in how long, and what ended them.  Of an
    `ActionRetryException` that was raised ``from`` another error, that one is raised.

    `Retry()` makes 10 attempts within 45 seconds.  Where one of the two bounds is named, the other one is not there
    unless it is named too: ``Retry(attempts=20)`` makes 20 attempts, however long they take.

    A server that says when to come back is obeyed by a predicate that answers with the seconds::

        def busy(error):
            return isinstance(error, Busy) and error.retry_after  # seconds, or a timedelta

        @action(retry=Retry(timeout=300, on=busy))

    That is the wait as it stands, without jitter, and beyond `wait_max` too, since coming back sooner would be no use;
    if it would end after `timeout`, the policy gives up at once.

    Args:
        attempts: how many attempts at most, the first one included; None for no limit.
        timeout: seconds from the start of the first attempt within which the last one must start; None for no limit.
        wait_initial: seconds before the second attempt, without the jitter.
        wait_max: the longest wait, in seconds.
        wait_jitter: the largest random addition to a wait, in seconds.
        wait_exp_base: the factor from one wait to the next, without the jitter.
        on: which errors are worth another attempt: an exception class, a tuple of them, or a predicate that is given
            the `Exception`, and answers with True, False, or the time to wait: seconds, or a `timedelta`.
            `KeyboardInterrupt`, `SystemExit` and cancellations are not, unless a class named here covers them; in a
            rollback they never are.
        on_result: which results are worth another attempt, for polling: a predicate that is given what the action has
            returned, and answers likewise: ``on_result=lambda job: not job.ready``.  Between attempts the steps that
            the body has made are undone and the action itself is not, as after an error.  When the policy gives up,
            the step fails with `RetryError`, and its handler is given that last result.

    Raises:
        TypeError, ValueError: for arguments that make no sense, when it is made.
    """

    __module__ = "actionqueues"

    attempts: int | None = _Attempts(10)
    timeout: float | None = _Timeout(45.0)
    wait_initial: float = 0.1
    wait_max: float = 5.0
    wait_jitter: float = 1.0
    wait_exp_base: float = 2.0
    on: _On = Exception
    on_result: Callable[[Any], _Answer] | None = None

    if not TYPE_CHECKING:  # pragma: no branch - they would take this for what it can be made with

        def __new__(cls, *args, **_options):
            if args:
                option = "on" if callable(args[0]) or isinstance(args[0], tuple) else "attempts"
                shown = display_name(args[0]) if callable(args[0]) else repr(args[0])
                raise TypeError(f"Retry takes its options by keyword: Retry({option}={shown})")
            return object.__new__(cls)

    def __post_init__(self) -> None:
        _check_bounds("Retry", self.attempts, self.timeout)
        for one, other in (("attempts", "timeout"), ("timeout", "attempts")):
            unnamed = isinstance(getattr(self, one), _Attempts | _Timeout)
            if unnamed and not isinstance(getattr(self, other), _Attempts | _Timeout | None):
                object.__setattr__(self, one, None)
        for name in ("wait_initial", "wait_max", "wait_jitter", "wait_exp_base"):
            _check_seconds(f"Retry({name}=...)", getattr(self, name))
        if not _is_condition(self.on):
            what = "an exception class, a tuple of them, or a predicate"
            raise TypeError(f"Retry(on=...) must be {what}, not {self.on!r}")
        given: object = self.on_result
        if given is not None and not callable(given):
            what = "a predicate that is given the result"
            raise TypeError(f"Retry(on_result=...) must be {what}, not {given!r}")
        for name, predicate in (("on", self.on), ("on_result", self.on_result)):
            if callable(predicate) and not isinstance(predicate, type):
                _check_plain(predicate, f"Retry({name}=...)", "(error)" if name == "on" else "(result)")

    def __call__(self, attempt: int, error: BaseException) -> float | None:
        """Seconds to wait after the `attempt`-th failed attempt, or None to give up.  `timeout` is the caller's."""
        return self._wait(attempt, error, uniform)

    def _wait(self, attempt: int, error: BaseException, uniform: Callable[[float, float], float]) -> float | None:
        on, wait, base = self.on, self.wait_initial, self.wait_exp_base
        if not _leaves_another(self, attempt):
            return None
        if isinstance(error, RetryError) and error.is_asked:
            worth_it: bool | float = True
        elif isinstance(on, type | tuple):
            worth_it = isinstance(error, on)
        else:
            worth_it = isinstance(error, Exception) and answer_of(on, error, "on")
        if not isinstance(worth_it, bool):
            return worth_it
        if not worth_it:
            return None
        jitter = uniform(0, self.wait_jitter)
        if not wait:
            return min(self.wait_max, jitter)
        try:
            half = (attempt - 1) // 2  # in two halves, since the power alone may be too large for a float
            return min(self.wait_max, wait * base**half * base ** (attempt - 1 - half) + jitter)
        except OverflowError:
            return self.wait_max


def uniform(low: float, high: float) -> float:
    """A random number between two."""
    import random  # here, because importing it takes longer than importing this package

    return random.uniform(low, high)  # noqa: S311 - it spreads load


if not TYPE_CHECKING:  # pragma: no branch - always so where it runs
    Retry.__init__ = known_options("Retry()")(Retry.__init__)


def answer_of(predicate: Callable[[Any], object], about: object, option: str) -> bool | float:
    """What a predicate of a `Retry` says: whether there is to be another attempt, or after how many seconds.

    Raises:
        TypeError: if the answer is none.
    """
    answer: Any = predicate(about)
    what = f"{display_name(predicate)}, the predicate of Retry({option}=...), returned"
    if answer is None:
        _warn(f"{what} None, which counts as False; let it return True, False, or the seconds to wait", predicate)
        return False
    if isinstance(answer, bool):
        return answer
    seconds = _seconds(answer, what)
    if seconds is answer and not isinstance(answer, str | bytes | Number) and not hasattr(answer, "timetuple"):
        return bool(answer)  # such as a match of a regular expression, but not a date
    return _sleepable(seconds, f"{what} {answer!r}", "neither True nor False nor seconds from 0 up")


def _warn(message: str, function: object) -> None:
    """Warn, and point at where the function is defined, or, if nobody knows that, at what has called the action."""
    code = code_of(function)
    if code is None:
        filename, line, module = place_outside()
    else:
        filename, line, module = code.co_filename, code.co_firstlineno, getattr(function, "__module__", None)
    warnings.warn_explicit(message, RuntimeWarning, filename, line, module, _warned)


_warned: dict[Any, Any] = {}


def _seconds(answer: Any, what: str) -> Any:
    """A `timedelta` as seconds, and anything else as it is; but nobody awaits here."""
    if isawaitable(answer):
        if iscoroutine(answer):
            answer.close()
        raise TypeError(f"{what} a coroutine, which nothing awaits; make it a plain function")
    in_seconds = getattr(cast("Any", type(answer)), "total_seconds", None)
    return answer if in_seconds is None else in_seconds(answer)


def _check_plain(function: Callable[..., object], where: str, parameters: str) -> None:
    """Refuse what gives no answer when it is called."""
    advice = f"make it a plain function of {parameters}"
    if is_async(function):
        raise TypeError(f"{where} is async: {display_name(function)} is asked where nothing is awaited; {advice}")
    refuse_lazy(function, where, advice)


def _is_condition(on: object) -> bool:
    """Whether `on` can say which errors are to be retried."""
    if isinstance(on, tuple):
        items = cast("tuple[object, ...]", on)
        return bool(items) and all(isinstance(each, type) and issubclass(each, BaseException) for each in items)
    return issubclass(on, BaseException) if isinstance(on, type) else callable(on)


@dataclass(frozen=True, slots=True)
class _Bounded:
    """What `bounded` returns."""

    policy: Policy
    attempts: int | None
    timeout: float | None

    def __call__(self, attempt: int, error: BaseException) -> float | timedelta | None:
        return self.policy(attempt, error) if _leaves_another(self, attempt) else None


def _leaves_another(policy: Retry | _Bounded, attempt: int) -> bool:
    return policy.attempts is None or attempt < policy.attempts


@known_options("bounded()")
def bounded(policy: Policy, *, attempts: int | None = None, timeout: float | None = None) -> Policy:
    """Put a bound on a policy: `attempts` in all, and `timeout` seconds from the start of the first one.

    The bounds mean what they mean in `Retry`, and add to those that the policy has itself::

        @action(retry=bounded(lambda attempt, error: backoff(attempt), timeout=30))

    Raises:
        TypeError, ValueError: for arguments that make no sense.
    """
    _check_bounds("bounded", attempts, timeout)
    return _Bounded(check_policy(policy, "bounded(policy)"), attempts, timeout)


def _check_bounds(what: str, attempts: object, timeout: object) -> None:
    if attempts is not None and (isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1):
        raise ValueError(f"{what}(attempts=...) must be a whole number from 1, or None, not {attempts!r}")
    if timeout is not None:
        _check_seconds(f"{what}(timeout=...)", timeout)


def _check_seconds(what: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} must be a number, not {value!r}")
    if not 0 <= value < inf:
        raise ValueError(f"{what} must be a finite number, 0 or more, not {value!r}")


def check_policy(policy: object, where: str) -> Policy:
    """Return `policy` if it can be one; `where` names the argument in the message otherwise."""
    if isinstance(policy, type) or not callable(policy):
        hint = "; make one: Retry(...)" if policy is Retry else ""
        what = "a Retry(...) or a callable (attempt, error) -> seconds or None"
        raise TypeError(f"{where} must be {what}, not {policy!r}{hint}")
    if not is_made_policy(policy):
        _check_plain(policy, where, "(attempt, error)")
    return cast("Policy", policy)


def result_predicate(policy: Policy | None) -> Callable[[Any], object] | None:
    """What says which results are worth another attempt, if anything does."""
    while isinstance(policy, _Bounded):
        policy = policy.policy
    return policy.on_result if isinstance(policy, Retry) else None


def refuse_on_result(policy: Policy, where: str, why: str) -> None:
    """Refuse a policy that looks at results, where there is none to look at."""
    if result_predicate(policy) is not None:
        raise TypeError(f"{where} cannot have on_result=..., which is for actions: {why}")


def is_made_policy(thing: object) -> bool:
    """Whether it is what `Retry` or `bounded` has made: callable, but no function that a decorator is meant for."""
    return isinstance(thing, Retry | _Bounded)


class Verdict(NamedTuple):
    """What a policy says after a failed attempt."""

    wait: float | None  #: seconds until the next attempt, or None if there is to be none
    why: str = ""  #: why there is none, if that is to be told
    late: bool = False  #: whether it is because of a time


def verdict(
    policy: Policy | None,
    attempt: int,
    error: BaseException,
    elapsed: float,
    uniform: Callable[[float, float], float] = uniform,
) -> Verdict:
    """Whether there is to be another attempt.

    An `ActionRetryException` asks for an attempt and names the wait; a policy then only decides whether there may be
    another one.  Without a policy it is always granted, and nothing else ever is.  `attempt` attempts have been made,
    the first one was started `elapsed` seconds ago, and the last one raised `error`; `uniform` is what the jitter of a
    `Retry` comes from.  What the policy raises goes on, and `TypeError` is raised for an answer that is no number of
    seconds.
    """
    wait: float | None = None
    if isinstance(error, ActionRetryException):
        asked: Any = error.ms_backoff
        seconds = asked / 1000 if isinstance(asked, int | float) else asked
        wait = _sleepable(seconds, f"ActionRetryException was given ms_backoff={asked!r}", "not milliseconds from 0 up")
    elif isinstance(error, RetryError) and error.is_asked:
        wait = error.wait()
    limit, inner = inf, policy
    while isinstance(inner, Retry | _Bounded):
        if not _leaves_another(inner, attempt):
            return Verdict(None, f"attempts={inner.attempts} allows no more")
        limit = min(limit, inf if inner.timeout is None else inner.timeout)
        if isinstance(inner, Retry):
            if wait is None:  # a subclass may have another way to answer, with chance of its own
                own = type(inner).__call__ is not Retry.__call__
                wait = inner(attempt, error) if own else inner._wait(attempt, error, uniform)
            if wait is None:
                return Verdict(None, "on=... says that this error is not worth another one")
            break
        inner = inner.policy
    else:
        if inner is not None:
            said = inner(attempt, error) if isinstance(error, Exception) else None
            if said is None:
                return Verdict(None, f"{display_name(inner)} says so")
            what = f"the retry policy {inner!r} returned"
            seconds = _sleepable(_seconds(said, what), f"{what} {said!r}", "neither None nor seconds from 0 up")
            wait = seconds if wait is None else wait
    if wait is not None and elapsed + wait > limit:
        return Verdict(None, f"another wait of {wait:.3g} s would end past timeout={limit:g}", late=True)
    return Verdict(wait)


def next_wait(policy: Policy | None, attempt: int, error: BaseException, elapsed: float) -> float | None:
    """Seconds until the next attempt, or None if there is to be none: see `verdict`."""
    return verdict(policy, attempt, error, elapsed).wait


def _sleepable(wait: object, what: str, wrong: str) -> float:
    if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait < inf:
        raise TypeError(f"{what}: {wrong}")
    if wait > LONGEST_WAIT:
        raise TypeError(f"{what}: more than {LONGEST_WAIT:_} seconds")
    return wait
