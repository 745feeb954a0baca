"""Steps made again from what the file says: the same objects that the process had, as far as its data go.

Stands on the names of actions, on the values, and on what binds a step.  Used by recovery.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from actionqueues.core.definition import Definition
from actionqueues.core.queue import definition_of, undo_record
from actionqueues.core.signature import is_async, signature_of
from actionqueues.core.states import StepState
from actionqueues.core.step import DEFINITION, OUTCOME, PENDING, VALUES, Record, Step
from actionqueues.core.text import shown

from .errors import NotRestorable
from .names import function_called, missing, named
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
    """

    def __init__(self, values: Values, made: Mapping[str, Any]) -> None:
        self.values = values
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
        step: Step[Any] = Step(record, _STATES[row.state])
        if row.result is not None:
            record[OUTCOME] = self.values.read_value(row.result)
        if row.error is not None:
            step.error = self.values.read_error(row.error)
        step.saved = self.values.read_saved(row.saved)
        self._check(step)
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

    def _check(self, step: Step[Any]) -> None:
        """Refuse to call a handler with something that is missing."""
        record = step._record
        definition: Definition = record[DEFINITION]
        handler = definition.handler_of(record)
        if handler is None:
            return
        names = definition.parameters.names
        rest = any(
            p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in signature_of(handler.function).parameters.values()
        )
        for name, value in zip((*names, "result"), (*record[VALUES:], record[OUTCOME]), strict=False):
            if isinstance(value, Missing) and (rest or handler.asks_for(name)):
                raise NotRestorable(self.path, f"the undo of {step.name} needs {name!r}: {value.reason}")
            if name in names and rest and _holds_missing(value):
                raise NotRestorable(self.path, f"the undo of {step.name} needs what is missing in {name!r}")
        if step.state is StepState.DONE and handler.needs_result and not step.has_result:
            raise NotRestorable(self.path, f"the undo of {step.name} needs 'result', which was no plain data")


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


def _holds_missing(value: Any) -> bool:
    items: tuple[Any, ...] = tuple(value.values()) if isinstance(value, dict) else value if type(value) is tuple else ()
    return any(isinstance(item, Missing) for item in items)
