"""The frames of a step, built up by hand: each does what the one before it does, and one thing more."""

from _thread import _count as threads
from _thread import get_ident as thread
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

from wrapt import CallableObjectProxy


class Log(list[Any]):
    """What was started, in order of start; an entry is the record of a step, or another log."""

    __slots__ = ("block", "direct", "record", "task", "thread", "up")
    __hash__ = object.__hash__  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    __eq__ = object.__eq__

    up: "Log | None"
    block: object
    record: list[Any] | None
    direct: bool
    thread: int
    task: object


def opened(block: object = None) -> Log:
    """The log of a block."""
    log = Log()
    log.up = log.record = log.task = None
    log.block = block
    log.direct = True
    log.thread = thread()
    return log


PENDING = definition = object()
context: ContextVar[Log | None] = ContextVar("current", default=None)
current = context.get


def body(a: int, b: int) -> int:
    return a


async def async_body(a: int, b: int) -> int:
    return a


def undo(a: int, b: int) -> None:
    return None


async def async_undo(a: int, b: int) -> None:
    return None


def elsewhere(*_: object) -> Any:
    """Take over where something is out of the ordinary, which nothing is here."""
    raise AssertionError


outside, async_outside = body, async_body
failed = again = async_failed = async_again = elsewhere


class Part(NamedTuple):
    """A frame, and what it does that the one before it does not."""

    adds: str
    call: Callable[..., Any]


def _framed(a: int, b: int) -> int:
    return body(a, b)


def _in_a_block(a: int, b: int) -> int:
    log = current()
    if log is None:
        return outside(a, b)
    return body(a, b)


def _tried(a: int, b: int) -> int:
    log = current()
    if log is None:
        return outside(a, b)
    try:
        result = body(a, b)
    except BaseException as error:
        if failed(log, error):
            raise
    else:
        return result
    return int(again(log))


def _recorded(a: int, b: int) -> int:
    log = current()
    if log is None:
        return outside(a, b)
    record = [PENDING, definition, a, b]
    try:
        log.append(record)
        result = record[0] = body(a, b)
    except BaseException as error:
        if failed(log, record, error):
            raise
    else:
        return result
    return int(again(log, record))


def _in_this_thread(a: int, b: int) -> int:
    log = current()
    if log is None:
        return outside(a, b)
    if not log.direct or (threads() and log.thread != thread()):
        return int(elsewhere(log, [PENDING, definition, a, b]))
    record = [PENDING, definition, a, b]
    try:
        log.append(record)
        result = record[0] = body(a, b)
    except BaseException as error:
        if failed(log, record, error):
            raise
    else:
        return result
    return int(again(log, record))


STEP = (
    Part("the bare function", body),
    Part("a frame with its signature: wrong arguments are refused before anything has happened", _framed),
    Part("which block is around the call: a context variable", _in_a_block),
    Part("what is done if the body raises: a try", _tried),
    Part("a record in the log before the body starts, and its result: what was started is undone", _recorded),
    Part("whether the log takes it: closed, watched, in another thread", _in_this_thread),
    Part("wrapt's proxy around that: what is decorated looks like the function", CallableObjectProxy(_in_this_thread)),
)


def method(self: object, a: int, b: int) -> int:
    """The frame of the last part with one parameter more."""
    log = current()
    if log is None:
        return outside(a, b)
    if not log.direct or (threads() and log.thread != thread()):
        return int(elsewhere(log, [PENDING, definition, self, a, b]))
    record = [PENDING, definition, self, a, b]
    try:
        log.append(record)
        result = record[0] = body(a, b)
    except BaseException as error:
        if failed(log, record, error):
            raise
    else:
        return result
    return int(again(log, record))
