"""Retry policies: how long to wait before the next attempt, or not to make one.

Pure: nothing here reads a clock or sleeps, and a policy holds no state of a call, so that one object can serve any
number of calls at once.  The engine counts the attempts and measures the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TypeAlias, cast

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
        return self.wait(attempt) if self.bounds(attempt) and self.retries(error) else None

    def bounds(self, attempt: int) -> bool:
        """Whether the number of attempts made so far leaves room for another."""
        return self.attempts is None or attempt < self.attempts

    def retries(self, error: BaseException) -> bool:
        """Whether `error` is one that `on` names."""
        on = self.on
        if isinstance(on, type | tuple):
            return isinstance(error, on)
        return isinstance(error, Exception) and bool(on(error))

    def wait(self, attempt: int) -> float:
        """The wait after the `attempt`-th failed attempt, in seconds, by the formula above."""
        import random  # here, because importing it takes longer than importing this package

        jitter = random.uniform(0, self.wait_jitter)  # noqa: S311 - it spreads load
        if not self.wait_initial:
            return min(self.wait_max, jitter)
        try:
            # In two halves, since the power alone may be too large for a float where the product is not.
            half = (attempt - 1) // 2
            backoff = self.wait_initial * self.wait_exp_base**half * self.wait_exp_base ** (attempt - 1 - half)
            return min(self.wait_max, backoff + jitter)
        except OverflowError:
            return self.wait_max


def _is_condition(on: object) -> bool:
    """Whether `on` can say which errors are to be retried."""
    if isinstance(on, tuple):
        items = cast("tuple[object, ...]", on)
        return bool(items) and all(isinstance(item, type) and issubclass(item, BaseException) for item in items)
    return issubclass(on, BaseException) if isinstance(on, type) else callable(on)


@dataclass(frozen=True, slots=True)
class _Bounded:
    """What `bounded` returns."""

    policy: Policy
    attempts: int | None
    timeout: float | None

    def __call__(self, attempt: int, error: BaseException) -> float | None:
        return self.policy(attempt, error) if self.bounds(attempt) else None

    def bounds(self, attempt: int) -> bool:
        return self.attempts is None or attempt < self.attempts


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
    the first one was started `elapsed` seconds ago, and the last one raised `error`.

    Raises:
        TypeError: if the policy returned something that is no number of seconds.
        Exception: whatever the policy itself raises.
    """
    asked = _milliseconds(error.ms_backoff) if isinstance(error, ActionRetryException) else None
    wait = asked if policy is None else _granted(policy, attempt, error, asked)
    return None if wait is None or elapsed + wait > _timeout(policy) else wait


def _granted(policy: Policy, attempt: int, error: BaseException, asked: float | None) -> float | None:
    if isinstance(policy, _Bounded):
        return _granted(policy.policy, attempt, error, asked) if policy.bounds(attempt) else None
    if isinstance(policy, Retry):
        return policy(attempt, error) if asked is None else asked if policy.bounds(attempt) else None
    wait = policy(attempt, error) if isinstance(error, Exception) else None
    if wait is None:
        return None
    _sleepable(wait, f"the retry policy {policy!r} returned {wait!r}", "neither None nor seconds from 0 up")
    return wait if asked is None else asked


def _timeout(policy: Policy | None) -> float:
    """The tightest of the time limits of a policy, or infinity."""
    if isinstance(policy, _Bounded):
        return min(inf if policy.timeout is None else policy.timeout, _timeout(policy.policy))
    return policy.timeout if isinstance(policy, Retry) and policy.timeout is not None else inf


def _milliseconds(asked: float) -> float:
    try:
        wait = asked / 1000
    except TypeError:
        wait = asked  # which is no number
    return _sleepable(wait, f"ActionRetryException was given ms_backoff={asked!r}", "not milliseconds from 0 up")


def _sleepable(wait: object, what: str, wrong: str) -> float:
    if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait < inf:
        raise TypeError(f"{what}: {wrong}")
    if wait > LONGEST_WAIT:
        raise TypeError(f"{what}: more than {LONGEST_WAIT:_} seconds")
    return wait
