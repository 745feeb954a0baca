"""Exception factories: count the retries of a classic action, so that it need not count them itself."""

from __future__ import annotations

from typing import NoReturn

from .errors import ActionRetryException

__all__ = ["DoublingBackoffExceptionFactory"]


class DoublingBackoffExceptionFactory:
    """Asks for a number of retries with a doubling wait, then gives up.

    The n-th call of `raise_exception` (1, 2, …, `retries`) asks for a wait of ``ms_backoff_initial * 2 ** (n - 1)``
    milliseconds; the ones after it raise the original exception.  Use one factory for `execute` and another for
    `rollback`, or they share their count.

    Args:
        retries: how often to ask for a retry.
        ms_backoff_initial: the first wait, in milliseconds.
    """

    __module__ = "actionqueues"

    def __init__(self, retries: int = 3, ms_backoff_initial: float = 500) -> None:
        self._max_retries = retries
        self._executed_retries = 0
        self._ms_backoff = ms_backoff_initial

    def raise_exception(self, original_exception: BaseException | None = None) -> NoReturn:
        """Raise `ActionRetryException`, or `original_exception` (a plain `Exception` if it is None) to give up."""
        if self._executed_retries < self._max_retries:
            wait = self._ms_backoff
            self._executed_retries += 1
            self._ms_backoff *= 2
            again = ActionRetryException(wait)
            if original_exception is not None:
                again.__cause__ = original_exception  # what goes on if a policy does not grant it
            raise again
        raise Exception() if original_exception is None else original_exception
