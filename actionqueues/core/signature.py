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
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple, TypeVar, cast

from actionqueues.errors import CoroutineNotAwaited

from .frames import Shape

T = TypeVar("T")

#: What these put in the place of a generator function: the same code for all of them.
_MAKES_MANAGERS = [decorator(print).__code__ for decorator in cast("Any", (contextmanager, asynccontextmanager))]

#: What tells by itself, so that it need not be looked at any closer, which takes long.
_FUNCTIONS = (FunctionType, MethodType)


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
    cls = type(function)
    own = getattr(cls, "__call__", None)  # noqa: B004 - it is asked for its signature, not whether it can be called - to be looked at
    if type(own) is FunctionType and inspect.getattr_static(cls, "__call__") is own and not _tells(function):
        # Of an object: `inspect` would ask it for attributes, and compare it, which mocks and proxies take for calls.
        function = MethodType(own, function)
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
    if not _has(function, "__wrapped__"):
        return _parameters(declared)
    try:
        own = _parameters(signature_of(function, follow_wrapped=False))
    except ValueError:  # a wrapper written in C, such as `functools.cache`
        own = ANY
    return own if own.names == _parameters(declared).names else own._replace(declared=declared)


def _tells(function: object) -> bool:
    """Whether it says itself what it takes."""
    return _has(function, "__signature__") or _has(function, "__wrapped__")


def _has(function: object, name: str) -> bool:
    """Whether it has such an attribute, and does not just answer to every name."""
    if type(function) is MethodType:
        function = function.__func__
    return inspect.getattr_static(function, name, None) is not None


def unwrapped(function: Any) -> Any:
    """What is wrapped by `function` and its like, innermost."""
    seen: set[int] = set()
    while _has(function, "__wrapped__") and id(function) not in seen:
        seen.add(id(function))
        function = function.__wrapped__
    return function


def text_attribute(thing: object, name: str, default: T) -> str | T:
    """An attribute, such as ``__qualname__``, if that is a text; what answers to every name may give anything."""
    text: object = getattr(thing, name, None)
    return text if isinstance(text, str) else default


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
    # Until 3.14 `asyncio` knows of a mark of its own, which mocks have.
    known: Any = (sys.modules.get("asyncio") if sys.version_info < (3, 14) else None) or inspect
    return any(known.iscoroutinefunction(each) for each in _called(function))


def refuse_lazy(function: object, what: str, advice: str) -> None:
    """Raise `TypeError` if calling `function`, or the object called so, runs nothing yet."""
    for each in _called(function):
        kind = "generator function" if inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each) else None
        if getattr(each, "__code__", None) in _MAKES_MANAGERS:
            kind = "context manager"
        if kind is not None:
            raise TypeError(f"{what} is a {kind}: calling it would run nothing; {advice}")


def _called(function: object) -> tuple[object, ...]:
    """What is run when `function` is called: itself, and the method of its class that makes it callable.

    Not what says anything of its code, as the mock of a function does.
    """
    function = _unwrap_partial(function)
    # It is looked up to be looked at, not to see whether there is one:
    both = (function,) if isinstance(function, type) else (function, getattr(function, "__call__", None))  # noqa: B004
    return tuple(
        each
        for each in both
        if type(each) in _FUNCTIONS
        or getattr(each, "__code__", None) is None
        or _has(each, "__code__")
        or _has(each, "__wrapped__")
    )


def code_of(function: object) -> CodeType | None:
    """The code that is run when `function` is called, if that is written in Python."""
    found = (getattr(each, "__code__", None) for each in _called(function))
    return next((code for code in found if isinstance(code, CodeType)), None)


def _unwrap_partial(function: object) -> object:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def display_name(function: object) -> str:
    """The name that messages and reports use: ``create_user``, ``Shop.charge``; no module, no enclosing function."""
    function = _unwrap_partial(function)
    return text_attribute(function, "__qualname__", type(function).__qualname__).rpartition("<locals>.")[2]


def unawaited(coroutine: Any, function: object, name: str) -> CoroutineNotAwaited:
    """What is wrong with `function`, which is no ``async def`` and has returned a coroutine; that is closed."""
    coroutine.close()
    function = _unwrap_partial(function)
    function = function.__func__ if isinstance(function, MethodType) else function
    if isinstance(function, FunctionType):  # `functools.wraps` hides which one it is
        code = function.__code__
        name += f" ({code.co_qualname} in {code.co_filename}, line {code.co_firstlineno})"
    return CoroutineNotAwaited(name, coroutine.__qualname__)
