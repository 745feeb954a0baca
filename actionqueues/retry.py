"""Retry policies: how long to wait before the next attempt, or not to make one.

Pure: a policy holds no state of a call, so one object serves any number of them.  The engine counts and measures time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, TypeAlias, cast

from .errors import ActionRetryException

__all__ = ["LONGEST_WAIT", "Policy", "Retry", "bounded", "check_policy", "is_made_policy", "next_wait"]

#: ``(attempt, error) -> seconds | None``: `attempt` is the number of attempts made so far (1 after the first one has
#: failed), `error` what the last one raised; None means to give up.
Policy: TypeAlias = Callable[[int, BaseException], "float | None"]

#: More than a thread can sleep, and longer than anybody means to wait: 31 years.
LONGEST_WAIT = 1_000_000_000

_On: TypeAlias = "type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """Try again after a failure, with exponential backoff and jitter, up to a number of attempts and a time.

    The wait after the `attempt`-th failed attempt (1, 2, …) is, in seconds::

        min(wait_max, wait_initial * wait_exp_base ** (attempt - 1) + random(0, wait_jitter))

    which is the formula, and these are the names and defaults, of the `stamina` library.  No wait is begun that would
    end later than `timeout` seconds after the first attempt was started: then, and after `attempts` attempts, the last
    error itself is raised, with a note that says how many attempts were made in how long.

    Args:
        attempts: how many attempts at most, the first one included; None for no limit.
        timeout: seconds from the start of the first attempt within which the last one must start; None for no limit.
        wait_initial: seconds before the second attempt, without the jitter.
        wait_max: the longest wait, in seconds.
        wait_jitter: the largest random addition to a wait, in seconds.
        wait_exp_base: the factor from one wait to the next, without the jitter.
        on: which errors are worth another attempt: an exception class, a tuple of them, or a predicate that is given
            the `Exception`.  `KeyboardInterrupt`, `SystemExit` and cancellations are not, unless a class named here
            covers them; in a rollback they never are.

    Raises:
        TypeError, ValueError: for arguments that make no sense, when it is made.
    """

    __module__ = "actionqueues"

    attempts: int | None = 10
    timeout: float | None = 45.0
    wait_initial: float = 0.1
    wait_max: float = 5.0
    wait_jitter: float = 1.0
    wait_exp_base: float = 2.0
    on: _On = Exception

    def __post_init__(self) -> None:
        _check_bounds("Retry", self.attempts, self.timeout)
        for name in ("wait_initial", "wait_max", "wait_jitter", "wait_exp_base"):
            _check_seconds(f"Retry({name}=...)", getattr(self, name))
        if not _is_condition(self.on):
            what = "an exception class, a tuple of them, or a predicate"
            raise TypeError(f"Retry(on=...) must be {what}, not {self.on!r}")

    def __call__(self, attempt: int, error: BaseException) -> float | None:
        """Seconds to wait after the `attempt`-th failed attempt, or None to give up.  `timeout` is the caller's."""
        on, wait, base = self.on, self.wait_initial, self.wait_exp_base
        if not _leaves_another(self, attempt):
            return None
        if not (isinstance(error, on) if isinstance(on, type | tuple) else isinstance(error, Exception) and on(error)):
            return None
        import random  # here, because importing it takes longer than importing this package

        jitter = random.uniform(0, self.wait_jitter)  # noqa: S311 - it spreads load
        if not wait:
            return min(self.wait_max, jitter)
        try:
            half = (attempt - 1) // 2  # in two halves, since the power alone may be too large for a float
            return min(self.wait_max, wait * base**half * base ** (attempt - 1 - half) + jitter)
        except OverflowError:
            return self.wait_max


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

    def __call__(self, attempt: int, error: BaseException) -> float | None:
        return self.policy(attempt, error) if _leaves_another(self, attempt) else None


def _leaves_another(policy: Retry | _Bounded, attempt: int) -> bool:
    return policy.attempts is None or attempt < policy.attempts


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
    return cast("Policy", policy)


def is_made_policy(thing: object) -> bool:
    """Whether it is what `Retry` or `bounded` has made: callable, but no function that a decorator is meant for."""
    return isinstance(thing, Retry | _Bounded)


def next_wait(policy: Policy | None, attempt: int, error: BaseException, elapsed: float) -> float | None:
    """Seconds until the next attempt, or None if there is to be none.

    An `ActionRetryException` asks for an attempt and names the wait; a policy then only decides whether there may be
    another one.  Without a policy it is always granted, and nothing else ever is.  `attempt` attempts have been made,
    the first one was started `elapsed` seconds ago, and the last one raised `error`.  What the policy raises goes on,
    and `TypeError` is raised for an answer that is no number of seconds.
    """
    wait: float | None = None
    if isinstance(error, ActionRetryException):
        asked: Any = error.ms_backoff
        seconds = asked / 1000 if isinstance(asked, int | float) else asked
        wait = _sleepable(seconds, f"ActionRetryException was given ms_backoff={asked!r}", "not milliseconds from 0 up")
    limit = inf
    while isinstance(policy, Retry | _Bounded):
        if not _leaves_another(policy, attempt):
            return None
        limit = min(limit, inf if policy.timeout is None else policy.timeout)
        if isinstance(policy, Retry):
            wait = policy(attempt, error) if wait is None else wait
            break
        policy = policy.policy
    else:
        if policy is not None:
            granted = policy(attempt, error) if isinstance(error, Exception) else None
            if granted is None:
                return None
            what = f"the retry policy {policy!r} returned {granted!r}"
            granted = _sleepable(granted, what, "neither None nor seconds from 0 up")
            wait = granted if wait is None else wait
    return None if wait is None or elapsed + wait > limit else wait


def _sleepable(wait: object, what: str, wrong: str) -> float:
    if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait < inf:
        raise TypeError(f"{what}: {wrong}")
    if wait > LONGEST_WAIT:
        raise TypeError(f"{what}: more than {LONGEST_WAIT:_} seconds")
    return wait
