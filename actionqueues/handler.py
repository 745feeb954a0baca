"""Rollback handlers: what they ask for by their parameter names, and how they are given it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from inspect import Parameter
from typing import Any, Final, Self

from .frames import undoer
from .retry import Policy
from .signature import Parameters, display_name, is_async, is_generator, signature_of
from .step import PENDING, Log, Step

__all__ = ["Handler", "unawaited"]

#: What a handler may ask for besides the parameters of its action.
_OFFERED: Final = ("result", "error", "step")


class _Item:
    """An item of a record; for the outcome, with what stands for it where there is none."""

    __slots__ = ("default", "place")

    def __init__(self, place: int, default: Any = None) -> None:
        self.place = place
        self.default = default

    def __call__(self, step: Step[Any]) -> Any:
        value = step.entry[self.place]
        return self.default if value is PENDING else value


class Handler:
    """The undo of an action, bound to the parameters of that action.

    A handler is given, by the names of its own parameters: any parameter of the action; ``result``, ``error`` and
    ``step``, unless the action has a parameter of that name; through ``*args`` and ``**kwargs`` those of the call's own
    arguments that none of its named parameters has taken.  A parameter with another name keeps its default.

    Attributes:
        function: what is called.
        name: its name in messages.
        retry: the policy of the undo, or None.
        is_async: whether `call` returns a coroutine.
        needs_result: whether it cannot be called for a step without a result.
        quick: the same as `call`, given a log and the place of a record in it that has an outcome; None where it takes
            a `Step`, or more than one attempt.

    Raises:
        TypeError: if it asks for something that cannot be supplied, or would undo nothing when called.
    """

    __slots__ = ("_keyword", "_positional", "_rest", "function", "is_async", "name", "needs_result", "quick", "retry")

    def __init__(self, function: Callable[..., object], *, retry: Policy | None = None) -> None:
        """Make a handler that is called without arguments, until `bind` gives it some."""
        self.function = function
        self.name = display_name(function)
        self.retry = retry
        self.is_async = False
        self.needs_result = False
        self.quick: Callable[[Log, int], object] | None = lambda _log, _place: function()
        self._positional: list[Callable[[Step[Any]], Any]] = []
        self._keyword: dict[str, Callable[[Step[Any]], Any]] = {}
        self._rest = _Rest()

    @property
    def is_plain(self) -> bool:
        """Whether an undo is one call of it, and no more."""
        return not self.is_async and self.retry is None

    @classmethod
    def bound(
        cls, function: Callable[..., object], parameters: Parameters, action: str, *, retry: Policy | None = None
    ) -> Self:
        """Make the handler of an action with these parameters."""
        handler = cls(function, retry=retry)
        handler.is_async = is_async(function)
        handler._bind(parameters, action)
        handler.quick = None if retry is not None else handler._quick()
        return handler

    def _bind(self, of: Parameters, action: str) -> None:
        what = f"the rollback handler {self.name} of {action}"
        if is_generator(self.function):
            raise TypeError(f"{what} is a generator function: calling it would undo nothing; make it a plain function")
        try:
            parameters = signature_of(self.function).parameters
        except ValueError:
            raise TypeError(f"{what} does not tell its parameters; wrap it in a function that names them") from None
        unknown: list[str] = []
        named = {name: p.kind for name, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        for name, parameter in parameters.items():
            if parameter.kind is Parameter.VAR_POSITIONAL:
                left = [i for i, own in enumerate(of.names[: of.positional]) if own not in named]
                self._rest.positional = (of.positional, left)
            elif parameter.kind is Parameter.VAR_KEYWORD:
                own = of.names[of.positional :][: of.shape.keyword_only]
                self._rest.taken = frozenset(n for n, kind in named.items() if kind != kind.POSITIONAL_ONLY or n in own)
            elif (source := self._source(parameter, of)) is None:
                unknown.append(name)
            elif parameter.kind is Parameter.KEYWORD_ONLY:
                self._keyword[name] = source
            else:
                self._positional.append(source)
        if unknown:
            params = of.offered()
            offered = [*params, *(name for name in _OFFERED if name not in params)]
            raise TypeError(
                f"{what} asks for {' and '.join(map(repr, unknown))}, which cannot be supplied; name a parameter "
                f"{', '.join(map(repr, offered[:-1]))} or {offered[-1]!r}, or give it a default"
            )

    def _source(self, parameter: Parameter, of: Parameters) -> Callable[[Step[Any]], Any] | None:
        name, default = parameter.name, parameter.default
        if name in of.names:
            return _Item(of.names.index(name))
        if of.declared is not None and name in of.declared.parameters:
            return lambda step: step.definition.argument(step.entry, name)
        if name == "result":
            self.needs_result = default is Parameter.empty
            return _Item(len(of.names), default)
        if name == "error":
            return lambda step: step.error
        if name == "step":
            return lambda step: step
        return None if default is Parameter.empty else lambda _step: default

    def _quick(self) -> Callable[[Log, int], object] | None:
        positional = [source.place for source in self._positional if isinstance(source, _Item)]
        keyword = {name: source.place for name, source in self._keyword.items() if isinstance(source, _Item)}
        if self._rest or len(positional) < len(self._positional) or len(keyword) < len(self._keyword):
            return None
        return undoer(self.function, positional, keyword)

    def asks_for(self, *names: str) -> bool:
        """Whether one of its own parameters has one of these names."""
        return any(name in names for name in signature_of(self.function).parameters)

    def call(self, step: Step[Any]) -> object:
        """Call it for `step`; an async handler returns its coroutine."""
        positional = [source(step) for source in self._positional]
        keyword = {name: source(step) for name, source in self._keyword.items()}
        return self.function(*positional, *self._rest.args(step), **keyword, **self._rest.kwargs(step))


class _Rest:
    """What a handler's ``*args`` and ``**kwargs`` are given."""

    __slots__ = ("positional", "taken")

    def __init__(self) -> None:
        self.positional: tuple[int, Sequence[int]] | None = None
        self.taken: frozenset[str] | None = None

    def __bool__(self) -> bool:
        return self.positional is not None or self.taken is not None

    def args(self, step: Step[Any]) -> Sequence[Any]:
        if self.positional is None:
            return ()
        args = step.args
        count, left = self.positional
        return [*(args[i] for i in left), *args[count:]]

    def kwargs(self, step: Step[Any]) -> dict[str, Any]:
        if self.taken is None:
            return {}
        return {name: value for name, value in step.kwargs.items() if name not in self.taken}


def unawaited(coroutine: Coroutine[Any, Any, object], name: str) -> TypeError:
    """What is wrong with a handler that is a plain function and returns a coroutine."""
    coroutine.close()
    return TypeError(f"the rollback handler of {name} returned a coroutine instead of undoing; make it an `async def`")
