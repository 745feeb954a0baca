"""Rollback handlers: what they ask for by their parameter names, and how they are given it.

Stands on signatures, generated frames and records.  Used by definitions and the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from inspect import Parameter
from typing import Any, Final, Self

from actionqueues.retry import Policy

from .frames import undoer
from .log import undoing
from .signature import Parameters, display_name, is_async, lazy_kind, signature_of
from .step import DEFINITION, OUTCOME, PENDING, VALUES, Record, Step

__all__ = ["Handler", "unawaited"]


def _cause(_step: Step[Any]) -> BaseException | None:
    """Why the rollback that is calling a handler runs."""
    rollback = undoing.get()
    return None if rollback is None else rollback.cause


#: What a handler may ask for besides the parameters of its action, and ``result``.
_OFFERED: Final[dict[str, Callable[[Step[Any]], Any]]] = {
    "error": lambda step: step.error,
    "step": lambda step: step,
    "cause": _cause,
}


class _Item:
    """An item of a record; for the outcome, with what stands for it where there is none."""

    __slots__ = ("default", "place")

    def __init__(self, place: int, default: Any = None) -> None:
        self.place, self.default = place, default

    def __call__(self, step: Step[Any]) -> Any:
        value = step._record[self.place]
        return self.default if value is PENDING else value


class Handler:
    """The undo of an action, bound to the parameters of that action.

    A handler is given, by the names of its own parameters: any parameter of the action; ``result``, ``error``, ``step``
    and ``cause``, unless the action has a parameter of that name; through ``*args`` and ``**kwargs`` those of the
    call's own arguments that none of its named parameters has taken.  A parameter with another name keeps its default.

    Attributes:
        needs_result: whether it cannot be called for a step without a result.
        quick: the same as `call`, given a record that has an outcome; None where it takes a `Step`, or more than one
            attempt.
    """

    # What it gives `*args`: the number of positional parameters of the action, and which of these are left; and
    # `**kwargs`: the names that others have taken.  None where it has none.
    _args: tuple[int, list[int]] | None
    _kwargs: frozenset[str] | None

    def __init__(self, function: Callable[..., object], *, retry: Policy | None = None) -> None:
        """Make a handler that is called without arguments, until `bind` gives it some."""
        self.function, self.name, self.retry = function, display_name(function), retry
        self.is_async = self.needs_result = False
        self._args = self._kwargs = None
        self.quick: Callable[[Record], object] | None = lambda _record: function()
        self._positional: list[Callable[[Step[Any]], Any]] = []
        self._keyword: dict[str, Callable[[Step[Any]], Any]] = {}

    @classmethod
    def bound(
        cls, function: Callable[..., object], parameters: Parameters, action: str, *, retry: Policy | None = None
    ) -> Self:
        """Make the handler of an action with these parameters.

        Raises:
            TypeError: if it asks for something that cannot be supplied, or would undo nothing when called.
        """
        handler = cls(function, retry=retry)
        handler.is_async = is_async(function)
        handler._bind(parameters, action)
        handler.quick = handler._quick() if retry is None else None
        return handler

    def _bind(self, of: Parameters, action: str) -> None:
        what = f"the rollback handler {self.name} of {action}"
        lazy = lazy_kind(self.function)
        if lazy is not None:
            raise TypeError(f"{what} is a {lazy}: calling it would undo nothing; make it a plain function")
        try:
            parameters = signature_of(self.function).parameters
        except ValueError:
            raise TypeError(f"{what} does not tell its parameters; wrap it in a function that names them") from None
        unknown: list[str] = []
        named = {name: p.kind for name, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        for name, parameter in parameters.items():
            if parameter.kind is Parameter.VAR_POSITIONAL:
                left = [i for i, own in enumerate(of.names[: of.positional]) if own not in named]
                self._args = (of.positional, left)
            elif parameter.kind is Parameter.VAR_KEYWORD:
                own = of.names[of.positional :][: of.shape.keyword_only]
                self._kwargs = frozenset(n for n, kind in named.items() if kind != kind.POSITIONAL_ONLY or n in own)
            elif (source := self._source(parameter, of)) is None:
                unknown.append(name)
            elif parameter.kind is Parameter.KEYWORD_ONLY:
                self._keyword[name] = source
            else:
                self._positional.append(source)
        if unknown:
            offered = list(dict.fromkeys([*of.offered(), "result", *_OFFERED]))
            raise TypeError(
                f"{what} asks for {' and '.join(map(repr, unknown))}, which cannot be supplied; name a parameter "
                f"{', '.join(map(repr, offered[:-1]))} or {offered[-1]!r}, or give it a default"
            )

    def _source(self, parameter: Parameter, of: Parameters) -> Callable[[Step[Any]], Any] | None:
        name, default = parameter.name, parameter.default
        if name in of.names:
            return _Item(of.names.index(name) + VALUES)
        if of.declared is not None and name in of.declared.parameters:
            return lambda step: step._record[DEFINITION].argument(step._record, name)
        if name == "result":
            self.needs_result = default is Parameter.empty
            return _Item(OUTCOME, default)
        if name in _OFFERED:
            return _OFFERED[name]
        return None if default is Parameter.empty else lambda _step: default

    def _quick(self) -> Callable[[Record], object] | None:
        positional = [source.place for source in self._positional if isinstance(source, _Item)]
        keyword = {name: source.place for name, source in self._keyword.items() if isinstance(source, _Item)}
        told = len(positional) == len(self._positional) and len(keyword) == len(self._keyword)
        told = told and self._args is None and self._kwargs is None
        return undoer(self.function, positional, keyword) if told else None

    def asks_for(self, *names: str) -> bool:
        """Whether one of its own parameters has one of these names."""
        return any(name in names for name in signature_of(self.function).parameters)

    def call(self, step: Step[Any]) -> object:
        """Call it for `step`; an async handler returns its coroutine."""
        positional = [source(step) for source in self._positional]
        keyword = {name: source(step) for name, source in self._keyword.items()}
        if self._args is not None:
            args, (count, left) = step.args, self._args
            positional += [*(args[i] for i in left), *args[count:]]
        if self._kwargs is not None:
            keyword |= {name: value for name, value in step.kwargs.items() if name not in self._kwargs}
        return self.function(*positional, **keyword)


def unawaited(coroutine: Coroutine[Any, Any, object], name: str) -> TypeError:
    """What is wrong with a handler that is a plain function and returns a coroutine."""
    coroutine.close()
    return TypeError(f"the rollback handler of {name} returned a coroutine instead of undoing; make it an `async def`")
