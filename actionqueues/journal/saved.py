"""`Saved`: what a step has saved, kept in the file as well.

Stands on the values.  Used by the recording.
"""

from __future__ import annotations

from typing import Any, Protocol

from actionqueues.core.definition import Definition

from .values import Values

__all__ = ["Saved"]


class _Keep(Protocol):
    def __call__(self, number: int, saved: str, *, sync: bool) -> None: ...


class Saved(dict[str, Any]):
    """What a step has saved: kept in the file before `step.save` returns."""

    __slots__ = ("_definition", "_keep", "_number", "_values")

    def __init__(self, values: Values, keep: _Keep, definition: Definition, number: int) -> None:
        self._values = values
        self._keep = keep
        self._definition = definition  # not the step, which refers to this
        self._number = number

    def update(self, /, *args: Any, **kwargs: Any) -> None:
        """Keep them here, for the handler in this process, and in the file."""
        definition = self._definition
        saved = {**self, **dict(*args, **kwargs)}
        super().update(saved)  # also what cannot be recorded: then the step fails, and this handler needs it
        text = self._values.saved(saved, f"what {definition.name} saves")
        self._keep(self._number, text, sync=not definition.is_async)  # no event loop waits for a disk

    def __reduce__(self) -> Any:
        return dict, (dict(self),)
