"""`Requests`: units as text, for engines that run them in other processes.

Stands on the carrier, and on the names by which the journal finds actions again.  Used by `running.py`; what a request
asks for is done by `serving.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from actionqueues.core.definition import Definition
from actionqueues.core.hooks import Held
from actionqueues.core.log import undoing
from actionqueues.core.signature import display_name
from actionqueues.core.step import DEFINITION, OUTCOME, PENDING, VALUES, Step
from actionqueues.core.watch import Hook
from actionqueues.journal.modules import find, qualified_name
from actionqueues.journal.names import definition_of_function, name_of

from .carrying import Carrier, carried, object_of
from .errors import NotCarried
from .units import Work

__all__ = ["Requests"]


class Requests:
    """Writes what another process needs to run a unit."""

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier

    # -- what is refused before anything has happened

    def check_name(self, step: Step[Any]) -> None:
        """Refuse a step whose function another process could not find.

        Raises:
            NotCarried: for that.
        """
        self._named(step._record[DEFINITION])

    def check(self, step: Step[Any]) -> None:
        """Refuse it also for an argument that is no plain data, or for more than the engine takes."""
        self._fitting(self._call(step), step.name)

    def check_hook(self, hook: Hook) -> None:
        """Refuse a commit hook likewise."""
        self._fitting(self._hook(hook), hook.name)

    def _fitting(self, call: dict[str, str], name: str) -> None:
        self.carrier.fitting("".join(call.values()), f"what {name} is given", "give it")

    # -- requests

    def of_step(self, work: Work) -> str:
        """An attempt of its body."""
        step = self._step(work)
        return self._text(work, step, self._call(step))

    def of_undo(self, work: Work) -> str:
        """An attempt of its undo, or of its probe: with all that a handler may ask for."""
        step = self._step(work)
        more: dict[str, str] = {"state": json.dumps(str(step.state))}
        outcome = step._record[OUTCOME]
        if outcome is not PENDING:
            more["result"] = self.carrier.value(outcome, "result", step.name)
        if step.error is not None:
            more["error"] = self.carrier.error(step.error)
        rollback = undoing.get()
        if rollback is not None and rollback.cause is not None:
            more["cause"] = self.carrier.error(rollback.cause)
        return self._text(work, step, self._call(step), **more)

    def of_hook(self, work: Work, hook: Hook) -> str:
        """A call of a commit hook."""
        told = {"kind": work.kind, "shown": work.name, "key": work.key}
        return object_of({name: json.dumps(text) for name, text in told.items()} | self._hook(hook))

    def _step(self, work: Work) -> Step[Any]:
        assert work.step is not None  # noqa: S101 - units of steps have one
        return work.step

    def _text(self, work: Work, step: Step[Any], call: dict[str, str], **more: str) -> str:
        told = {"kind": work.kind, "shown": step.name, "key": step.key}
        texts = {name: json.dumps(text) for name, text in told.items()}
        return object_of({**texts, "attempts": str(step.attempts), "saved": self.carrier.saved(step), **call, **more})

    # -- what is called

    def _named(self, definition: Definition) -> tuple[str, str]:
        """Whether a step is a call of an action, or of a plain function, and by which name that is found."""
        if definition.is_object:
            what = f"the action object {definition.name}"
            raise NotCarried(f"{what} cannot be found by another process; write it as a function: @action", what)
        if definition.frame is None:
            return "function", self._place(definition.function)
        with carried():
            return "action", name_of(definition, self.carrier.engine)

    def _call(self, step: Step[Any]) -> dict[str, str]:
        definition = step._record[DEFINITION]
        kind, name = self._named(definition)
        if kind == "action":
            return {"action": json.dumps(name), "arguments": self.carrier.arguments(step, all_of_them=True)}
        return {"function": json.dumps(name), "call": self._arguments(definition.function, *step._record[VALUES:])}

    def _hook(self, hook: Hook) -> dict[str, str]:
        if isinstance(hook.function, Held):
            definition = hook.function.definition
        else:
            definition = definition_of_function(hook.function)
        name = self._place(hook.function) if definition is None else self._named(definition)[1]
        return {"function": json.dumps(name), "call": self._arguments(hook.function, hook.args, hook.kwargs)}

    def _place(self, function: Callable[..., object]) -> str:
        name = display_name(function)
        try:
            place = qualified_name(function)
        except AttributeError:
            place = ""
        if not any(thing is function for thing in find(place)):
            raise NotCarried(
                f"{name} cannot be found by the process that is to run it: define it at module level, and put @action "
                "above it",
                name,
            )
        return place

    def _arguments(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        with carried():
            return self.carrier.values.call(function, args, kwargs, display_name(function))
