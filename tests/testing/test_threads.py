"""Steps of scenarios that run in threads of their own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from actionqueues import action, transaction
from actionqueues.testing import Bug, memory, sweep

from .world import put, world


def test_threads_of_a_pool_that_outlives_the_scenario_are_not_waited_for() -> None:
    pools: list[ThreadPoolExecutor] = []

    def pooled() -> None:
        pools.append(ThreadPoolExecutor(1))
        with transaction() as q:
            pools[-1].submit(q.run, put, "a").result()

    try:
        made = sweep(pooled, state=memory(world)).check()
    finally:
        for pool in pools:
            pool.shutdown()
    assert "after@put" in [outcome.id for outcome in made.outcomes]


def test_a_step_is_named_whose_effects_could_not_be_looked_at_in_its_thread() -> None:
    def state() -> object:
        if threading.current_thread() is not threading.main_thread():
            raise OSError("this connection belongs to another thread")
        return dict(world)

    @action
    def leak() -> None:
        world["leak"] = True

    def in_thread() -> None:
        with transaction() as q:
            thread = threading.Thread(target=q.run, args=(leak,))
            thread.start()
            thread.join()

    found = [outcome for outcome in sweep(in_thread, state=state) if outcome.finding is not None]
    assert [(outcome.id, outcome.bug) for outcome in found] == [("after@leak", Bug.NO_UNDO)]
