"""`Run`: what happened in one run of a scenario, step by step; and what is known of its steps from all runs so far.

Stands on steps, and on where the running code stands in the tree of logs.  Used by the injector, which fills it in, and
by diagnoses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import RLock, current_thread, main_thread
from typing import Any

from actionqueues.core.states import StepState
from actionqueues.core.step import Step
from actionqueues.core.tasks import running_loop, running_task

from .differences import ABSENT, Change, Ignore, compare, is_ignored, value_at
from .faults import Fault, Point
from .steps import Look, StepRecord

__all__ = ["NEXT", "Known", "Run"]

#: The place of a fault that is to be injected into the first step that no earlier run has reached.
NEXT = "the next step"


@dataclass(eq=False)
class Known:
    """What all runs so far have shown.

    Attributes:
        effects: what the body of a step changes, by its place.
        sure: the places of those whose body has returned, and was not cut short.
        undo_effects: what its undo changes.
        undone_with: how many steps had been started in runs in which its undo succeeded, at most.
    """

    effects: dict[str, list[Change]] = field(default_factory=dict[str, list[Change]])
    sure: set[str] = field(default_factory=set[str])
    undo_effects: dict[str, list[Change]] = field(default_factory=dict[str, list[Change]])
    undone_with: dict[str, int] = field(default_factory=dict[str, int])

    def changes(self) -> list[Change]:
        """What all steps and their undos have changed."""
        return [each for changes in (*self.effects.values(), *self.undo_effects.values()) for each in changes]

    def learn(self, run: Run) -> None:
        """Take over what a run has shown."""
        for record in run.records:
            if record.effects is not None and record.place not in self.sure:
                self.effects[record.place] = record.effects
                if record.returned:
                    self.sure.add(record.place)
            if record.undo_effects is not None and (record.reached or record.by_hand):  # or there is nothing to undo
                self.undo_effects.setdefault(record.place, record.undo_effects)
            if record.settled is StepState.UNDONE:
                self.undone_with.setdefault(record.place, len(run.records))


class Run:
    """One run of a scenario, as it is recorded while it goes on.

    Attributes:
        armed: the faults to be injected.
        refuse: whether the commit is to be refused.
        fired: the faults that have been injected.
        records: its steps, in order of start.
        hooks: the places of the commit hooks that were called.
        entered: how many outermost transactions were entered.
        committed: how many of them have committed.
        refused: how many of them were kept from that.
        endless: whether it was so often that nobody believes in an end.
        error: what came out of the scenario.
        after_rollback: a picture taken when the rollback of its last transaction had ended.
        rolled_back: whether a transaction has been rolled back.
        disturbed: what `disturb` changed, or somebody else made.
        restore: takes back what `disturb` changed, or somebody else made; returns what has to be awaited, or anything.
        keeping: whether that is left to a later run.
        other: who has made what is kept.
        back: takes that back, given the step of this run.
        seen: a picture taken after the rollback, when that was still there.
        untaken: why nobody else could make what a step makes, or empty.
        mistake: what `disturb`, or what takes that back, has raised.
        independent: what inner transactions that share nothing have changed and committed.
        in_main_thread: whether the sweep itself goes on in the main thread.
        outer_task: the task that the sweep itself goes on in, or None.
        threads: whether it has started any.
        left_threads: the names of threads that were still running afterwards.
        scope: the cancel scope around the scenario, in trio.
        ended_blocks: the names of the transactions that were rolled back.
        last_block: the name of the transaction that was entered last.
        expected: the places of the steps that are known from earlier runs.
        hook_effects: what its commit hooks changed, by their places.
        events_after_commit: where it could have been killed once it had committed.
        crash: is told of each event that a process could be killed at.
        repeating: whether the transaction that was entered last is one that was rolled back before, entered again.
    """

    def __init__(
        self,
        armed: Sequence[Point] = (),
        *,
        refuse: bool = True,
        take: Callable[[], object] | None = None,
        known: Known | None = None,
        ignore: Sequence[Ignore] = (),
    ) -> None:
        self.armed = tuple(armed)
        self.refuse = refuse
        self.known = known or Known()
        self.fired: list[Point] = []
        self.records: list[StepRecord] = []
        self.hooks: list[str] = []
        self.entered = 0
        self.committed = 0
        self.refused = 0
        self.endless = False
        self.error: BaseException | None = None
        self.after_rollback: object = None
        self.rolled_back = False
        self.disturbed: list[Change] = []
        self.restore: Callable[[], object] | None = None
        self.keeping = False
        self.other: Any = None
        self.back: Callable[[StepRecord], Any] | None = None
        self.seen: object = None
        self.untaken = ""
        self.mistake: Exception | None = None
        self.independent: list[Change] = []
        self.left_threads: list[str] = []
        self.in_main_thread = current_thread() is main_thread()
        self.outer_task = running_task()
        self.threads = False
        self.scope: Any = None
        self.lock = RLock()
        self._going_on: list[tuple[StepRecord, Look]] = []
        self._take = take
        self._ignore = ignore
        self._by_step: dict[int, StepRecord] = {}
        self._count: Counter[str] = Counter()
        self.repeating = False
        self.ended_blocks: set[str] = set()
        self.last_block = "transaction"
        self.expected: set[str] = set()
        self.hook_effects: dict[str, list[Change]] = {}
        self.events_after_commit: list[str] = []
        self.crash: Callable[[str], None]
        self.name_events(self._note)

    def name_events(self, tell: Callable[[str], None]) -> None:
        """Tell of each event, of those of the same name with a number."""
        count: Counter[str] = Counter()

        def crash(event: str) -> None:
            count[event] += 1
            number = count[event]
            tell(event if number == 1 else f"{event}#{number}")

        self.crash = crash

    def _note(self, event: str) -> None:
        if self.committed or event.endswith(".committing+"):  # it is on record then
            self.events_after_commit.append(event)

    def name(self, what: str) -> str:
        """The place of something with this name: from the second one on with its number."""
        with self.lock:
            self._count[what] += 1
            number = self._count[what]
        return what if number == 1 else f"{what}#{number}"

    def start(self, step: Step[Any], caller: Step[Any] | None = None) -> StepRecord:
        """A step is being started, by the body of another one or by none."""
        record = StepRecord(self.name(step.name), step, self._by_step.get(id(caller)))
        record.remember_arguments()
        record.in_loop = running_loop() is not None
        with self.lock:
            record.repeat = self.repeating and step.name in self.actions()
            self.records.append(record)
            self._by_step[id(step)] = record
        return record

    def of(self, step: Step[Any]) -> StepRecord:
        """The record of a step; made now, if nobody was told of its start."""
        record = self._by_step.get(id(step))
        return self.start(step) if record is None else record

    # -- what a step changes

    def photo(self) -> object:
        """A picture of the world, or None if none can be taken here: in another thread, or while it is locked."""
        if self._take is None:
            return None
        try:
            return self._take()
        except Exception:
            return None

    def _begin(self, record: StepRecord, look: Look) -> None:
        """A body or an undo begins: what goes on then and has not called it is beside it."""
        with self.lock:
            if not all(record.is_in(other) for other, _ in self._going_on):
                for _, each in [*self._going_on, (record, look)]:
                    each.crowded = True
            self._going_on.append((record, look))

    def _end(self, look: Look) -> list[Change] | None:
        """It has ended; returns what has changed since it began, or None if that cannot be told."""
        after = None if look.before is None or look.crowded else self.photo()
        with self.lock:
            self._going_on = [each for each in self._going_on if each[1] is not look]
            crowded = look.crowded
        return None if after is None or crowded else compare(look.before, after)

    def begin_other(self, record: StepRecord) -> Look:
        """Somebody else begins to do what a step is about to do."""
        look = Look()
        self._begin(record, look)
        look.before = None if look.crowded else self.photo()
        return look

    def end_other(self, look: Look) -> list[Change] | None:
        """Somebody else has done it: what has changed meanwhile, or None if that cannot be told."""
        changes = self._end(look)
        return None if changes is None else [each for each in changes if not is_ignored(each.path, self._ignore)]

    def begin(self, record: StepRecord) -> None:
        """An attempt of its body begins."""
        with self.lock:
            record.attempts += 1
            record.reached = True
        look = record._body
        self._begin(record, look)
        # A key has another value in each run, so the effects of the step that matters are looked at again.
        wanted = record.place not in self.known.sure or any(point.place == record.place for point in self.armed)
        if wanted and not look.crowded and look.before is None:
            look.before = self.photo()

    def end(self, record: StepRecord, *, returned: bool) -> None:
        """An attempt has ended."""
        record.look_at_arguments(its_own=True)
        record.look_at_saved()
        effects = self._end(record._body)
        if record._body.before is not None:
            record.effects = effects
        with self.lock:
            record.returned += returned
        if record.caller is not None:
            record.caller.inner_effects += [*(self.effects_of(record) or ()), *record.inner_effects]
        if record.effects is not None:
            record.effects = [each for each in record.effects if each not in record.inner_effects]

    def begin_undo(self, record: StepRecord) -> None:
        """An attempt of its undo begins."""
        record.look_at_arguments()
        look = record._undo = Look()
        self._begin(record, look)
        unknown = record.place not in self.known.undo_effects and record.undo_effects is None
        if (unknown or self.armed_at(record.place, Fault.TAKEN)) and not look.crowded:
            look.before = self.photo()

    def end_undo(self, record: StepRecord, error: BaseException | None) -> None:
        """An attempt of its undo has ended."""
        record.undo_calls.append(error)
        made = None if error is None else self.effects_of(record)
        if made:
            now = self.photo() if record._undo.before is None else record._undo.before
            record.gone = now is not None and all(value_at(now, each.path) is ABSENT is not each.after for each in made)
        effects = self._end(record._undo)
        if record._undo.before is not None:
            record.undo_effects = effects

    # -- what is armed

    def armed_at(self, place: str, *faults: Fault) -> Point | None:
        """The armed fault of one of these kinds at a place."""
        return next((point for point in self.armed if point.place == place and point.fault in faults), None)

    def arm_next(self, place: str) -> None:
        """A step is reached for the first time: a fault that was to be injected wherever that is gets its place."""
        self.armed = tuple(Point(each.fault, place) if each.place == NEXT else each for each in self.armed)

    def fire(self, point: Point) -> None:
        """It has been injected."""
        with self.lock:
            if point not in self.fired:
                self.fired.append(point)

    @property
    def concurrent(self) -> bool:
        """Whether anything can have gone on beside the scenario: it ran in an event loop, or has started threads."""
        return self.threads or any(record.in_loop for record in self.records)

    @property
    def armed_at_undo(self) -> bool:
        """Whether an undo was kept from its work."""
        return any(point.fault in (Fault.UNDO, Fault.UNDO_ONCE) for point in self.fired)

    @property
    def complete(self) -> bool:
        """Whether all that was armed has been injected."""
        return all(point in self.fired for point in self.armed)

    def effects_of(self, record: StepRecord) -> list[Change] | None:
        """What is known of the effects of a step, from this run or an earlier one."""
        if record.by_hand:
            return record.undo_effects or self.known.undo_effects.get(record.place)
        return record.effects if record.effects is not None else self.known.effects.get(record.place)

    def record_at(self, place: str) -> StepRecord | None:
        """The step at a place."""
        return next((record for record in self.records if record.place == place), None)

    def actions(self) -> list[str]:
        """The names of its actions, in order of start."""
        return list(dict.fromkeys(record.name for record in self.records))
