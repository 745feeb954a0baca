"""What a scenario of the conformance suite acts on, wherever its block runs, and what it leaves.

A scenario is a coroutine.  In `with` blocks none of its operations suspends, so that one `send(None)` runs it to its
end in plain code; in `async with` blocks the same text runs in the event loop that is there, as that of a workflow.

Workflows import this module, on Temporal in a sandbox: it imports nothing that they may not.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import islice
from types import TracebackType
from typing import Any, TypeAlias

from actionqueues import Report, current_transaction, transaction
from tests.world import describe

from . import doing

Program: TypeAlias = "Callable[[Stage], Awaitable[None]]"


@dataclass(frozen=True, eq=False)
class Scenario:
    """A program, and what must have come of it wherever it ran.

    Attributes:
        trail: the effects of its steps, in order; those in one list may have come in any order.
        said: what it has seen itself.
        state: of its first block, at the end.
        error: what has left it, with its notes.
        report: the lists of the report of that block that are not empty.
        is_async: whether it needs an `async with` block.
        beside: whether steps run at the same time, so that the order in which they start is not given.
        meddled: whether the test has something to do with it while a step of it lasts.
        varies: whether there are places that cannot give that, and say so.
    """

    run: Program
    trail: list[str | list[str]]
    said: list[str]
    state: str
    error: str
    report: dict[str, list[Any]]
    is_async: bool
    beside: bool
    meddled: bool
    varies: bool

    @property
    def name(self) -> str:
        """What it shows, as a sentence."""
        return self.run.__name__


def grouped(text: str) -> list[str | list[str]]:
    """A trail, with a list for what stands in braces."""
    parts = re.findall(r"\{[^}]*\}|\S+", text)
    return [part[1:-1].split() if part[0] == "{" else part for part in parts]


def in_groups(trail: list[str], like: list[str | list[str]]) -> list[str | list[str]]:
    """A trail in the groups of another one, each sorted as that has it if it holds the same."""
    found: list[str | list[str]] = []
    rest = iter(trail)
    for part in like:
        if isinstance(part, str):
            found += [word for word in [next(rest, None)] if word is not None]
        else:
            words = list(islice(rest, len(part)))
            found.append(part if sorted(words) == sorted(part) else words)
    return [*found, *rest]


#: By name.
SCENARIOS: dict[str, Scenario] = {}


def scenario(
    trail: str | list[str | list[str]],
    state: str,
    error: str = "",
    *,
    said: str | list[str] = "",
    is_async: bool = False,
    beside: bool = False,
    meddled: bool = False,
    varies: bool = False,
    **report: str | list[Any],
) -> Callable[[Program], Program]:
    """Register a program with what must come of it; lists of words may be given as one string.

    In a trail, braces are around what may come in any order: ``{+a +b} -b -a``.  Steps `beside` each other need an
    `async with` block.
    """

    def words(told: str | list[Any]) -> list[Any]:
        return told.split() if isinstance(told, str) else told

    def register(run: Program) -> Program:
        lists = {name: words(told) for name, told in report.items()}
        effects = grouped(trail) if isinstance(trail, str) else trail
        flags = is_async or beside, beside, meddled, varies
        SCENARIOS[run.__name__] = Scenario(run, effects, words(said), state, error, lists, *flags)
        return run

    return register


@dataclass
class Caught:
    """Swallows an `Exception`, says its class, and "nothing" if there was none."""

    said: list[str]

    def __enter__(self) -> None:
        pass

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, _: object) -> bool:
        if exc is not None and not isinstance(exc, Exception):
            return False
        self.said.append(f"!{'nothing' if exc_type is None else exc_type.__name__}")
        return True


@dataclass
class Stage:
    """Where a scenario acts.

    Args:
        run: the name of this run, which is that of its effects.
        options: those of a block of that name which say where its steps are run.
        awaits: whether its blocks are entered by ``async with``.
    """

    run: str
    options: Callable[[str], dict[str, Any]]
    awaits: bool
    said: list[str] = field(default_factory=list[str])
    blocks: list[Any] = field(default_factory=list[Any])

    def say(self, what: object) -> None:
        """Tell something that the block has seen."""
        self.said.append(str(what))

    def caught(self) -> Caught:
        """Catch what fails in a ``with`` block."""
        return Caught(self.said)

    def action(self, kind: str) -> Any:
        """An action of `doing.py`, as it is for these blocks."""
        return getattr(doing, kind if self.awaits else f"{kind}_now")

    def block(self, name: str = "block", **options: Any) -> Opening:
        """An outermost block."""
        return Opening(self, transaction(name, trace=True, **self.options(name), **options))

    def inner(self, name: str) -> Opening:
        """A block in another one."""
        return Opening(self, transaction(name))

    async def step(self, name: str, value: Any = None, *, kind: str = "do", **plan: Any) -> Any:
        """Call an action."""
        return await settled(self.action(kind)(self.run, name, plan, value))

    def add(self, q: Q, name: str, value: Any = None, *, kind: str = "do", **plan: Any) -> Any:
        """Queue one."""
        return q.add(self.action(kind), self.run, name, plan, value)

    def decorated(self, body: Callable[[], Awaitable[Any]], name: str, **options: Any) -> Callable[[], Any]:
        """A function with a block around each call."""
        if not self.awaits:
            return transaction(name, trace=True, **self.options(name), **options)(lambda: driven(body()))

        async def run() -> Any:
            return await body()

        return transaction(name, trace=True, **self.options(name), **options)(run)

    def here(self) -> None:
        """Make the block around this the one that is looked at."""
        self.blocks.append(current_transaction())


class Q:
    """An open block as scenarios see it."""

    def __init__(self, stage: Stage, block: Any) -> None:
        self._stage, self._block = stage, block
        self.add, self.on_commit, self.on_rollback = block.add, block.on_commit, block.on_rollback
        self.mark = block.mark

    @property
    def report(self) -> Any:
        """Its report."""
        return self._block.report

    async def execute(self) -> None:
        """Run the queue."""
        await settled(self._block.execute())

    async def rollback(self, **to: Any) -> None:
        """Undo everything, or what came after a mark."""
        await settled(self._block.rollback(**to))

    def savepoint(self, name: str = "savepoint") -> Opening:
        """A block inside it."""
        return Opening(self._stage, self._block.savepoint(name))


@dataclass
class Opening:
    """A block to be entered by ``async with``, whatever it is."""

    stage: Stage
    block: Any

    async def __aenter__(self) -> Q:
        self.stage.blocks.append(self.block)
        entered = self.block.__aenter__ if self.stage.awaits else self.block.__enter__
        return Q(self.stage, await settled(entered()))

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        leave = self.block.__aexit__ if self.stage.awaits else self.block.__exit__
        await settled(leave(exc_type, exc, traceback))


async def settled(value: Any) -> Any:
    """A value that may have to be awaited first."""
    return await value if inspect.isawaitable(value) else value


def driven(coroutine: Any) -> Any:
    """What a coroutine returns that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("an operation of a `with` block has suspended")


#: What of a report is told of each run by its own clock, or numbers its transactions.
OF_THE_RUN = {"id", "key", "started", "ended", "undo_started", "undo_ended", "queued"}


def plain(report: Report) -> Any:
    """A report as plain data, without times, keys and places."""

    def without(data: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in data.items() if name not in OF_THE_RUN}
        return kept | {name: [without(each) for each in kept[name]] for name in ("steps", "contains") if name in kept}

    return without(report.as_dict())


def in_any_order(report: dict[str, Any]) -> dict[str, Any]:
    """A report of steps beside each other, in an order that is the same in each run."""
    steps = sorted(({**step, "number": 0} for step in report["steps"]), key=lambda step: str(sorted(step.items())))
    return {**report, "steps": steps, "undone": sorted(report["undone"])}


async def play(name: str, stage: Stage) -> dict[str, Any]:
    """Run a scenario; returns what came of it as plain data, and lets through what is no `Exception`.

    There an action has the same name in `with` blocks and in `async with` blocks, and all runs have one name.
    """
    error: Exception | None = None
    try:
        await SCENARIOS[name].run(stage)
    except Exception as raised:
        error = raised
    block = stage.blocks[0]
    told = {
        "said": stage.said,
        "state": str(block.state),
        "error": describe(error),
        "report": plain(block.report),
    }
    return json.loads(json.dumps(told).replace("_now", "").replace(stage.run, "run"))  # type: ignore[no-any-return]


def play_now(name: str, stage: Stage) -> dict[str, Any]:
    """The same in `with` blocks."""
    return driven(play(name, stage))  # type: ignore[no-any-return]
