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

from actionqueues.core.definition import Definition
from actionqueues.core.states import StepState
from actionqueues.core.step import Step
from actionqueues.core.tasks import running_loop, running_task

from .calling import definition_of_step
from .differences import Change, compare
from .faults import Fault, Point
from .snapshots import frozen

__all__ = ["NEXT", "Known", "Run", "StepRecord"]

#: The place of a fault that is to be injected into the first step that no earlier run has reached.
NEXT = "the next step"

#: Arguments of these types are copied, to see whether somebody changes them after the call.
_PLAIN = (dict, list, set, bytearray)


@dataclass(eq=False)
class _Look:
    """A body or an undo of a step that is looked at while it runs.

    Attributes:
        before: a picture of the world before it, or None if none was wanted, or could be taken.
        crowded: whether others ran beside it, so that nobody can tell whose effects a later picture shows.
    """

    before: Any = None
    crowded: bool = False


@dataclass(eq=False)
class StepRecord:
    """What one step did in one run.

    Attributes:
        place: its name and, from the second step of that name on, ``#`` and its number.
        step: the step.
        caller: the step whose body has called it, or None.
        attempts: how many attempts of its body were made.
        returned: how many of them came to their end.
        in_loop: whether it ran in an event loop.
        reached: whether its body was reached at all.
        effects: what its body changed; None where that was not looked at, or others ran beside it.
        inner_effects: what the steps that it has called have changed.
        undo_effects: what its undo changed, likewise.
        undo_calls: what its handler raised, or None, for each time that it was called.
        undone_as: what state it was in when it was undone.
        second_call: what its handler raised when it was called a second time.
        settled: what became of it.
        repeat: whether it is one of a transaction that was rolled back and entered again.
        repaired: whether its handler was called after the verdict, since its undo had failed.
        by_hand: whether it was done by hand, and its undo recorded by ``q.on_rollback``.
        cancelling: what is going to cancel its task, to be cancelled itself if the body ends first.
    """

    place: str
    step: Step[Any]
    caller: StepRecord | None = None
    attempts: int = 0
    returned: int = 0
    in_loop: bool = False
    reached: bool = False
    effects: list[Change] | None = None
    inner_effects: list[Change] = field(default_factory=list[Change])
    undo_effects: list[Change] | None = None
    undo_calls: list[BaseException | None] = field(default_factory=list[BaseException | None])
    undone_as: StepState | None = None
    second_call: BaseException | None = None
    settled: StepState | None = None
    repeat: bool = False
    repaired: bool = False
    by_hand: bool = False
    cancelling: Any = None
    _arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    _body: _Look = field(default_factory=_Look)  # of all attempts: what earlier ones have done counts as well
    _undo: _Look = field(default_factory=_Look)

    @property
    def name(self) -> str:
        """The name of the action."""
        return self.step.name

    @property
    def definition(self) -> Definition:
        """What is fixed about the action."""
        return definition_of_step(self.step)

    def is_in(self, other: StepRecord) -> bool:
        """Whether it is the other one, or was called in it, however deep."""
        record: StepRecord | None = self
        while record is not None and record is not other:
            record = record.caller
        return record is other

    @property
    def broken(self) -> bool:
        """Whether its undo was tried and failed."""
        return self.settled in (StepState.UNDO_FAILED, StepState.CONFLICT)

    def remember_arguments(self) -> None:
        """Copy the arguments that can be changed in place."""
        arguments = self.step.arguments
        plain: dict[str, Any] = {name: value for name, value in arguments.items() if isinstance(value, _PLAIN)}
        self._arguments = {name: frozen(value) for name, value in plain.items()}

    @property
    def changed_arguments(self) -> list[str]:
        """The names of the arguments that are not what they were when it was called."""
        now = self.step.arguments
        return [name for name, value in self._arguments.items() if compare(value, frozen(now[name]))]


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
        disturbed: what `disturb` changed.
        restore: takes back what `disturb` changed.
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
        self.mistake: Exception | None = None
        self.independent: list[Change] = []
        self.left_threads: list[str] = []
        self.in_main_thread = current_thread() is main_thread()
        self.outer_task = running_task()
        self.threads = False
        self.scope: Any = None
        self.lock = RLock()
        self._going_on: list[tuple[StepRecord, _Look]] = []
        self._take = take
        self._by_step: dict[int, StepRecord] = {}
        self._count: Counter[str] = Counter()
        self.repeating = False
        self.ended_blocks: set[str] = set()
        self.last_block = "transaction"
        self.expected: set[str] = set()
        self.hook_effects: dict[str, list[Change]] = {}
        self.events_after_commit: list[str] = []
        self.crash: Callable[[str], None] = lambda event: None

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

    def _begin(self, record: StepRecord, look: _Look) -> None:
        """A body or an undo begins: what goes on then and has not called it is beside it."""
        with self.lock:
            if not all(record.is_in(other) for other, _ in self._going_on):
                for _, each in [*self._going_on, (record, look)]:
                    each.crowded = True
            self._going_on.append((record, look))

    def _end(self, look: _Look) -> list[Change] | None:
        """It has ended; returns what has changed since it began, or None if that cannot be told."""
        after = None if look.before is None or look.crowded else self.photo()
        with self.lock:
            self._going_on = [each for each in self._going_on if each[1] is not look]
            crowded = look.crowded
        return None if after is None or crowded else compare(look.before, after)

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
        look = record._undo = _Look()
        self._begin(record, look)
        if record.place not in self.known.undo_effects and record.undo_effects is None and not look.crowded:
            look.before = self.photo()

    def end_undo(self, record: StepRecord, error: BaseException | None) -> None:
        """An attempt of its undo has ended."""
        record.undo_calls.append(error)
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
