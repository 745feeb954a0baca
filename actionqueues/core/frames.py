"""The functions that are generated for an action: exact frames instead of ``*args, **kwargs``.

Such a frame costs half, and refuses wrong arguments with the interpreter's own message before anything has happened.
Only the *shape* of a signature (how many parameters of which kind) goes into source text; names and defaults are data,
put into the compiled code afterwards.  Each shape is compiled once; its source is in `linecache`, for tracebacks.

Stands on nothing.  Used by definitions and handlers, and by what reads signatures.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Sequence
from functools import cache
from types import CodeType, FunctionType
from typing import Any, Final, NamedTuple, cast


class Shape(NamedTuple):
    """How many parameters of each kind a callable has."""

    positional_only: int
    positional: int  # the ones that can be given by keyword as well, without the former
    keyword_only: int
    var_positional: bool
    var_keyword: bool

    def listed(self, positional: Sequence[str], keyword: Sequence[str], *rest: str) -> str:
        """The text of a list of parameters of these names; the rest are those of ``*args`` and ``**kwargs``."""
        shown = list(positional)
        if self.positional_only:
            shown.insert(self.positional_only, "/")
        if self.var_positional or keyword:
            shown.append(f"*{rest[0]}" if self.var_positional else "*")
        return ", ".join([*shown, *keyword, *([f"**{rest[-1]}"] if self.var_keyword else [])])


# The frame of every step; `python -m tests.benchmarks --anatomy` measures what each line costs.
# - `current` gives the log of the block around the call, or None.  `log.direct` is true while a call in the thread of
#   the log may put its record there at once.  Other threads are only looked for if there are any: asking costs twice.
# - The record is in the log before the body starts: whatever happens to this frame, the step is known to have started.
# - `record[0] = body(...)` stores the result in the statement that gets it: nothing can come between them.
# - That a step has raised is noted before anything is called: an interrupt may keep it from being undone at once.
# - A coroutine that a plain function has returned is awaited by nobody: the step has failed.  Most results are None.
# - What is rare leaves by one exit, `elsewhere`; what goes wrong by `failed`, which says whether there is another one.
#   What the exits return gives the result when it is called, or raises: so this is the one frame in the traceback.
_CALL = """
def call({parameters}):
    log = current()
    if log is None:
        return outside({arguments})
    if not log.direct or threads() and log.thread != thread():
        return elsewhere(log, [PENDING, definition, {values}])()
    record = [PENDING, definition, {values}]{start}
    try:
        log.append(record)
        result = record[0] = body({arguments})
        if result is not None and type(result) is CoroutineType:
            raise not_awaited(record)
    except BaseException as error:
        log.block.plain, log.block.unsure = False, True
        if failed(log, record, error{started}):
            raise
    else:
        return result
    return again(log, record)()
"""

# The frame of every async step, in two parts, so that a call in a sync block is refused before there is a coroutine.
# - A block is `quick` while its steps need only be awaited: in asyncio, unless somebody watches it or it is ending.
# - The record is made when the coroutine is awaited: a call that is not awaited is no step.
# - The step has a log of its own for what its body calls, in whatever task: that is what the context holds meanwhile.
# - What the end of a block has to wait for, and cancel, stands in `block.running`, with its task.  Where there is none
#   in the loop of the block, this is another loop, which the long way finds out.
# - The context is given back, but for an interrupt before the token was stored, or a coroutine closed elsewhere.
_ASYNC_CALL = """
def call({parameters}):
    log = current()
    if log is None:
        return outside({arguments})
    if not log.block.quick:
        record = [PENDING, definition, {values}]
        return otherwise(log, record) or later(log, record)
    return step(log{passed})

async def later(log, record):
    return (await run_async(log, record))()

async def step(log{passed}):
    record = [PENDING, definition, {values}]
    block = log.block
    task = current_task(block.loop)
    if task is None or not block.quick or threads() and block.log.thread != thread():
        return (await run_async(log, record))()
    own = Log()
    own.up = log
    own.block = block
    own.record = record
    own.thread = log.thread
    own.direct = False
    own.task = task{start}
    running = block.running
    try:
        token = set_current(own)
        running[own] = None
        log.append(own)
        try:
            result = record[0] = await body({arguments})
            if result is not None and type(result) is CoroutineType:
                raise not_awaited(record)
        except BaseException as error:
            own.block.unsure = True
            if await failed_async(own, error{started}):
                raise
        else:
            return result
        return (await again_async(own))()
    finally:
        running.pop(own, None)
        if block.waiters:
            block.wake()
        try:
            reset_current(token)
        except (NameError, RuntimeError, ValueError):
            give_back(own)
"""

# What is done to a step that is queued: its record is made when it is added, its body is called later.
_QUEUED = """
def enter({parameters}):
    return [PENDING, definition, {values}]

def run(record):
    return body({unpacked})
"""

_UNDO = """
def undo(record):
    return handler({picks})
"""


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
    count, keywords = shape.positional_only + shape.positional, _keywords(shape.keyword_only)
    rest = places[count + len(keywords) :]
    texts = [*places[:count], *([f"*{rest[0]}"] if shape.var_positional else [])]
    texts += [f"{name}={place}" for name, place in zip(keywords, places[count:], strict=False)]
    return ", ".join([*texts, *([f"**{rest[-1]}"] if shape.var_keyword else [])])


@cache
def caller(shape: Shape, timed: bool, is_async: bool) -> dict[str, CodeType]:
    """The code of the functions of an action: `call` (the step), `enter` (only its record), `run` (its body).

    What they need besides their arguments are globals: copying the variables of a closure into a frame costs more.  A
    `timed` one tells when the first attempt was started, for which only a retry policy has use.
    """
    positional = [f"p{i}" for i in range(shape.positional_only + shape.positional)]
    keyword, rest = _keywords(shape.keyword_only), ["v"] * shape.var_positional + ["w"] * shape.var_keyword
    values = positional + keyword + rest  # in the order of `co_varnames`
    parameters = shape.listed(positional, keyword, *rest)
    source = ((_ASYNC_CALL if is_async else _CALL) + _QUEUED).format(
        parameters=parameters,
        arguments=_arguments(shape, values),
        values=", ".join(values),
        passed="".join(f", {name}" for name in values),
        start="\n    started = clock()" if timed else "",
        started=", started" if timed else "",
        unpacked=_arguments(shape, [f"record[{i + 2}]" for i in range(len(values))]),
    )
    return _compile(source, f"{'an async' if is_async else 'a'}{' retried' if timed else ''} step ({parameters})")


def current_task_getter() -> Callable[[Any], object]:
    """`asyncio.current_task`, or, on CPython 3.11, where that is written in Python and takes long, what it looks up."""
    import asyncio

    if sys.version_info >= (3, 12):  # pragma: no cover - not in all versions
        return asyncio.current_task
    tasks: Any = asyncio.tasks
    return cast("Callable[[Any], object]", tasks._current_tasks.get)  # pragma: no cover - likewise


def specialize(code: CodeType, variables: dict[str, Any], qualname: str, names: Sequence[str]) -> FunctionType:
    """A function of such code, with these globals and the real names of its parameters, in the order of a frame.

    Its own variables get names that no parameter can have, as comprehensions do it (``.0``).
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


def place_of_caller() -> tuple[CodeType, int] | None:
    """What has called the function that calls this, and how far it has come: for the line, should anybody ask.

    A frame, its code and an offset cost little; a line, and even more a traceback, would be paid for each call.
    """
    try:
        frame = sys._getframe(2)
    except ValueError:  # nothing written in Python has, as in a greenlet
        return None
    return frame.f_code, frame.f_lasti


def place_outside() -> tuple[str, int, str | None]:
    """The file, the line and the module of what has called into this package, as far as that is written in Python."""
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(OURS):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno, frame.f_globals.get("__name__")


#: What the file names of this package begin with, and those of the functions that it generates.
OURS: Final = (__file__[: -len("core/frames.py")], "<actionqueues: ")


def undoer(handler: Callable[..., object], places: Sequence[int], keyword: Sequence[str]) -> FunctionType:
    """A function of a record that calls `handler` with the items at these places, the last ones by these names."""
    code = rename_keywords(_undo_code(tuple(places), len(keyword)), keyword)
    return FunctionType(code, {"handler": handler, "__builtins__": {}, "__tracebackhide__": True})


@cache
def _undo_code(places: tuple[int, ...], keyword: int) -> CodeType:
    names = [""] * (len(places) - keyword) + [f"{name}=" for name in _keywords(keyword)]
    picks = ", ".join(f"{name}record[{place}]" for name, place in zip(names, places, strict=True))
    return _compile(_UNDO.format(picks=picks), f"an undo ({picks})")["undo"]
