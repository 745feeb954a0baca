"""Retry policies and conditions that several tests use, as a user would write them."""

from __future__ import annotations

from actionqueues import bounded
from actionqueues.retry import Policy


def always(error: BaseException) -> bool:
    return True


def is_gone(error: BaseException) -> bool:
    return "gone" in str(error)


def falsy(error: BaseException) -> list[object]:
    return []


def broken(error: BaseException) -> float:
    return 1 / 0


def never(attempt: int, error: BaseException) -> None:
    return None


def at_once(attempt: int, error: BaseException) -> float:
    return 0


def seven(attempt: int, error: BaseException) -> float:
    return 7


def twice(attempt: int, error: BaseException) -> float | None:
    return None if attempt >= 3 else 1


def bare(policy: Policy) -> Policy:
    return policy


def nine_times(policy: Policy) -> Policy:
    return bounded(policy, attempts=9)
