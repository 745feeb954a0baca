"""A tool that is called in a step or in a savepoint is undone with that, and does not stand any more then."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from actionqueues import Transaction, action, transaction
from actionqueues.agents import tools

from .belt import Full, always, answer, block, done, everywhere, look, mail, pay, put, put_async, there


@everywhere
async def test_what_was_undone_with_the_savepoint_around_it_is_told_no_more(kind: str) -> None:
    async with block(kind) as q:
        tool, seen, held, paying, checkpoint, changes, undo_to, _ = tools(q, put, look, mail, pay, approve=always)
        await answer(tool, name="a")
        with suppress(Full):
            async with block(kind):
                await answer(tool, name="b")
                await answer(held, to="ada")
                await answer(seen)
                await answer(paying, euros=5)
                assert (await answer(changes)).count("\n") == 5
                raise Full
        async with block(kind):
            await answer(tool, name="c")
        await answer(checkpoint, name="here")
        async with block(kind):
            await answer(tool, name="d")
        assert await answer(changes) == (
            "-- checkpoint start\n"
            "1. put(name='a', size=1) - can be undone\n"
            "2. pay(euros=5) - cannot be undone\n"
            "3. put(name='c', size=1) - can be undone\n"
            "-- checkpoint here\n"
            "4. put(name='d', size=1) - can be undone"
        )
        assert (await answer(undo_to, checkpoint="here")).splitlines()[1:] == ["- put(name='d', size=1)"]
        assert sorted(there.values()) == ["a", "c"]
    assert done == ["paid 5"]


@everywhere
async def test_what_was_undone_with_the_step_around_it_is_told_no_more(kind: str) -> None:
    async with block(kind) as q:
        (inside,) = tools(q, put, meta=False)

        @action
        def trip(name: str) -> None:
            inside(name=name)
            if name == "bad":
                raise Full(name)

        @trip.rollback
        def back() -> None: ...

        tool, checkpoint, changes, undo_to, _ = tools(q, trip, mendable=Full)
        await answer(tool, name="good")
        assert (await answer(tool, name="bad")).startswith("trip(name='bad') failed: Full: bad.")
        await answer(checkpoint, name="here")
        await answer(tool, name="better")
        assert await answer(changes) == (
            "-- checkpoint start\n"
            "1. trip(name='good') - can be undone\n"
            "2. put(name='good', size=1) - can be undone\n"
            "-- checkpoint here\n"
            "3. trip(name='better') - can be undone\n"
            "4. put(name='better', size=1) - can be undone"
        )
        await answer(undo_to, checkpoint="here")
        assert list(there.values()) == ["good"]


def test_a_thread_that_a_step_starts_calls_tools_too() -> None:
    there.clear()
    with transaction() as q:
        inside, _, changes, undo_to, _ = tools(q, put)

        @action(read_only=True)
        def many() -> None:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(inside, "ab"))

        many()
        assert changes().count("put(") == len(there) == 2
        undo_to(checkpoint="start")
        assert there == {}


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_undone_what_stands_is_what_changes_lists(seed: int) -> None:
    there.clear()
    random = Random(seed)

    def go(q: Transaction, made: Any, depth: int) -> None:
        tool, trip, checkpoint, changes, undo_to, _ = made
        for turn in range(5):
            kind = random.choice(["tool", "step", "savepoint", "checkpoint", "undo"])
            name = f"{seed}-{depth}-{turn}-{random.random()}"
            if kind == "tool":
                tool(name=name)
            elif kind == "step":
                trip(name=name, fails=random.random() < 0.5)
            elif kind == "savepoint" and depth < 3:
                with suppress(Full), transaction():
                    go(q, made, depth + 1)
                    if random.random() < 0.5:
                        raise Full
            elif kind == "checkpoint" and not depth:
                checkpoint(name=name)
            elif kind == "undo" and not depth:
                undo_to(checkpoint="start")
            names = [line.partition("name='")[2].partition("'")[0] for line in changes().splitlines() if "put(" in line]
            assert sorted(names) == sorted(there.values())

    with transaction() as q:
        (inside,) = tools(q, put, meta=False)

        @action
        def trip(name: str, fails: bool) -> None:
            inside(name=name)
            if fails:
                raise Full

        @trip.rollback
        def back() -> None: ...

        go(q, tools(q, put, trip, mendable=Full), 0)


def test_tasks_in_a_savepoint_of_an_async_block_are_undone_with_it() -> None:
    there.clear()

    async def main() -> None:
        async with transaction() as q:
            sync, awaited, _, changes, undo_to, _ = tools(q, put, put_async)
            for fails in (True, False):
                with suppress(Full):
                    async with transaction():
                        await asyncio.gather(awaited(name="a"), asyncio.to_thread(sync, name="b"), awaited(name="c"))
                        if fails:
                            raise Full
                assert changes().count("can be undone") == len(there) == 3 * (not fails)
            await undo_to(checkpoint="start")
            assert there == {}

    asyncio.run(main())
