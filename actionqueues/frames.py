"""The functions that are generated for an action: exact frames instead of ``*args, **kwargs``.

A frame with the parameters of the action itself costs half of one that packs and unpacks them, and it refuses wrong
arguments with the interpreter's own message before anything has happened.  Only the *shape* of a signature (how many
parameters of which kind) goes into source text; names and defaults are data, put into the compiled code afterwards.
Each shape is compiled once; its source is in `linecache`, so that tracebacks show it.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import CodeType, FunctionType
from typing import Any, NamedTuple, cast

__all__ = ["ASYNC_STEPS", "Shape", "caller", "rename_keywords", "specialize", "undoer"]


class Shape(NamedTuple):
    """How many parameters of each kind a callable has."""

    positional_only: int
    positional: int  # the ones that can be given by keyword as well, without the former
    keyword_only: int
    var_positional: bool
    var_keyword: bool


# The frame of every step.  What each line is for, and what it costs on CPython 3.11 where calling the body takes 20 ns
# (`python -m tests.benchmarks --anatomy` measures it): the proxy in front of it 24 ns, the frame 20, `current` 11, the
# barrier 4, other threads 14, the record 32, its result and the `try` 29.
# - `current` is the bound `get` of a ContextVar: the log of the block around the call, or None.
# - `log[0]` is not 0 while an async step is running, and once the log takes no more records; other threads are only
#   looked for if there are any at all, since that costs half of asking which one this is.
# - The record is in the log before the body starts, so that whatever happens to this frame, the step is known to have
#   been started.  It goes there by one operation, without an object of its own.
# - `log[place] = body(...)` stores the result in the statement that gets it: nothing can come between them.
# - Everything else is done by the owner of the log, once something has gone wrong.
_CALL = """
def call({parameters}):
    log = current()
    if log is None:
        return outside({arguments})
    if log[0] or threads() and log[1] != thread():
        return log[2].elsewhere(log, [{values}PENDING, definition])
    place = len(log) + {count}{start}
    try:
        log += ({values}PENDING, definition)
        result = log[place] = body({arguments})
    except BaseException as error:
        if log[2].failed(place, error{started}):
            raise
    else:
        return result
    return log[2].again(place)
"""

# The frame of every async step, in two parts, so that a call in a sync block is refused before there is a coroutine.
# - `log[3]` is true if all that has to be done with the coroutine is to await it.
# - Its record is made when it is awaited: a call that is not awaited is no step.
# - `log[0]` counts the async steps that are running: the end of the block waits for them.  While there is one, what is
#   called is made by it or runs beside it; finding out which takes a look at the stack, so that is left to the owner.
#   The interpreter looks for signals only where something is called and where a loop goes back: no interrupt can come
#   between `log[0] = 1` and the `try`, nor before `log[0] -= 1` is done.
_ASYNC_CALL = """
def call({parameters}):
    log = current()
    if log is None:
        return outside({arguments})
    if log[3] is not True:
        return log[2].otherwise(log, [{values}PENDING, definition])
    return step(log{passed})

async def step(log{passed}):
    if log[0] or threads() and log[1] != thread():
        return await log[2].elsewhere_async(log, [{values}PENDING, definition])
    place = len(log) + {count}{start}
    log[0] = 1
    try:
        try:
            log += ({values}PENDING, definition)
            result = log[place] = await body({arguments})
        except BaseException as error:
            if await log[2].failed_async(place, error{started}):
                raise
        else:
            return result
        return await log[2].again_async(place)
    finally:
        log[0] -= 1
        if log[0]:
            log[2].ended()
"""

# What is done to a step that is queued: its entry is made when it is added, its body is called later.
_QUEUED = """
def enter({parameters}):
    return [{values}PENDING, definition]

def run(entry):
    return body({unpacked})
"""

_UNDO = """
def undo(log, place):
    return handler({picks})
"""


#: The code of the frames of async steps: how a task that runs one is found.
ASYNC_STEPS: set[CodeType] = set()


def _compile(source: str, label: str) -> dict[str, CodeType]:
    """The code of the functions that a source defines."""
    filename = f"<actionqueues: {label}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {}
    exec(compile(source, filename, "exec"), namespace)  # noqa: S102 - the text is made from numbers alone
    return {name: thing.__code__ for name, thing in namespace.items() if isinstance(thing, FunctionType)}


def _keywords(count: int) -> list[str]:
    """Stand-ins for the names that are passed by keyword; they end up among the constants of the code."""
    return [f"k{i}" for i in range(count)]


def _arguments(shape: Shape, places: Sequence[str]) -> str:
    """The text of an argument list that passes on what stands at `places`."""
    count = shape.positional_only + shape.positional
    texts = list(places[:count])
    keywords = _keywords(shape.keyword_only)
    rest = list(places[count + len(keywords) :])
    if shape.var_positional:
        texts.append(f"*{rest.pop(0)}")
    texts += [f"{name}={place}" for name, place in zip(keywords, places[count:], strict=False)]
    if shape.var_keyword:
        texts.append(f"**{rest.pop(0)}")
    return ", ".join(texts)


@cache
def caller(shape: Shape, timed: bool, is_async: bool) -> dict[str, CodeType]:
    """The code of the functions of an action: `call` (the step), `enter` (only its entry), `run` (its body).

    What they need besides their arguments are globals, since copying the variables of a closure into a frame would cost
    more than looking up those few of them that a call uses.  A `timed` one tells the log when the first attempt was
    started; only a retry policy has use for that.  The values of a record stand in the order of ``co_varnames``:
    positional, keyword-only, ``*args``, ``**kwargs``.
    """
    positional = [f"p{i}" for i in range(shape.positional_only + shape.positional)]
    keyword = _keywords(shape.keyword_only)
    parameters = list(positional)
    if shape.positional_only:
        parameters.insert(shape.positional_only, "/")
    if shape.var_positional:
        parameters.append("*v")
    elif keyword:
        parameters.append("*")
    parameters += keyword
    if shape.var_keyword:
        parameters.append("**w")
    values = positional + keyword + ["v"] * shape.var_positional + ["w"] * shape.var_keyword
    source = ((_ASYNC_CALL if is_async else _CALL) + _QUEUED).format(
        parameters=", ".join(parameters),
        arguments=_arguments(shape, values),
        values="".join(f"{name}, " for name in values),
        count=len(values),
        passed="".join(f", {name}" for name in values),
        start="\n    started = clock()" if timed else "",
        started=", started" if timed else "",
        unpacked=_arguments(shape, [f"entry[{i}]" for i in range(len(values))]),
    )
    kind = f"{'an async' if is_async else 'a'}{' retried' if timed else ''} step"
    return _compile(source, f"{kind} with {_label(shape)}")


def _label(shape: Shape) -> str:
    words = [f"{shape.positional_only + shape.positional} positional"]
    if shape.positional_only:
        words[0] += f" ({shape.positional_only} of them only)"
    if shape.keyword_only:
        words.append(f"{shape.keyword_only} keyword-only")
    words += ["*args"] * shape.var_positional + ["**kwargs"] * shape.var_keyword
    return ", ".join(words) + " parameters"


def specialize(code: CodeType, variables: dict[str, Any], qualname: str, names: Sequence[str]) -> FunctionType:
    """A function of such code, with the real names of the parameters, put in as data.

    Its own variables get names that no parameter can have, as comprehensions do it (``.0``).

    Args:
        code: from `caller`, of a function that has the parameters of the action.
        variables: its globals.
        qualname: its name in tracebacks, and in messages about wrong arguments.
        names: the names of the parameters, in the order of a frame.
    """
    own = tuple(f".{variable}" for variable in code.co_varnames[len(names) :])
    code = code.replace(co_name=qualname.rpartition(".")[2], co_qualname=qualname, co_varnames=(*names, *own))
    return FunctionType(code, variables)


def rename_keywords(code: CodeType, names: Sequence[str]) -> CodeType:
    """`code` with these names, put in as data, for its stand-ins for names that are passed by keyword."""
    real = dict(zip(_keywords(len(names)), names, strict=True))

    def rename(constant: object) -> object:
        if isinstance(constant, tuple):
            return tuple(rename(item) for item in cast("tuple[object, ...]", constant))
        return real.get(constant, constant) if isinstance(constant, str) else constant

    return code.replace(co_consts=tuple(rename(constant) for constant in code.co_consts)) if real else code


def undoer(handler: Callable[..., object], positional: Sequence[int], keyword: Mapping[str, int]) -> FunctionType:
    """A function of a log and the place of a record in it that calls `handler` with these items of the record."""
    code = _undo_code(tuple(positional), tuple(keyword.values()))
    return FunctionType(rename_keywords(code, tuple(keyword)), {"handler": handler, "__builtins__": {}})


@cache
def _undo_code(positional: tuple[int, ...], keyword: tuple[int, ...]) -> CodeType:
    items = [f"log[place + {place}]" if place else "log[place]" for place in (*positional, *keyword)]
    picks = items[: len(positional)]
    picks += [f"{name}={item}" for name, item in zip(_keywords(len(keyword)), items[len(positional) :], strict=True)]
    by_keyword = f", {len(keyword)} of them by keyword" if keyword else ""
    label = f"an undo given items {positional + keyword} of the record{by_keyword}"
    return _compile(_UNDO.format(picks=", ".join(picks)), label)["undo"]
