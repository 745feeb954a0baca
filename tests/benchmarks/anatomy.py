"""Where the time of a step goes: its frame built up by hand, one promise after the other.

Each part is the one before it and one thing more, and says what that is for.  The last is the library itself, so
what the parts leave unexplained is seen as well.
"""

from asyncio import Runner
from collections.abc import Callable, Mapping
from types import MethodType
from typing import Any, NamedTuple, Self

from actionqueues import action, transaction
from tests.benchmarks import coroutines, methods, workloads
from tests.benchmarks.async_by_hand import ASYNC_STEP
from tests.benchmarks.by_hand import STEP, async_body, async_undo, body, context, method, opened, undo
from tests.benchmarks.candidates import Functions, Numbers, Work
from tests.benchmarks.timing import Effort, Timed, blocks_of, side_by_side

ONE: Numbers = (0,)
THOUSAND: Numbers = tuple(range(1000))
ITSELF = "the library itself: what is left over"


def _in_log(calls: Work) -> Work:
    def work(numbers: Numbers) -> None:
        token = context.set(opened())
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


def _async_work(call: Callable[..., Any]) -> coroutines.AsyncWork:
    async def work(numbers: Numbers) -> None:
        token = context.set(opened())
        try:
            for i in numbers:
                await call(i, 2)
        finally:
            context.reset(token)

    return work


_STEPS = {part.adds: _work(part.call) for part in STEP}
_STEPS[ITSELF] = workloads.ours(Functions(body, undo, undo)).commit

_ASYNC = coroutines.AsyncFunctions(async_body, async_undo)
_ASYNC_STEPS = {part.adds: _async_work(part.call) for part in ASYNC_STEP}
_ASYNC_STEPS[ITSELF] = coroutines.ours(_ASYNC).commit


class _Bound:
    """What makes a method of the last frame of a step, as `__get__` of an action does."""

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


_METHODS = {
    "such a frame, without the proxy, as a function in the class": _in_log(_plain_method),
    "made a method by a `__get__` in Python, since an action is found in the class": _in_log(_decorated_method),
    ITSELF: methods.ours,
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
        self.log = opened(self)
        self.token = context.set(self.log)
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        context.reset(self.token)
        del self.log


def _block(make: Callable[[], Any], call: Callable[[int, int], Any]) -> Work:
    def work(numbers: Numbers) -> None:
        with make():
            for i in numbers:
                call(i, 2)

    return work


_BLOCKS = {
    "a function call, and `with` over an object with two methods": _block(lambda: _Entered(), body),
    "that is the current block meanwhile: a context variable set and reset, and a log": _block(
        lambda: _Current(), body
    ),
    "one step in it": _block(lambda: _Current(), STEP[-1].call),
    ITSELF: _block(transaction, action(body)),
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


def _of_calls(works: Mapping[str, Work], numbers: Numbers, effort: Effort) -> list[Measured]:
    baseline = workloads.exit_stack(Functions(body, undo, undo)).commit
    timed = {adds: blocks_of(work, numbers) for adds, work in works.items()}
    return _anatomy(timed, blocks_of(baseline, numbers), effort)


def _of_coroutines(effort: Effort) -> list[Measured]:
    with Runner() as runner:
        timed = {adds: coroutines.blocks_of(runner, work, THOUSAND) for adds, work in _ASYNC_STEPS.items()}
        baseline = coroutines.blocks_of(runner, coroutines.exit_stack(_ASYNC).commit, THOUSAND)
        return _anatomy(timed, baseline, effort)


def dissected(effort: Effort) -> dict[str, list[Measured]]:
    """Measure the parts of each kind of step side by side, with `ExitStack` or `AsyncExitStack`."""
    return {
        "a step": _of_calls(_STEPS, THOUSAND, effort),
        "a step that is a method": _of_calls(_METHODS, THOUSAND, effort),
        "an async step": _of_coroutines(effort),
        "a block of one step": _of_calls(_BLOCKS, ONE, effort),
    }
