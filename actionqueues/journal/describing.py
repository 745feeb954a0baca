"""What a step is recorded as before it runs: its kind, its name, its arguments, and what undoes it.

Stands on names, values and fingerprints.  Used by the recording.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from actionqueues.core.definition import Definition
from actionqueues.core.step import DEFINITION, VALUES, Step

from .fingerprints import fingerprint_of
from .names import name_of, name_of_function
from .values import Values, readable

__all__ = ["Described", "described_by_hand", "described_step"]

#: The kind, the name, the arguments, the handler and its fingerprint.
Described: TypeAlias = tuple[str, str, str | None, str, str | None]


def described_step(values: Values, step: Step[Any]) -> Described:
    """What is recorded of a step that has a body.

    Raises:
        NotRecordable: for what is no plain data, or would not be found again.
    """
    definition: Definition = step._record[DEFINITION]
    if definition.frame is not None:
        name, handler = name_of(definition, values.path), definition.handler
        arguments = values.arguments(definition, step._record, step.name)
        if handler is None:
            return "action", name, arguments, "", None
        return "action", name, arguments, readable(handler.name), fingerprint_of(step)
    if definition.is_object:
        arguments = values.arguments(definition, step._record, step.name)
        return "object", step.name, arguments, "rollback", fingerprint_of(step)
    values.learn_call(definition.function, *step._record[VALUES:])
    return "plain", readable(step.name), None, "", None


def described_by_hand(values: Values, step: Step[Any]) -> Described:
    """What is recorded of something that was done by hand.

    Raises:
        NotRecordable: likewise.
    """
    args, kwargs = step._record[VALUES:]
    function = step._record[DEFINITION].function
    name = name_of_function(function, values.path)
    return "by hand", name, values.call(function, args, kwargs, step.name), name, fingerprint_of(step)
