"""``q.savepoint()`` and ``q.run()`` deeper in the block than `q`: they are a part of what is around them there."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from actionqueues import TransactionClosed, action, transaction

from .world import Boom, World


@pytest.fixture
def w() -> World:
    return World()


def test_a_savepoint_of_the_outer_block_inside_another_one_is_undone_with_that(w: World) -> None:
    with transaction() as q:
        w.define("a")()
        with w.caught(), q.savepoint("plan A") as plan:
            w.define("b")()
            with q.savepoint("its first half") as half:
                w.define("c")()
            w.define("d")()
            raise Boom("plan A")
        assert w.trail == ["+a", "+b", "+c", "+d", "-d", "-c", "-b", "!Boom"]
        assert (plan.state, half.state) == ("rolled back", "released")
    assert w.trail[8:] == []


def test_if_it_fails_it_is_undone_alone_and_once(w: World) -> None:
    with pytest.raises(Boom, match="body"), transaction() as q:
        with q.savepoint("plan A"):
            w.define("b")()
            with w.caught(), q.savepoint("its first half"):
                w.define("c")()
                raise Boom("half")
            w.define("d")()
        raise Boom("body")
    assert w.trail == ["+b", "+c", "-c", "!Boom", "+d", "-d", "-b"]


def test_a_savepoint_of_the_outer_block_in_one_that_has_been_rolled_back_by_hand_comes_too_late(w: World) -> None:
    with transaction() as q, q.savepoint("plan A") as plan:
        plan.rollback()
        late = q.savepoint("its first half")
        with pytest.raises(TransactionClosed, match="the savepoint 'plan A' was rolled back by"), late:
            raise AssertionError
    assert q.state == "committed"


def test_where_a_savepoint_was_that_has_ended_a_new_one_is_a_part_of_the_block_around_it(w: World) -> None:
    with pytest.raises(Boom, match="body"), transaction() as q:
        with w.caught(), q.savepoint("ended"):
            outlived = contextvars.copy_context()
            raise Boom("savepoint")

        def later() -> None:
            with q.savepoint("later"):
                w.define("a")()

        outlived.run(later)
        raise Boom("body")
    assert w.trail == ["!Boom", "+a", "-a"]


def test_a_savepoint_in_an_async_step_is_undone_with_that_step_at_once() -> None:
    trail: list[str] = []

    @action
    async def upload(name: str) -> None:
        await asyncio.sleep(0)
        trail.append(f"+{name}")

    @upload.rollback
    async def remove(name: str) -> None:
        await asyncio.sleep(0)
        trail.append(f"-{name}")

    async def main() -> None:
        async with transaction() as q:

            @action
            async def upload_both() -> None:
                async with q.savepoint():
                    await upload("a")
                    await upload("b")
                raise Boom

            with pytest.raises(Boom):
                await upload_both()
            assert trail == ["+a", "+b", "-b", "-a"]

    asyncio.run(main())
    assert trail == ["+a", "+b", "-b", "-a"]


def test_savepoints_of_the_outer_block_in_tasks_that_a_savepoint_has_started_are_undone_with_it() -> None:
    stored: set[str] = set()

    @action
    async def upload(name: str) -> None:
        await asyncio.sleep(0)
        stored.add(name)

    @upload.rollback
    def remove(name: str) -> None:
        stored.remove(name)

    async def main() -> None:
        async with transaction() as q:

            async def upload_one(name: str) -> None:
                async with q.savepoint(name):
                    await upload(name)

            await upload("kept")
            with pytest.raises(Boom):
                async with q.savepoint("both"):
                    await asyncio.gather(upload_one("a"), upload_one("b"))
                    assert stored == {"kept", "a", "b"}
                    raise Boom
            assert stored == {"kept"}

    asyncio.run(main())
    assert stored == {"kept"}


def test_what_is_run_in_a_savepoint_by_the_outer_block_is_undone_with_that_savepoint(w: World) -> None:
    with transaction() as q:
        with w.caught(), q.savepoint():
            w.define("a")()
            q.run(w.define("b"))
            w.define("c")()
            raise Boom("savepoint")
        q.run(w.define("d"))
    assert w.trail == ["+a", "+b", "+c", "-c", "-b", "-a", "!Boom", "+d"]


def test_what_is_run_in_a_block_that_shares_nothing_belongs_to_the_block_that_runs_it(w: World) -> None:
    with transaction() as q, w.caught(), transaction(independent=True):
        w.define("a")()
        q.run(w.define("b"))
        raise Boom("apart")
    assert w.trail == ["+a", "+b", "-a", "!Boom"]


def test_what_is_run_and_awaited_in_a_savepoint_or_an_async_step_is_undone_with_that() -> None:
    trail: list[str] = []

    @action
    async def upload(name: str) -> None:
        await asyncio.sleep(0)
        trail.append(f"+{name}")

    @upload.rollback
    async def remove(name: str) -> None:
        trail.append(f"-{name}")

    async def main() -> None:
        async with transaction() as q:

            @action
            async def upload_both() -> None:
                await q.run(upload, "a")
                await upload("b")
                raise Boom

            with pytest.raises(Boom):
                await upload_both()
            with pytest.raises(Boom):
                async with q.savepoint():
                    await upload("c")
                    await q.run(upload, "d")
                    raise Boom
            await q.run(upload, "e")

    asyncio.run(main())
    assert trail == ["+a", "+b", "-b", "-a", "+c", "+d", "-d", "-c", "+e"]
