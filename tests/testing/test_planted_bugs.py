"""Each planted bug is found, in the right step and by its name; on the mended twin the sweep stays silent."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from actionqueues.testing import sweep

FOLDER = Path(__file__).parent / "sagas"
SAGAS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("__init__", "crashes", "saga"))

#: Each twin is mended in one thing, and not in asking whether it was this step that has made what it undoes.
FAULTS = ["-taken"]


def _options(saga: Any) -> dict[str, Any]:
    return {"faults": FAULTS, **saga.options}


def load(name: str) -> Any:
    return importlib.import_module(f".sagas.{name}", __package__)


@pytest.mark.parametrize("name", SAGAS)
def test_a_planted_bug_is_found_in_its_step_by_its_name(name: str) -> None:
    module = load(name)
    saga = module.make(mended=False)
    done = list(sweep(saga.scenario, state=saga.state, **_options(saga)))
    failed = [outcome for outcome in done if outcome.finding is not None]
    assert failed, "nothing was found"
    first = failed[0].finding
    assert first is not None
    assert (failed[0].id, first.step, first.bug) == module.FOUND, failed[0].message
    assert module.FOUND[1] in failed[0].message


@pytest.mark.parametrize("name", SAGAS)
def test_a_mended_twin_is_not_accused(name: str) -> None:
    saga = load(name).make(mended=True)
    made = sweep(saga.scenario, state=saga.state, **_options(saga)).check()
    assert made.stopped is None
    assert len(made.outcomes) >= 2


def test_attempts_that_have_had_an_effect_each_are_told_from_an_undo_that_restores_what_one_has_written() -> None:
    saga = load("repeated_without_key").make(mended=False)
    first = next(each for each in sweep(saga.scenario, state=saga.state, **_options(saga)) if not each.ok)
    assert "each attempt had an effect of its own" in first.message


def test_there_are_at_least_twenty_planted_bugs() -> None:
    assert len(SAGAS) >= 20
