"""The fault ``crash``: a child process runs the scenario and is killed, another one recovers, and both are judged.

Stands on children, and on what plays a scenario.  Used by the sweep.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .bugs import Bug, Finding
from .children import can_fork, can_spawn, in_child, kill_this_process
from .faults import Fault, Point, Trial
from .outcomes import Outcome
from .playing import Backend, Player
from .record import Run
from .restoring import World

__all__ = ["Crashes"]

_NO_CHILDREN = (
    "crashes were not tried: this platform has no os.fork, and so the scenario and recover= have to be picklable: "
    "functions of a module, or functools.partial of such; or run the test where there is os.fork, as on Linux and macOS"
)


class Crashes:
    """The moments at which a scenario can be killed: before and after each record of a journal, and so on.

    Args:
        player: runs the scenario.
        recover: undoes what a killed process has left.
        world: what it changes.
    """

    def __init__(self, player: Player, recover: Callable[[], object], world: World) -> None:
        self._player = player
        self._recover = recover
        self._world = world

    @property
    def hindrance(self) -> str | None:
        """Why no process can be killed here, and what to do about it; None if one can."""
        possible = can_fork() or can_spawn(self._player.scenario, self._player.backend, self._recover)
        return None if possible else _NO_CHILDREN

    def before_commit(self) -> list[Trial]:
        """A trial for each event of a run whose commit is refused, in order."""
        run = Run()
        events: list[str] = []
        run.name_events(events.append)
        self._player.play(run)
        return [Trial(Point(Fault.CRASH, event)) for event in events]

    def after_commit(self, run: Run) -> list[Trial]:
        """A trial for each event of a run that has committed, from the commit on."""
        return [Trial(Point(Fault.CRASH, event)) for event in run.events_after_commit]

    @staticmethod
    def where_taken(taken: Trial) -> list[Trial]:
        """A trial for each moment at which nobody has recorded yet that a step has met what was there already."""
        place = taken.place
        moments = ("attempting+", "attempted", "attempted+")
        return [Trial(Point(Fault.CRASH, f"{place}.{moment}"), (taken.point,)) for moment in moments]

    def run(self, trial: Trial, expected: object, *, committed: bool = False) -> Outcome | None:
        """Kill a child at that event, recover, and compare; None if it is not reached, as threads and tasks have it."""
        place = trial.place
        child = in_child(partial(_play_until, self._player.scenario, self._player.backend, place, not committed))
        step = place.partition(".")[0].partition("#")[0]
        if child.error:
            advice = f"the scenario did not run in a child process:\n{child.error}"
            return Outcome(trial, Finding(Bug.RECOVERY_FAILED, step, advice))
        if not child.killed:
            return None
        recovery = in_child(self._recover)
        changes = tuple(self._world.difference(expected, self._world.take()))
        if recovery.error:
            advice = (
                f"the recovery after a crash at {place} raised; a handler gets no connection, lock or memory of the "
                f"dead process: let it open its own, or declare it as a resource\n{recovery.error}"
            )
            return Outcome(trial, Finding(Bug.RECOVERY_FAILED, step, advice), changes)
        if not changes:
            return Outcome(trial)
        if committed:
            advice = (
                f"the process died after the commit, at {place}, and what its commit hooks were to do is lost; make "
                "them durable, or queue that as a step"
            )
            return Outcome(trial, Finding(Bug.HOOK_LOST, step, advice), changes)
        if trial.via:
            advice = (
                f"the process died at {place}, where somebody else had made before what {step} makes, and the recovery "
                "took that for its own: let the step mark what it makes with `step.key`, or make it under a name that "
                "has that in it, and the undo look at that"
            )
            return Outcome(trial, Finding(Bug.NOT_ITS_OWN, step, advice), changes)
        advice = (
            f"the process died at {place}, and the recovery has not put everything back: what was started must be on "
            "record before its body runs, as by a journal, and its undo must find the effect without a result"
        )
        return Outcome(trial, Finding(Bug.NOT_RECOVERED, step, advice), changes)


def _play_until(
    scenario: Callable[[], object], backend: Backend, place: str, refuse: bool
) -> None:  # pragma: no cover - runs in the child
    """Run a scenario and die at an event."""
    run = Run(refuse=refuse)

    def crash(event: str) -> None:
        if event == place:
            kill_this_process()

    run.name_events(crash)
    Player(scenario, backend).play(run)
    if run.error is not None and not (run.refused or run.committed):
        raise run.error  # it was not the sweep that has kept it from going on
