"""Every scenario in every library: the same trail, state, report and error text as in sync code."""

from __future__ import annotations

import pytest

from tests import scenarios, scenarios_of_ends, scenarios_of_marks
from tests.async_library import Library, everywhere
from tests.async_worlds import AsyncIn, InLibrary, MixedIn
from tests.world import SCENARIOS, Scenario, describe, outcomes

LISTS = {scenarios.__name__, scenarios_of_ends.__name__, scenarios_of_marks.__name__}


@everywhere
@pytest.mark.parametrize("kind", [MixedIn, AsyncIn], ids=["mixed", "async"])
@pytest.mark.parametrize("expected", SCENARIOS, ids=lambda expected: expected.run.__name__)
def test_a_scenario_leaves_the_same_trail_in_every_library(
    expected: Scenario, kind: type[InLibrary], library: Library
) -> None:
    world = kind(library=library)
    error = world.play(expected.run)
    assert world.trail == expected.trail
    block = world.blocks[0]
    assert outcomes(block.report) == expected.report
    assert block.state == expected.state
    assert describe(error) == expected.error


def test_the_scenarios_of_sync_code_are_all_here() -> None:
    assert {scenario.run.__module__ for scenario in SCENARIOS} == LISTS
