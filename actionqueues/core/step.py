"""`Step`: one call of an action, as its handlers, its queue and its report see it; and the record of one.

A *record* is what a call leaves in the log before its body starts, a list of its own::

    [outcome, definition, *values]

The values stand in the order of `Definition.parameters`; `outcome` is the body's result, or `PENDING` while there is
none.  Most records never get a `Step`; once somebody asks for it, it takes the place of its record in the log.

Stands on the states.  Used by everything that looks at a call.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import CodeType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, cast

from actionqueues.errors import IllegalOperation

from .states import STEP_TRANSITIONS, StepState, check_transition
from .text import shown

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    R_co = TypeVar("R_co", covariant=True, default=Any)  # so that `step: Step` will do in a handler
else:
    from typing import TypeVar

    R_co = TypeVar("R_co", covariant=True)

Record: TypeAlias = list[Any]

# Places in a record.
OUTCOME: Final = 0
DEFINITION: Final = 1
VALUES: Final = 2

_RUNNING: Final = StepState.RUNNING


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
    """

    __module__ = "actionqueues"

    __slots__ = (
        "__weakref__",
        "_fill",
        "_key",
        "_queued",
        "_record",
        "_saved",
        "_state",
        "_tries",
        "attempts",
        "error",
    )

    error: BaseException | None
    _saved: dict[str, Any] | None
    _tries: Any  # an `Attempts`, once the body has failed or has a policy
    _key: str | None
    _queued: tuple[CodeType, int] | None  # what has called `add`, and where in that
    _fill: bool  # whether there are steps among its arguments, to be replaced by their results

    def __init__(self, record: Record, state: StepState) -> None:
        self._record = record
        self._state = state
        self.attempts = 0 if state is StepState.QUEUED else 1
        self._fill = False
        self._tries = self._key = self._saved = self._queued = self.error = None

    @property
    def saved(self) -> dict[str, Any]:
        """What `save` has kept."""
        if self._saved is None:
            self._saved = {}
        return self._saved

    @saved.setter
    def saved(self, saved: dict[str, Any]) -> None:
        self._saved = saved

    @property
    def state(self) -> StepState:
        """How far it has come, a `StepState`."""
        if self._state is _RUNNING and self._record[OUTCOME] is not PENDING:
            self._state = StepState.DONE  # the frame that made the call knows nothing but its record
        return self._state

    @property
    def name(self) -> str:
        """The name of the action, such as ``create_user`` or ``Shop.charge``."""
        return cast("str", self._record[DEFINITION].name)

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments, as `inspect.BoundArguments.args` gives them, defaults included."""
        return cast("tuple[Any, ...]", self._record[DEFINITION].args(self._record))

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments, as `inspect.BoundArguments.kwargs` gives them, defaults included."""
        return cast("dict[str, Any]", self._record[DEFINITION].kwargs(self._record))

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments by the names of the action's parameters, defaults included."""
        return cast("Mapping[str, Any]", self._record[DEFINITION].arguments(self._record))

    @property
    def has_result(self) -> bool:
        """Whether the body has returned."""
        return self._record[OUTCOME] is not PENDING

    @property
    def result(self) -> R_co:
        """What the body returned; None if it was started and has not returned.

        Raises:
            IllegalOperation: if the step is still queued, so that nobody takes None for its result.
            NotRestorable: in a recovery, if nobody knows it, for the same reason.
        """
        outcome = self._record[OUTCOME]
        if outcome is PENDING and self._state in (StepState.QUEUED, StepState.DROPPED):
            queued = "call q.execute() first, or pass the step itself to a later q.add(...)"
            advice = queued if self._state is StepState.QUEUED else "it never ran"
            raise IllegalOperation(f"read the result of {self.name}", f"it is {self.state}", advice)
        return cast("R_co", None if outcome is PENDING else outcome)

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
    def later(self) -> R_co:
        """The step itself, but to type checkers its result: a queued step for where only the result is declared."""
        return cast("R_co", self)

    def _move(self, state: StepState) -> None:
        """Change the state, if the table of transitions allows it."""
        if state not in STEP_TRANSITIONS[self.state]:  # looked up here, since the text of an error takes longer
            check_transition(STEP_TRANSITIONS, self._state, state, f"the step {self.name}")
        self._state = state

    def __repr__(self) -> str:
        attempts = f" after {self.attempts} attempts" if self.attempts > 1 else ""
        error = f": {shown(self.error)}" if self.error is not None else ""
        return f"<Step {self.name} {self.state}{attempts}{error}>"


def step_of(entry: Record | Step[Any]) -> Step[Any]:
    """The step of an entry of a log: itself, or one that is made of a record for which nobody has asked."""
    return entry if isinstance(entry, Step) else Step(entry, StepState.RUNNING)
