"""The engine's own scenarios under a sweep, in sync code, in asyncio and in trio: nothing that is undone there stays.

The state is what the trail says is done and not undone: ``+a`` adds a, ``-a`` takes it away.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio

from actionqueues.testing import Bug, SweepError, sweep
from tests import scenarios, scenarios_of_ends, scenarios_of_marks
from tests.async_library import Library
from tests.async_worlds import AsyncIn
from tests.marks import slow_but
from tests.world import SCENARIOS, AsyncWorld, MixedWorld, Scenario, Stop, World, drive

LISTS = {scenarios.__name__, scenarios_of_ends.__name__, scenarios_of_marks.__name__}

#: Scenarios in which no step is made inside a transaction.
WITHOUT_STEPS = {
    "a_failed_body_drops_what_is_queued",
    "a_result_that_is_not_there_yet_is_refused",
    "an_empty_block_commits",
    "outside_any_block_an_action_is_the_plain_function",
}

#: What is planted in a scenario, where its report does not tell: undos that cannot cope with what a sweep does.
PLANTED = {
    "a_failed_step_hands_its_progress_to_its_handler": Bug.NOTHING_TO_UNDO,
    "a_key_outlives_retries_and_differs_between_calls": Bug.UNDO_FAILED,
    "a_step_called_by_a_handler_belongs_to_no_block": Bug.TOO_MUCH,
}

#: What is found where the report of a scenario lists something.
LISTED = {
    "skipped": Bug.LOST_REPLY,
    "not_undone": Bug.NO_UNDO,
    "failures": Bug.UNDO_FAILED,
    "conflicts": Bug.UNDO_FAILED,
}


def planted_in(scenario: Scenario) -> set[Bug]:
    """The bugs that a sweep has to find."""
    name = scenario.run.__name__
    if name == "objects_and_plain_callables_can_be_queued":
        return set()  # that which is not undone there leaves nothing in this state
    found = {PLANTED[name]} if name in PLANTED else set[Bug]()
    return found | {bug for key, bug in LISTED.items() if scenario.report.get(key)}


def held(trail: list[str]) -> dict[str, bool]:
    """What is done and not undone."""
    found: dict[str, bool] = {}
    for word in trail:
        match = re.fullmatch(r"([+-])(\w+)(\(.*\))?", word)
        if match is not None and match[1] == "+":
            found[match[2]] = True
        elif match is not None:
            found.pop(match[2], None)
    return found


class InTrio(Library):
    """What scenarios need of trio, inside its loop."""

    async def checkpoint(self, times: int = 1) -> None:
        for _ in range(times):
            await trio.lowlevel.checkpoint()


def in_sync_code(scenario: Scenario, trail: list[str]) -> None:
    try:
        drive(scenario.run(World(trail)))
    except (Exception, Stop):
        pass


def in_a_loop(world: Callable[[list[str]], World]) -> Callable[[Scenario, list[str]], Any]:
    async def main(scenario: Scenario, trail: list[str]) -> None:
        try:
            await scenario.run(world(trail))
        except (Exception, Stop):
            pass

    return main


WAYS: dict[str, tuple[Callable[[Scenario, list[str]], Any], Any]] = {
    "sync": (in_sync_code, "asyncio"),
    "mixed": (in_a_loop(MixedWorld), "asyncio"),
    "async": (in_a_loop(AsyncWorld), "asyncio"),
    "trio": (in_a_loop(lambda trail: AsyncIn(trail, library=InTrio())), "trio"),
}


@pytest.fixture(autouse=True)
def no_log() -> Iterator[None]:
    """Undos fail in some scenarios, and that is logged with tracebacks each time."""
    logger = logging.getLogger("actionqueues")
    logger.disabled = True
    yield
    logger.disabled = False


@pytest.mark.parametrize("way", slow_but(WAYS, "sync", "trio"))
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.run.__name__)
def test_a_sweep_finds_in_a_scenario_what_is_planted_there_and_nothing_else(scenario: Scenario, way: str) -> None:
    trail: list[str] = []
    play, backend = WAYS[way]
    options: Any = {"reset": trail.clear, "backend": backend, "faults": ["-taken"]}  # words have no owner
    made = sweep(lambda: play(scenario, trail), state=lambda: held(trail), **options)
    name = scenario.run.__name__
    if name == "objects_and_plain_callables_can_be_queued":
        with pytest.raises(SweepError, match="nothing was compared"):  # it leaves nothing that is held
            made.check()
        return
    if name in WITHOUT_STEPS:
        with pytest.raises(SweepError, match="no step was made"):
            made.check()
        return
    found = {outcome.finding.bug for outcome in made if outcome.finding is not None}
    planted = planted_in(scenario)
    if name == "an_independent_block_shares_nothing":
        # Its undo takes back what an earlier run has committed, if a cancellation let it get that far.
        planted = found & {Bug.TOO_MUCH}
    assert bool(found) == bool(planted)
    assert planted <= found
    if name not in PLANTED:
        # An undo that always fails does so where there is nothing to undo as well; and one step there is irreversible.
        also = {Bug.UNDO_FAILED: Bug.NOTHING_TO_UNDO, Bug.NO_UNDO: Bug.IRREVERSIBLE}
        assert found - planted <= {also[bug] for bug in planted & set(also)}, [each.message for each in made.failures]
    assert made.stopped is None


def test_all_scenarios_are_swept() -> None:
    assert {scenario.run.__module__ for scenario in SCENARIOS} == LISTS
    assert WITHOUT_STEPS | set(PLANTED) <= {scenario.run.__name__ for scenario in SCENARIOS}
