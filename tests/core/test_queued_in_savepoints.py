"""Steps that are queued in the outer block while a savepoint is open: they go with that savepoint."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from actionqueues import action, transaction
from tests.world import Boom, World


@pytest.fixture
def w() -> World:
    return World()


def test_a_step_that_was_queued_in_an_undone_savepoint_does_not_run_whoever_it_was_given_to(w: World) -> None:
    with transaction() as q:
        q.add(w.define("a"))
        with w.caught(), q.savepoint("plan A"):
            dropped = q.add(w.define("never"))
            raise Boom("plan A")
        with q.savepoint("plan B"):
            q.add(w.define("b"))
        q.add(w.define("c"))
    assert w.trail == ["!Boom", "+a", "+b", "+c"]
    assert dropped.state == "dropped"
    assert q.report.dropped == [dropped]


def test_nor_does_one_of_a_savepoint_that_was_released_into_it(w: World) -> None:
    with transaction() as q:
        with w.caught(), q.savepoint("plan A"):
            with q.savepoint("its first half"):
                dropped = q.add(w.define("never"))
            raise Boom("plan A")
        q.add(w.define("a"))
    assert w.trail == ["!Boom", "+a"]
    assert q.report.dropped == [dropped]


def test_nor_one_of_a_savepoint_that_is_rolled_back_by_hand(w: World) -> None:
    with transaction() as q:
        with q.savepoint() as plan:
            q.add(w.define("never"))
            plan.rollback()
        q.add(w.define("a"))
    assert w.trail == ["+a"]


def test_a_step_that_ran_in_the_savepoint_that_queued_it_is_undone_with_that(w: World) -> None:
    with transaction() as q:
        with w.caught(), q.savepoint():
            q.add(w.define("a"))
            q.execute()
            raise Boom("savepoint")
        assert w.trail == ["+a", "-a", "!Boom"]
    assert q.report.dropped == []


def test_a_step_queued_in_a_block_that_shares_nothing_stays_with_the_block_that_it_was_given_to(w: World) -> None:
    with transaction() as q, w.caught(), transaction(independent=True):
        q.add(w.define("a"))
        raise Boom("apart")
    assert w.trail == ["!Boom", "+a"]


def test_a_step_queued_where_a_savepoint_was_that_has_ended_belongs_to_the_block_around_it(w: World) -> None:
    with transaction() as q:
        with w.caught(), q.savepoint():
            outlived = contextvars.copy_context()
            raise Boom("savepoint")
        outlived.run(q.add, w.define("kept"))
    assert w.trail == ["!Boom", "+kept"]
    assert q.report.dropped == []


def test_in_an_async_block_steps_and_hooks_go_with_their_savepoint_likewise() -> None:
    trail: list[str] = []

    @action
    async def say(word: str) -> None:
        trail.append(word)

    async def main() -> None:
        async with transaction() as q:
            q.add(say, "a")
            with pytest.raises(Boom):
                async with q.savepoint():
                    q.add(say, "never")
                    q.on_commit(trail.append, "nor this")
                    raise Boom
            async with q.savepoint():
                q.add(say, "b")
                q.on_commit(trail.append, "hook")

    asyncio.run(main())
    assert trail == ["a", "b", "hook"]
