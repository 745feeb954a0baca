"""The order of undoing over any nesting of savepoints and steps in several threads (R20).

Real threads run random programs, one of them at a time, in a random order that is the same for the same seed.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Any

import pytest

from actionqueues import AsyncTransaction, Retry, action, current_step, transaction
from actionqueues.owner import current

from . import async_stage
from .async_library import Library, everywhere, watched
from .world import Boom

THREADS, LENGTH, DEPTH = 3, 5, 3


class Stage:
    """Lets one thread at a time go on, and knows what has been started and not undone, in order."""

    def __init__(self, seed: object) -> None:
        self.chance = random.Random(str(seed))
        self.present: list[str] = []
        self.wrong: list[str] = []
        self.expected: list[str] = []
        self.story: list[str] = []
        self._changed = threading.Condition()
        self._turn: int | None = None
        self._waiting: set[int] = set()
        self._living: set[int] = set()

    def begin(self, number: int) -> None:
        """Take part."""
        self._living.add(number)

    def checkpoint(self, number: int) -> None:
        """Let another thread go on, or this one."""
        with self._changed:
            self._waiting.add(number)
            if self._turn == number:
                self._turn = None
            self._choose()
            assert self._changed.wait_for(lambda: self._turn == number, 30)
            self._waiting.discard(number)

    def end(self, number: int) -> None:
        """Take part no longer."""
        with self._changed:
            self._living.discard(number)
            if self._turn == number:
                self._turn = None
            self._choose()

    def _choose(self) -> None:
        if self._turn is None and self._waiting and self._waiting == self._living:
            self._turn = self.chance.choice(sorted(self._waiting))
            self._changed.notify_all()

    def start(self, name: str) -> None:
        """A step has been started."""
        self.story.append(f"+{name}")
        self.present.append(name)

    def undo(self, name: str) -> None:
        """A step is undone: it has to be the one that is expected."""
        self.story.append(f"-{name}")
        if not self.expected or self.expected.pop() != name:
            self.wrong.append(f"{name} was undone out of turn")
        if name in self.present:
            self.present.remove(name)
        else:
            self.wrong.append(f"{name} was undone twice")

    @contextmanager
    def undone(self, names: Callable[[], list[str]]) -> Iterator[None]:
        """What is undone by the end of this: what `names` then gives, the last one first."""
        yield
        left = names()
        if left:
            self.wrong.append(f"not undone: {left}")


@action
def step(stage: Stage, name: str, inside: Callable[[], bool]) -> None:
    stage.start(name)
    if inside():
        raise Boom(name)


@step.rollback
def undo_step(stage: Stage, name: str) -> None:
    stage.undo(name)


@action(retry=Retry(attempts=2, wait_initial=0, wait_jitter=0))
def retried(stage: Stage, name: str, inside: Callable[[int], bool]) -> None:
    if current_step().attempts == 1:
        stage.start(name)
    if inside(current_step().attempts):
        raise Boom(name)


@retried.rollback
def undo_retried(stage: Stage, name: str) -> None:
    stage.undo(name)


class Program:
    """What one thread does."""

    def __init__(self, stage: Stage, number: int) -> None:
        self.stage, self.number = stage, number
        self.chance = random.Random(f"{stage.chance.random()} {number}")
        self.count = 0

    def run(self) -> None:
        """All of it."""
        try:
            self.stage.checkpoint(self.number)
            self.body(DEPTH)
        except BaseException as error:
            self.stage.wrong.append(f"{self.number} raised {error!r}")
        finally:
            self.stage.end(self.number)

    def mine(self, since: int) -> list[str]:
        """The steps that this thread has started since it had started so many, and that are there."""
        names = [name for name in self.stage.present if name.startswith(f"{self.number}.")]
        return [name for name in names if int(name.partition(".")[2]) > since]

    def body(self, depth: int) -> None:
        """Some things one after the other."""
        for _ in range(self.chance.randrange(1, LENGTH)):
            self.stage.checkpoint(self.number)
            kind = self.chance.choice(("step", "step", "savepoint", "retried") if depth else ("step",))
            fails = self.chance.random() < 0.25
            getattr(self, f"one_{kind}")(depth, fails)

    def one_step(self, depth: int, fails: bool) -> None:
        since = self.count
        self.count += 1

        def inside() -> bool:
            if depth and self.chance.random() < 0.6:
                self.body(depth - 1)
            if fails:
                self.stage.expected = self.mine(since)
            return fails

        with suppress(Boom):
            step(self.stage, f"{self.number}.{self.count}", inside)
        self.check(since if fails else None)

    def one_retried(self, depth: int, fails: bool) -> None:
        since = self.count
        self.count += 1

        def inside(attempt: int) -> bool:
            if attempt == 2:
                self.check(since + 1)
            self.body(depth - 1)
            if attempt == 1:
                self.stage.expected = self.mine(since + 1)
            elif fails:
                self.stage.expected = self.mine(since)
            return attempt == 1 or fails

        with suppress(Boom):
            retried(self.stage, f"{self.number}.{self.count}", inside)
        self.check(since if fails else None)

    def one_savepoint(self, depth: int, fails: bool) -> None:
        since = self.count
        with suppress(Boom), transaction("savepoint"):
            self.body(depth - 1)
            if fails:
                self.stage.expected = self.mine(since)
                raise Boom
        self.check(since if fails else None)

    def check(self, since: int | None) -> None:
        """All that was expected has been undone."""
        if self.stage.expected or (since is not None and self.mine(since)):
            self.stage.wrong.append(f"not undone: {self.stage.expected} or {since} of {self.number}")
            self.stage.expected = []


@pytest.mark.parametrize("inside", ["the block", "a savepoint"])
@pytest.mark.parametrize("seed", range(60))
def test_undoing_goes_backwards_through_all_that_was_started_in_any_thread(seed: int, inside: str) -> None:
    stage = Stage(f"{seed} {inside}")
    programs = [Program(stage, number) for number in range(THREADS)]

    def all_of_them() -> None:
        threads = [threading.Thread(target=copy_context().run, args=(p.run,), daemon=True) for p in programs[1:]]
        for program in programs:
            stage.begin(program.number)
        for thread in threads:
            thread.start()
        programs[0].run()
        for thread in threads:
            thread.join(30)

    with watched(20), pytest.raises(ZeroDivisionError), transaction():
        if inside == "a savepoint":
            with transaction("around"):
                all_of_them()
        else:
            all_of_them()
        stage.expected = list(stage.present)
        raise ZeroDivisionError
    assert stage.wrong == [], stage.story
    assert stage.present == []
    assert current.get() is None


@everywhere
@pytest.mark.parametrize("inner", ["async", "sync"])
def test_a_savepoint_of_a_task_goes_on_behind_what_a_worker_thread_has_started(library: Library, inner: str) -> None:
    stage = async_stage.Stage(library)

    async def steps(q: AsyncTransaction) -> None:
        async_stage.mark(stage, "a")
        await library.to_thread(lambda: q.run(async_stage.mark, stage, "b"))
        async_stage.mark(stage, "c")
        await library.to_thread(lambda: q.run(async_stage.mark, stage, "d"))
        async_stage.mark(stage, "e")

    async def main() -> None:
        with pytest.raises(Boom):
            async with transaction() as q:
                if inner == "sync":
                    with transaction("inner"):
                        await steps(q)
                else:
                    async with transaction("inner"):
                        await steps(q)
                raise Boom

    library.run(main)
    assert stage.told == "+a +b +c +d +e -e -d -c -b -a"


@everywhere
def test_a_step_of_a_thread_in_a_savepoint_that_has_gone_on_elsewhere_stands_behind_that(library: Library) -> None:
    stage = async_stage.Stage(library)

    async def main() -> None:
        with pytest.raises(Boom):
            async with transaction() as q:
                async with transaction("inner") as inner:
                    async_stage.mark(stage, "a")
                    await library.to_thread(lambda: q.run(async_stage.mark, stage, "b"))
                    await library.to_thread(lambda: inner.run(async_stage.mark, stage, "c"))
                    await library.to_thread(lambda: q.run(async_stage.mark, stage, "d"))
                    await library.to_thread(lambda: inner.on_rollback(stage.say, "-by-hand"))
                raise Boom

    library.run(main)
    assert stage.told == "+a +b +c +d -by-hand -d -c -b -a"


def test_a_savepoint_of_a_loop_that_has_ended_is_no_hindrance_to_a_thread() -> None:
    """Its block has been forgotten, and will never end."""
    library = Library()
    stage = async_stage.Stage(library)
    blocks: list[Any] = []

    async def main() -> None:
        blocks.append(transaction())
        await blocks[0].__aenter__()
        blocks.append(transaction("inner"))
        await blocks[1].__aenter__()

    def run() -> None:
        asyncio.run(main())
        thread = threading.Thread(target=blocks[0].run, args=(async_stage.mark, stage, "a"))
        thread.start()
        thread.join()

    copy_context().run(run)
    assert stage.told == "+a"
    for block in blocks[::-1]:
        block._token = None  # given up on purpose
