"""`Plan`: what is queued, in order, what will undo it, and what cannot be undone.

A plan is data: it is made of what is known before anything runs, keeps nothing of the program's, and calls nothing but
what `describe` of an action was given.

Stands on steps and entries.  Used by blocks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import asdict, dataclass, fields, is_dataclass
from types import CoroutineType
from typing import Any, Final, overload

from .definition import Definition
from .entries import HIDDEN, Shown, frozen, frozen_record, in_short, short_arguments
from .kept import text_of
from .signature import ANY, signature_of
from .states import StepState
from .step import DEFINITION, PENDING, VALUES, Record, Step
from .watch import Watch

#: The version of the data that `Plan.as_dict` makes.
FORMAT: Final = 1

#: So deep in plain data it is looked for what is not to be shown.
_DEEPEST: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """A step that is queued, as a plan tells of it.

    Attributes:
        number: from 1, in the order in which the steps will run.
        name: the name of the action.
        arguments: its arguments as short text, in one line; that of an earlier step stands for its result.
        undo: the name of what will undo it, or None.
        reversible: whether it leaves nothing behind when it is rolled back, as far as that can be known before.
        reason: why nothing undoes it: ``read-only``, ``irreversible``, that it waits for the commit, ``no rollback
            handler``, or what is wrong with that; None if it has an undo.
        description: what ``@fn.describe`` says that it will do, or None.
        description_error: why that could not be asked, or None.
        needs: the numbers of the steps in the plan whose results it is given.
        savepoint: the name of the savepoint that it was queued in, if that is not the block whose plan this is.
    """

    __module__ = "actionqueues"

    number: int
    name: str
    arguments: str
    undo: str | None
    reversible: bool
    reason: str | None
    description: str | None
    description_error: str | None
    needs: tuple[int, ...]
    savepoint: str | None

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {**asdict(self), "needs": list(self.needs)}


class Plan(Sequence[PlannedStep]):
    """What ``q.plan()`` returns: each `PlannedStep` in the order in which they will run; printed, it is a table.

    Attributes:
        name: the name of the transaction or savepoint.
        steps: the steps.
    """

    __module__ = "actionqueues"

    def __init__(self, name: str, steps: Iterable[PlannedStep]) -> None:
        self.name = name
        self.steps = tuple(steps)

    def __len__(self) -> int:
        return len(self.steps)

    @overload
    def __getitem__(self, place: int) -> PlannedStep: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[PlannedStep]: ...
    def __getitem__(self, place: int | slice) -> PlannedStep | Sequence[PlannedStep]:
        return self.steps[place]

    def __iter__(self) -> Iterator[PlannedStep]:
        return iter(self.steps)

    @property
    def irreversible(self) -> list[PlannedStep]:
        """The steps that nothing will undo, and that will leave something behind."""
        return [step for step in self.steps if not step.reversible]

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data, fit for JSON."""
        return {"format": FORMAT, "kind": "plan", "name": self.name, "steps": [step.as_dict() for step in self.steps]}

    def to_text(self, *, width: int = 80, unicode: bool = True) -> str:
        """Draw it as a table.

        Args:
            width: no line is longer; from 40 columns up.
            unicode: False for ASCII alone.
        """
        from actionqueues.views.plan import to_text

        return to_text(self.as_dict(), width=width, unicode=unicode)

    def to_mermaid(self) -> str:
        """Draw it as a Mermaid flowchart, for pages that know these, such as GitHub's."""
        from actionqueues.views.plan import to_mermaid

        return to_mermaid(self.as_dict())

    def __str__(self) -> str:
        from actionqueues.views.plan import printed

        return printed(self.as_dict())

    def __repr__(self) -> str:
        left = f", {len(self.irreversible)} not reversible" if self.irreversible else ""
        return f"<Plan of {self.name!r}: {len(self)} step{'' if len(self) == 1 else 's'}{left}>"


def plan_of(name: str, queues: Iterable[tuple[str | None, Iterable[Step[Any]]]], watch: Watch | None) -> Plan:
    """The plan of what is queued.

    Args:
        name: that of the block.
        queues: its queues, in the order in which they will be run, each with the name of its savepoint.
        watch: that of the block, which knows what is not to be shown.
    """
    queued = [(savepoint, step) for savepoint, queue in queues for step in tuple(queue)]
    queued = [(savepoint, step) for savepoint, step in queued if step.state is StepState.QUEUED]
    numbers = {id(step): number for number, (_, step) in enumerate(queued, 1)}
    hidden = () if watch is None else watch.hidden
    return Plan(name, [_planned(step, savepoint, numbers, hidden) for savepoint, step in queued])


def _planned(
    step: Step[Any], savepoint: str | None, numbers: Mapping[int, int], hidden: Collection[str]
) -> PlannedStep:
    definition: Definition = step._record[DEFINITION]
    needs: list[int] = []
    record = _standing_in(step._record, numbers, needs, hidden)
    undo, reason = _undo_of(definition, record)
    description, error = _described(definition, record)
    return PlannedStep(
        number=numbers[id(step)],
        name=step.name,
        arguments=_arguments(definition, record, hidden),
        undo=undo,
        reversible=undo is not None or definition.read_only,
        reason=reason,
        description=description,
        description_error=error,
        needs=tuple(sorted(set(needs))),
        savepoint=savepoint,
    )


def _standing_in(record: Record, numbers: Mapping[int, int], needs: list[int], hidden: Collection[str]) -> Record:
    """The record with something to be shown in the place of steps, whose numbers are put into `needs`, and of what is
    `hidden`.
    """
    parameters, without = record[DEFINITION].parameters, _Without(hidden)

    def value(name: str, argument: Any) -> Any:
        if isinstance(argument, Step):
            earlier: Step[Any] = argument
            number = numbers.get(id(earlier))
            if number is None:
                return Shown(HIDDEN if name in hidden else f"result of {earlier.name}")
            needs.append(number)
            return Shown(f"result of {number}")
        return without.of(name, argument) if hidden else argument

    values = [value(name, each) for name, each in zip(parameters.names, record[VALUES:], strict=True)]
    if parameters.shape.var_keyword:
        values[-1] = {name: value(name, each) for name, each in record[-1].items()}
    if parameters.shape.var_positional:
        place = -1 - parameters.shape.var_keyword
        name = parameters.names[place]
        if name not in hidden:
            values[place] = tuple(value("", each) for each in record[place])
    return [PENDING, record[DEFINITION], *values]


class _Without:
    """Makes values without what is called by one of the `hidden` names, at any depth of plain data.

    What is in itself, or is nested deeper than anybody reads, or cannot be looked at, is shown by its type alone.
    """

    def __init__(self, hidden: Collection[str]) -> None:
        self.hidden, self._depth = hidden, 0
        self._made: dict[int, tuple[Any, Any]] = {}  # by the `id` of each value, that, and what was made of it

    def of(self, name: str, value: Any) -> Any:
        """That of a value of this name."""
        if name in self.hidden:
            return Shown(HIDDEN)
        if id(value) not in self._made:
            self._made[id(value)] = value, frozen(value, 0)
            if self._depth < _DEEPEST:
                self._depth += 1
                with suppress(Exception):  # which a class of the program's raises
                    self._made[id(value)] = value, self._parts(value)
                self._depth -= 1
        return self._made[id(value)][1]

    def _parts(self, value: Any) -> Any:
        cls = type(value)
        if cls in (list, tuple):
            return cls(self.of("", each) for each in value)
        if cls is dict:
            return {key: self.of(key if type(key) is str else "", each) for key, each in value.items()}
        names = [each.name for each in fields(value)] if is_dataclass(cls) else getattr(cls, "_fields", ())
        if not (is_dataclass(cls) or issubclass(cls, tuple)) or not names:
            return value
        parts = {each: self.of(each, getattr(value, each, None)) for each in names}
        if issubclass(cls, tuple):
            return value._replace(**parts)
        made = copy(value)
        for each, part in parts.items():
            object.__setattr__(made, each, part)
        return made


def _undo_of(definition: Definition, record: Record) -> tuple[str | None, str | None]:
    """The name of what undoes it, and why nothing does."""
    if definition.read_only:
        return None, "read-only" if definition.hold is None else "irreversible, waits for the commit"
    if definition.is_object:
        return f"{definition.name}.rollback", None
    try:
        handler = definition.handler_of(record)
    except Exception as unusable:  # a subclass overrides the handler with one that cannot be called
        return None, text_of(unusable)
    if handler is None:
        return None, "irreversible" if definition.irreversible else "no rollback handler"
    return handler.name, None


def _described(definition: Definition, record: Record) -> tuple[str | None, str | None]:
    """What its action says that it will do, and why that could not be asked."""
    if definition.description is None:
        return None, None
    try:
        text = definition.description.call(Step(record, StepState.QUEUED))
    except Exception as error:
        return None, text_of(error)
    if isinstance(text, str):
        return text, None
    if type(text) is CoroutineType:
        text.close()
    return None, f"it returned {type(text).__name__}, and no text"


def in_words(record: Record, hidden: Collection[str]) -> str | None:
    """What ``@fn.describe`` says of a call, without what is `hidden`, or None."""
    return _described(record[DEFINITION], _standing_in(record, {}, [], hidden))[0]


def _arguments(definition: Definition, record: Record, hidden: Collection[str]) -> str:
    """Its arguments as short text; those of a plain callable by the names of its parameters, if it tells them."""
    if definition.parameters is ANY:
        args, kwargs = record[VALUES:]
        try:
            bound = signature_of(definition.function).bind(*args, **kwargs)
        except (TypeError, ValueError):
            pass
        else:
            given = {name: frozen(value) for name, value in bound.arguments.items()}
            return in_short(given, hidden)
    return short_arguments(frozen_record(record), hidden)
