"""Sync steps that suspend in greenlets, as SQLAlchemy's `run_sync` lets them, while other tasks start steps."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from actionqueues import Retry, TransactionDoomed, TransactionState, action, current_step, transaction
from tests.async_library import Library, everywhere, in_asyncio, outcome_of
from tests.async_stage import Boom, Stage, mark, nest, put

pytestmark = pytest.mark.skipif(importlib.util.find_spec("greenlet") is None, reason="greenlet is not installed")
loaded: list[Any] = []


@pytest.fixture(autouse=True)
def imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be imported here alone: blocks are different once it is."""
    if not loaded:
        loaded.append(importlib.import_module("greenlet"))
        del sys.modules["greenlet"]
    monkeypatch.setitem(sys.modules, "greenlet", loaded[0])


def getcurrent() -> Any:
    """The running greenlet."""
    return loaded[0].getcurrent()


async def run_sync(function: Callable[..., Any], *args: object) -> Any:
    """Call a sync function that may await by `wait_for`."""
    inner = loaded[0].greenlet(function, getcurrent())
    inner.gr_context = getcurrent().gr_context
    value = inner.switch(*args)
    while not inner.dead:
        try:
            value = await value
        except BaseException as error:
            value = inner.throw(error)
        else:
            value = inner.switch(value)
    return value


def wait_for(awaitable: Awaitable[object]) -> Any:
    """Await something in a sync function."""
    outer = getcurrent().parent
    assert outer is not None
    return outer.switch(awaitable)


@action
def save(stage: Stage, name: str, inside: Callable[[], object] | None = None, fails: bool = False) -> str:
    stage.say(f"+{name}")
    stage.present.add(name)
    wait_for(stage.library.checkpoint())
    if inside is not None:
        inside()
    assert current_step().arguments["name"] == name
    if fails:
        raise Boom(name)
    return name


@save.rollback
def unsave(stage: Stage, name: str) -> None:
    stage.say(f"-{name}")
    stage.present.discard(name)


@everywhere
def test_a_step_that_fails_in_a_greenlet_leaves_the_steps_that_others_have_started_meanwhile(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, go_on = stage.waiting()

        async def other() -> None:
            await there.wait()
            mark(stage, "b")
            await put(stage, "c")
            await run_sync(save, stage, "d")
            go_on.set()

        async with transaction() as q:
            async with library.group() as start:
                start(other)
                error = await outcome_of(run_sync(save, stage, "a", lambda: wait_for(wait()), True))
                assert isinstance(error, Boom)
            assert stage.present == {"b", "c", "d"}
            await q.rollback()

    library.run(main)
    assert stage.told == "+a +b +c +d -a -d -c -b"


@everywhere
def test_the_steps_of_a_step_in_a_greenlet_are_undone_with_it(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, go_on = stage.waiting()

        def inside() -> None:
            mark(stage, "a1")
            save(stage, "a2", lambda: mark(stage, "a3"))
            wait_for(wait())
            mark(stage, "a4")
            with transaction():
                save(stage, "a5")

        async def other() -> None:
            await there.wait()
            mark(stage, "b")
            go_on.set()

        async with transaction():
            async with library.group() as start:
                start(other)
                assert isinstance(await outcome_of(run_sync(save, stage, "a", inside, True)), Boom)
            assert stage.present == {"b"}

    library.run(main)
    assert stage.told == "+a +a1 +a2 +a3 +b +a4 +a5 -a5 -a4 -a3 -a2 -a1 -a"


@everywhere
def test_a_step_in_a_greenlet_belongs_to_the_async_step_that_runs_it(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, go_on = stage.waiting()

        async def inside() -> None:
            await run_sync(save, stage, "a1", lambda: wait_for(wait()))
            raise Boom

        async def other() -> None:
            await there.wait()
            mark(stage, "b")
            go_on.set()

        async with transaction():
            async with library.group() as start:
                start(other)
                assert isinstance(await outcome_of(nest(stage, "a", inside)), Boom)
            assert stage.present == {"b"}

    library.run(main)
    assert stage.told == "+a +a1 +b -a1 -a"


@everywhere
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_the_end_of_a_block_waits_for_a_step_in_a_greenlet(library: Library, ends: str) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, go_on = stage.waiting()

        async def other() -> None:
            assert await run_sync(save, stage, "a", lambda: wait_for(wait())) == "a"

        async def block() -> None:
            async with transaction() as q:
                blocks.append(q)
                start(other)
                await there.wait()
                soon = library.soon()
                soon(lambda: soon(lambda: soon(go_on.set)))
                if ends == "badly":
                    raise Boom

        blocks: list[Any] = []
        async with library.group() as start:
            assert isinstance(await outcome_of(block()), Boom if ends == "badly" else type(None))
        assert blocks[0].state is (TransactionState.ROLLED_BACK if ends == "badly" else TransactionState.COMMITTED)

    library.run(main)
    assert stage.told == "+a" + " -a" * (ends == "badly")


@everywhere
def test_a_step_in_a_greenlet_is_tried_again_without_what_others_have_started(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        wait, there, go_on = stage.waiting()

        @action(retry=Retry(attempts=2, wait_initial=0, wait_jitter=0))
        def flaky() -> None:
            attempt = current_step().attempts
            mark(stage, f"a{attempt}")
            wait_for(wait())
            if attempt == 1:
                raise Boom

        async def other() -> None:
            await there.wait()
            mark(stage, "b")
            go_on.set()

        async with transaction(), library.group() as start:
            start(other)
            await run_sync(flaky)

    library.run(main)
    assert stage.told == "+a1 +b -a1 +a2"


@in_asyncio
def test_a_step_in_a_greenlet_that_fails_beside_a_task_of_its_own_is_undone_at_the_end(library: Library) -> None:
    """Sync code cannot wait for the task there, so the block must not commit."""
    stage = Stage(library)

    async def main() -> None:
        wait, there, _ = stage.waiting()

        def start() -> None:
            tasks.append(asyncio.create_task(outcome_of(put(stage, "b", wait))))
            wait_for(there.wait())

        async def block() -> None:
            async with transaction():
                error = await outcome_of(run_sync(save, stage, "a", start, True))
                assert isinstance(error, Boom)
                (note,) = error.__notes__
                assert "the undo of save failed: IllegalOperation" in note
                assert "cannot wait for the step put" in note

        tasks: list[asyncio.Task[BaseException | None]] = []
        assert isinstance(await outcome_of(block()), TransactionDoomed)
        assert isinstance(await tasks[0], asyncio.CancelledError)

    library.run(main)
    assert stage.told == "+a +b -b -a"


PROGRAM = """
import asyncio
from actionqueues import action, transaction
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine("sqlite+aiosqlite://", poolclass=sa.pool.StaticPool)
told = []

@action
def insert(connection, name, fails=False):
    connection.execute(sa.text("INSERT INTO users VALUES (:name)"), {"name": name})
    if fails:
        raise LookupError(name)

@insert.rollback
def delete(connection, name):
    told.append(name)

async def one(name, fails=False):
    async with engine.connect() as connection:
        await connection.run_sync(insert, name, fails)

async def main():
    async with engine.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE users (name TEXT)"))
    async with transaction():
        await asyncio.gather(one("a", True), one("b"), one("c", True), return_exceptions=True)
        assert sorted(told) == ["a", "c"], told

asyncio.run(main())
"""


@pytest.mark.skipif(
    None in map(importlib.util.find_spec, ("sqlalchemy", "aiosqlite")),
    reason="SQLAlchemy and aiosqlite are not installed",
)
def test_steps_in_the_run_sync_of_sqlalchemy_are_undone_one_by_one() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
