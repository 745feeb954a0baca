"""`tools`: actions, bound to a transaction, as the plain functions that frameworks for agents take.

Stands on calls and meta tools.  Used by programs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from actionqueues.core.options import known_options
from actionqueues.core.queue import refuse_async
from actionqueues.core.signature import display_name, is_async
from actionqueues.transaction import AsyncTransaction, Transaction

from .calling import Bound, entering, function_of_tool, signature_of_tool
from .explaining import Explanation, action_in, explanation_of, found_in
from .gate import Approve
from .meta import meta_tools
from .session import Finder, session_of

__all__ = ["tools"]

#: What the services of all known models take for the name of a tool.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


@known_options("tools()")
def tools(
    q: Finder,
    /,
    *actions: Callable[..., Any],
    named: Mapping[str, Callable[..., Any]] | None = None,
    approve: Approve | None = None,
    mendable: type[Exception] | tuple[type[Exception], ...] = (),
    meta: bool = True,
) -> list[FunctionType]:
    """Bind actions to a transaction, as plain functions for a framework: its tools.

    Each has the name, the parameters, the annotations and the docstring of its action, and is async if that is.  From
    whatever task or thread it is called, the call is a step of the transaction.  What it returns is what the action
    returns, or a text for the model: that it was not approved, that it waits for the commit, that it has failed and
    been undone, that another tool has to end first.

    Four more are about these: ``checkpoint(name)``, ``changes(since)``, ``undo_to(checkpoint)``, ``explain(tool)``.
    While `undo_to` undoes, no tool starts; while a tool runs, nothing is undone: who comes second is told so.

    ```python
    from actionqueues import action, transaction
    from actionqueues.agents import tools

    notes: list[str] = []

    @action
    def note(text: str) -> int:
        "Write a note."
        notes.append(text)
        return len(notes)

    @note.rollback
    def unnote() -> None:
        notes.pop()

    with transaction("agent") as q:
        write, checkpoint, changes, undo_to, explain = tools(q, note)  # give them to the framework
        write(text="milk")
        checkpoint(name="milk")
        write(text="caviar")
        print(undo_to(checkpoint="milk"))
    assert notes == ["milk"]
    ```

    Args:
        q: the transaction, in its block; or a callable that finds it at each call, for a server that makes its tools
            once for many sessions, each of which is in an ``async with transaction()`` of its own.
        actions: actions, methods that are actions, or a `functools.partial` of one, which supplies what a model cannot.
        named: more of these, by the names of their tools.
        approve: is asked before an irreversible tool runs, with its `Explanation` and the arguments by name; may be
            async.  Whatever is not True, and an exception, is a no, and the model is told; but what a framework raises
            to stop and ask, such as LangGraph's ``interrupt()``, reaches that.  One that waits for the commit is not
            asked about.
        mendable: exceptions of actions that the model is told of, as a text, instead of the framework.  That step alone
            has been undone then.  All others go on to the framework.
        meta: whether the four are among the tools.

    Returns:
        The tools, in the order in which they were given, and then the four.

    Raises:
        TypeError: for what is no action; what a model cannot call; an irreversible one, if nobody is asked and it does
            not wait for the commit; or options of another kind.
        ValueError: for a name that frameworks refuse, or that two tools would have.
        AsyncActionInSyncBlock: for an async one, if the block is not.
        IllegalOperation: if the transaction has not been entered, or this is called in a step or in a savepoint of it.
    """
    if approve is not None and not callable(approve):
        raise TypeError(f"tools(approve=...) takes what is called before an irreversible tool runs, not {approve!r}")
    if named is not None and not isinstance(named, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - if checked
        raise TypeError(f"tools(named=...) takes actions by the names of their tools, as a dict, not {named!r:.80}")
    kinds: Any = mendable if isinstance(mendable, tuple) else (mendable,)
    for each in kinds:
        if not (isinstance(each, type) and issubclass(each, Exception)):
            raise TypeError(f"tools(mendable=...) takes a class of exceptions, or a tuple of them, not {each!r}")
    block: Any = None
    if isinstance(q, Transaction | AsyncTransaction):
        block = q._block
    elif found_in(q) is not None:
        given = display_name(q)
        raise TypeError(f"tools() takes the transaction first, and then actions, not {given}: say tools(q, {given})")
    elif not callable(q):
        raise TypeError(
            f"tools() takes a transaction that has been entered, or what finds it at each call, not {q!r:.80}"
        )
    if approve is not None and is_async(approve) and block is not None and not block.awaits:
        raise TypeError("tools(approve=...) is async, so the transaction has to be entered by `async with`")
    made: list[Bound] = []
    for name, each in [*((None, each) for each in actions), *(named or {}).items()]:
        bound = _bound(q, each, name, approve, kinds)
        if block is not None and not block.awaits:
            refuse_async(bound.definition, block)
        made.append(bound)
    explanations: dict[str, Explanation] = {}
    functions = [function_of_tool(each) for each in made]
    functions += meta_tools(q, explanations, awaits=block is None or block.awaits) if meta else []
    for function in functions:
        _check_name(function.__name__, explanations)
        explanations[function.__name__] = vars(function)["explanation"]
    if block is not None:
        session_of(q)
    return functions


def _bound(
    q: Finder, action: Any, name: str | None, approve: Approve | None, mendable: tuple[type[Exception], ...]
) -> Bound:
    definition = action_in(action)
    if name is None:
        name = str(getattr(definition.function, "__name__", definition.name))
    _check_name(name, {})
    explanation = explanation_of(definition, name)
    if explanation.destroys and approve is None:
        raise TypeError(
            f"{explanation.name} cannot be undone, and nobody is asked before it runs: tools(approve=...) says who; or "
            "give it a rollback handler, or let it wait for the commit: @action(irreversible=True, when='commit')"
        )
    signature = signature_of_tool(action, definition)
    gate = approve if explanation.destroys else None
    return Bound(q, action, entering(action), definition, explanation, signature, gate, mendable)


def _check_name(name: Any, known: Mapping[str, object]) -> None:
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise ValueError(
            f"{name!r} is no name for a tool, which takes up to 64 of the letters A to Z, digits, _ and -, and does "
            "not begin with a digit: give it another one, by tools(named={'name': action})"
        )
    if name in known:
        raise ValueError(
            f"two tools would be called {name!r}: give one of them another name, by tools(named={{'name': action}}); "
            "the four about tools can be left out, by meta=False"
        )
