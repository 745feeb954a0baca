"""The frames of a step, built up by hand: each does what the one before it does, and one thing more."""

from _thread import _count as threads
from _thread import get_ident as thread
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

from wrapt import CallableObjectProxy

PENDING = definition = object()
context: ContextVar[Any] = ContextVar("current", default=None)
current = context.get


def body(a: int, b: int) -> int:
    return a


async def async_body(a: int, b: int) -> int:
    return a


def undo(a: int, b: int) -> None:
    return None


class Owner:
    """Takes over where something is out of the ordinary, which nothing is here."""

    def elsewhere(self, *_: object) -> int:
        raise AssertionError

    failed = again = refusal = ended = elsewhere


class Part(NamedTuple):
    """A frame, and what it does that the one before it does not."""

    adds: str
    call: Callable[..., Any]


def _framed(a: int, b: int) -> int:
    return body(a, b)


def _in_a_block(a: int, b: int) -> int:
    log = current()
    if log is None:
        return body(a, b)
    return body(a, b)


def _open(a: int, b: int) -> int:
    log = current()
    if log is None:
        return body(a, b)
    if log[0]:
        return int(log[2].elsewhere(log))
    return body(a, b)


def _in_this_thread(a: int, b: int) -> int:
    log = current()
    if log is None:
        return body(a, b)
    if log[0] or (threads() and log[1] != thread()):
        return int(log[2].elsewhere(log))
    return body(a, b)


def _recorded(a: int, b: int) -> int:
    log = current()
    if log is None:
        return body(a, b)
    if log[0] or (threads() and log[1] != thread()):
        return int(log[2].elsewhere(log))
    log += (a, b, PENDING, definition)
    return body(a, b)


def _step(a: int, b: int) -> int:
    log = current()
    if log is None:
        return body(a, b)
    if log[0] or (threads() and log[1] != thread()):
        return int(log[2].elsewhere(log))
    place = len(log) + 2
    try:
        log += (a, b, PENDING, definition)
        result = log[place] = body(a, b)
    except BaseException as error:
        if log[2].failed(place, error):
            raise
    else:
        return result
    return int(log[2].again(place))


STEP = (
    Part("the bare function", body),
    Part("a frame with its signature: wrong arguments are refused before anything has happened", _framed),
    Part("wrapt's proxy around that: what is decorated looks like the function", CallableObjectProxy(_framed)),
    Part("which block is around the call: a context variable", CallableObjectProxy(_in_a_block)),
    Part("whether that takes steps: closed, journaled, async steps running", CallableObjectProxy(_open)),
    Part("whether another thread has made it", CallableObjectProxy(_in_this_thread)),
    Part(
        "a record before the body starts: whatever interrupts it is undone",
        CallableObjectProxy(_recorded),
    ),
    Part("its result in the record, and what is done if it raises", CallableObjectProxy(_step)),
)


def method(self: object, a: int, b: int) -> int:
    log = current()
    if log is None:
        return body(a, b)
    if log[0] or (threads() and log[1] != thread()):
        return int(log[2].elsewhere(log))
    place = len(log) + 3
    try:
        log += (self, a, b, PENDING, definition)
        result = log[place] = body(a, b)
    except BaseException as error:
        if log[2].failed(place, error):
            raise
    else:
        return result
    return int(log[2].again(place))


def _async_framed(a: int, b: int) -> Any:
    return async_body(a, b)


async def _awaited(log: Any, a: int, b: int) -> int:
    return await async_body(a, b)


def _async_in_a_block(a: int, b: int) -> Any:
    log = current()
    if log is None:
        return async_body(a, b)
    if not log[3]:
        raise log[2].refusal("name")
    return _awaited(log, a, b)


async def _async_recorded(log: Any, a: int, b: int) -> int:
    if log[0] or (threads() and log[1] != thread()):
        return int(await log[2].elsewhere(log))
    place = len(log) + 2
    try:
        log += (a, b, PENDING, definition)
        result: int = await async_body(a, b)
        log[place] = result
    except BaseException as error:
        if await log[2].failed(place, error):
            raise
    else:
        return result
    return int(await log[2].again(place))


def _async_with_record(a: int, b: int) -> Any:
    log = current()
    if log is None:
        return async_body(a, b)
    if not log[3]:
        raise log[2].refusal("name")
    return _async_recorded(log, a, b)


async def _async_counted(log: Any, a: int, b: int) -> int:
    if log[0] or (threads() and log[1] != thread()):
        return int(await log[2].elsewhere(log))
    place = len(log) + 2
    log[0] = 1
    try:
        try:
            log += (a, b, PENDING, definition)
            result: int = await async_body(a, b)
            log[place] = result
        except BaseException as error:
            if await log[2].failed(place, error):
                raise
        else:
            return result
        return int(await log[2].again(place))
    finally:
        log[0] -= 1
        if log[0]:
            log[2].ended()


def _async_step(a: int, b: int) -> Any:
    log = current()
    if log is None:
        return async_body(a, b)
    if not log[3]:
        raise log[2].refusal("name")
    return _async_counted(log, a, b)


ASYNC_STEP = (
    Part("the bare function", async_body),
    Part("wrapt's proxy, and a frame with its signature", CallableObjectProxy(_async_framed)),
    Part("a coroutine around its own, after a sync block has been refused", CallableObjectProxy(_async_in_a_block)),
    Part(
        "a record before the body starts, its result, what is done if it raises",
        CallableObjectProxy(_async_with_record),
    ),
    Part("how many are running, for the end of the block to wait for", CallableObjectProxy(_async_step)),
)
