"""`World`: what the world of a scenario was like before its sweep, how that is compared, and how it is put back."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .differences import Change, Ignore, compare
from .outcomes import SweepError
from .snapshots import State, picture

__all__ = ["Stopped", "World"]


class Stopped(Exception):
    """The world is not as it was, and nothing can put it right."""


class World:
    """What a scenario changes, and what must be as it was after each of its runs.

    Args:
        state: takes pictures of it.
        ignore: what may differ.
        reset: puts it back as it was before the sweep, if anything does.
    """

    def __init__(self, state: State, ignore: Iterable[Ignore], reset: Callable[[], object] | None) -> None:
        self.take = picture(state)
        self.baseline: object = None
        self._start: object = None
        self._ignore = (ignore,) if isinstance(ignore, str) or callable(ignore) else tuple(ignore)
        self._reset = reset

    def start(self) -> None:
        """From now on it is compared with what it is now."""
        self._start = self.baseline = self.take()

    @property
    def can_be_put_back(self) -> bool:
        """Whether it can be put back as it was before the sweep."""
        return self._reset is not None

    def difference(self, before: object, after: object) -> list[Change]:
        """All changes from one picture to another, but for what may differ."""
        return compare(before, after, self._ignore)

    def changes(self, now: object) -> list[Change]:
        """What is not as it should be in a picture taken after a run."""
        return self.difference(self.baseline, now)

    def put_back(self) -> None:
        """Put it back as it was before the sweep.

        Raises:
            Stopped: if nothing does that.
            SweepError: if `reset` does not.
        """
        if self._reset is None:
            raise Stopped
        self._reset()
        now = self.take()
        left = self.changes(now)
        if left and not self.difference(self._start, now):  # also what shared nothing with the transaction is gone
            self.baseline, left = self._start, []
        if left:
            lines = "\n".join(f"  {change}" for change in left)
            raise SweepError(f"reset= does not put the world back as it was before the sweep:\n{lines}")
