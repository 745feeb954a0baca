"""A cancellation at every suspension, and SIGINT at every line of the package, in async code."""

from __future__ import annotations

import asyncio
import gc
import logging
from functools import cache

import pytest

from tests.async_library import raised_together, watched
from tests.marks import slow_but

from .async_sweeping import PROGRAMS, Program, as_scenario, cancelled_run, fails, together, undone_together
from .sweeping import CallTracer, Outcome, SignalHandler, run, run_with
from .swept_world import World
from .test_interrupt_sweep import _raise_interrupt, _raise_stop


@pytest.fixture(autouse=True)
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of undos fail here, and each is logged."""
    monkeypatch.setattr(logging.getLogger("actionqueues"), "disabled", True)


def but_for_the_order_of_tasks(program: Program, wrong: list[str]) -> list[str]:
    """What fails in several tasks is undone where it was; only d comes after all of them."""
    return [
        text
        for text in wrong
        if program not in (together, undone_together) or "undone before" not in text or "'d'" in text
    ]


def ended_as_it_must(program: Program, world: World, reference: World, raised: BaseException | None) -> list[str]:
    wrong = but_for_the_order_of_tasks(program, world.differences(reference, set()))
    if any(
        isinstance(leaf, AttributeError | IndexError | TypeError | AssertionError) for leaf in raised_together(raised)
    ):
        wrong.append(f"what came out is {raised!r}")
    if not world.committed and raised is None:
        wrong.append("it did not commit, and nothing came out")
    return wrong


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_cancellation_at_any_suspension_undoes_each_started_step_once_and_comes_out(program: Program) -> None:
    reference, suspensions, _ = cancelled_run(program)
    assert suspensions >= 2
    for moment in range(1, suspensions + 1):
        with watched(8):
            world, _, raised = cancelled_run(program, moment)
        assert (moment, ended_as_it_must(program, world, reference, raised)) == (moment, [])
        assert isinstance(raised, asyncio.CancelledError), (moment, raised)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_further_cancellations_never_undo_anything_twice_or_out_of_order(program: Program) -> None:
    reference, suspensions, _ = cancelled_run(program)
    for first in range(1, suspensions + 1):
        for second in range(1, 6):
            with watched(8):
                world, _, raised = cancelled_run(program, first, first + second, first + second + 1)
            wrong = ended_as_it_must(program, world, reference, raised)
            assert (first, second, wrong) == (first, second, [])


#: An interrupt may come when coroutines have been made and nobody has begun to await them.
abandoned = pytest.mark.filterwarnings(
    "ignore:coroutine .* was never awaited", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@cache
def sweep(program: Program) -> list[Outcome]:
    """One run for each line, with an interrupt there."""
    scenario = as_scenario(program)
    reference, _, _ = cancelled_run(program)
    outcomes: list[Outcome] = []
    while True:
        with watched(4):
            outcome = run(scenario, reference, len(outcomes) + 1)
        if not outcome.places:
            return outcomes
        outcomes.append(outcome)


@abandoned
@pytest.mark.parametrize("program", slow_but(PROGRAMS, fails), ids=lambda program: program.__name__)
def test_an_interrupt_at_any_line_undoes_each_started_step_once_and_comes_out(program: Program) -> None:
    outcomes = sweep(program)
    gc.collect()  # those coroutines, while that is no error
    assert len(outcomes) > 40
    told = [
        f"{outcome.places[0].function}: {outcome.places[0].text} -> {'; '.join(wrong)}"
        for outcome in outcomes
        if (wrong := but_for_the_order_of_tasks(program, outcome.wrong))
    ]
    assert told == []


@abandoned
@pytest.mark.parametrize("own", [_raise_interrupt, _raise_stop])
@pytest.mark.parametrize("program", slow_but(PROGRAMS, fails), ids=lambda program: program.__name__)
def test_a_handler_of_the_programs_own_that_raises_at_any_call_costs_at_most_the_undo_that_it_hits(
    program: Program, own: SignalHandler
) -> None:
    scenario, moment, wrong = as_scenario(program), 1, list[str]()
    while True:
        with watched(4):
            outcome = run_with(own, scenario, moment, kind=CallTracer)
        if not outcome.places:
            break
        if told := but_for_the_order_of_tasks(program, outcome.wrong):
            wrong.append(f"{outcome.places[0].function}: {outcome.places[0].text} -> {'; '.join(told)}")
        moment += 1
    gc.collect()  # the coroutine of an undo that was hit before it was awaited, while that is no error
    assert moment > 40
    assert wrong == []
