"""The fault ``crash``: a child process runs the scenario and is killed, another one recovers, and both are judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from .diagnosis import Bug, Finding
from .differences import Change
from .faults import Fault, Point, Trial
from .playing import Player, in_child, kill_this_process
from .record import Run

__all__ = ["Crashes", "events_after_commit"]


class Crashes:
    """The moments at which a scenario can be killed: before and after each record of a journal, and so on.

    Args:
        player: runs the scenario.
        recover: undoes what a killed process has left.
        difference: compares two pictures of the world.
        take: takes one.
    """

    def __init__(
        self,
        player: Player,
        recover: Callable[[], object],
        difference: Callable[[object, object], list[Change]],
        take: Callable[[], object],
    ) -> None:
        self._player = player
        self._recover = recover
        self._difference = difference
        self._take = take

    def before_commit(self) -> Iterator[Trial]:
        """A trial for each event of a run whose commit is refused, in order."""
        run = Run()
        events = _listen(run)
        self._player.play(run)
        for event in events:
            yield Trial(Point(Fault.CRASH, event))

    def after_commit(self, run: Run) -> Iterator[Trial]:
        """A trial for each event of a run that commits, from the commit on; `run` is one that has committed."""
        for event in run.events_after_commit:
            yield Trial(Point(Fault.CRASH, event))

    def run(
        self, trial: Trial, expected: object, *, committed: bool = False
    ) -> tuple[Finding | None, tuple[Change, ...]]:
        """Kill a child at that event, recover, and compare."""
        place = trial.place
        run = Run(refuse=not committed)

        def crash(event: str) -> None:  # pragma: no cover - runs in the child
            if event == place:
                kill_this_process()

        _name_events(run, crash)
        child = in_child(lambda: self._player.play(run))
        step = place.partition(".")[0].partition("#")[0]
        if child.error:
            return Finding(
                Bug.RECOVERY_FAILED, step, f"the scenario did not run in a child process:\n{child.error}"
            ), ()
        if not child.killed:
            return None, ()  # another order of events, as threads and tasks have it
        recovery = in_child(self._recover)
        changes = tuple(self._difference(expected, self._take()))
        if recovery.error:
            advice = (
                f"the recovery after a crash at {place} raised; a handler gets no connection, lock or memory of the "
                "dead process: let it open its own, or declare it as a resource"
            )
            return Finding(Bug.RECOVERY_FAILED, step, f"{advice}\n{recovery.error}"), changes
        if not changes:
            return None, ()
        if committed:
            advice = (
                f"the process died after the commit, at {place}, and what its commit hooks were to do is lost; make "
                "them durable, or queue that as a step"
            )
            return Finding(Bug.HOOK_LOST, step, advice), changes
        advice = (
            f"the process died at {place}, and the recovery has not put everything back: what was started must be on "
            "record before its body runs, and its undo must find the effect without a result"
        )
        return Finding(Bug.NOT_RECOVERED, step, advice), changes


def _name_events(run: Run, tell: Callable[[str], None]) -> None:
    """Let `run` tell of its events, those of the same name with a number."""
    count: Counter[str] = Counter()

    def crash(event: str) -> None:
        count[event] += 1
        number = count[event]
        tell(event if number == 1 else f"{event}#{number}")

    run.crash = crash


def _listen(run: Run) -> list[str]:
    events: list[str] = []
    _name_events(run, events.append)
    return events


def events_after_commit(run: Run) -> None:
    """Let `run` keep the events from its commit on."""

    def keep(event: str) -> None:
        if run.committed:
            run.events_after_commit.append(event)

    _name_events(run, keep)
