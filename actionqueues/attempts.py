"""`Attempts`: how often something has been tried, and whether it is to be tried again."""

from __future__ import annotations

from time import monotonic

from .retry import Policy, next_wait
from .telling import add_note, shown

__all__ = ["Attempts"]


class Attempts:
    """Counts the attempts of one body or one undo, and says whether there is to be another."""

    __slots__ = ("made", "policy", "started", "wait")

    def __init__(self, policy: Policy | None, started: float | None = None) -> None:
        self.policy = policy
        self.started = monotonic() if started is None else started
        self.made = 0
        self.wait = 0.0

    def another(self, error: BaseException) -> bool:
        """Whether there is to be another attempt, `wait` seconds from now; otherwise `error` gets a note."""
        self.made += 1
        elapsed = monotonic() - self.started
        try:
            wait = next_wait(self.policy, self.made, error, elapsed)
        except Exception as broken:
            add_note(error, f"not retried, because the retry policy failed: {shown(broken)}")
            return False
        except BaseException as interrupt:
            add_note(interrupt, f"it came out of a retry policy that was asked about {shown(error)}")
            raise
        if wait is None:
            if self.made > 1 and isinstance(error, Exception):
                add_note(error, f"gave up after {self.made} attempts in {elapsed:.3g} s")
            return False
        self.wait = wait
        return True
