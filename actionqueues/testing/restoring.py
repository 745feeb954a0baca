"""`World`: what the world of a scenario was like before its sweep, how that is compared, and how it is put back.

Stands on pictures and their differences.  Used by the sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .differences import Change, Ignore, compare, render
from .faults import Trial
from .outcomes import SweepError
from .snapshots import State, is_blank, picture

__all__ = ["Stopped", "World"]


class Stopped(Exception):
    """There can be no further trials; it says why."""


class World:
    """What a scenario changes, and what must be as it was after each of its runs.

    Args:
        state: takes pictures of it.
        ignore: what may differ.
        reset: puts it back as it was before the sweep, if anything does.
    """

    def __init__(self, state: State, ignore: Iterable[Ignore], reset: Callable[[], object] | None) -> None:
        self.take = picture(state)
        self._systems: list[str] = [] if callable(state) else list(state)
        self.baseline: object = None
        self._start: object = None
        self.ignore = (ignore,) if isinstance(ignore, str) or callable(ignore) else tuple(ignore)
        self._reset = reset

    def start(self) -> None:
        """From now on it is compared with what it is now.

        Raises:
            SweepError: if two pictures of it differ although nothing has happened.
        """
        self._start = self.baseline = self.take()
        moving = self.changes(self.take())
        if moving:
            lines = "\n".join(render(moving))
            raise SweepError(
                "two pictures of the state, taken one after the other, differ although nothing was done; name in "
                f"ignore= what changes by itself, or let state= return what can be compared:\n{lines}"
            )

    def take_after(self, trial: Trial) -> object:
        """A picture after a trial; what the user's function raises is noted to come from there."""
        try:
            return self.take()
        except Exception as error:
            error.add_note(f"actionqueues: raised by state=, after {trial}")
            raise

    @property
    def can_be_put_back(self) -> bool:
        """Whether it can be put back as it was before the sweep."""
        return self._reset is not None

    def difference(self, before: object, after: object) -> list[Change]:
        """All changes from one picture to another, but for what may differ."""
        return compare(before, after, self.ignore)

    def changes(self, now: object) -> list[Change]:
        """What is not as it should be in a picture taken after a run."""
        return self.difference(self.baseline, now)

    def never_differed(self, final: object, seen: Iterable[Change]) -> list[str]:
        """What to say where no picture has differed: the scenario found all done already, or they show another world.

        Args:
            final: the picture after the run that has committed.
            seen: what has differed before.

        Raises:
            SweepError: if no picture has shown anything at all.
        """
        changes = [*seen, *self.changes(final)]
        if changes:
            differed = {change.path[0] for change in changes if change.path}
            silent = [name for name in self._systems if name not in differed]
            return [f"{name}: state= has shown no difference there, so nothing was compared" for name in silent]
        told = "state= has shown no difference, neither while the scenario ran nor once it had committed"
        if not is_blank(final):
            return [f"{told}: only what its undos do too much would have been found"]
        raise SweepError(
            f"nothing was compared: {told}, and its pictures show nothing; let it return what the scenario changes, as "
            "memory(thing), directory(path) and database(connection) do"
        )

    def put_back(self) -> None:
        """Put it back as it was before the sweep.

        Raises:
            Stopped: if nothing does that.
            SweepError: if `reset` does not.
        """
        if self._reset is None:
            raise Stopped("the world is not as it was; to go on after that, give reset=")
        self._reset()
        now = self.take()
        left = self.changes(now)
        if left and not self.difference(self._start, now):  # also what shared nothing with the transaction is gone
            self.baseline, left = self._start, []
        if left:
            lines = "\n".join(render(left))
            raise SweepError(f"reset= does not put the world back as it was before the sweep:\n{lines}")
