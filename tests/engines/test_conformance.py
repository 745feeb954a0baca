"""Every scenario of the conformance suite in process, under the journal, and on the engine of the documentation.

`test_conformance_on_dbos.py` and `test_conformance_on_temporal.py` run the same on servers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actionqueues.journal import Journal
from tests.documents import ENGINES, blocks

from . import effects
from .checking import (
    CANCELLED,
    LIMIT_IDS,
    LIMITS,
    cancelled_twice,
    check,
    check_limit,
    in_all_blocks,
    in_process,
    played,
)
from .scenarios import LISTED, SCENARIOS
from .stage import Scenario, Stage, grouped, in_groups


@in_all_blocks
def test_in_process(scenario: Scenario, awaits: bool) -> None:
    check(scenario, *in_process(scenario, awaits), awaits=awaits)


@in_all_blocks
def test_under_the_journal(scenario: Scenario, awaits: bool, tmp_path: Path) -> None:
    run = effects.new_run()
    with Journal(tmp_path / "actions.db", durability="process") as journal:
        check(scenario, run, played(scenario, run, lambda _: {"journal": journal}, awaits=awaits), awaits=awaits)


def file_engine() -> Any:
    """The engine that the documentation shows."""
    space: dict[str, Any] = {"__name__": __name__}
    exec(next(each.text for each in blocks(ENGINES) if "class FileEngine" in each.text), space)
    return space["FileEngine"]


@in_all_blocks
def test_on_the_engine_of_the_documentation_and_again_from_its_records(
    scenario: Scenario, awaits: bool, tmp_path: Path
) -> None:
    run, engine = effects.new_run(), file_engine()

    def options(name: str) -> dict[str, Any]:
        return {"engine": engine(tmp_path / f"{run}-{name}.jsonl")}

    told = played(scenario, run, options, awaits=awaits)
    check(scenario, run, told, awaits=awaits)
    done = effects.trail(run)
    assert played(scenario, run, options, awaits=awaits) == told
    assert effects.trail(run) == done, "nothing is done that was recorded"


def test_effects_in_any_order_are_those_in_braces() -> None:
    expected = grouped("+a {+b +c} -a")
    assert expected == ["+a", ["+b", "+c"], "-a"]
    assert in_groups(["+a", "+c", "+b", "-a"], expected) == expected
    assert in_groups(["+c", "+a", "+b", "-a"], expected) != expected
    assert in_groups(["+a", "+c", "+b"], expected) != expected
    assert in_groups(["+a", "+c", "+b", "-a", "-a"], expected) != expected


def test_the_list_is_whole() -> None:
    assert {each.run.__module__ for each in SCENARIOS.values()} == LISTED
    assert len(SCENARIOS) >= 50


# -- what not every place can give


in_all_limits = pytest.mark.parametrize(("scenario", "awaits"), LIMITS, ids=LIMIT_IDS)


@in_all_limits
def test_in_process_all_of_it_can_be_had(scenario: Scenario, awaits: bool) -> None:
    check(scenario, *in_process(scenario, awaits), awaits=awaits)


@in_all_limits
def test_on_the_engine_of_the_documentation_it_can_be_had_or_is_refused(
    scenario: Scenario, awaits: bool, tmp_path: Path
) -> None:
    run, engine = effects.new_run(), file_engine()(tmp_path / "records.jsonl")
    told = played(scenario, run, lambda _: {"engine": engine}, awaits=awaits)
    check_limit(scenario, run, told, awaits=awaits, engine=engine.name, carries=False)


# -- cancelled in the middle


def options_of(place: str, tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """Where a block runs."""
    if place == "under the journal":
        return lambda _: {"journal": str(tmp_path / "actions.db")}
    if place == "on the engine of the documentation":
        engine = file_engine()
        return lambda name: {"engine": engine(tmp_path / f"{name}.jsonl")}
    return lambda _: {}


@pytest.mark.parametrize("place", ["in process", "under the journal", "on the engine of the documentation"])
@pytest.mark.parametrize(("scenario", "effect"), CANCELLED)
def test_a_cancellation_in_the_middle_undoes_all_of_it(scenario: str, effect: str, place: str, tmp_path: Path) -> None:
    run = effects.new_run()
    stage = Stage(run, options_of(place, tmp_path), awaits=True)

    asyncio.run(cancelled_twice(scenario, effect, stage))
    assert effects.trail(run) == SCENARIOS[scenario].trail
    assert stage.blocks[0].state == SCENARIOS[scenario].state
    assert effects.wrong_keys(run) == []
