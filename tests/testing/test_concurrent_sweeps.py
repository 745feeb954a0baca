"""A sweep of steps in tasks and threads: cancelled before, inside and after each, whatever their order."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import trio

from actionqueues import action, transaction
from actionqueues.testing import Bug, memory, sweep

from .world import claim, free, put, world


@action
async def put_async(key: str) -> None:
    await asyncio.sleep(0)
    claim(key)
    await asyncio.sleep(0)


@put_async.rollback
async def take_async(key: str, error: BaseException | None) -> None:
    await asyncio.sleep(0)
    free(key, error)


@action
async def put_in_trio(key: str) -> None:
    await trio.lowlevel.checkpoint()
    claim(key)
    await trio.lowlevel.checkpoint()


@put_in_trio.rollback
async def take_in_trio(key: str, error: BaseException | None) -> None:
    await trio.lowlevel.checkpoint()
    free(key, error)


def ids(made: Any) -> list[str]:
    return [outcome.id for outcome in made.check().outcomes]


async def in_asyncio() -> None:
    async with transaction():
        await put_async("a")
        put("b")
        await asyncio.gather(put_async("c"), put_async("d"))


def test_an_async_scenario_is_cancelled_before_inside_and_after_each_step() -> None:
    found = ids(sweep(in_asyncio, state=memory(world)))
    for place in ("put_async", "put_async#2", "put_async#3"):
        assert {f"cancel-{when}@{place}" for when in ("before", "inside", "after")} <= set(found)
    assert "cancel-after@put" in found
    assert world == dict.fromkeys("abcd", True)


def test_a_body_that_never_waits_is_not_cancelled_inside() -> None:
    @action
    async def note() -> None:
        world["noted"] = True

    @note.rollback
    async def forget() -> None:
        world.pop("noted", None)

    async def scenario() -> None:
        async with transaction():
            await note()
            await asyncio.sleep(0)

    found = ids(sweep(scenario, state=memory(world), faults=["cancel"]))
    assert found == ["cancel-before@note", "cancel-after@note"]


def test_a_scenario_in_trio_is_swept() -> None:
    async def in_trio() -> None:
        async with transaction(), trio.open_nursery() as nursery:
            await put_in_trio("a")
            nursery.start_soon(put_in_trio, "b")

    found = ids(sweep(in_trio, state=memory(world), backend="trio"))
    assert {f"cancel-{when}@put_in_trio" for when in ("before", "inside", "after")} <= set(found)
    assert world == {"a": True, "b": True}


def test_a_scenario_runs_in_the_loop_that_it_is_given() -> None:
    with asyncio.Runner() as runner:
        assert "after@put_async" in ids(
            sweep(in_asyncio, state=memory(world), backend=runner.run, faults=["after", "cancel"])
        )


def test_concurrent_steps_may_start_in_another_order_each_time() -> None:
    order = random.Random(5)

    async def scenario() -> None:
        async with transaction():
            await asyncio.gather(*(put_async(key) for key in order.sample("abcd", 4)))

    made = sweep(scenario, state=memory(world)).check()
    assert {"undo@put_async#2", "undo@put_async#4"} <= {outcome.id for outcome in made.outcomes}


def test_undos_that_run_at_the_same_time_are_swept_with_every_fault() -> None:
    async def scenario() -> None:
        async with transaction(undo_concurrently=True):
            await put_async("a")
            await asyncio.gather(put_async("b"), put_async("c"))
            await put_async("d")

    found = ids(sweep(scenario, state=memory(world)))
    assert {f"undo@put_async{place}" for place in ("", "#2", "#3", "#4")} <= set(found)
    assert {"after@put_async#4", "cancel-inside@put_async#4"} <= set(found)
    assert world == dict.fromkeys("abcd", True)


def bugs(scenario: Any, **options: Any) -> list[tuple[str, Bug, str]]:
    found = sweep(scenario, state=memory(world), reset=world.clear, **options)
    return [(each.id, each.finding.bug, each.finding.step) for each in found if each.finding is not None]


@action(name="leak")
async def leak(key: str) -> None:
    await asyncio.sleep(0)
    world[key] = True
    await asyncio.sleep(0)


@action(name="around")
async def around() -> None:
    await asyncio.create_task(leak("leak"))
    claim("around")


@around.rollback
async def undo_around(error: BaseException | None) -> None:
    free("around", error)


def test_what_a_step_calls_in_a_task_of_its_own_is_told_from_what_it_does_itself() -> None:
    async def scenario() -> None:
        async with transaction():
            await around()
            await put_async("a")

    found = bugs(scenario)
    assert {(bug, step) for _, bug, step in found} == {(Bug.NO_UNDO, "leak")}
    assert {"after@leak", "before@put_async", "commit@transaction", "cancel-after@around"} <= {
        each for each, *_ in found
    }


def test_what_others_do_beside_an_undo_is_not_taken_for_its_doing() -> None:
    @action(name="fails")
    async def fails() -> None:
        world["fails"] = True
        await asyncio.sleep(0)

    @fails.rollback
    async def undo_fails() -> None:
        for _ in range(3):
            await asyncio.sleep(0)  # here the other one goes on
        world.pop("fails", None)

    async def scenario() -> None:
        async with transaction():
            await asyncio.gather(fails(), leak("leak"))

    found = bugs(scenario)
    assert {(bug, step) for _, bug, step in found} == {(Bug.NO_UNDO, "leak")}
    assert {"before@fails", "after@fails", "commit@transaction"} <= {each[0] for each in found}


def test_the_threads_in_which_trio_waits_for_work_are_not_waited_for() -> None:
    async def in_thread() -> None:
        async with transaction() as q:
            await trio.to_thread.run_sync(lambda: q.run(put, "a"))

    begun = time.monotonic()
    assert "after@put" in ids(sweep(in_thread, state=memory(world), backend="trio"))
    assert time.monotonic() - begun < 5


def test_steps_in_threads_are_swept() -> None:
    lock = threading.Lock()

    @action
    def work(key: int) -> None:
        with lock:
            claim(str(key))

    @work.rollback
    def unwork(key: int, error: BaseException | None) -> None:
        with lock:
            free(str(key), error)

    def scenario() -> None:
        with ThreadPoolExecutor(2) as pool, transaction() as q:
            for done in [pool.submit(q.run, work, key) for key in range(3)]:
                done.result()

    assert len(ids(sweep(scenario, state=memory(world)))) > 9
