"""Rare things in a sweep: policies and scenarios that raise what they should not, worlds that cannot be copied."""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import trio

from actionqueues import Step, action, transaction
from actionqueues.testing import Bug, Change, SweepError, memory, sweep
from actionqueues.testing.differences import ABSENT
from actionqueues.testing.handlers import actions_of
from actionqueues.testing.snapshots import frozen

from .world import Taken, claim, free, world


def by_status(attempt: int, error: Any) -> float | None:
    return None if isinstance(error, Taken) or error.status != 503 else 0.0


@action(retry=by_status)
def put(key: str) -> None:
    claim(key)


@put.rollback
def take(key: str, error: BaseException | None) -> None:
    free(key, error)


def scenario() -> None:
    with transaction():
        put("a")


def test_a_policy_that_does_not_know_an_injected_error_is_no_hindrance() -> None:
    outcome = sweep(scenario, state=memory(world))
    outcome.check()
    assert outcome.steps == ["put"]


def test_an_interrupt_that_nobody_has_injected_ends_the_sweep() -> None:
    def interrupted() -> None:
        scenario()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(interrupted, state=memory(world)).check()


def test_what_cannot_be_copied_is_compared_as_it_is() -> None:
    lock = threading.Lock()
    assert frozen({"lock": lock})["lock"] is lock


def test_the_actions_of_a_package_are_those_of_all_its_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "shop_of_two_modules"
    package.mkdir()
    source = """
from actionqueues import action
@action
def do_{0}(): ...
def make():
    @action
    def not_of_the_module(): ...
    return not_of_the_module
made = make()
class Outer:
    class Inner:
        @staticmethod
        @action
        def in_{0}(): ...
"""
    for module in ("__init__", "first", "second"):
        (package / f"{module}.py").write_text(source.format(module))
    (package / "__main__.py").write_text("raise AssertionError('it is run, and not imported')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    found = [definition.name for definition in actions_of("shop_of_two_modules").values()]
    places = ["__init__", "first", "second"]
    assert sorted(found) == [f"Outer.Inner.in_{place}" for place in places] + [f"do_{place}" for place in places]


def test_a_scenario_that_fails_by_itself_cannot_be_swept() -> None:
    def fails() -> None:
        scenario()
        raise LookupError("by itself")

    with pytest.raises(SweepError, match="fails by itself"):
        sweep(fails, state=memory(world)).check()


@action
async def put_async(key: str) -> None:
    await asyncio.sleep(0)
    claim(key)


@put_async.rollback
async def take_async(key: str, error: BaseException | None) -> None:
    free(key, error)


async def scenario_async() -> None:
    async with transaction():
        await put_async("a")


def test_what_is_not_there_says_so_and_survives_pickling() -> None:
    assert repr(Change(("a",), ABSENT, 1)) == "Change(path=('a',), before=nothing, after=1)"
    assert pickle.loads(pickle.dumps(ABSENT)) is ABSENT


def test_an_async_scenario_is_refused_where_a_loop_runs_already() -> None:
    async def test_of_the_user() -> None:
        sweep(scenario_async, state=memory(world)).check()

    with pytest.raises(SweepError, match="where an event loop runs already.*make the test a plain def"):
        asyncio.run(test_of_the_user())
    assert world == {}


def test_an_async_test_sweeps_in_a_thread_and_lets_its_own_loop_run_the_scenario() -> None:
    async def test_of_the_user() -> list[str]:
        loop = asyncio.get_running_loop()

        def run(coroutine: Any) -> None:
            asyncio.run_coroutine_threadsafe(coroutine, loop).result()

        def swept() -> list[str]:
            made = sweep(scenario_async, state=memory(world), backend=run).check()
            return [outcome.id for outcome in made.outcomes]

        return await asyncio.to_thread(swept)

    found = asyncio.run(test_of_the_user())
    assert {"after@put_async", "cancel-inside@put_async", "twice@put_async"} <= set(found)
    assert "interrupt@put_async" not in found  # that would end the loop of the user
    assert world == {"a": True}


def test_in_a_loop_of_trio_that_is_not_its_own_a_sweep_cancels_nothing() -> None:
    @action
    async def put_in_trio() -> None:
        await trio.lowlevel.checkpoint()
        claim("a")

    @put_in_trio.rollback
    async def take_in_trio(error: BaseException | None) -> None:
        free("a", error)

    async def in_trio() -> None:
        async with transaction():
            await put_in_trio()

    async def waiting(coroutine: Any) -> None:
        await coroutine

    made = sweep(in_trio, state=memory(world), backend=lambda coroutine: trio.run(waiting, coroutine)).check()
    assert {"before", "after", "twice"} <= {str(outcome.fault) for outcome in made.outcomes}
    assert [outcome.id for outcome in made.outcomes if outcome.fault.startswith("cancel")] == []


def test_a_step_in_a_callback_of_the_loop_has_no_task_to_be_cancelled() -> None:
    async def calls_back() -> None:
        async with transaction():
            done = asyncio.get_running_loop().create_future()

            def call() -> None:
                try:
                    put("a")
                except Exception as error:
                    done.set_exception(error)
                else:
                    done.set_result(None)

            asyncio.get_running_loop().call_soon(call)
            await done

    made = sweep(calls_back, state=memory(world), faults=["before", "after", "cancel"]).check()
    assert [outcome.id for outcome in made.outcomes] == ["before@put", "after@put"]


def test_a_state_that_cannot_be_taken_meanwhile_is_no_hindrance() -> None:
    locked: list[str] = []

    def state() -> object:
        if locked:
            raise OSError("locked")
        return {key: value for key, value in world.items() if key != "audit"}

    @action
    def lock() -> None:
        locked.append("lock")

    @lock.rollback
    def unlock() -> None:
        locked.clear()

    @action
    def audit() -> None:
        world["audit"] = True

    def locking() -> None:
        try:
            with transaction() as q:
                lock()
                with transaction(independent=True):
                    audit()
                put("a")
                q.on_commit(locked.clear)
        finally:
            locked.clear()

    made = sweep(locking, state=state, reset=world.clear).check()
    assert {"hook@list.clear", "after@put"} <= {outcome.id for outcome in made.outcomes}


def test_a_state_that_changes_by_itself_is_refused() -> None:
    count: list[int] = []

    def state() -> object:
        count.append(1)
        return {"reads": len(count), "world": dict(world)}

    with pytest.raises(SweepError, match=r"(?s)differ although nothing was done; name in ignore=.*reads: 1 -> 2"):
        sweep(scenario, state=state).check()
    sweep(scenario, state=state, ignore=["reads"]).check()


def test_what_a_state_raises_is_noted_to_come_from_there() -> None:
    def state() -> object:
        if world.get("asked", 0) > 2:
            raise OSError("no database")
        world["asked"] = world.get("asked", 0) + 1
        return None

    with pytest.raises(OSError, match="no database") as caught:
        sweep(scenario, state=state).check()
    assert caught.value.__notes__ == ["actionqueues: raised by state=, after before@put"]


def test_an_exception_in_a_thread_that_nobody_has_injected_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def tell(args: Any) -> None:
        told.append(str(args.exc_value))

    monkeypatch.setattr(threading, "excepthook", tell)

    def fail() -> None:
        raise LookupError("real")

    def in_thread() -> None:
        with transaction() as q:
            for work in (fail, lambda: q.run(put, "a")):
                thread = threading.Thread(target=work)
                thread.start()
                thread.join()

    made = sweep(in_thread, state=memory(world), faults=["before"]).check()
    assert told == ["real"] * made.runs


def test_a_step_that_was_reached_once_and_never_again_is_told() -> None:
    falls: list[int] = []

    @action(name="other")
    def put_other() -> None:
        world["other"] = True

    @put_other.rollback
    def take_other() -> None:
        world.pop("other", None)

    def fickle() -> None:
        with transaction():
            try:
                put("a")
            except Exception:
                falls.append(1)
                if len(falls) == 1:
                    put_other()

    made = sweep(fickle, state=memory(world)).check()
    assert made.untried == ["other was reached once, after before@put, and not again"]
    assert "other" not in made.steps


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_an_event_that_is_not_reached_in_a_child_is_told() -> None:
    here = os.getpid()

    def elsewhere() -> None:
        with transaction("two"):
            put("a")
            if os.getpid() == here:
                put("b")

    made = sweep(elsewhere, state=memory(world), recover=lambda: None, faults=["crash"]).check()
    assert "crash@put#2.starting was not reached in its own process" in made.untried
    assert "crash@put.attempted" in [outcome.id for outcome in made.outcomes]


def test_a_scenario_that_fails_once_it_has_committed_is_refused() -> None:
    def fails() -> None:
        scenario()
        raise LookupError("after the commit")

    made = sweep(fails, state=memory(world), only=["hook@put"], reset=world.clear)
    with pytest.raises(SweepError, match="fails by itself.*after the commit"):
        made.check()


def test_any_trial_gives_alone_what_it_gives_among_the_others() -> None:
    def disturb(step: Step[Any]) -> Any:
        world[step.args[0]] = "theirs"
        return lambda: world.update({step.args[0]: True})

    def swept(**options: Any) -> list[tuple[str, Bug | None]]:
        async def both() -> None:
            async with transaction("both"):
                await put_async("a")
                try:
                    put("b")
                except Exception:
                    put("c")

        made = sweep(both, state=memory(world), disturb=disturb, reset=world.clear, **options)
        return [(outcome.id, outcome.bug) for outcome in made]

    among = swept()
    assert {"commit@both", "cancel-inside@put_async", "stale@put", "before@put>after@put#2"} <= {
        each for each, _ in among
    }
    world.clear()
    assert [found for chosen, _ in among for found in swept(only=[chosen])] == among


def test_a_trial_of_a_cancellation_outside_any_loop_is_not_reached() -> None:
    with pytest.raises(SweepError, match="cancel-after@put was not reached; the steps of this run were put"):
        sweep(scenario, state=memory(world), only=["cancel-after@put"]).check()


def test_steps_behind_a_commit_are_refused() -> None:
    def two_transactions() -> None:
        scenario()
        with transaction("second"):
            put("b")

    with pytest.raises(SweepError, match=r"put#2 came after a commit, .*sweep one transaction at a time"):
        sweep(two_transactions, state=memory(world)).check()


def test_a_scenario_that_cancels_itself_fails_by_itself() -> None:
    async def cancels() -> None:
        await scenario_async()
        raise asyncio.CancelledError

    with pytest.raises(SweepError, match=r"fails by itself, with nothing injected: CancelledError"):
        sweep(cancels, state=memory(world), reset=world.clear, only=["hook@put"]).check()
