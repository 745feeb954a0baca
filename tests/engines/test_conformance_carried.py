"""Every scenario of the conformance suite where units are carried as text, in a loop that its engine may move."""

from __future__ import annotations

import pytest

from . import effects
from .checking import CANCELLED, LIMITS, cancelled_twice, check, check_limit, in_async_blocks
from .courier import CourierEngine, run_moving
from .scenarios import SCENARIOS
from .stage import Scenario, Stage, play


def on(engines: dict[str, CourierEngine], run: str, name: str) -> dict[str, CourierEngine]:
    """The engine of a block, the same in each execution."""
    return {"engine": engines.setdefault(name, CourierEngine(f"{run}-{name}"))}


@in_async_blocks
def test_carried_and_again_from_the_records(scenario: Scenario) -> None:
    run, engines = effects.new_run(), dict[str, CourierEngine]()
    for _ in range(2):
        told = run_moving(play(scenario.name, Stage(run, lambda name: on(engines, run, name), awaits=True)))
        check(scenario, run, told, awaits=True)  # nothing is done again


@pytest.mark.parametrize("scenario", [each for each, awaits in LIMITS if awaits], ids=lambda each: each.name)
def test_what_cannot_be_carried_is_refused_and_undone(scenario: Scenario) -> None:
    run, engine = effects.new_run(), CourierEngine()
    told = run_moving(play(scenario.name, Stage(run, lambda _: {"engine": engine}, awaits=True)))
    check_limit(scenario, run, told, awaits=True, engine=engine.name, carries=True)


@pytest.mark.parametrize(("scenario", "effect"), CANCELLED)
def test_a_cancellation_in_the_middle_undoes_all_of_it(scenario: str, effect: str) -> None:
    run, engine = effects.new_run(), CourierEngine()
    run_moving(cancelled_twice(scenario, effect, Stage(run, lambda _: {"engine": engine}, awaits=True)))
    assert effects.trail(run) == SCENARIOS[scenario].trail
