"""Steps for the async tests, whose every moment can be stopped at, and what they leave behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from actionqueues import Retry, action

from .async_library import Library

Moment: TypeAlias = Callable[[], Awaitable[object]]
AT_ONCE = Retry(attempts=3, wait_initial=0, wait_jitter=0)


class Boom(Exception):
    """What goes wrong."""


class Stop(BaseException):
    """What goes wrong and is no `Exception`."""


def boom(error: BaseException | None = None) -> Moment:
    """A moment at which something goes wrong."""

    async def fail() -> None:
        raise Boom("boom") if error is None else error

    return fail


@dataclass
class Stage:
    """What the steps have done.

    Attributes:
        trail: ``+a`` when the body of step a starts, ``-a`` when its handler does, and what the test says.
        present: the effects that are there.
        undoing: what the handler of a step awaits before it takes the effect away.
        overlaps: the handlers that were started while another one was running.
    """

    library: Library
    trail: list[str] = field(default_factory=list[str])
    present: set[str] = field(default_factory=set[str])
    undoing: dict[str, Moment] = field(default_factory=dict[str, Moment])
    overlaps: list[str] = field(default_factory=list[str])
    _handlers: list[str] = field(default_factory=list[str])

    def say(self, word: object) -> None:
        """Leave a word in the trail."""
        self.trail.append(str(word))

    @property
    def told(self) -> str:
        """The trail in one line."""
        return " ".join(self.trail)

    def wrong(self, *, ordered: bool = True) -> list[str]:
        """What is not as it must be after everything has been undone."""
        started = [word[1:] for word in self.trail if word.startswith("+")]
        undone = [word[1:] for word in self.trail if word.startswith("-")]
        wrong = [f"left behind: {name}" for name in sorted(self.present)]
        if ordered:  # what fails in several tasks at once is undone where it failed
            wrong += [f"{name} was undone while another undo was running" for name in self.overlaps]
        for name, times in (Counter(undone) - Counter(started)).items():
            wrong.append(f"undone {times} times too often: {name}")
        for name in Counter(started) - Counter(undone):
            wrong.append(f"not undone: {name}")
        if not wrong and ordered and undone != started[::-1]:
            wrong.append(f"started {started}, undone {undone}")
        return wrong

    def waiting(self) -> tuple[Moment, Any, Any]:
        """A moment that says so by its first event, and goes on at the second."""
        there, go_on = self.library.event(), self.library.event()

        async def wait() -> None:
            there.set()
            await go_on.wait()

        return wait, there, go_on

    async def undo(self, name: str) -> None:
        """What every async handler does."""
        self.say(f"-{name}")
        if self._handlers:
            self.overlaps.append(name)
        self._handlers.append(name)
        try:
            if name in self.undoing:
                await self.undoing[name]()
            await self.library.checkpoint(2)
            self.present.discard(name)
        finally:
            self._handlers.remove(name)


@action
async def put(stage: Stage, name: str, before: Moment | None = None, after: Moment | None = None) -> str:
    """Do it, with something to wait for before and after."""
    stage.say(f"+{name}")
    if before is not None:
        await before()
    stage.present.add(name)
    if after is not None:
        await after()
    return name


@put.rollback
async def take(stage: Stage, name: str) -> None:
    """Undo it."""
    await stage.undo(name)


@action
async def work(stage: Stage, name: str, after: Moment | None = None) -> str:
    """An async step with a sync handler."""
    stage.say(f"+{name}")
    await stage.library.checkpoint()
    stage.present.add(name)
    if after is not None:
        await after()
    return name


@work.rollback
def unwork(stage: Stage, result: str | None = None, *, name: str) -> None:
    """Undo it."""
    stage.say(f"-{name}")
    stage.present.discard(name)


@action
def mark(stage: Stage, name: str, inside: Callable[[], object] | None = None) -> str:
    """A sync step."""
    stage.say(f"+{name}")
    stage.present.add(name)
    if inside is not None:
        inside()
    return name


@mark.rollback
def unmark(stage: Stage, name: str) -> None:
    """Undo it."""
    stage.say(f"-{name}")
    stage.present.discard(name)


@action
async def nest(stage: Stage, name: str, inside: Moment, after: Moment | None = None) -> str:
    """A step that makes others."""
    stage.say(f"+{name}")
    await inside()
    if after is not None:
        await after()
    return name


@nest.rollback
async def unnest(stage: Stage, name: str) -> None:
    """Undo it."""
    await stage.undo(name)


@action(retry=AT_ONCE)
async def flaky(stage: Stage, name: str, failures: int, after: Moment | None = None) -> str:
    """Fails so many times."""
    stage.say(f"+{name}" if name not in stage.told else f"again-{name}")
    stage.present.add(name)
    await stage.library.checkpoint()
    if stage.told.count(name) <= failures:
        raise Boom(name)
    if after is not None:
        await after()
    return name


@flaky.rollback(retry=AT_ONCE)
async def unflaky(stage: Stage, name: str) -> None:
    """Undo it."""
    await stage.undo(name)
