"""SIGINT before and after every call that the package makes of a function in C: what comes between two lines."""

from __future__ import annotations

import logging
from functools import cache

import pytest

from tests.marks import slow_but

from .sweeping import CallTracer, Outcome, Scenario, SignalHandler, reference_of, run, run_with
from .test_interrupt_sweep import SCENARIOS, _raise_interrupt, _raise_stop, caught, classic, fails, told


@pytest.fixture(autouse=True)
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of undos fail here, and each is logged."""
    monkeypatch.setattr(logging.getLogger("actionqueues"), "disabled", True)


@cache
def sweep(scenario: Scenario) -> list[Outcome]:
    """One run for each moment, with an interrupt then."""
    reference = reference_of(scenario)
    outcomes: list[Outcome] = []
    while (outcome := run(scenario, reference, len(outcomes) + 1, kind=CallTracer)).places:
        outcomes.append(outcome)
    return outcomes


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_interrupt_at_any_call_undoes_each_started_step_once_and_comes_out(scenario: Scenario) -> None:
    outcomes = sweep(scenario)
    assert len(outcomes) > 20
    assert told([outcome for outcome in outcomes if outcome.wrong]) == []


def is_entering(outcome: Outcome) -> bool:
    return outcome.places[0].function == "Transaction.__enter__"


def test_an_interrupt_while_a_block_is_entered_leaves_it_not_the_current_one() -> None:
    outcomes = [outcome for scenario in SCENARIOS for outcome in sweep(scenario) if is_entering(outcome)]
    assert outcomes
    assert told([outcome for outcome in outcomes if outcome.wrong]) == []


def test_no_interrupt_at_any_call_leaves_a_guard_on_duty_which_would_keep_the_next_sigterm_to_itself() -> None:
    assert told([outcome for scenario in SCENARIOS for outcome in sweep(scenario) if outcome.on_duty]) == []


@pytest.mark.parametrize("own", [_raise_interrupt, _raise_stop])
@pytest.mark.parametrize("scenario", slow_but([s for s in SCENARIOS if s is not classic], fails, caught))
def test_a_handler_of_the_programs_own_that_raises_at_any_call_costs_at_most_the_undo_that_it_hits(
    scenario: Scenario, own: SignalHandler
) -> None:
    wrong: list[Outcome] = []
    moment = 1
    while (outcome := run_with(own, scenario, moment, kind=CallTracer)).places:
        if outcome.wrong:
            wrong.append(outcome)
        moment += 1
    assert moment > 20
    assert told(wrong) == []
