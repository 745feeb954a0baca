"""The frames of an async step, built up by hand: its record has a log of its own, for what its body calls.

As in the library the call itself is a plain function, which makes the coroutine that is awaited.
"""

from asyncio import current_task, get_running_loop
from collections.abc import Callable
from typing import Any

from wrapt import CallableObjectProxy

from tests.benchmarks.by_hand import (
    PENDING,
    Log,
    Part,
    async_again,
    async_body,
    async_failed,
    async_outside,
    context,
    current,
    definition,
)

running: dict[Log, None] = {}
set_current = context.set


def _framed(a: int, b: int) -> Any:
    return async_body(a, b)


def _calling(step: Callable[[Log, int, int], Any]) -> Callable[..., Any]:
    def call(a: int, b: int) -> Any:
        log = current()
        if log is None:
            return async_outside(a, b)
        return step(log, a, b)

    return call


async def _awaited(log: Log, a: int, b: int) -> int:
    return await async_body(a, b)


async def _recorded(log: Log, a: int, b: int) -> int:
    record = [PENDING, definition, a, b]
    try:
        log.append(record)
        result: int = await async_body(a, b)
        record[0] = result
    except BaseException as error:
        if await async_failed(log, record, error):
            raise
    else:
        return result
    return int(await async_again(log, record))


async def _in_a_log(log: Log, a: int, b: int) -> int:
    record = [PENDING, definition, a, b]
    own = Log()
    own.up, own.block, own.record = log, log.block, record
    own.thread, own.direct = log.thread, False
    try:
        log.append(own)
        result: int = await async_body(a, b)
        record[0] = result
    except BaseException as error:
        if await async_failed(own, error):
            raise
    else:
        return result
    return int(await async_again(own))


async def _in_its_context(log: Log, a: int, b: int) -> int:
    record = [PENDING, definition, a, b]
    own = Log()
    own.up, own.block, own.record = log, log.block, record
    own.thread, own.direct = log.thread, False
    try:
        set_current(own)
        log.append(own)
        try:
            result: int = await async_body(a, b)
            record[0] = result
        except BaseException as error:
            if await async_failed(own, error):
                raise
        else:
            return result
        return int(await async_again(own))
    finally:
        if current() is own:
            set_current(log)


async def _noted(log: Log, a: int, b: int) -> int:
    record = [PENDING, definition, a, b]
    own = Log()
    own.up, own.block, own.record = log, log.block, record
    own.thread, own.direct = log.thread, False
    own.task = current_task(get_running_loop())
    try:
        set_current(own)
        log.append(own)
        try:
            result: int = await async_body(a, b)
            record[0] = result
        except BaseException as error:
            if await async_failed(own, error):
                raise
        else:
            return result
        return int(await async_again(own))
    finally:
        if current() is own:
            set_current(log)


async def _among_those_running(log: Log, a: int, b: int) -> int:
    record = [PENDING, definition, a, b]
    own = Log()
    own.up, own.block, own.record = log, log.block, record
    own.thread, own.direct = log.thread, False
    own.task = current_task(get_running_loop())
    try:
        set_current(own)
        running[own] = None
        log.append(own)
        try:
            result: int = await async_body(a, b)
            record[0] = result
        except BaseException as error:
            if await async_failed(own, error):
                raise
        else:
            return result
        return int(await async_again(own))
    finally:
        running.pop(own, None)
        if current() is own:
            set_current(log)


ASYNC_STEP = (
    Part("the bare function", async_body),
    Part("wrapt's proxy, and a frame with its signature", CallableObjectProxy(_framed)),
    Part(
        "which block is around the call, and a coroutine around its own",
        CallableObjectProxy(_calling(_awaited)),
    ),
    Part(
        "a record in the log before the body starts, its result, a try",
        CallableObjectProxy(_calling(_recorded)),
    ),
    Part("a log around that record, for what its body calls", CallableObjectProxy(_calling(_in_a_log))),
    Part(
        "which is the current one meanwhile, in all that its body starts",
        CallableObjectProxy(_calling(_in_its_context)),
    ),
    Part("which task runs it, to be cancelled if the block fails", CallableObjectProxy(_calling(_noted))),
    Part(
        "a set of those that run, for the end of the block to wait for",
        CallableObjectProxy(_calling(_among_those_running)),
    ),
)
