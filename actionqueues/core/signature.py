"""What a callable takes: the parameters of an action, and whether it is async, read once when it is decorated.

Stands on the shapes that frames are generated for.  Used by handlers, definitions and the queue.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager, contextmanager
from inspect import Parameter
from typing import Any, NamedTuple, cast

from .frames import Shape

#: What these put in the place of a generator function: the same code for all of them.
_MAKES_MANAGERS = [decorator(print).__code__ for decorator in cast("Any", (contextmanager, asynccontextmanager))]


class Parameters(NamedTuple):
    """The parameters of a callable, in the order of a frame: positional, keyword-only, ``*args``, ``**kwargs``."""

    names: tuple[str, ...]
    shape: Shape
    defaults: tuple[Any, ...] = ()
    keyword_defaults: Mapping[str, Any] = {}
    #: What a wrapper takes according to the function that it wraps (`functools.wraps`), where that differs from what it
    #: takes itself: for good reason, if it supplies an argument of its own.
    declared: inspect.Signature | None = None

    @property
    def positional(self) -> int:
        """How many are passed by position."""
        return self.shape.positional_only + self.shape.positional

    @property
    def keyword(self) -> tuple[str, ...]:
        """The names of those that are passed by keyword only."""
        return self.names[self.positional :][: self.shape.keyword_only]

    def __str__(self) -> str:
        rest = self.names[self.positional + self.shape.keyword_only :]
        return self.shape.listed(self.names[: self.positional], self.keyword, *rest)


#: Any arguments at all.
ANY = Parameters(("args", "kwargs"), Shape(0, 0, 0, True, True))

#: An action object.
OBJECT = Parameters(("action",), Shape(1, 0, 0, False, False))


def signature_of(function: Callable[..., object], *, follow_wrapped: bool = True) -> inspect.Signature:
    """What `inspect.signature` says, without evaluating annotations: names in them may be there for type checkers only.

    Raises:
        ValueError: for a built-in callable that does not tell.
    """
    if sys.version_info >= (3, 14):  # pragma: no cover - not in all versions
        from annotationlib import Format

        return inspect.signature(function, follow_wrapped=follow_wrapped, annotation_format=Format.FORWARDREF)
    return inspect.signature(function, follow_wrapped=follow_wrapped)


def parameters_of(function: Callable[..., object]) -> Parameters:
    """What `function` takes; any arguments, if it is a built-in callable that does not tell."""
    try:
        declared = signature_of(function)
    except ValueError:
        return ANY
    if not hasattr(function, "__wrapped__"):
        return _parameters(declared)
    try:
        own = _parameters(signature_of(function, follow_wrapped=False))
    except ValueError:  # a wrapper written in C, such as `functools.cache`
        own = ANY
    return own if own.names == _parameters(declared).names else own._replace(declared=declared)


def _parameters(signature: inspect.Signature) -> Parameters:
    every = signature.parameters.values()
    # By kind, which are numbers in the order of a signature: keyword-only ones come behind `*args` there.
    only, both, rest, keyword, more = ([p for p in every if p.kind == kind] for kind in range(5))
    return Parameters(
        tuple(p.name for p in (*only, *both, *keyword, *rest, *more)),
        Shape(len(only), len(both), len(keyword), bool(rest), bool(more)),
        tuple(p.default for p in (*only, *both) if p.default is not Parameter.empty),
        {p.name: p.default for p in keyword if p.default is not Parameter.empty},
    )


def is_async(function: object) -> bool:
    """Whether calling `function` gives a coroutine: an ``async def``, a partial of one, an object called so."""
    return any(inspect.iscoroutinefunction(each) for each in _called(function))


def refuse_lazy(function: object, what: str, advice: str) -> None:
    """Raise `TypeError` if calling `function`, or the object called so, runs nothing yet."""
    for each in _called(function):
        kind = "generator function" if inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each) else None
        if getattr(each, "__code__", None) in _MAKES_MANAGERS:
            kind = "context manager"
        if kind is not None:
            raise TypeError(f"{what} is a {kind}: calling it would run nothing; {advice}")


def _called(function: object) -> tuple[object, ...]:
    """What is run when `function` is called: itself, and the method of its class that makes it callable."""
    function = _unwrap_partial(function)
    # It is looked up to be looked at, not to see whether there is one:
    return (function,) if isinstance(function, type) else (function, getattr(function, "__call__", None))  # noqa: B004


def _unwrap_partial(function: object) -> object:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def display_name(function: object) -> str:
    """The name that messages and reports use: ``create_user``, ``Shop.charge``; no module, no enclosing function."""
    function = _unwrap_partial(function)
    name = getattr(function, "__qualname__", None)
    return (name if isinstance(name, str) else type(function).__qualname__).rpartition("<locals>.")[2]
