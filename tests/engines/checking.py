"""What must have come of a scenario, wherever it ran."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from time import monotonic, sleep
from typing import Any

import pytest

from . import effects
from .scenarios import CARRIED, RECORDED, SCENARIOS
from .stage import Scenario, Stage, in_any_order, in_groups, play, play_now

#: The lists of a report of which a scenario says all that are not empty.
LISTS = {
    "undone", "failures", "conflicts", "skipped", "not_undone", "abandoned", "dropped", "hook_failures",
    "hooks_not_run", "never_awaited", "journal_failures",
}  # fmt: skip

ALONE = {each.name: each for each in SCENARIOS.values() if not (each.meddled or each.varies)}
RUNS = [(each, awaits) for each in ALONE.values() for awaits in (False, True) if awaits or not each.is_async]
IDS = [f"{each.name}, {'async with' if awaits else 'with'}" for each, awaits in RUNS]

#: Those that a test cancels, once an effect has been seen.
CANCELLED = [
    ("a_block_is_cancelled_in_the_middle_of_a_step", "+b"),
    ("a_block_is_cancelled_in_the_middle_of_its_rollback", "-b"),
]

#: Those that not every place can give.
LIMITS = [
    (each, awaits)
    for each in SCENARIOS.values()
    if each.varies
    for awaits in (False, True)
    if awaits or not each.is_async
]
LIMIT_IDS = [f"{each.name}, {'async with' if awaits else 'with'}" for each, awaits in LIMITS]

in_all_blocks = pytest.mark.parametrize(("scenario", "awaits"), RUNS, ids=IDS)
in_async_blocks = pytest.mark.parametrize("scenario", ALONE.values(), ids=ALONE)


def played(scenario: Scenario, run: str, options: Callable[[str], dict[str, Any]], *, awaits: bool) -> dict[str, Any]:
    """Play a scenario in this process."""
    stage = Stage(run, options, awaits)
    return asyncio.run(play(scenario.name, stage)) if awaits else play_now(scenario.name, stage)


async def cancelled_twice(name: str, effect: str, stage: Stage) -> None:
    """Play a scenario that is cancelled once an effect has been seen, and again a little later."""
    block = asyncio.create_task(play(name, stage))
    while effect not in effects.trail(stage.run):
        await asyncio.sleep(0.005)
    block.cancel()
    await asyncio.sleep(0.02)
    block.cancel()
    effects.release(stage.run)
    with pytest.raises(asyncio.CancelledError):
        await block
    assert block.cancelled()


@cache
def in_process(scenario: Scenario, awaits: bool) -> tuple[str, dict[str, Any]]:
    """A run where the package alone runs it, with which all others are compared, and what came of it."""
    run = effects.new_run()
    if scenario.meddled:
        effects.release(run)
    return run, played(scenario, run, lambda _: {}, awaits=awaits)


def until(true: Callable[[], object]) -> None:
    """Wait until it becomes true, 20 seconds at most."""
    end = monotonic() + 20
    while not true():
        assert monotonic() < end, "it did not come to pass within 20 seconds"
        sleep(0.005)


def check(scenario: Scenario, run: str, told: dict[str, Any], *, awaits: bool) -> None:
    """Whether that has come of it."""
    report, expected = told["report"], in_process(scenario, awaits)[1]["report"]
    if scenario.beside:
        report, expected = in_any_order(report), in_any_order(expected)
    assert in_groups(effects.trail(run), scenario.trail) == scenario.trail
    assert told["error"] == scenario.error
    assert told["said"] == scenario.said
    assert told["state"] == scenario.state
    assert {name: report[name] for name in LISTS if report[name]} == scenario.report
    assert report == expected
    assert effects.wrong_keys(run) == []


def check_limit(
    scenario: Scenario, run: str, told: dict[str, Any], *, awaits: bool, engine: str, carries: bool
) -> None:
    """Whether it has come to the same, or was refused by the words that say so, and all that was done is undone."""
    words = (CARRIED if carries else RECORDED).get(scenario.name)
    if words is None:
        check(scenario, run, told, awaits=awaits)
        return
    assert words.format(engine=engine) in told["error"]
    done = effects.trail(run)
    assert [word for word in done if word[0] == "+"] == [f"+{word[1:]}" for word in done[::-1] if word[0] == "-"]
    assert told["report"]["clean"]
    assert effects.wrong_keys(run) == []
