"""Where the time of a step goes: the frame of a step built up by hand, one promise after the other.

Each part is the one before it and one thing more, and says what that is for, so the last one is what a step
does here.  What stands between it and less is then a figure for each promise, and not an opinion.
"""

from _thread import get_ident as thread
from asyncio import Runner
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, ExitStack
from types import MethodType
from typing import Any, NamedTuple, Self

from actionqueues import action, transaction
from tests.benchmarks.by_hand import ASYNC_STEP, STEP, Owner, async_body, body, context, method, undo
from tests.benchmarks.candidates import Numbers, Work
from tests.benchmarks.coroutines import blocks_of as async_blocks_of
from tests.benchmarks.timing import Effort, Timed, blocks_of, side_by_side

ONE: Numbers = (0,)
THOUSAND: Numbers = tuple(range(1000))


def _in_log(calls: Work) -> Work:
    def work(numbers: Numbers) -> None:
        log = [0, thread(), Owner(), True]
        token = context.set(log)
        try:
            calls(numbers)
        finally:
            context.reset(token)

    return work


def _work(call: Callable[..., Any]) -> Work:
    def calls(numbers: Numbers) -> None:
        for i in numbers:
            call(i, 2)

    return _in_log(calls)


def _async_work(call: Callable[..., Any]) -> Any:
    async def work(numbers: Numbers) -> None:
        log = [0, thread(), Owner(), True]
        token = context.set(log)
        try:
            for i in numbers:
                await call(i, 2)
        finally:
            context.reset(token)

    return work


def _exit_stack(numbers: Numbers) -> None:
    with ExitStack() as stack:
        for i in numbers:
            body(i, 2)
            stack.callback(undo, i, 2)
        stack.pop_all()


async def _async_undo(a: int, b: int) -> None:
    return None


async def _async_exit_stack(numbers: Numbers) -> None:
    async with AsyncExitStack() as stack:
        for i in numbers:
            await async_body(i, 2)
            stack.push_async_callback(_async_undo, i, 2)
        stack.pop_all()


class _Bound:
    """What makes a method of the last frame above, as `__get__` of an action does."""

    def __get__(self, instance: object, owner: object = None) -> Any:
        return MethodType(method, instance)


class _Shop:
    plain = method
    decorated = _Bound()


_shop = _Shop()


def _plain_method(numbers: Numbers) -> None:
    for i in numbers:
        _shop.plain(i, 2)


def _decorated_method(numbers: Numbers) -> None:
    for i in numbers:
        _shop.decorated(i, 2)


METHOD = {
    "the last frame of these, as a function in the class": _in_log(_plain_method),
    "made a method by a `__get__` in Python, since an action is found in the class": _in_log(_decorated_method),
}


class _Entered:
    """The least that a block can be."""

    __slots__ = ("log", "token")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        return None


class _Current(_Entered):
    """One that is the current block, and has a log."""

    __slots__ = ()

    def __enter__(self) -> Self:
        self.log = [0, thread(), self, False]
        self.token = context.set(self.log)
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        context.reset(self.token)


def _block(make: Callable[[], Any], call: Callable[[int, int], Any]) -> Work:
    def work(numbers: Numbers) -> None:
        with make():
            for i in numbers:
                call(i, 2)

    return work


_decorated = action(body)
BLOCK = {
    "a function call, and `with` over an object with two methods": _block(lambda: _Entered(), body),
    "that is the current block meanwhile: set and reset of a context variable, and a log": _block(
        lambda: _Current(), body
    ),
    "one step in it": _block(lambda: _Current(), STEP[-1].call),
    "options, states, letting go of the records, a warning if it is never left": _block(transaction, _decorated),
}


class Measured(NamedTuple):
    """A part, in nanoseconds and as a ratio to the exit stack: all of it, and what it adds."""

    adds: str
    nanoseconds: float
    ratio: float
    added: float


def _anatomy(works: Mapping[str, Timed], baseline: Timed, effort: Effort) -> list[Measured]:
    best = {name: times.best for name, times in side_by_side({"": baseline, **works}, effort).items()}
    whole = best.pop("")
    rows: list[Measured] = []
    before = 0.0
    for adds, taken in best.items():
        rows.append(Measured(adds, taken, taken / whole, (taken - before) / whole))
        before = taken
    return rows


def _of_calls(works: Mapping[str, Work], effort: Effort) -> list[Measured]:
    timed = {adds: blocks_of(work, THOUSAND) for adds, work in works.items()}
    return _anatomy(timed, blocks_of(_exit_stack, THOUSAND), effort)


def _of_coroutines(effort: Effort) -> list[Measured]:
    with Runner() as runner:
        works = {part.adds: async_blocks_of(runner, _async_work(part.call), THOUSAND) for part in ASYNC_STEP}
        return _anatomy(works, async_blocks_of(runner, _async_exit_stack, THOUSAND), effort)


def _of_blocks(effort: Effort) -> list[Measured]:
    works = {adds: blocks_of(work, ONE) for adds, work in BLOCK.items()}
    return _anatomy(works, blocks_of(_exit_stack, ONE), effort)


def dissected(effort: Effort) -> dict[str, list[Measured]]:
    """Measure the parts of each kind of step side by side, with `ExitStack` or `AsyncExitStack`."""
    return {
        "a step": _of_calls({part.adds: _work(part.call) for part in STEP}, effort),
        "a step that is a method": _of_calls(METHOD, effort),
        "an async step": _of_coroutines(effort),
        "a block of one step": _of_blocks(effort),
    }
