"""Every scenario of the conformance suite in workflows of Temporal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from . import effects
from .checking import ALONE, CANCELLED, LIMITS, check, check_limit, in_async_blocks, until
from .scenarios import SCENARIOS
from .stage import Scenario

pytest.importorskip("temporalio", reason="the extra 'temporal' is not installed")

from temporalio.client import WorkflowFailureError
from temporalio.exceptions import CancelledError

from .playing_on_temporal import Working, working

if TYPE_CHECKING:
    from .servers import TemporalServer


@pytest.fixture(scope="module")
def worker(temporal_server: TemporalServer) -> Iterator[Working]:
    """One that keeps workflows in memory between their tasks."""
    with working(temporal_server.target, "conformance") as worker:
        yield worker


@pytest.fixture(scope="module")
def forgetful_worker(temporal_server: TemporalServer) -> Iterator[Working]:
    """One that evicts a workflow after each task, and executes it from its records for the next one."""
    with working(temporal_server.target, "conformance-forgotten", max_cached_workflows=0) as worker:
        yield worker


@in_async_blocks
def test_on_temporal_and_again_from_its_records(scenario: Scenario, worker: Working) -> None:
    run = effects.new_run()
    told = worker.play(scenario.name, run)
    check(scenario, run, told, awaits=True)
    worker.replay(run)
    check(scenario, run, told, awaits=True)  # nothing was done again


#: Those that have most to tell two executions apart by; the others take long.
HARD = {
    "a_handler_is_given_the_error_and_what_the_step_had_saved_in_any_attempt",
    "a_mark_may_be_gone_back_to_again_and_hooks_after_it_are_dropped",
    "a_step_is_tried_again_until_it_succeeds",
    "a_time_out_that_is_caught_undoes_the_step_that_it_hit",
    "an_undo_that_fails_for_good_is_reported_after_its_attempts",
    "steps_that_run_at_the_same_time_are_undone_in_reverse_order_of_start",
    "what_ran_at_the_same_time_may_be_undone_at_the_same_time",
}


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(each, marks=[] if each.name in HARD else pytest.mark.slow) for each in ALONE.values()],
    ids=ALONE,
)
def test_on_temporal_in_a_worker_that_evicts_after_each_task(scenario: Scenario, forgetful_worker: Working) -> None:
    run = effects.new_run()
    check(scenario, run, forgetful_worker.play(scenario.name, run), awaits=True)


@pytest.mark.parametrize("scenario", [each for each, awaits in LIMITS if awaits], ids=lambda each: each.name)
def test_what_temporal_cannot_give_is_refused_and_undone(scenario: Scenario, worker: Working) -> None:
    run = effects.new_run()
    told = worker.play(scenario.name, run)
    check_limit(scenario, run, told, awaits=True, engine="Temporal", carries=True)
    worker.replay(run)


# -- cancelled, and looked at, in the middle


@pytest.mark.parametrize(("scenario", "effect"), CANCELLED)
def test_a_cancellation_in_the_middle_undoes_all_of_it(scenario: str, effect: str, worker: Working) -> None:
    run = effects.new_run()
    handle = worker.start(scenario, run)
    until(lambda: effect in effects.trail(run))
    worker.do(lambda _: handle.cancel())
    effects.release(run)
    with pytest.raises(WorkflowFailureError) as failed:
        worker.do(lambda _: handle.result())
    assert isinstance(failed.value.cause, CancelledError)
    assert effects.trail(run) == SCENARIOS[scenario].trail
    assert effects.wrong_keys(run) == []
    worker.replay(run)


def test_an_operator_sees_how_far_a_rollback_is(worker: Working) -> None:
    scenario = SCENARIOS["an_operator_looks_at_a_block_in_the_middle_of_its_rollback"]
    run = effects.new_run()
    handle = worker.start(scenario.name, run)
    until(lambda: "-b" in effects.trail(run))
    until(lambda: worker.details(run) == "block: rolling back: Boom('body'); undone 1 of 3")
    effects.release(run)
    told = worker.do(lambda _: handle.result())
    check(scenario, run, told, awaits=True)
    assert worker.details(run) == "block: rolled back: Boom('body')"
