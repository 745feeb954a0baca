"""The gate: who is asked before an irreversible tool runs, and what the model is told of a no.

Stands on explanations.  Used by the calls of tools.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from typing import Any, TypeAlias

from actionqueues.core.signature import display_name, unawaited
from actionqueues.core.text import log_warning, shown

from .explaining import Explanation

__all__ = ["Approve", "ask", "ask_async", "is_control_flow", "text_for"]

#: What decides: it is given the explanation of the tool, and the arguments by name, and answers True, or not.
Approve: TypeAlias = Callable[[Explanation, Mapping[str, Any]], bool | Awaitable[bool]]

#: What frameworks raise in order to stop a run and go on with it later, say once a person has answered.
_CONTROL_FLOW = {
    ("langgraph.errors", "GraphBubbleUp"),
    ("mcp.shared.exceptions", "UrlElicitationRequiredError"),
    ("pydantic_ai.exceptions", "ApprovalRequired"),
    ("pydantic_ai.exceptions", "CallDeferred"),
}


def is_control_flow(error: BaseException) -> bool:
    """Whether that is a framework's own way of stopping here: neither a no nor a fault, so it has to reach that."""
    return any((cls.__module__, cls.__name__) in _CONTROL_FLOW for cls in type(error).__mro__)


def ask(approve: Approve, explanation: Explanation, arguments: Mapping[str, Any]) -> str | None:
    """Ask; returns the refusal, if there is one."""
    try:
        answer = approve(explanation, arguments)
    except Exception as error:
        return _failed(explanation, error)
    if isawaitable(answer):  # of what is no `async def`, which would have made the tool one
        raise unawaited(answer, approve, display_name(approve))
    return _refusal(explanation, answer)


async def ask_async(approve: Approve, explanation: Explanation, arguments: Mapping[str, Any]) -> str | None:
    """The same, for what may have to be awaited."""
    try:
        answer = approve(explanation, arguments)
        if isawaitable(answer):
            answer = await answer
    except Exception as error:
        return _failed(explanation, error)
    return _refusal(explanation, answer)


def _failed(explanation: Explanation, error: Exception) -> str:
    if is_control_flow(error):
        raise error
    log_warning(f"approve= raised {shown(error)}, so the tool {explanation.name} has not run")
    text = text_for(error)
    return _refused(explanation, f" ({text})" if text else "")


def text_for(error: Exception) -> str:
    """What the model is told of an exception: its text, whatever that does."""
    try:
        return str(error)
    except Exception:
        return shown(error)


def _refusal(explanation: Explanation, answer: object) -> str | None:
    return None if answer is True else _refused(explanation, "")


def _refused(explanation: Explanation, why: str) -> str:
    return (
        f"{explanation.name} was not approved{why}, so it has not run, and nothing has changed. It cannot be undone, "
        "so it needs approval each time: do without it, or tell the user what it is needed for."
    )
