"""The world that scenarios act in, and the drivers that run them.

A scenario is a coroutine whose every operation is awaited.  In the sync world no operation ever suspends, so a single
``send(None)`` runs it to its end in plain synchronous code; in the async world the same text runs in an event loop.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, TypeAlias, TypedDict, TypeVar, Unpack, cast

from actionqueues import Report, Retry, Transaction, action, transaction
from actionqueues.retry import Policy

T = TypeVar("T")
Program: TypeAlias = "Callable[[World], Coroutine[Any, Any, None]]"
Outcome: TypeAlias = tuple[BaseException | None, Any]
AT_ONCE = Retry(attempts=3, wait_initial=0, wait_jitter=0)
SCENARIOS: list[Scenario] = []


class Boom(Exception):
    """What goes wrong."""


class Stop(BaseException):
    """What goes wrong and is no `Exception`."""


@dataclass(frozen=True)
class Scenario:
    """A program, and what must have happened at its end."""

    run: Program
    trail: list[str]
    state: str
    error: str
    report: dict[str, list[Any]]


def scenario(trail: str, state: str, error: str = "", **report: str | list[Any]) -> Callable[[Program], Program]:
    """Register a program; `report` is what the report of its first block holds, names as words of a string."""
    lists = {key: value.split() if isinstance(value, str) else value for key, value in report.items()}

    def register(run: Program) -> Program:
        SCENARIOS.append(Scenario(run, trail.split(), state, error, lists))
        return run

    return register


def notes_of(error: BaseException) -> list[str]:
    """What has been noted on an exception."""
    notes: list[str] = getattr(error, "__notes__", [])
    return notes


#: What a report tells of things that were called, and not of how they were started.
OUTCOMES = (
    "undone", "failures", "conflicts", "skipped", "not_undone", "abandoned", "dropped", "hook_failures",
    "hooks_not_run", "never_awaited", "journal_failures",
)  # fmt: skip


def outcomes(report: Report) -> dict[str, Any]:
    """What a report tells of undos and hooks, as plain data."""
    told = report.as_dict()
    return {name: told[name] for name in OUTCOMES if told[name]}


def describe(error: BaseException | None) -> str:
    """An exception with its parts, its notes and, if it is no `Exception`, its context; no times and places."""
    if error is None:
        return ""
    text, notes = f"{type(error).__name__}: {error}", notes_of(error)
    if isinstance(error, BaseExceptionGroup):
        text += f" [{', '.join(describe(each) for each in cast('ExceptionGroup[Exception]', error).exceptions)}]"
    text += "".join(f" | {note}" for note in notes)
    if not isinstance(error, Exception) and error.__context__ is not None:
        text += f" <- {describe(error.__context__)}"
    text = re.sub(r" in [\d.e+-]+ s\b", " in … s", text)
    return re.sub(r"( was queued at )\S+[/\\](\w+\.py):\d+", r"\1\2", text)


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    raise AssertionError("an operation of the sync world has suspended")


def settle(outcome: Outcome) -> Any:
    """Raise or return what a body has come to: outside its coroutine, which would not let a `StopIteration` pass."""
    error, result = outcome
    if error is not None:
        raise error
    return result


@dataclass
class Caught:
    """Swallows an `Exception`, leaves its name in the trail, and fails if there is none."""

    trail: list[str]

    def __enter__(self) -> None:
        pass

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, _: object) -> bool:
        self.trail.append(f"!{'nothing' if exc_type is None else exc_type.__name__}")
        return exc is None or isinstance(exc, Exception)


class ActionOptions(TypedDict, total=False):
    """What `action` takes."""

    retry: Policy | None
    irreversible: bool
    read_only: bool
    transaction_required: bool
    timeout: float | None


class StepOptions(ActionOptions, total=False):
    """What `World.define` takes."""

    body: Callable[[Any], Awaitable[Any]] | None
    fails: Iterable[BaseException]
    undo: Callable[[Any], Awaitable[Any]] | bool
    undo_fails: Iterable[BaseException]
    undo_retry: Any
    needs_result: bool


@dataclass
class World:
    """What scenarios use.  As it is, the one of sync code; see `AsyncWorld`."""

    trail: list[str] = field(default_factory=list[str])
    blocks: list[Any] = field(default_factory=list[Any])

    def say(self, what: object) -> None:
        """Leave a word in the trail."""
        self.trail.append(str(what))

    def caught(self) -> Caught:
        """Catch what fails in a ``with`` block."""
        return Caught(self.trail)

    def define(
        self,
        name: str,
        *,
        body: Callable[[Any], Awaitable[Any]] | None = None,
        fails: Iterable[BaseException] = (),
        undo: Callable[[Any], Awaitable[Any]] | bool = True,
        undo_fails: Iterable[BaseException] = (),
        undo_retry: Any = None,
        needs_result: bool = False,
        **options: Unpack[ActionOptions],
    ) -> Any:
        """Make an action of that name, which returns the name in upper case.

        Its attempts raise what is in `fails`, one each, then it succeeds; its undo likewise.  With ``undo=False`` it
        has none.
        """
        failures, undo_failures = iter(fails), iter(undo_fails)

        async def run(value: Any) -> Outcome:
            self.say(f"+{name}" if value is None else f"+{name}({value})")
            if body is not None:
                await body(value)
            return next(failures, None), name.upper()

        async def unwind(step: Any) -> Outcome:
            self.say(f"-{name}")
            if callable(undo):
                await undo(step)
            return next(undo_failures, None), None

        function, handler = self.functions(run, unwind, needs_result)
        function.__name__ = function.__qualname__ = name
        handler.__name__ = handler.__qualname__ = f"undo_{name}"
        decorate: Any = action
        made = decorate(**options)(function)
        if undo:
            made.rollback(retry=undo_retry)(handler)
        return made

    def functions(self, run: Any, unwind: Any, needs_result: bool) -> tuple[Any, Any]:
        """The function and the handler of an action."""

        def function(value: Any = None) -> Any:
            return settle(drive(run(value)))

        if needs_result:

            def needing(result: Any, step: Any) -> None:
                settle(drive(unwind(step)))

            return function, needing

        def handler(step: Any) -> None:
            settle(drive(unwind(step)))

        return function, handler

    async def call(self, fn: Any, *args: Any) -> Any:
        """Call an action, or a decorated function, of whatever kind."""
        result = fn(*args)
        return await result if inspect.isawaitable(result) else result

    async def step(self, name: str, value: Any = None, **options: Unpack[StepOptions]) -> Any:
        """Define an action and call it."""
        return await self.call(self.define(name, **options), value)

    def block(self, name: str = "block", **options: Any) -> Opening:
        """A block, for ``async with``."""
        return Opening(self, transaction(name, **options))

    def decorate(self, body: Callable[[], Coroutine[Any, Any, Any]], name: str, **options: Any) -> Any:
        """A function with a block around each call."""

        @transaction(name, **options)
        def decorated() -> Any:
            return drive(body())

        return decorated

    async def enter(self, block: Any) -> Any:
        """Enter a transaction."""
        return block.__enter__()

    async def leave(self, block: Any, *exc: Any) -> None:
        """Leave a transaction."""
        block.__exit__(*exc)

    def play(self, program: Program) -> BaseException | None:
        """Run a scenario, and return what came out of it."""
        try:
            self.drive_program(program)
        except BaseException as error:
            return error
        return None

    def drive_program(self, program: Program) -> None:
        """Run a scenario."""
        drive(program(self))


@dataclass
class MixedWorld(World):
    """Async blocks, and sync actions in them."""

    def decorate(self, body: Callable[[], Coroutine[Any, Any, Any]], name: str, **options: Any) -> Any:
        @transaction(name, **options)
        async def decorated() -> Any:
            return await body()

        return decorated

    async def enter(self, block: Any) -> Any:
        return await block.__aenter__()

    async def leave(self, block: Any, *exc: Any) -> None:
        await block.__aexit__(*exc)

    def drive_program(self, program: Program) -> None:
        asyncio.run(program(self))


@dataclass
class AsyncWorld(MixedWorld):
    """Async blocks, and async actions with async handlers in them."""

    def functions(self, run: Any, unwind: Any, needs_result: bool) -> tuple[Any, Any]:
        async def function(value: Any = None) -> Any:
            await asyncio.sleep(0)
            return settle(await run(value))

        if needs_result:

            async def needing(result: Any, step: Any) -> None:
                settle(await unwind(step))

            return function, needing

        async def handler(step: Any) -> None:
            await asyncio.sleep(0)
            settle(await unwind(step))

        return function, handler


#: Async blocks are run as soon as the package has them.
WORLDS: list[type[World]] = [World, MixedWorld, AsyncWorld] if hasattr(Transaction, "__aenter__") else [World]


class Q:
    """An open block as scenarios see it."""

    def __init__(self, world: World, block: Any) -> None:
        self._world = world
        self._block = block
        self.add, self.on_commit, self.on_rollback = block.add, block.on_commit, block.on_rollback
        self.mark = block.mark

    @property
    def report(self) -> Any:
        """Its report."""
        return self._block.report

    async def execute(self) -> None:
        """Run the queue."""
        await self._world.call(self._block.execute)

    async def rollback(self, to: Any = None) -> None:
        """Undo everything, or what came after a mark."""
        await self._world.call(self._block.rollback if to is None else partial(self._block.rollback, to=to))

    def savepoint(self, name: str) -> Opening:
        """A block inside it."""
        return Opening(self._world, self._block.savepoint(name))


@dataclass
class Opening:
    """A block to be entered."""

    world: World
    block: Any

    async def __aenter__(self) -> Q:
        self.world.blocks.append(self.block)
        return Q(self.world, await self.world.enter(self.block))

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.world.leave(self.block, exc_type, exc, traceback)

    def __await__(self) -> Any:  # a misspelt scenario must fail, and not pass silently
        raise AssertionError("a block is for `async with`")
