"""R20: a log is a list of what was started, an entry is a step or another log, and undo goes backwards through it."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, suppress
from contextvars import copy_context
from typing import Any

import pytest

from actionqueues import (
    Retry,
    Step,
    Transaction,
    TransactionClosed,
    action,
    current_step,
    transaction,
)
from tests.async_library import Library, everywhere, in_asyncio, watched

from .tree_model import Boom, Trail
from .tree_programs import WORLDS, check

LONG = 20.0  # seconds after which a test fails instead of hanging
ENOUGH = 100  # programs
MANY = int(os.environ.get("TREE_PROGRAMS", "1500"))  # ten thousand take ten minutes


@pytest.fixture(autouse=True, scope="module")
def silence() -> Iterator[None]:
    """Thousands of undos fail here, and each is logged."""
    logger = logging.getLogger("actionqueues")
    logger.disabled = True
    yield
    logger.disabled = False


# -- random programs


@pytest.mark.parametrize("world", WORLDS)
def test_what_random_programs_do_is_what_a_tree_of_logs_says(world: str) -> None:
    wrong = [words for words in (check(seed, world) for seed in range(ENOUGH)) if words]
    assert not wrong, f"{len(wrong)} of {ENOUGH} programs went wrong, such as\n{min(wrong, key=len)}"


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
def test_what_many_random_programs_do_is_what_a_tree_of_logs_says(world: str) -> None:
    wrong = [words for words in (check(seed, world) for seed in range(ENOUGH, MANY)) if words]
    assert not wrong, f"{len(wrong)} of {MANY} programs went wrong, such as\n{min(wrong, key=len)}"


# -- the model itself


def block_with(*, fails: bool) -> tuple[Trail, dict[str, Any]]:
    """A block with two steps, the second of which has one in it; it is left, but not rolled back yet."""
    trail = Trail()
    made: dict[str, Any] = {"block": trail.start("block", "block", None, flow=0, whole=True)}
    for name, around in (("a", "block"), ("b", "block"), ("c", "b")):
        made[name] = trail.start("step", name, made[around], flow=0, whole=True)
        trail.attempt(made[name])
    for name in "cba":
        trail.leave(made[name].here, failed=False)
        trail.cross(made[name], None, None)
    trail.leave(made["block"], failed=fails)
    return trail, made


@pytest.mark.parametrize(
    ("fails", "undone", "says"),
    [
        (True, "cba", None),
        (False, "", None),
        (True, "bca", "b was undone before what it contains"),
        (True, "acb", "a was undone before b, which was started after it"),
        (True, "cab", "something else was undone between what b contains"),
        (True, "ca", "b was undone 0 times"),
        (True, "cbba", "b was undone 2 times"),
        (False, "c", "c was undone, but nothing around it has failed"),
    ],
)
def test_the_model_sees_what_is_wrong(fails: bool, undone: str, says: str | None) -> None:
    trail, made = block_with(fails=fails)
    for name in undone:
        trail.undo(made[name], fails=False)
    error = Boom() if fails else None
    trail.cross(made["block"], error, error)
    assert [words for words in trail.verdict() if says is not None and says in words] or trail.verdict() == []
    assert (says is None) is (trail.verdict() == [])


def test_the_model_sees_what_is_started_too_late_and_what_is_refused_too_early() -> None:
    trail, made = block_with(fails=True)
    trail.undo(made["c"], fails=False)
    trail.start("step", "late", made["block"], flow=1)
    assert "late was started when the undoing of block had begun" in trail.verdict()
    trail = Trail()
    block = trail.start("block", "block", None, flow=0)
    trail.refuse("early", block, TransactionClosed("early", "block", "open"), trail.now)
    assert "early was refused in block, which is open" in trail.verdict()[0]


# -- shapes


Moment = Callable[[], object]


def nothing() -> None:
    """What most steps have in them."""


@action
def put(trail: list[str], name: str, inside: Moment = nothing, *, fails: bool = False) -> None:
    trail.append(f"+{name}")
    inside()
    if fails:
        raise Boom(name)


@put.rollback
def take(trail: list[str], name: str) -> None:
    trail.append(f"-{name}")


def in_thread(work: Moment) -> None:
    """Do it in another thread, to its end."""
    done: list[object] = []
    thread = threading.Thread(target=lambda: done.append(work()), daemon=True)
    thread.start()
    thread.join(LONG)
    assert done == [None]


@pytest.mark.parametrize("moment", ["before the savepoint", "before the worker", "in the worker", "after the worker"])
@pytest.mark.parametrize("how", ["inner.run", "a copy of the context"])
def test_what_a_worker_does_in_a_savepoint_of_a_step_is_undone_with_the_step(how: str, moment: str) -> None:
    trail: list[str] = []

    def beside(q: Transaction, when: str) -> None:
        if when == moment:
            in_thread(lambda: q.run(put, trail, "beside"))

    def body(q: Transaction) -> None:
        beside(q, "before the savepoint")
        with transaction("inner") as inner:
            beside(q, "before the worker")
            worker: Moment = lambda: put(trail, "worker", lambda: beside(q, "in the worker"))  # noqa: E731
            enter = inner.run if how == "inner.run" else copy_context().run
            in_thread(lambda: enter(worker))
            beside(q, "after the worker")

    with watched(LONG), transaction() as q:
        put(trail, "first")
        with pytest.raises(Boom):
            put(trail, "step", lambda: body(q), fails=True)
    assert [word for word in trail if word.startswith("-")] == ["-worker", "-step"]
    assert {"+beside", "+worker", "+first", "+step"} == {word for word in trail if word.startswith("+")}


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_the_first_step_of_a_savepoint_is_not_refused_however_busy_the_block_is(ends: str) -> None:
    trails: list[list[str]] = [[], [], []]
    refused: list[BaseException] = []
    over, interval = threading.Event(), sys.getswitchinterval()

    def busy(q: Transaction, trail: list[str]) -> None:
        def work() -> None:
            while not over.is_set() and len(trail) < 20_000:
                put(trail, "busy")

        try:
            q.run(work)
        except BaseException as error:
            refused.append(error)

    sys.setswitchinterval(1e-5)
    try:
        with watched(LONG), suppress(Boom), transaction() as q:
            threads = [threading.Thread(target=busy, args=(q, trail), daemon=True) for trail in trails[1:]]
            for thread in threads:
                thread.start()
            try:
                for number in range(400):
                    with suppress(Boom), transaction("savepoint"):
                        put(trails[0], str(number))
                        if number % 2:
                            raise Boom
            finally:
                over.set()
                for thread in threads:
                    thread.join(LONG)
            if ends == "badly":
                raise Boom
    finally:
        sys.setswitchinterval(interval)
    assert refused == []
    undone = [[word for word in trail if word.startswith("-")] for trail in trails]
    assert undone[0][:200] == [f"-{number}" for number in range(1, 400, 2)]
    left = [f"-{number}" for number in range(398, -1, -2)]
    assert undone[0][200:] == (left if ends == "badly" else [])
    assert [len(each) * 2 for each in undone[1:]] == ([len(each) for each in trails[1:]] if ends == "badly" else [0, 0])


class Stage:
    """Async steps, and what they have done."""

    def __init__(self, library: Library) -> None:
        self.library, self.trail, self.seen = library, list[str](), list[Step[Any]]()

    def note(self) -> None:
        """The step that this code belongs to."""
        self.seen.append(current_step())

    async def child(self, name: str) -> None:
        self.note()
        await self.library.checkpoint()
        await step(self, name)

    def worker(self) -> None:
        self.note()
        put(self.trail, "worker")

    async def all_kinds(self) -> None:
        """Start steps in tasks and in a thread."""
        async with self.library.group() as start:
            start(self.child, "one")
            start(self.child, "two")
        await self.library.to_thread(self.worker)


@action
async def step(stage: Stage, name: str, inside: str = "", failing: int = 0) -> None:
    stage.trail.append(f"+{name}")
    await stage.library.checkpoint()
    if inside:
        stage.note()
        await getattr(stage, inside)()
    if failing:
        raise Boom(name)


@step.rollback
async def unstep(stage: Stage, name: str) -> None:
    stage.trail.append(f"-{name}")
    await stage.library.checkpoint()


@everywhere
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_what_an_async_step_starts_in_tasks_and_threads_belongs_to_it(library: Library, ends: str) -> None:
    stage = Stage(library)

    async def main() -> None:
        with suppress(Boom):
            async with transaction():
                await step(stage, "before")
                with suppress(Boom):
                    await step(stage, "parent", "all_kinds", failing=1)
                assert stage.trail[-1] == "-parent"
                assert sorted(stage.trail[-4:]) == ["-one", "-parent", "-two", "-worker"]
                assert stage.trail[-4] == "-worker"
                await step(stage, "good", "all_kinds")
                await step(stage, "after")
                if ends == "badly":
                    raise Boom

    library.run(main)
    assert [each.name for each in stage.seen] == ["step"] * 8
    assert len({each.key for each in stage.seen}) == 2
    assert {each.arguments["name"] for each in stage.seen} == {"parent", "good"}
    rest = [word for word in stage.trail[stage.trail.index("-parent") + 1 :] if word.startswith("-")]
    if ends == "well":
        assert rest == []
    else:
        assert [rest[0], rest[1], rest[4:]] == ["-after", "-worker", ["-good", "-before"]]
        assert set(rest[2:4]) == {"-one", "-two"}


@everywhere
def test_what_an_attempt_has_started_in_tasks_and_threads_is_undone_before_the_next(library: Library) -> None:
    stage = Stage(library)

    @action(retry=Retry(attempts=3, wait_initial=0, wait_jitter=0))
    async def retried() -> None:
        stage.trail.append("attempt")
        await stage.all_kinds()
        if current_step().attempts < 3:
            raise Boom

    @retried.rollback
    def unretried() -> None:
        stage.trail.append("-retried")

    async def main() -> None:
        async with transaction():
            await retried()

    library.run(main)
    attempts = " ".join(stage.trail).split("attempt ")[1:]
    assert len(attempts) == 3
    for attempt in attempts:
        assert sorted(word for word in attempt.split() if word.startswith("+")) == ["+one", "+two", "+worker"]
    for attempt in attempts[:2]:
        assert sorted(attempt.split()[3:]) == ["-one", "-two", "-worker"]
    assert "-" not in attempts[2]


@in_asyncio
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_a_task_that_outlives_its_step_still_belongs_to_it(library: Library, ends: str) -> None:
    stage, go_on = Stage(library), asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    async def later() -> None:
        await go_on.wait()
        await step(stage, "child")

    @action
    async def parent() -> None:
        tasks.append(asyncio.create_task(later()))

    @parent.rollback
    def unparent() -> None:
        stage.trail.append("-parent")

    async def main() -> None:
        with suppress(Boom):
            async with transaction():
                await parent()
                await step(stage, "after")
                go_on.set()
                await tasks[0]
                if ends == "badly":
                    raise Boom

    library.run(main)
    undone = ["-after", "-child", "-parent"] if ends == "badly" else []
    assert stage.trail == ["+after", "+child", *undone]


DEEP = 3000


@pytest.mark.parametrize("ends", ["well", "badly"])
@pytest.mark.parametrize("steps", ["in each", "in the last"])
def test_savepoints_may_be_nested_deeper_than_the_stack(steps: str, ends: str) -> None:
    trail: list[str] = []
    with watched(LONG), suppress(Boom), ExitStack() as stack:
        for number in range(DEEP):
            stack.enter_context(transaction())
            if steps == "in each" or number == DEEP - 1:
                put(trail, str(number))
        if ends == "badly":
            raise Boom
    started = [word[1:] for word in trail if word.startswith("+")]
    assert started == [str(number) for number in range(DEEP)][0 if steps == "in each" else -1 :]
    assert trail[len(started) :] == ([f"-{name}" for name in reversed(started)] if ends == "badly" else [])


def test_savepoints_may_be_nested_deeply_and_undone_together_at_the_end() -> None:
    trail: list[str] = []
    with watched(LONG), suppress(Boom), transaction():
        with ExitStack() as stack:
            for number in range(DEEP):
                stack.enter_context(transaction())
                put(trail, str(number))
        assert len(trail) == DEEP
        raise Boom
    assert trail[DEEP:] == [f"-{number}" for number in reversed(range(DEEP))]


@everywhere
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_async_savepoints_may_be_nested_deeply_too(library: Library, ends: str) -> None:
    stage = Stage(library)

    async def main() -> None:
        with suppress(Boom):
            async with AsyncExitStack() as stack:
                for number in range(DEEP):
                    await stack.enter_async_context(transaction())
                    await step(stage, str(number))
                if ends == "badly":
                    raise Boom

    library.run(main, seconds=LONG)
    undone = [f"-{number}" for number in reversed(range(DEEP))] if ends == "badly" else []
    assert stage.trail[DEEP:] == undone
