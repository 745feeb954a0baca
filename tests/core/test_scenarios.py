"""Every scenario, through every driver: the same trail, state, report and error text."""

from __future__ import annotations

import pytest

from actionqueues import NoTransaction, current_transaction
from tests import scenarios, scenarios_of_ends, scenarios_of_marks
from tests.world import SCENARIOS, WORLDS, Scenario, World, describe, outcomes

LISTS = [scenarios.__name__, scenarios_of_ends.__name__, scenarios_of_marks.__name__]


@pytest.fixture(params=WORLDS, ids=lambda world: world.__name__)
def world(request: pytest.FixtureRequest) -> World:
    made: World = request.param()
    return made


@pytest.mark.parametrize("expected", SCENARIOS, ids=lambda expected: expected.run.__name__)
def test_a_scenario_leaves_the_same_trail_in_every_world(expected: Scenario, world: World) -> None:
    error = world.play(expected.run)
    assert world.trail == expected.trail
    block = world.blocks[0]
    assert outcomes(block.report) == expected.report
    assert block.state == expected.state
    assert describe(error) == expected.error
    with pytest.raises(NoTransaction):
        current_transaction()


def test_no_two_scenarios_have_the_same_name() -> None:
    names = [scenario.run.__name__ for scenario in SCENARIOS]
    assert len(names) == len(set(names)) >= 60
    assert {scenario.run.__module__ for scenario in SCENARIOS} == set(LISTS)
