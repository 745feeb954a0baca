"""What a callable takes: the parameters of an action, and whether it is async, read once when it is decorated.

Stands on the shapes that frames are generated for.  Used by handlers, definitions and the queue.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from inspect import Parameter
from typing import Any, cast

from .frames import Shape

__all__ = ["ANY", "OBJECT", "Parameters", "display_name", "is_async", "lazy_kind", "parameters_of", "signature_of"]


#: What these put in the place of a generator function: the same code for all of them.
_MAKES_MANAGERS = [decorator(print).__code__ for decorator in cast("Any", (contextmanager, asynccontextmanager))]


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a callable, in the order of a frame: positional, keyword-only, ``*args``, ``**kwargs``.

    Attributes:
        declared: what a wrapper takes according to the function that it wraps (`functools.wraps`), where that differs
            from what it takes itself; a wrapper that supplies an argument of its own makes it differ for good reason.
    """

    names: tuple[str, ...]
    shape: Shape
    defaults: tuple[Any, ...] = ()
    keyword_defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    declared: inspect.Signature | None = None

    @property
    def positional(self) -> int:
        """How many are passed by position."""
        return self.shape.positional_only + self.shape.positional

    def __str__(self) -> str:
        count, by_keyword = self.positional, self.positional + self.shape.keyword_only
        positional, keyword, rest = self.names[:count], self.names[count:by_keyword], self.names[by_keyword:]
        return self.shape.listed(positional, keyword, *rest)

    def offered(self) -> list[str]:
        """The names of all parameters whose value in a call can be told."""
        declared = () if self.declared is None else self.declared.parameters
        return [*self.names, *(name for name in declared if name not in self.names)]


#: Any arguments at all.
ANY = Parameters(("args", "kwargs"), Shape(0, 0, 0, True, True))

#: An action object.
OBJECT = Parameters(("action",), Shape(1, 0, 0, False, False))


def signature_of(function: Callable[..., object], *, follow_wrapped: bool = True) -> inspect.Signature:
    """What `inspect.signature` says, without evaluating annotations that cannot be evaluated yet, or ever.

    From CPython 3.14 on, annotations are evaluated when somebody asks for them, and the names in them need not be
    there: those that are imported for type checkers only never are.

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
    return own if own.names == _parameters(declared).names else replace(own, declared=declared)


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


def lazy_kind(function: object) -> str | None:
    """What `function`, or the object called so, is if calling it runs nothing yet; None for all others.

    That is a ``"generator function"``, sync or async, or a ``"context manager"`` of `contextlib`.
    """
    for each in _called(function):
        if inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each):
            return "generator function"
        if getattr(each, "__code__", None) in _MAKES_MANAGERS:
            return "context manager"
    return None


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
