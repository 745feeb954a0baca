"""`Sweep`: runs a scenario under every fault at every step, and looks whether the world is as it was.

The order of the runs is that of SQLite's fault sweeps.  The first step fails, in each way that it can; then the second
one; and so on, until no further step is reached and the commit itself is refused.  So the steps are found by running,
what a step does is known before the next one fails, and each run is undone, so that the next one finds the world as it
was.  Then come the faults of the undoing, and last the one run that commits.

Stands on what plays a scenario, on diagnoses and on the world that is compared.  Used by `sweep`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any

from .crashing import Crashes
from .diagnosis import diagnose, diagnose_repair, overwritten, unexpected_changes
from .differences import Ignore
from .faults import ErrorSource, Fault, Point, Trial, chosen_faults, parse_trial
from .others import Disturb
from .outcomes import NotReached, Outcome, SweepError, SweepFailed, after_hook, not_reached, nothing_injected
from .playing import Backend, Player
from .record import NEXT, Known, Run
from .restoring import Stopped, World
from .snapshots import State
from .steps import StepRecord
from .trials import body_faults, can_be_taken, more_of, undo_faults

__all__ = ["Sweep"]

#: How many faults in one run lead to a path before the one that is tried there.
_DEPTH = 2


class Sweep:
    """The trials of a scenario: iterate over it for their outcomes, which are produced as they are asked for.

    Attributes:
        outcomes: those so far.
        steps: the places of all steps that were found, in order.
        stopped: why there were no further trials, or None.
        untried: what was not tried, and why.
        runs: how often the scenario was run.
    """

    __module__ = "actionqueues.testing"

    def __init__(
        self,
        scenario: Callable[[], object],
        *,
        state: State,
        reset: Callable[[], object] | None,
        disturb: Disturb | None,
        recover: Callable[[], object] | None,
        faults: Iterable[str] | None,
        ignore: Iterable[Ignore],
        error: ErrorSource,
        only: Iterable[str] | None,
        backend: Backend,
    ) -> None:
        for name, value in {"reset": reset, "disturb": disturb, "recover": recover, "error": error}.items():
            if value is not None and not callable(value):
                raise TypeError(f"{name}= must be a function{' or a class' * (name == 'error')}, not {value!r}")
        self.outcomes: list[Outcome] = []
        self.steps: list[str] = []
        self.stopped: str | None = None
        self.untried: list[str] = []
        self.runs = 0
        self._world = World(state, ignore, reset)
        self._disturb = disturb
        self._faults = chosen_faults(faults, {Fault.CRASH: recover, Fault.STALE: disturb, Fault.HOOK: reset})
        ids = [only] if isinstance(only, str) else only
        self._only = None if ids is None else [parse_trial(text) for text in ids]
        self._player = Player(scenario, backend, disturb, error)
        self._crashes = None if recover is None else Crashes(self._player, recover, self._world)
        self._known = Known()
        self._records: dict[str, StepRecord] = {}
        self._others: dict[str, tuple[Point, ...]] = {}
        self._reached_by: dict[str, tuple[Point, ...]] = {}
        self._untaken: dict[str, list[str]] = {}  # places where nobody else could do the same, by the reason
        self._iterator = self._sweep()

    def __iter__(self) -> Iterator[Outcome]:
        yield from self.outcomes
        yield from self._iterator

    @property
    def failures(self) -> list[Outcome]:
        """The outcomes that are not good, of those so far."""
        return [outcome for outcome in self.outcomes if not outcome.ok]

    def check(self) -> Sweep:
        """Do all trials that have not been done yet.

        Raises:
            SweepFailed: if any did not go well, with all of those.
            SweepError: if the sweep cannot be done.
        """
        for _ in self._iterator:
            pass
        if self.failures:
            raise SweepFailed(self.failures)
        return self

    # -- the trials, in order

    def _sweep(self) -> Iterator[Outcome]:
        self._world.start()
        try:
            if self._only is not None:
                yield from self._chosen(self._only)
                return
            yield from self._main_path()
            yield from self._other_paths()
            yield from self._undoing()
            crashes = self._crashes if Fault.CRASH in self._faults else None
            if crashes is not None and crashes.hindrance is not None:
                self.untried.append(crashes.hindrance)
                crashes = None
            if crashes is not None:
                yield from self._killed(crashes)
            yield from self._taken(crashes)
            yield from self._ending(crashes)
        except Stopped as why:
            self.stopped = str(why)
        self.untried += [f"taken was not tried at {', '.join(places)}: {why}" for why, places in self._untaken.items()]

    def _main_path(self) -> Iterator[Outcome]:
        while True:
            run = self._play(Point(Fault.BEFORE, NEXT))
            new = next((record for record in run.records if record.place not in self._records), None)
            if run.fired:
                record = self._found(run)
                place = record.place
                yield from self._judged(Trial(Point(Fault.BEFORE, place)), run)
                for fault in more_of(run, record, Fault.BEFORE_TWICE, Fault.BEFORE_ALWAYS):
                    yield from self._try(Trial(Point(fault, place)))
                yield from self._body_faults(place, ())
                continue
            if run.error is not None and not run.refused:
                raise SweepError(
                    f"the scenario fails by itself, with nothing injected: {run.error!r}; a sweep needs one that "
                    "succeeds"
                ) from run.error
            if new is None and not self._records:
                raise nothing_injected(run)
            yield from self._judged(Trial(Point(Fault.COMMIT, run.last_block)), run)
            return

    def _found(self, run: Run) -> StepRecord:
        """The step that was reached for the first time."""
        place = run.fired[0].place
        record = next(each for each in run.records if each.place == place)
        self._records[place] = record
        self.steps.append(place)
        return record

    def _body_faults(self, place: str, via: tuple[Point, ...]) -> Iterator[Outcome]:
        for fault in body_faults(self._records[place]):
            run = yield from self._try(Trial(Point(fault, place), via))
            if run is None or fault is not Fault.AFTER:
                continue
            record = self._records[place] = next(each for each in run.records if each.place == place)
            for more in more_of(run, record, Fault.AFTER_TWICE, Fault.AFTER_ALWAYS):
                yield from self._try(Trial(Point(more, place), via))

    def _other_paths(self) -> Iterator[Outcome]:
        """The steps that are only reached after a fault."""
        for found in self._records:
            self._reached_by.pop(found, None)
            self._others.pop(found, None)
        while self._others:
            place = next(iter(self._others))
            via = self._others.pop(place)
            trial = Trial(Point(Fault.BEFORE, place), via)
            run = self._play(*trial.via, trial.point)
            record = run.record_at(place)
            if record is None or not run.complete:
                self.untried.append(f"{place} was reached once, after {via[-1]}, and not again")
                continue
            self._records[place] = record
            self.steps.append(place)
            yield from self._judged(trial, run)
            yield from self._body_faults(place, via)

    def _undoing(self) -> Iterator[Outcome]:
        for place in self.steps:
            for fault in undo_faults(self._records[place], disturbing=self._disturb is not None):
                yield from self._try(Trial(Point(fault, place), self._reached_by.get(place, ())))

    def _killed(self, crashes: Crashes) -> Iterator[Outcome]:
        for trial in crashes.before_commit():
            outcome = crashes.run(trial, self._world.baseline)
            if outcome is None:
                self.untried.append(f"{trial} was not reached in its own process")
                continue
            yield self._done(outcome)
            if not outcome.ok:
                self._world.put_back()

    def _taken(self, crashes: Crashes | None) -> Iterator[Outcome]:
        """Somebody else has made before what a step makes; and, where processes are killed, this one is then."""
        for place in self.steps if Fault.TAKEN in self._faults else ():
            if not can_be_taken(self._records[place]):
                continue
            trial = Trial(Point(Fault.TAKEN, place), self._reached_by.get(place, ()))
            run = self._play(*trial.via, trial.point)
            yield from self._judged(trial, run, silent=not run.complete)
            if not run.complete:
                self._untaken.setdefault(run.untaken or "it was not reached", []).append(place)
            elif crashes is not None and self.outcomes[-1].ok and not trial.via:
                yield from self._killed_where_taken(crashes, trial)

    def _killed_where_taken(
        self, crashes: Crashes, taken: Trial, only: Sequence[Trial] | None = None
    ) -> Iterator[Outcome]:
        run = self._play(taken.point, keeping=True)
        if not run.complete:
            raise NotReached(f"{taken}: {run.untaken or 'it was not reached'}", [str(trial) for trial in only or ()])
        world = self._world.take()
        try:
            for trial in only or crashes.where_taken(taken):
                outcome = crashes.run(trial, world)
                yield from () if outcome is None else (self._done(outcome),)
                if outcome is not None and not outcome.ok:
                    break
        finally:
            self._play(Point(Fault.BEFORE, taken.place), back=run.other.take_back_in)
        if self._world.changes(self._world.take()):
            self._world.put_back()

    def _ending(self, crashes: Crashes | None) -> Iterator[Outcome]:
        """The run that commits; and, where the world can be reset, those that fail after their commit."""
        run = self._committed()
        final = self._world.take()
        if not run.committed:
            changes = self._world.changes(final)
            finding = diagnose(Trial(Point(Fault.COMMIT, run.last_block)), run, changes) if changes else None
            if finding is not None:
                yield self._done(Outcome(Trial(Point(Fault.COMMIT, run.last_block)), finding, tuple(changes)))
        unswept = [record.place for record in run.records if record.place not in self._records and not record.repeat]
        self.untried += [] if self.failures else self._world.never_differed(final, self._known.changes())
        if unswept:
            raise SweepError(
                f"{', '.join(unswept)} came after a commit, so no fault was injected there; sweep one transaction at "
                "a time, with what comes before it done outside the scenario"
            )
        if not self._world.can_be_put_back:
            return
        self._world.put_back()
        for place in run.hooks if Fault.HOOK in self._faults else ():
            yield self._done(self._hook_fails(Trial(Point(Fault.HOOK, place)), run, final))
        if crashes is not None:
            for trial in crashes.after_commit(run):
                outcome = self._killed_after_commit(crashes, trial, final)
                yield from () if outcome is None else (self._done(outcome),)

    def _committed(self) -> Run:
        """The run that commits."""
        run = self._play(refuse=False)
        if run.error is not None:
            raise SweepError(
                f"the scenario fails by itself, with nothing injected: {run.error!r}; a sweep needs one that succeeds"
            ) from run.error
        return run

    def _hook_fails(self, trial: Trial, good: Run, final: object) -> Outcome:
        """After the commit only what this hook was to do may be missing."""
        self._play(trial.point, refuse=False)
        outcome = after_hook(trial, good, self._world.difference(final, self._world.take()))
        self._world.put_back()
        return outcome

    def _killed_after_commit(self, crashes: Crashes, trial: Trial, final: object) -> Outcome | None:
        outcome = crashes.run(trial, final, committed=True)
        self._world.put_back()
        return outcome

    def _chosen(self, trials: Sequence[Trial]) -> Iterator[Outcome]:
        missed: list[NotReached] = []
        for trial in trials:
            try:
                yield from self._one_chosen(trial)
            except NotReached as error:
                missed.append(error)
        if missed:
            raise NotReached("\n".join(map(str, missed)), [each for error in missed for each in error.ids])

    def _one_chosen(self, trial: Trial) -> Iterator[Outcome]:
        if trial.fault is Fault.CRASH:
            yield from self._chosen_crash(trial)
        elif trial.fault is Fault.HOOK:
            yield self._done(self._chosen_hook(trial))
        else:
            run = self._play(*trial.via, trial.point)
            if run.untaken:
                raise NotReached(f"{trial}: {run.untaken}", [str(trial)])
            if not run.complete:
                raise not_reached(trial, "steps", [record.place for record in run.records])
            yield from self._judged(trial, run, always=True)

    def _chosen_crash(self, trial: Trial) -> Iterator[Outcome]:
        crashes = self._crashes
        if crashes is None:
            raise NotReached(f"{trial}: it needs recover=", [str(trial)])
        if crashes.hindrance is not None:
            raise SweepError(f"{trial}: {crashes.hindrance}")
        if trial.via:
            yield from self._killed_where_taken(crashes, Trial(trial.via[0]), [trial])
            return
        trials = crashes.before_commit()
        outcome = crashes.run(trial, self._world.baseline) if trial in trials else None
        if outcome is None and self._world.can_be_put_back:
            run, final = self._committed(), self._world.take()
            self._world.put_back()
            trials += crashes.after_commit(run)
            outcome = self._killed_after_commit(crashes, trial, final)
        if outcome is None:
            raise not_reached(trial, "events", [each.place for each in trials])
        yield self._done(outcome)
        if outcome.changes:
            self._world.put_back()

    def _chosen_hook(self, trial: Trial) -> Outcome:
        if not self._world.can_be_put_back:
            raise NotReached(f"{trial}: it comes after the commit, so it needs reset=", [str(trial)])
        run, final = self._committed(), self._world.take()
        self._world.put_back()
        if trial.place not in run.hooks:
            raise not_reached(trial, "commit hooks", run.hooks)
        return self._hook_fails(trial, run, final)

    # -- one trial

    def _try(self, trial: Trial) -> Generator[Outcome, None, Run | None]:
        """Run a trial, if it is wanted; yields its outcome, and returns its run if the fault could be injected."""
        if trial.fault not in self._faults:
            return None
        run = self._play(*trial.via, trial.point)
        if not run.complete:
            yield from self._judged(trial, run, silent=True)
            return None
        yield from self._judged(trial, run)
        return run

    def _play(self, *armed: Point, **options: Any) -> Run:
        """Run the scenario once; `options` are attributes of the run."""
        run = Run(armed, take=self._world.take, known=self._known, ignore=self._world.ignore)
        run.expected = set(self._records)
        for name, value in options.items():
            setattr(run, name, value)
        self.runs += 1
        self._player.play(run)
        return run

    def _judged(self, trial: Trial, run: Run, *, always: bool = False, silent: bool = False) -> Iterator[Outcome]:
        """Compare, and yield the outcome."""
        now = self._world.take_after(trial)
        seen = run.after_rollback if run.armed_at_undo or run.disturbed else None
        changes = self._world.changes(now)
        # Where all is well once an undo that was kept back has been called at last, others could not go further before.
        unexpected = unexpected_changes(run, changes if seen is None else self._world.changes(seen)) if changes else []
        if not unexpected and run.independent:
            self._world.baseline, changes = now, []
        finding = diagnose(trial, run, unexpected)
        if finding is None and changes and not run.disturbed:
            finding, unexpected = diagnose_repair(trial, run, changes), changes
        self._known.learn(run)
        for record in run.records:
            if record.by_hand and record.place not in self._records:
                self._records[record.place] = record
                self.steps.append(record.place)
        self._look_for_others(trial, run)
        wanted = always or trial.fault in self._faults
        if finding is not None or (wanted and not silent):
            shown = unexpected or (overwritten(run) if finding else ())
            yield self._done(Outcome(trial, finding, tuple(shown)))
        if run.endless:
            raise Stopped("each run would be as endless; give the retry policy of the transaction a bound first")
        if changes:
            self._world.put_back()

    def _look_for_others(self, trial: Trial, run: Run) -> None:
        """Steps that come after a fault, and may be reached only so."""
        if not run.fired or len(trial.via) >= _DEPTH:
            return
        fired = next((each for each in run.records if each.place == run.fired[-1].place), None)
        if fired is None:
            return
        for record in run.records[run.records.index(fired) + 1 :]:
            if record.place not in self._reached_by and record.place not in self._records and not record.repeat:
                via = (*trial.via, trial.point)
                self._others[record.place] = self._reached_by[record.place] = via

    def _done(self, outcome: Outcome) -> Outcome:
        self.outcomes.append(outcome)
        return outcome
