"""Steps made again from what the file says: the same objects that the process had, as far as its data go.

Stands on the names of actions, on the values, and on what binds a step.  Used by recovery.
"""

from __future__ import annotations

import json
from collections import UserDict
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, cast

from actionqueues.core.definition import Definition
from actionqueues.core.queue import definition_of, undo_record
from actionqueues.core.signature import is_async, signature_of
from actionqueues.core.states import StepState
from actionqueues.core.step import DEFINITION, OUTCOME, PENDING, VALUES, Record, Step
from actionqueues.core.text import shown
from actionqueues.errors import RetryError

from .errors import NotRestorable
from .names import function_called, missing, named
from .places import Place
from .rows import StepRow
from .values import Missing, Values

__all__ = ["Restoring"]

_STATES = {
    "running": StepState.UNKNOWN,
    "unknown": StepState.UNKNOWN,
    "done": StepState.DONE,
    "failed": StepState.FAILED,
}


class Restoring:
    """Makes steps of rows.

    Args:
        values: how values are read.
        made: the resources that there are, by name.
        place: where they were recorded.
    """

    def __init__(self, values: Values, made: Mapping[str, Any], place: Place) -> None:
        self.values = values.read_at(place)
        self.path = values.path
        self.made = made

    def definition(self, row: StepRow) -> Definition:
        """The action of a step.

        Raises:
            NotRestorable: if there is none, or more than one.
        """
        found = named(row.name)
        if len(found) != 1:
            raise missing(row.name, len(found), self.path)
        return found[0]

    def is_async(self, kind: str, name: str, arguments: str | None) -> bool:
        """Whether undoing a step of this name takes an event loop; the arguments are those of any step of the name."""
        if kind == "by hand":
            try:
                return is_async(function_called(name, self.path))
            except NotRestorable:
                return False
        if kind == "object":
            try:
                found = [self._object(arguments)[0]]
            except Exception:  # whatever stands in the file: the undo will say what is wrong with it
                return False
        else:
            found = named(name) if kind == "action" else []
        return any(
            function is not None and function.is_async for each in found for function in (each.handler, each.probe)
        )

    def step(self, row: StepRow) -> tuple[Step[Any], NotRestorable | None]:
        """The step; if it cannot be undone, why, and one whose undo raises that."""
        reason: NotRestorable | None = None
        try:
            step = self._step(row)
        except NotRestorable as refused:
            reason, step = refused, _refused(row, refused)
        except Exception as error:  # whatever somebody has written into the file
            reason = NotRestorable(self.path, f"step {row.number} cannot be read: {shown(error)}")
            step = _refused(row, reason)
        step._key = row.key
        step.attempts = row.attempts
        return step, reason

    def _step(self, row: StepRow) -> Step[Any]:
        if row.kind == "by hand":
            function = function_called(row.name, self.path)
            args, kwargs = self.values.called(row.arguments or "[[], {}]", self.made)
            return _by_hand(function, args, kwargs, row.name.rpartition(":")[2])
        if row.kind == "plain":
            definition, _ = definition_of(_nothing, (), {})
            definition.name = row.name
            return Step(definition.enter(), _STATES[row.state])
        record = self._called(row)
        step = _RestoredStep(record, _STATES[row.state], self.path)
        if row.result is not None:
            record[OUTCOME] = self.values.read_value(row.result)
        if row.error is not None:
            step.error = self.values.read_error(row.error)
        saved = self.values.read_saved(row.saved)
        step.saved = cast("Any", _Known(saved, f"saved by {step.name}", self.path)) if _missing_in(saved) else saved
        self._check(step, row)
        return step

    def _called(self, row: StepRow) -> Record:
        if row.kind == "object":
            definition, values = self._object(row.arguments)
            return definition.enter(*values)
        definition = self.definition(row)
        return [PENDING, definition, *self.values.of_call(definition, row.arguments or "{}", self.made)]

    def _object(self, arguments: str | None) -> tuple[Definition, tuple[Any, ...]]:
        action = self.values.read_value(json.dumps(json.loads(arguments or "{}").get("action")))
        if isinstance(action, Missing):
            raise NotRestorable(self.path, action.reason)
        return definition_of(action, (), {})

    def _check(self, step: Step[Any], row: StepRow) -> None:
        """Refuse to call a handler with something that is missing, or to pass by one that has gone."""
        record = step._record
        definition: Definition = record[DEFINITION]
        handler = definition.handler_of(record)
        if handler is None:
            if row.handler:
                raise NotRestorable(
                    self.path,
                    f"{step.name} had the undo {row.handler} when it ran, and has none in this program; use the "
                    "version that ran it, or give it its undo again, or, once this is stuck, undo it by hand and say "
                    f"so: actionqueues resolve FILE ID {row.number} --undone",
                )
            return
        rest = any(
            p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in signature_of(handler.function).parameters.values()
        )
        given = dict(zip(definition.parameters.names, record[VALUES:], strict=True))
        for name, value in {**definition.arguments(record), **given, "result": record[OUTCOME]}.items():
            missing = _missing_in(value)
            if missing is not None and (handler.asks_for(name) or (rest and name != "result")):
                raise NotRestorable(self.path, f"the undo of {step.name} needs {name!r}: {missing.reason}")
        if _has_lost_result(step) and handler.asks_for("result"):
            raise NotRestorable(self.path, f"the undo of {step.name} needs 'result', which was no plain data")


class _Known(UserDict[str, Any]):
    """Values by name, of which recovery does not have all: asking for one that it has not raises `NotRestorable`."""

    def __init__(self, values: Mapping[str, Any], what: str, path: str) -> None:
        super().__init__(values)
        self._what = what
        self._path = path

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        _known(value, f"{name!r} {self._what}", self._path)
        return value


class _RestoredStep(Step[Any]):
    """A step that raises `NotRestorable` where its handler reads what recovery does not have."""

    __slots__ = ("_path",)

    def __init__(self, record: Record, state: StepState, path: str) -> None:
        super().__init__(record, state)
        self._path = path

    @property
    def result(self) -> Any:
        outcome = self._record[OUTCOME]
        if _has_lost_result(self):
            outcome = Missing("it was no plain data")
        elif outcome is PENDING and self.state is not StepState.FAILED:
            outcome = Missing(
                "its process died before it was known; ask for step.has_result first, or let a probe find it "
                "(@action.landed)"
            )
        _known(outcome, f"the result of {self.name}", self._path)
        return None if outcome is PENDING else outcome

    @property
    def arguments(self) -> Mapping[str, Any]:
        return _Known(super().arguments, f"of {self.name}", self._path)

    @property
    def args(self) -> tuple[Any, ...]:
        args = super().args
        _known(args, f"step.args of {self.name}", self._path)
        return args

    @property
    def kwargs(self) -> dict[str, Any]:
        kwargs = super().kwargs
        _known(kwargs, f"step.kwargs of {self.name}", self._path)
        return kwargs


def _has_lost_result(step: Step[Any]) -> bool:
    """Whether its body has returned something that is not in the file."""
    has_returned = step.state is StepState.DONE or isinstance(step.error, RetryError)
    return has_returned and not step.has_result


def _known(value: Any, what: str, path: str) -> None:
    """Refuse a value that is missing, or has one in it."""
    missing = _missing_in(value)
    if missing is not None:
        raise NotRestorable(path, f"{what} is not known: {missing.reason}")


def _missing_in(value: Any) -> Missing | None:
    """It, if it is missing; of what ``*`` and ``**`` take, what is missing in it."""
    items: Any = value.values() if type(value) is dict else value if type(value) is tuple else (value,)
    return next((item for item in items if isinstance(item, Missing)), None)


def _nothing() -> None:
    """Nothing to undo."""


def _by_hand(function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> Step[Any]:
    record = undo_record(function, args, kwargs)
    record[DEFINITION].name = name
    return Step(record, StepState.DONE)


def _refused(row: StepRow, reason: NotRestorable) -> Step[Any]:
    def refuse() -> NoReturn:
        raise reason

    return _by_hand(refuse, (), {}, row.name)
