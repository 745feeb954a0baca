"""Every scenario of the conformance suite in workflows of DBOS on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from . import effects
from .checking import CANCELLED, LIMIT_IDS, LIMITS, RUNS, check, check_limit, in_all_blocks, until
from .scenarios import SCENARIOS
from .stage import Scenario

pytest.importorskip("dbos", reason="the extra 'dbos' is not installed")

from dbos import DBOS, WorkflowHandle

from actionqueues.engines.dbos import cancel

from .playing_on_dbos import launched, played_on_dbos, playing_on_dbos

if TYPE_CHECKING:
    from .servers import PostgreSQL


@pytest.fixture(scope="module", autouse=True)
def dbos(postgresql: PostgreSQL) -> Iterator[None]:
    with launched(postgresql.new_database()):
        yield


@in_all_blocks
def test_on_dbos(scenario: Scenario, awaits: bool) -> None:
    run = effects.new_run()
    check(scenario, run, played_on_dbos(scenario.name, run, awaits), awaits=awaits)


def test_each_comes_to_the_same_from_its_records_and_nothing_is_done_again() -> None:
    """A workflow is forked behind its last step: all that it asks for has been recorded."""
    ran: list[tuple[str, dict[str, Any], list[str], WorkflowHandle[Any]]] = []
    for scenario, awaits in RUNS:
        run = effects.new_run()
        told = played_on_dbos(scenario.name, run, awaits)
        last = max(step["function_id"] for step in DBOS.list_workflow_steps(run))
        ran.append((run, told, effects.trail(run), DBOS.fork_workflow(run, last + 1)))
    for run, told, trail, handle in ran:
        assert handle.get_result() == told
        assert effects.trail(run) == trail


@pytest.mark.parametrize(("scenario", "awaits"), LIMITS, ids=LIMIT_IDS)
def test_what_dbos_cannot_give_is_refused_and_undone(scenario: Scenario, awaits: bool) -> None:
    run = effects.new_run()
    told = played_on_dbos(scenario.name, run, awaits)
    check_limit(scenario, run, told, awaits=awaits, engine="DBOS", carries=False)


# -- cancelled, and looked at, in the middle


@pytest.mark.parametrize("awaits", [False, True], ids=["with", "async with"])
@pytest.mark.parametrize(
    ("scenario", "effect", "ends_with"),
    [(*CANCELLED[0], "WorkflowCancelled: the workflow was cancelled: too late"), (*CANCELLED[1], "Boom: body")],
)
def test_a_cancellation_in_the_middle_undoes_all_of_it(
    scenario: str, effect: str, ends_with: str, awaits: bool
) -> None:
    run = effects.new_run()
    with playing_on_dbos(scenario, run, awaits) as ended:
        until(lambda: effect in effects.trail(run))
        cancel(run, "too late")
        effects.release(run)
    told = ended()
    assert effects.trail(run) == SCENARIOS[scenario].trail
    assert told["error"] == ends_with
    assert told["state"] == SCENARIOS[scenario].state
    last = told["report"]["steps"][-1]["state"]
    assert last == ("dropped" if effect == "+b" else "done")
    assert effects.wrong_keys(run) == []


@pytest.mark.parametrize("awaits", [False, True], ids=["with", "async with"])
def test_an_operator_sees_how_far_a_rollback_is(awaits: bool) -> None:
    scenario = SCENARIOS["an_operator_looks_at_a_block_in_the_middle_of_its_rollback"]
    run = effects.new_run()
    with playing_on_dbos(scenario.name, run, awaits) as ended:
        until(lambda: "-b" in effects.trail(run))
        names = [step["function_name"].replace("_now", "") for step in DBOS.list_workflow_steps(run)]
        assert names == ["do", "long_undone", "do", "rolling back", "undo do"]
        effects.release(run)
    check(scenario, run, ended(), awaits=awaits)
    names = [step["function_name"].replace("_now", "") for step in DBOS.list_workflow_steps(run)]
    assert names == ["do", "long_undone", "do", "rolling back", "undo do", "undo long_undone", "undo do"]
