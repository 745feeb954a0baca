"""Steps made again from what the file says: the same objects that the process had, as far as its data go."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from actionqueues.definition import Definition
from actionqueues.handler import Handler
from actionqueues.queueing import definition_of, undo_entry
from actionqueues.signature import is_async, signature_of
from actionqueues.states import StepState
from actionqueues.step import OUTCOME, PENDING, Entry, Step
from actionqueues.telling import shown

from .errors import NotRestorable
from .names import function_called, missing, named
from .rows import StepRow
from .values import Missing, Values

__all__ = ["Blocked", "Restoring"]

_STATES = {
    "running": StepState.UNKNOWN,
    "unknown": StepState.UNKNOWN,
    "done": StepState.DONE,
    "failed": StepState.FAILED,
}


class Blocked(Definition):
    """Stands for the action of a step that cannot be undone here; its undo fails with the reason."""

    def __init__(self, name: str, reason: NotRestorable) -> None:
        super().__init__(_nothing, name=name)
        self.reason = reason

        def refuse() -> NoReturn:
            raise reason

        self.handler = Handler(refuse)


def _nothing() -> None:
    """Nothing to undo."""


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

    def step(self, row: StepRow) -> Step[Any]:
        """The step; if it cannot be undone, one whose undo says why."""
        try:
            step = self._step(row)
        except NotRestorable as reason:
            step = self._blocked(row, reason)
        except Exception as error:  # whatever somebody has written into the file
            step = self._blocked(row, NotRestorable(self.path, f"step {row.number} cannot be read: {shown(error)}"))
        step._key = row.key
        step.attempts = row.attempts
        return step

    def _blocked(self, row: StepRow, reason: NotRestorable) -> Step[Any]:
        definition = Blocked(row.name, reason)
        return Step(definition, definition.enter(), StepState.DONE)

    def _step(self, row: StepRow) -> Step[Any]:
        if row.kind == "by hand":
            function = function_called(row.name, self.path)
            args, kwargs = self.values.called(row.arguments or "[[], {}]", self.made)
            entry = undo_entry(function, args, kwargs)
            definition: Definition = entry[-1]
            definition.name = row.name.rpartition(":")[2]
            return Step(definition, entry, StepState.DONE)
        if row.kind == "plain":
            definition = Definition(_nothing, name=row.name)
            return Step(definition, definition.enter(), _STATES[row.state])
        definition, entry = self._called(row)
        step: Step[Any] = Step(definition, entry, _STATES[row.state])
        if row.result is not None:
            entry[OUTCOME] = self.values.read_value(row.result)
        if row.error is not None:
            step.error = self.values.read_error(row.error)
        step.saved = self.values.read_saved(row.saved)
        self._check(step)
        return step

    def _called(self, row: StepRow) -> tuple[Definition, Entry]:
        if row.kind == "object":
            definition, values = self._object(row.arguments)
            return definition, definition.enter(*values)
        definition = self.definition(row)
        return definition, [*self.values.entry(definition, row.arguments or "{}", self.made), PENDING, definition]

    def _object(self, arguments: str | None) -> tuple[Definition, tuple[Any, ...]]:
        action = self.values.read_value(json.dumps(json.loads(arguments or "{}").get("action")))
        if isinstance(action, Missing):
            raise NotRestorable(self.path, action.reason)
        return definition_of(action, (), {})

    def _check(self, step: Step[Any]) -> None:
        """Refuse to call a handler with something that is missing."""
        handler = step.definition.handler_of(step.entry)
        if handler is None:
            return
        names = step.definition.parameters.names
        rest = any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in _parameters(handler.function))
        for name, value in zip((*names, "result"), step.entry, strict=False):
            if isinstance(value, Missing) and (rest or handler.asks_for(name)):
                raise NotRestorable(self.path, f"the undo of {step.name} needs {name!r}: {value.reason}")
            if name in names and rest and _holds_missing(value):
                raise NotRestorable(self.path, f"the undo of {step.name} needs what is missing in {name!r}")
        if step.state is StepState.DONE and handler.needs_result and not step.has_result:
            raise NotRestorable(self.path, f"the undo of {step.name} needs 'result', which was no plain data")


def _parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    try:
        return list(signature_of(function).parameters.values())
    except ValueError:
        return []


def _holds_missing(value: Any) -> bool:
    items: tuple[Any, ...] = tuple(value.values()) if isinstance(value, dict) else value if type(value) is tuple else ()
    return any(isinstance(item, Missing) for item in items)
