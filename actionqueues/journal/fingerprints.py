"""Fingerprints of rollback handlers: whether the code that is to undo a step is that of the program that has made it.

What counts is the handler's own code, with what is defined in it, its defaults, and what decorators have put around it:
not the functions that it calls, nor comments, line numbers and docstrings.  Code is compiled differently by each
version of Python, and without assertions by ``python -O``: what another one has recorded is not compared.

Stands on handlers.  Used by the recording, and by what undoes what another process has recorded.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache, partial
from hashlib import blake2b
from inspect import (
    CO_ASYNC_GENERATOR,
    CO_COROUTINE,
    CO_GENERATOR,
    CO_ITERABLE_COROUTINE,
    CO_VARARGS,
    CO_VARKEYWORDS,
)
from opcode import EXTENDED_ARG, hasconst
from types import CodeType
from typing import Any, Final

from actionqueues.core.definition import Definition, definition_behind, function_of
from actionqueues.core.signature import code_of
from actionqueues.core.step import DEFINITION, VALUES, Step

from .marking import DurableFunction

__all__ = ["fingerprint_of", "has_changed"]

_COMPILER: Final = f"{sys.implementation.cache_tag}{f'-O{sys.flags.optimize}' if sys.flags.optimize else ''}:"

#: Constants whose text says all about them; of anything else, only the type is looked at.
_TOLD: Final = frozenset({int, float, complex, bool, str, bytes, type(None), type(...)})

#: The flags of code that say how it is called: others tell of its docstring, and of ``from __future__ import``.
_CALLING: Final = CO_VARARGS | CO_VARKEYWORDS | CO_GENERATOR | CO_COROUTINE | CO_ITERABLE_COROUTINE | CO_ASYNC_GENERATOR

#: As many layers of decorators are looked through.
_DEEPEST: Final = 50


def fingerprint_of(step: Step[Any]) -> str | None:
    """The fingerprint of what undoes a step; None if nothing does, or it is not written in Python."""
    record = step._record
    definition: Definition = record[DEFINITION]
    with suppress(Exception):  # an override that cannot be called: the undo will say so
        if definition.is_object:
            return _of(type(record[VALUES]).rollback)
        handler = definition.handler_of(record)
        if handler is not None:
            function: Any = definition.function if definition.frame is None else handler.function
            try:
                hash(function)
            except TypeError:  # a dataclass that can be called, say
                return _of.__wrapped__(function)
            return _of(function)
    return None


def has_changed(recorded: str | None, step: Step[Any]) -> bool:
    """Whether what undoes a step is another code than was recorded."""
    if recorded is None or not recorded.startswith(_COMPILER):
        return False
    return fingerprint_of(step) != recorded


@lru_cache(maxsize=1024)
def _of(function: Any) -> str | None:
    codes = [(each, code) for each in _layers(function) if (code := code_of(each)) is not None]
    if not codes:
        return None
    texts = [_text(code) for _, code in codes]
    for each, _ in codes:
        texts += [_text(getattr(each, "__defaults__", None)), _text(getattr(each, "__kwdefaults__", None))]
    return f"{_COMPILER}{blake2b(''.join(texts).encode(errors='backslashreplace'), digest_size=12).hexdigest()}"


def _layers(function: Any) -> Iterator[Any]:
    """A function, and those that its decorators have been put around."""
    for _ in range(_DEEPEST):
        definition = definition_behind(function_of(function))
        if definition is not None:
            function = definition.function
        if isinstance(function, DurableFunction):
            function = function.function
            continue
        if isinstance(function, partial):
            function = function.func
            continue
        yield function
        function = getattr(function, "__wrapped__", None)
        if function is None:
            return


def _instructions(code: CodeType) -> Iterator[str]:
    """What it does; a constant by itself, and not by its place, which a docstring that nothing loads may have."""
    whole = code.co_code
    extended = 0
    for operation, argument in zip(whole[::2], whole[1::2], strict=True):
        if operation == EXTENDED_ARG:
            extended = (extended | argument) << 8
            continue
        place, extended = extended | argument, 0
        yield f"{operation} {_text(code.co_consts[place]) if operation in hasconst else place}"


def _text(value: Any) -> str:
    """All that counts of a piece of code, or of a constant, the same in each process."""
    if isinstance(value, CodeType):
        parameters = value.co_argcount + value.co_kwonlyargcount
        names = (value.co_names, value.co_varnames[:parameters], value.co_freevars, value.co_flags & _CALLING)
        return f"<{';'.join(_instructions(value))} {names} {value.co_exceptiontable.hex()}>"
    if isinstance(value, slice):
        value = value.start, value.stop, value.step
    if isinstance(value, tuple | list):
        return f"({','.join(map(_text, value))})"
    if isinstance(value, frozenset):
        return f"{{{','.join(sorted(map(_text, value)))}}}"  # in an order that does not depend on hashes
    if isinstance(value, dict):
        return _text([*value.items()])
    kind = type(value)
    return f"{kind.__qualname__} {value!r}" if kind in _TOLD else kind.__qualname__
