"""`Attempts`: how often something has been tried, and whether it is to be tried again.

Stands on the retry policies.  Used by the engine, for bodies and for undos.
"""

from __future__ import annotations

from time import monotonic

from actionqueues.errors import ActionRetryException
from actionqueues.retry import Policy, next_wait

from .text import add_note, shown

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
            what = "the wait that it asks for is none" if self.policy is None else "the retry policy failed"
            add_note(error, f"not retried, because {what}: {shown(broken)}")
            return False
        except BaseException as interrupt:
            add_note(interrupt, f"it came out of a retry policy that was asked about {shown(error)}")
            raise
        if wait is None:
            # After the first attempt that needs no telling, unless the error itself has asked for another one.
            if isinstance(error, ActionRetryException if self.made == 1 else Exception):
                add_note(error, f"gave up after {self.made} attempt{'' if self.made == 1 else 's'} in {elapsed:.3g} s")
            return False
        self.wait = wait
        return True
