"""What a sweep calls a bug, where that hangs on how the handler is written or on what the world looks like."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from actionqueues import RollbackConflict, Step, action, current_step, transaction
from actionqueues.testing import Bug, memory, sweep

world: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def empty_world() -> None:
    world.clear()


def bugs(scenario: Callable[[], object], **options: Any) -> list[tuple[str, Bug]]:
    found = sweep(scenario, state=memory(world), **options)
    return [(outcome.id, outcome.finding.bug) for outcome in found if outcome.finding is not None]


def locking(undo: Callable[..., object]) -> Callable[[], None]:
    @action
    def lock(name: str) -> None:
        world[name] = "locked"

    lock.rollback(undo)

    def scenario() -> None:
        with transaction():
            lock("door")

    return scenario


def test_an_undo_that_suppresses_its_error_swallows_it() -> None:
    def unlock(name: str) -> None:
        with contextlib.suppress(KeyError):
            world.pop(name.upper())

    assert bugs(locking(unlock))[0] == ("after@lock", Bug.SWALLOWED)


def test_an_undo_whose_source_is_not_there_is_judged_by_what_it_leaves() -> None:
    made: dict[str, Any] = {"world": world}
    exec("def unlock(name): world.get(name)", made)
    assert bugs(locking(made["unlock"]))[0] == ("after@lock", Bug.INCOMPLETE)


@pytest.mark.parametrize("others", ["replace", "shorten"])
@pytest.mark.parametrize("careful", [True, False])
def test_an_undo_that_overwrites_a_place_in_a_list_is_found(careful: bool, others: str) -> None:
    world["names"] = ["ada", "bob"]

    @action
    def rename(place: int, name: str) -> None:
        current_step().save(before=list(world["names"]))
        world["names"][place] = name

    @rename.rollback
    def rename_back(place: int, name: str, step: Step[Any]) -> None:
        before = step.saved.get("before", world["names"])
        if careful and world["names"] not in (before, [*before[:place], name, *before[place + 1 :]]):
            raise RollbackConflict("renamed by somebody else")
        world["names"] = list(before)

    def disturb(step: Step[Any]) -> Any:
        ours = list(world["names"])
        if others == "replace":
            world["names"][1] = "eve"
        else:
            world["names"].pop()
        return lambda: world.update(names=ours)

    def scenario() -> None:
        with transaction():
            rename(1, "bea")

    found = bugs(scenario, disturb=disturb)
    assert found == ([] if careful else [("stale@rename", Bug.OVERWRITTEN)])
