"""What a rollback handler reads of its step: what it names as a parameter, and what its code takes from ``step``.

Whether it takes something from ``step`` is told by the names of attributes in its code.  That finds ``step.result``
wherever it stands in the handler, but not in a function that the handler passes its step on to; and a handler that
takes a ``step``, and the ``.result`` of something else, counts as one that reads it.

Stands on handlers.  Used by the recording, for what cannot be recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from inspect import unwrap
from types import CodeType
from typing import Any

from actionqueues.core.definition import Definition
from actionqueues.core.step import DEFINITION, Step

__all__ = ["needs"]


def needs(step: Step[Any], name: str) -> bool:
    """Whether the undo of a step reads an attribute of it, by a parameter of its own or from ``step``."""
    definition: Definition = step._record[DEFINITION]
    handler = definition.handler
    with suppress(Exception):  # an override that cannot be called: the undo will say so
        handler = definition.handler_of(step._record)
    if handler is None:
        return False
    code = getattr(unwrap(handler.function), "__code__", None)
    return handler.asks_for(name) or (handler.asks_for("step") and name in _attributes(code))


def _attributes(code: object) -> Iterator[str]:
    """The names of attributes in a piece of code, and in what is defined in it."""
    if isinstance(code, CodeType):
        yield from code.co_names
        for constant in code.co_consts:
            yield from _attributes(constant)
