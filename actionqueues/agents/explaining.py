"""`explain`: whether what an action does can be undone, in words and as the annotations of MCP.

Stands on definitions.  Used by programs, and by what makes tools.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import MethodType
from typing import Any, Literal

from actionqueues.core.definition import Definition, definition_behind, function_of
from actionqueues.core.signature import display_name

__all__ = ["Explanation", "action_in", "explain", "explanation_of", "found_in"]


@dataclass(frozen=True)
class Explanation:
    """Whether what an action does can be undone; printed, it is a sentence that a model understands.

    Attributes:
        name: what the action, or the tool, is called.
        kind: ``"reversible"``, ``"irreversible"`` (declared so, or without a rollback handler), or ``"read-only"``.
        text: the same as a sentence.
        undo: the name of what undoes it, or None.
        held: whether it waits for the commit, as ``@action(irreversible=True, when="commit")`` does.
    """

    __module__ = "actionqueues.agents"

    name: str
    kind: Literal["reversible", "irreversible", "read-only"]
    text: str
    undo: str | None = None
    held: bool = False

    @property
    def destroys(self) -> bool:
        """Whether a call does at once what cannot be undone."""
        return self.kind == "irreversible" and not self.held

    @property
    def mcp(self) -> dict[str, bool]:
        """The annotations of a tool of MCP: ``ToolAnnotations.model_validate(explain(action).mcp)``.

        What can be undone, and what waits for the commit, is not destructive.  Only what is read-only is called
        idempotent: each call of another action is a step of its own.
        """
        reads = self.kind == "read-only"
        return {"readOnlyHint": reads, "destructiveHint": self.destroys, "idempotentHint": reads}

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


def explain(action: Callable[..., object], /) -> Explanation:
    """Say whether what an action does is reversible, irreversible, or read-only.

    ```python
    import os

    from actionqueues import action
    from actionqueues.agents import explain

    make_folder = action(os.mkdir, undo=os.rmdir)
    assert explain(make_folder).kind == "reversible"
    assert explain(make_folder).mcp["destructiveHint"] is False
    ```

    Args:
        action: an action, a method that is one, a `functools.partial` of one, or a tool that `tools` has made of one.

    Raises:
        TypeError: for anything else, of which nobody knows what it does.
    """
    known = getattr(action, "explanation", None)
    if isinstance(known, Explanation):
        return known
    definition = action_in(action)
    return explanation_of(definition, definition.name)


def action_in(thing: Any) -> Definition:
    """The definition of an action, of a method that is one, or of a partial of one.

    Raises:
        TypeError: if it is none.
    """
    definition = found_in(thing)
    if definition is None:
        if isinstance(thing, list | tuple):
            raise TypeError("tools() takes each action by itself, not a list of them: tools(q, *actions)")
        name = display_name(thing) if callable(thing) else repr(thing)
        if isinstance(getattr(thing, "explanation", None), Explanation):
            raise TypeError(f"{name} is a tool already: give tools() the action that it was made of")
        advice = "put @action above it; if it only reads, @action(read_only=True)"
        raise TypeError(f"{name} is no action, so nobody knows whether it can be undone: {advice}")
    return definition


def found_in(thing: Any) -> Definition | None:
    """The same, or None."""
    while issubclass(type(thing), partial):  # not an action of a partial, which looks like one
        thing = thing.func
    return definition_behind(thing.__func__ if type(thing) is MethodType else function_of(thing))


def explanation_of(definition: Definition, name: str) -> Explanation:
    """The same of a definition, by this name."""
    if definition.hold is not None:
        text = "Irreversible, so it waits: it runs once everything has succeeded, and can be taken back until then."
        return Explanation(name, "irreversible", text, held=True)
    if definition.read_only:
        return Explanation(name, "read-only", "Read-only: it changes nothing, so there is nothing to undo.")
    if definition.irreversible:
        return Explanation(name, "irreversible", "Irreversible: what it does cannot be undone.")
    if definition.handler is None:
        return Explanation(name, "irreversible", "Irreversible: it has no rollback handler, so nothing undoes it.")
    undo = definition.handler.name
    by = "its rollback handler" if undo.startswith("<") else undo
    return Explanation(name, "reversible", f"Reversible: what it does can be undone, by {by}.", undo)
