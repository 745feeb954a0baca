"""Rare things in a sweep: policies and scenarios that raise what they should not, worlds that cannot be copied."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from actionqueues import action, transaction
from actionqueues.testing import SweepError, memory, sweep
from actionqueues.testing.handlers import actions_of
from actionqueues.testing.snapshots import frozen

world: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def empty_world() -> None:
    world.clear()


def by_status(attempt: int, error: Any) -> float | None:
    return 0.0 if error.status == 503 else None


@action(retry=by_status)
def put(key: str) -> None:
    world[key] = True


@put.rollback
def take(key: str) -> None:
    world.pop(key, None)


def scenario() -> None:
    with transaction():
        put("a")


def test_a_policy_that_does_not_know_an_injected_error_is_no_hindrance() -> None:
    outcome = sweep(scenario, state=memory(world))
    outcome.check()
    assert outcome.steps == ["put"]


def test_an_interrupt_that_nobody_has_injected_ends_the_sweep() -> None:
    def interrupted() -> None:
        scenario()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(interrupted, state=memory(world)).check()


def test_what_cannot_be_copied_is_compared_as_it_is() -> None:
    lock = threading.Lock()
    assert frozen({"lock": lock})["lock"] is lock


def test_the_actions_of_a_package_are_those_of_all_its_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "shop_of_two_modules"
    package.mkdir()
    source = "from actionqueues import action\n@action\ndef {0}(): ...\n"
    for module in ("__init__", "first", "second"):
        (package / f"{module}.py").write_text(source.format(f"do_{module}"))
    (package / "__main__.py").write_text("raise AssertionError('it is run, and not imported')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    found = [definition.name for definition in actions_of("shop_of_two_modules").values()]
    assert sorted(found) == ["do___init__", "do_first", "do_second"]


def test_a_scenario_that_fails_by_itself_cannot_be_swept() -> None:
    def fails() -> None:
        scenario()
        raise LookupError("by itself")

    with pytest.raises(SweepError, match="fails by itself"):
        sweep(fails, state=memory(world)).check()
