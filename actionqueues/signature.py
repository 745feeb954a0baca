"""What a callable takes: the parameters of an action, and whether it is async, read once when it is decorated."""

from __future__ import annotations

import functools
import inspect
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

from .frames import Shape

__all__ = ["ANY", "OBJECT", "Parameters", "display_name", "is_async", "is_generator", "parameters_of"]


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a callable, in the order of a frame: positional, keyword-only, ``*args``, ``**kwargs``."""

    names: tuple[str, ...]
    shape: Shape
    defaults: tuple[Any, ...]
    keyword_defaults: dict[str, Any]

    @property
    def positional(self) -> int:
        """How many are passed by position."""
        return self.shape.positional_only + self.shape.positional


#: Any arguments at all.
ANY = Parameters(("args", "kwargs"), Shape(0, 0, 0, True, True), (), {})

#: An action object.
OBJECT = Parameters(("action",), Shape(1, 0, 0, False, False), (), {})


def parameters_of(function: Callable[..., object]) -> Parameters:
    """The parameters that `inspect.signature` reports; any, for the built-in callables that report none."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return ANY
    by_kind: dict[object, list[Parameter]] = defaultdict(list)
    for parameter in parameters:
        by_kind[parameter.kind].append(parameter)
    only, both, keyword = (
        by_kind[kind] for kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    )
    var_positional, var_keyword = by_kind[Parameter.VAR_POSITIONAL], by_kind[Parameter.VAR_KEYWORD]
    ordered = [*only, *both, *keyword, *var_positional, *var_keyword]
    return Parameters(
        tuple(parameter.name for parameter in ordered),
        Shape(len(only), len(both), len(keyword), bool(var_positional), bool(var_keyword)),
        tuple(p.default for p in (*only, *both) if p.default is not Parameter.empty),
        {p.name: p.default for p in keyword if p.default is not Parameter.empty},
    )


def is_async(function: object) -> bool:
    """Whether calling `function` gives a coroutine: an ``async def``, a partial of one, an object called so."""
    return any(inspect.iscoroutinefunction(each) for each in _called(function))


def is_generator(function: object) -> bool:
    """Whether calling `function` runs nothing yet: a generator function, sync or async, or an object called so."""
    return any(inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each) for each in _called(function))


def _called(function: object) -> tuple[object, ...]:
    """What is run when `function` is called: itself, and the method of its class that makes it callable."""
    function = _unwrap_partial(function)
    return (function,) if isinstance(function, type) else (function, getattr(function, "__call__", None))  # noqa: B004


def _unwrap_partial(function: object) -> object:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def display_name(function: object) -> str:
    """The name that messages and reports use: ``create_user``, ``Shop.charge``; no module, no enclosing function."""
    function = _unwrap_partial(function)
    name = getattr(function, "__qualname__", None)
    if not isinstance(name, str):
        name = type(function).__qualname__
    return name.rpartition("<locals>.")[2]
