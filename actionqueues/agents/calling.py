"""`Bound`: an action, bound to a transaction, as the plain function that frameworks take for a tool.

Stands on sessions and the gate.  Used by `tools`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass
from functools import partial
from inspect import Parameter, Signature, cleandoc, isroutine
from types import FunctionType, TracebackType
from typing import Any, NamedTuple, Union, cast, get_type_hints

from actionqueues.core.definition import Definition
from actionqueues.core.entries import frozen_record, short_arguments
from actionqueues.core.plan import in_words
from actionqueues.core.queue import definition_of
from actionqueues.core.signature import is_async, signature_of, text_attribute
from actionqueues.core.step import Record
from actionqueues.errors import IllegalOperation, TransactionClosed

from .explaining import Explanation
from .gate import Approve, ask, ask_async, is_control_flow, text_for
from .session import Done, Finder, Session, session_of

__all__ = ["Bound", "entering", "function_of_tool", "signature_of_tool"]

#: The modules whose classes, and those made of them, are data: numbers, named tuples, `TypedDict`s, enumerations.
_OF_DATA = {"builtins", "datetime", "decimal", "enum", "fractions", "pathlib", "uuid"}


class Bound(NamedTuple):
    """An action and what is fixed about its tool; `enter` makes the record of a call, which tells its arguments."""

    q: Finder
    action: Callable[..., Any]
    enter: Callable[..., Record]
    definition: Definition
    explanation: Explanation
    signature: Signature
    approve: Approve | None
    mendable: tuple[type[Exception], ...]

    @property
    def is_async(self) -> bool:
        """Whether its tool is: for the action, or to ask."""
        return self.definition.is_async or (self.approve is not None and is_async(self.approve))


def entering(action: Any) -> Callable[..., Record]:
    """What makes the record of a call of an action, of a method, or of a partial of one."""
    if issubclass(type(action), partial):
        return partial(entering(action.func), *action.args, **action.keywords)
    definition, args = definition_of(action, (), {})
    return partial(definition.enter, *args)


class _Call:
    """One call of it, around the step: `answer` is what the model is given."""

    def __init__(self, bound: Bound, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            arguments = bound.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{bound.explanation.name}{bound.signature}: {error}") from None
        arguments.apply_defaults()
        self.arguments = arguments.arguments
        self.bound = bound
        self.session: Session = session_of(bound.q)
        face = self.session.face
        face._must_be_open(f"the tool {bound.explanation.name}")  # before anybody is asked
        self.step: Callable[[], Any] = partial(face.run, bound.action, *args, **kwargs)
        watch = face._block.root.watch
        record, hidden = bound.enter(*args, **kwargs), () if watch is None else watch.hidden
        said = f"{bound.explanation.name}({short_arguments(frozen_record(record), hidden)})"
        self.done = Done(said, in_words(record, hidden), bound.explanation)

    def starts(self, refusal: str | None) -> bool:
        """Whether it may run."""
        refusal = refusal or self.session.start(self.done)
        self.answer: Any = refusal
        return refusal is None

    def __enter__(self) -> None:
        pass

    def __exit__(self, cls: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        self.session.end(self.done, failed=error is not None)
        if (
            isinstance(error, self.bound.mendable)
            and not isinstance(error, IllegalOperation | TransactionClosed)
            and not is_control_flow(error)
        ):
            self.answer = _told(self.done.said, error)
            return True
        if error is None and self.bound.definition.hold is not None:
            self.answer = f"{self.done.said} waits: it runs once everything has succeeded. Until then undo_to drops it."
        return False


def _told(said: str, error: Exception) -> str:
    """What the model is told of an error that it can mend."""
    prefix = "actionqueues: "
    notes = [str(note).removeprefix(prefix) for note in getattr(error, "__notes__", ()) if str(note).startswith(prefix)]
    after = f"But {'; '.join(notes)}" if notes else "What it had done has been undone, and nothing else"
    return f"{said} failed: {type(error).__name__}: {text_for(error)}. {after}. Mend the call, or do something else."


def _call(bound: Bound, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    call = _Call(bound, args, kwargs)
    if call.starts(bound.approve and ask(bound.approve, bound.explanation, call.arguments)):
        with call:
            call.answer = call.step()
    return call.answer


async def _call_async(bound: Bound, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    call = _Call(bound, args, kwargs)
    if call.starts(bound.approve and await ask_async(bound.approve, bound.explanation, call.arguments)):
        with call:
            call.answer = await call.step() if bound.definition.is_async else call.step()
    return call.answer


def function_of_tool(bound: Bound) -> FunctionType:
    """The plain function: with the name, the parameters, the annotations and the docstring that frameworks read."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return _call(bound, args, kwargs)

    async def call_async(*args: Any, **kwargs: Any) -> Any:
        return await _call_async(bound, args, kwargs)

    made: Any = call_async if bound.is_async else call
    function, explanation = bound.definition.function, bound.explanation
    made.__name__ = made.__qualname__ = explanation.name
    made.__module__ = text_attribute(function, "__module__", __name__)
    first, gap, rest = cleandoc(text_attribute(function, "__doc__", "")).partition("\n\n")
    made.__doc__ = "\n\n".join(filter(None, [first, explanation.text])) + gap + rest
    made.__signature__, made.explanation = bound.signature, explanation
    parameters = bound.signature.parameters.values()
    made.__annotations__ = {each.name: each.annotation for each in parameters if each.annotation is not Parameter.empty}
    if bound.signature.return_annotation is not Signature.empty:
        made.__annotations__["return"] = bound.signature.return_annotation
    return cast("FunctionType", made)


def signature_of_tool(action: Callable[..., Any], definition: Definition) -> Signature:
    """The parameters of an action, with annotations that have been read; it returns a text too, for the model.

    Raises:
        TypeError: for what no framework can call, or read.
    """
    name = definition.name
    try:
        signature = signature_of(action)
    except ValueError as error:
        why = "what its partial supplies does not fit it" if issubclass(type(action), partial) else "it does not say"
        raise TypeError(f"{name} cannot be a tool: nobody knows what it takes, as {why} ({error})") from error
    given: set[str] = set(action.keywords) if isinstance(action, partial) else set()
    hints = _hints(definition)
    parameters: list[Parameter] = []
    for each in signature.parameters.values():
        if each.name in given:
            continue
        if each.kind not in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY):
            raise TypeError(
                f"{name} cannot be a tool: a model passes arguments by name, and its parameter {each} has none of its "
                "own; name each of its parameters, without / and *"
            )
        if each.name == "self":
            raise TypeError(f"{name} cannot be a tool without its object: give the method of one, not that of a class")
        if each.name.startswith("_"):
            raise TypeError(
                f"{name} cannot be a tool: its parameter {each.name} begins with _, which frameworks refuse or hide; "
                f"give it another name, or supply it: functools.partial({name}, {each.name}=...)"
            )
        parameters.append(each.replace(annotation=hints.get(each.name, each.annotation)))
    result = hints.get("return", Signature.empty)
    return Signature(parameters, return_annotation=Union[result, str] if _is_data(result) else Signature.empty)  # noqa: UP007 - of values


def _is_data(result: Any) -> bool:
    """Whether frameworks can read it as the type of an answer: with a class that is not made for that, MCP fails."""
    if not isinstance(result, type) or result is Any:
        return True
    cls = cast("type[Any]", result)
    if is_dataclass(cls) or hasattr(cls, "__get_pydantic_core_schema__"):
        return True
    return any(base.__module__ in _OF_DATA for base in cls.__mro__ if base is not object)


def _hints(definition: Definition) -> dict[str, Any]:
    function: Any = definition.function
    while issubclass(type(function), partial):
        function = function.func
    if not isroutine(function):
        function = type(function).__call__
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:
        raise TypeError(
            f"{definition.name} cannot be a tool: its annotations cannot be read ({error}); frameworks read them at "
            "run time, so import what they name, and not `if TYPE_CHECKING:` alone"
        ) from error
