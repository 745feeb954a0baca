"""Rollback handlers: what they ask for by their parameter names, and how they are given it.

Stands on signatures, generated frames and records.  Used by definitions and the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter
from typing import Any, ClassVar, Final, Self, TypeAlias, cast

from actionqueues.retry import Policy

from .frames import undoer
from .log import undoing
from .signature import ANY, Parameters, code_of, display_name, is_async, refuse_lazy, signature_of
from .step import DEFINITION, OUTCOME, PENDING, VALUES, Record, Step
from .tasks import limited

_Source: TypeAlias = Callable[[Step[Any]], Any]

#: What a handler may ask for besides the parameters of its action, and ``result``.
_OFFERED: Final[dict[str, _Source]] = {
    "error": lambda step: step.error,
    "step": lambda step: step,
    "cause": lambda _step: getattr(undoing.get(), "cause", None),
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
    """The undo of an action, bound to the parameters of that action, by the names of its own.

    Through ``*args`` and ``**kwargs`` it is given those of the call's own arguments that none of its named parameters
    has taken.  A parameter whose name means nothing keeps its default.
    """

    #: What it may ask for besides the parameters of its action.
    offers: ClassVar[tuple[str, ...]] = ("result", *_OFFERED)

    is_async = False
    timeout: float | None = None  #: seconds after which an attempt is given up, if it is async
    needs_result = False  #: whether it cannot be called for a step without a result
    #: The same as `call`, given a record that has an outcome; None where it takes a `Step`, or more than one attempt.
    quick: Callable[[Record], object] | None

    def __init__(self, function: Callable[..., object], *, retry: Policy | None = None) -> None:
        """Make a handler that is called without arguments, until `bound` gives it some."""
        self.function, self.name, self.retry = function, display_name(function), retry
        self.quick = lambda _record: function()
        self._function = function  # as it is called
        self._positional: list[_Source] = []
        self._keyword: dict[str, _Source] = {}
        self._args: _Source | None = None  # what it gives `*args`, and `**kwargs`, if it has them
        self._kwargs: _Source | None = None

    @classmethod
    def bound(
        cls,
        function: Callable[..., object],
        parameters: Parameters,
        what: str,
        *,
        retry: Policy | None = None,
        timeout: float | None = None,
    ) -> Self:
        """Make that of an action with these parameters; `TypeError`, about `what`, for what cannot be supplied."""
        handler = cls(function, retry=retry)
        handler.is_async = is_async(function)
        if timeout is not None and handler.is_async:
            handler.timeout, handler._function = timeout, limited(cast("Any", function), timeout)
        handler._bind(parameters, what)
        items = [each for each in (*handler._positional, *handler._keyword.values()) if isinstance(each, _Item)]
        told = len(items) == len(handler._positional) + len(handler._keyword)
        if retry is not None or not told or handler._args is not None or handler._kwargs is not None:
            handler.quick = None
        else:
            handler.quick = undoer(handler._function, [item.place for item in items], tuple(handler._keyword))
        return handler

    def _bind(self, of: Parameters, what: str) -> None:
        refuse_lazy(self.function, what, "make it a plain function")
        try:
            parameters = signature_of(self.function).parameters
        except ValueError:
            raise TypeError(f"{what} does not tell its parameters; wrap it in a function that names them") from None
        unknown: list[str] = []
        named = {name: p.kind for name, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        left = [i for i, own in enumerate(of.names[: of.positional]) if own not in named]
        taken = {name for name, kind in named.items() if kind != kind.POSITIONAL_ONLY or name in of.keyword}
        for name, parameter in parameters.items():
            if parameter.kind is Parameter.VAR_POSITIONAL:
                self._args = lambda step: [*(step.args[i] for i in left), *step.args[of.positional :]]
            elif parameter.kind is Parameter.VAR_KEYWORD:
                self._kwargs = lambda step: {key: value for key, value in step.kwargs.items() if key not in taken}
            elif (source := self._source(parameter, of)) is None:
                unknown.append(name)
            elif parameter.kind is Parameter.KEYWORD_ONLY:
                self._keyword[name] = source
            else:
                self._positional.append(source)
        if unknown:
            declared = () if of.declared is None else of.declared.parameters
            known = [repr(name) for name in dict.fromkeys([*of.names, *declared, *self.offers])]
            *offered, last = known or ["of the action, which has none"]
            hint = ""
            if of.shape == ANY.shape and of.declared is None:
                hint = "; or is the action made by a decorator that lacks functools.wraps, which shows the parameters?"
            raise TypeError(
                f"{what} asks for {' and '.join(map(repr, unknown))}, which cannot be supplied; name a parameter "
                f"{', '.join(offered)}{' or ' if offered else ''}{last}, or give it a default{hint}"
            )

    def _source(self, parameter: Parameter, of: Parameters) -> _Source | None:
        name, default = parameter.name, parameter.default
        if name in of.names:
            return _Item(of.names.index(name) + VALUES)
        if of.declared is not None and name in of.declared.parameters:
            return lambda step: step._record[DEFINITION].argument(step._record, name)
        if name not in self.offers:
            return None if default is Parameter.empty else lambda _step: default
        if name == "result":
            self.needs_result = default is Parameter.empty
            return _Item(OUTCOME, default)
        return _OFFERED[name]

    def asks_for(self, *names: str) -> bool:
        """Whether one of its own parameters has one of these names."""
        return any(name in names for name in signature_of(self.function).parameters)

    def call(self, step: Step[Any]) -> object:
        """Call it for `step`; an async handler returns its coroutine."""
        positional = [source(step) for source in self._positional]
        keyword = {name: source(step) for name, source in self._keyword.items()}
        if self._args is not None:
            positional += self._args(step)
        if self._kwargs is not None:
            keyword |= self._kwargs(step)
        return self._function(*positional, **keyword)


class Description(Handler):
    """What says in words what a call would do: it can be given the arguments of that, since there is nothing else."""

    offers = ()


def in_line(function: Any, of: Parameters) -> Any:
    """What was given as ``undo=``, fit to be a handler of an action with these parameters.

    Something built in may have parameters whose names nobody can use, and that mean nothing here: then it is given the
    arguments of the call by position, as many as it takes.
    """
    if not callable(function) or code_of(function) is not None:
        return function
    count: int | None = None
    try:
        parameters = signature_of(function).parameters.values()
    except ValueError:
        pass  # it does not tell its parameters
    else:
        known, required = {*of.names, "result", *_OFFERED}, [p for p in parameters if p.default is Parameter.empty]
        nameless = all(p.kind is Parameter.POSITIONAL_ONLY for p in parameters)
        if not nameless or len(required) > of.positional or known.issuperset(p.name for p in required):
            return function
        count = len(parameters)

    def call(*args: Any, **kwargs: Any) -> object:
        return function(*args[:count], **kwargs)

    call.__qualname__ = display_name(function)
    return call
