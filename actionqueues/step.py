"""`Step`: one call of an action, as its handlers, its queue and its report see it; and how a call is recorded.

Calls are recorded in a *log*, a flat list with one writer::

    [barrier, thread, owner, awaits, *record, *record, ...]

`barrier` is 0 while calls may be recorded directly: it counts the async steps that are running, has `WATCHED` added to
it if there is an interceptor, and `CLOSED` once the log takes no more records.  `thread` identifies the writer, `owner`
is the block that the log belongs to, and `awaits` says whether that can run async steps: `SCOPED` if each in a scope of
its own.  A record is made before the body starts::

    *values, outcome, definition

The values stand in the order of `Definition.parameters`; `outcome` is the body's result, or `PENDING` while there is
none; instead of the definition stands a `Step`, from when somebody asks for one.  Most calls are never looked at, so
most records never get a `Step`: a call costs a few words of memory and nothing that the garbage collector must visit.

An *entry* is a list of the same layout as a record, for a step that is not in a log, or that has been taken out of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, cast

from .errors import IllegalOperation
from .states import STEP_TRANSITIONS, StepState, check_transition
from .telling import shown

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from .attempts import Attempts
    from .definition import Definition

    R_co = TypeVar("R_co", covariant=True, default=Any)  # so that `step: Step` will do in a handler
else:
    from typing import TypeVar

    R_co = TypeVar("R_co", covariant=True)

__all__ = [
    "AWAITS",
    "BARRIER",
    "CLOSED",
    "FIRST",
    "NO_LOG",
    "OUTCOME",
    "OWNER",
    "PENDING",
    "RUNNING",
    "SAVEPOINT",
    "SCOPED",
    "SPLIT",
    "SUSPENDS",
    "THREAD",
    "WATCHED",
    "Entry",
    "Log",
    "Step",
    "step_at",
]

Entry: TypeAlias = list[Any]
Log: TypeAlias = list[Any]

# Places in a log.
BARRIER: Final = 0
THREAD: Final = 1
OWNER: Final = 2
AWAITS: Final = 3
FIRST: Final = 4

#: In the barrier of a log: it takes no more records.
CLOSED: Final = 1 << 60

#: In the barrier of a log: no call may be recorded directly, since an interceptor has to know of it.
WATCHED: Final = 1 << 59

#: In the barrier of an async log: sync steps may suspend, in greenlets, so each call is looked at.
SUSPENDS: Final = 1 << 57

#: In the barrier of a log: other tasks start steps as well, so that each record has to find its place among theirs.
SPLIT: Final = 1 << 58

#: In the barrier of the log of an async block, once for each savepoint that is open in it.
SAVEPOINT: Final = 1 << 32

#: The part of the barrier that is the number of async steps that are running.
RUNNING: Final = SAVEPOINT - 1

#: Whether async steps can be run, in trio: in a cancel scope each, so that a block can cancel those in other nurseries.
SCOPED: Final = 2

#: What the owner of a log has instead, once it has ended: a log refers to its owner, so the owner lets go of it.
NO_LOG: Log = [CLOSED, 0, None, False]

#: The place of the outcome in an entry.
OUTCOME: Final = -2


_QUEUED: Final = StepState.QUEUED
_RARE: Final = frozenset({"_key", "error", "lanes", "saved", "savepoint", "suspends", "tries"})


class _Pending:
    """The outcome of a step that has none: it is queued or running, or it failed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "PENDING"


PENDING: Final = _Pending()


class Step(Generic[R_co]):
    """One call of an action: what was called with what, and what became of it.

    A step is made by calling an action inside a block (`current_step()` gives it), or by ``q.add(...)``.  A rollback
    handler with a parameter named ``step`` is given it.

    Attributes:
        error: what the last attempt of the body raised, or None.
        attempts: how often the body has been started.
        saved: what `save` has kept, a dict.
    """

    __module__ = "actionqueues"

    __slots__ = (
        "__weakref__",
        "_key",
        "_log",
        "_place",
        "_state",
        "attempts",
        "definition",
        "entry",
        "error",
        "lanes",
        "quick",
        "saved",
        "savepoint",
        "size",
        "suspends",
        "tries",
        "within",
    )

    error: BaseException | None
    saved: dict[str, Any]
    tries: Attempts | None
    savepoint: Any  # in which it was queued, if that is one in the block which runs it
    lanes: list[Any] | None  # of what its body has made, where others start steps as well
    suspends: bool | None  # whether others may start steps while it runs, in its thread: a sync one in a greenlet
    _key: str | None
    _log: Log | None
    _place: int

    def __init__(self, definition: Definition, entry: Entry, state: StepState) -> None:
        self.definition = definition
        self.entry = entry
        self.size = 2  # of its record
        self.quick = None
        self.within: tuple[Step[Any], int] | None = None  # the step that has queued it, and in which attempt
        self.attempts = 0 if state is _QUEUED else 1
        self._state = state
        self._log = None

    if not TYPE_CHECKING:  # pragma: no branch - a `__getattr__` would let any name pass

        def __getattr__(self, name):
            """Give an attribute that most steps never need its first value."""
            if name not in _RARE:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            value = {} if name == "saved" else None
            setattr(self, name, value)
            return value

    @property
    def state(self) -> StepState:
        """How far it has come, a `StepState`."""
        if self._state is StepState.RUNNING:
            self.settle()
        return self._state

    @property
    def name(self) -> str:
        """The name of the action, such as ``create_user`` or ``Shop.charge``."""
        return self.definition.name

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments, as `inspect.BoundArguments.args` gives them, defaults included."""
        return self.definition.args(self.entry)

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments, as `inspect.BoundArguments.kwargs` gives them, defaults included."""
        return self.definition.kwargs(self.entry)

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments by the names of the action's parameters, defaults included."""
        return self.definition.arguments(self.entry)

    @property
    def has_result(self) -> bool:
        """Whether the body has returned."""
        return self.outcome is not PENDING

    @property
    def result(self) -> R_co:
        """What the body returned; None if it was started and has not returned.

        Raises:
            IllegalOperation: if the step is still queued, so that nobody takes None for its result.
        """
        outcome = self.outcome
        if outcome is not PENDING:
            return cast("R_co", outcome)
        if self.state is StepState.QUEUED or self.state is StepState.DROPPED:
            queued = self.state is StepState.QUEUED
            advice = (
                "call q.execute() first, or pass the step itself to a later q.add(...)" if queued else "it never ran"
            )
            raise IllegalOperation(f"read the result of {self.name}", f"it is {self.state}", advice)
        return cast("R_co", None)

    @property
    def key(self) -> str:
        """A string that identifies this call: to be passed on as an idempotency key, and to find its effect by.

        It is the same over all attempts, in the rollback handler, and during recovery; no other call has it.
        """
        if self._key is None:
            self._key = os.urandom(16).hex()
        return self._key

    @property
    def undo_key(self) -> str:
        """An idempotency key for the undo: as stable as `key`, and different from it."""
        return self.key + "-undo"

    def save(self, /, **progress: Any) -> None:
        """Keep partial progress for the rollback handler, which finds it in ``step.saved``; later values win.

        For a body that has several effects, or whose effect has an identity before the body returns.
        """
        self.saved.update(progress)

    @property
    def outcome(self) -> Any:
        """What the body returned, or `PENDING`."""
        if self._state is StepState.RUNNING:
            self.settle()
        return self.entry[OUTCOME]

    @property
    def due(self) -> bool:
        """Whether what has queued it still stands."""
        if self.savepoint is not None and self.savepoint.undone:
            return False
        if self.within is None:
            return True
        step, attempt = self.within
        return step.state in (StepState.DONE, StepState.RUNNING) and step.attempts == attempt

    @property
    def wait(self) -> float:
        """Seconds until the next attempt, which has been granted."""
        assert self.tries is not None  # noqa: S101 - the one that granted it
        return self.tries.wait

    def keep(self, lane: Any) -> None:
        """Remember that what is in this lane goes with it."""
        if self.lanes is None:
            self.lanes = []
        if self.lanes[-1:] != [lane]:
            self.lanes.append(lane)

    def settle(self) -> None:
        """Take over what has become of a running step: the frame that made the call knows nothing but its record."""
        if self._state is not StepState.RUNNING:
            return
        log = self._log
        if log is not None:
            place = self._place
            if len(log) > place + 1 and log[place + 1] is self and log[place] is not PENDING:
                self.entry[OUTCOME] = log[place]
                self._log = None
        if self.entry[OUTCOME] is not PENDING:
            self._state = StepState.DONE

    @property
    def later(self) -> R_co:
        """The step itself, but to type checkers its result: a queued step for where only the result is declared."""
        return cast("R_co", self)

    def move(self, state: StepState) -> None:
        """Change the state, if the table of transitions allows it."""
        if state not in STEP_TRANSITIONS[self.state]:  # looked up here, since the text of an error takes longer
            check_transition(STEP_TRANSITIONS, self._state, state, f"the step {self.name}")
        self._state = state

    def __repr__(self) -> str:
        attempts = f" after {self.attempts} attempts" if self.attempts > 1 else ""
        error = f": {shown(self.error)}" if self.error is not None else ""
        return f"<Step {self.name} {self.state}{attempts}{error}>"


def step_at(log: Log, end: int) -> Step[Any]:
    """The step of the record that ends before `end`, made now if nobody has asked for it before."""
    owner = log[end - 1]
    if isinstance(owner, Step):
        return owner  # pyright: ignore[reportUnknownVariableType] - what its result is, no log knows
    step: Step[Any] = Step(owner, log[end - owner.size : end], StepState.RUNNING)
    step.size = owner.size
    step._log, step._place = log, end - 2
    log[end - 1] = step
    log[OWNER].link(step)
    return step
