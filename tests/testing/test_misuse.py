"""What makes no sense as a sweep is refused, with what is wrong and what would do."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest

from actionqueues import transaction
from actionqueues.testing import SweepError, database, directory, memory, sweep
from actionqueues.testing.snapshots import Folder

from .world import put, world

LOCK = threading.Lock()


def scenario() -> None:
    with transaction():
        put("a")


@pytest.mark.parametrize(
    "state",
    [
        lambda: None,
        memory({}),
        lambda: [LOCK, None],
        directory(Path(__file__).parent / "test_misuse.py" / "no such directory"),
        lambda: {".": Folder("755")},
        {"files": directory("no such directory"), "rows": database("no such file")},
    ],
)
def test_a_state_that_shows_nothing_is_refused(state: Any) -> None:
    with pytest.raises(SweepError, match="nothing was compared: state= has shown no difference"):
        sweep(scenario, state=state).check()


def test_a_state_that_shows_something_else_is_told() -> None:
    made = sweep(scenario, state=memory({"another": "world"})).check()
    assert "state= has shown no difference" in made.untried[0]
    world.clear()
    assert sweep(scenario, state=memory(world)).check().untried == []


@pytest.mark.parametrize("called", [None, "put"])
def test_a_scenario_that_was_called_instead_of_passed_is_refused(called: Any) -> None:
    with pytest.raises(TypeError, match="must be a function without arguments, not .*pass it without parentheses"):
        sweep(called, state=memory(world))


def test_a_coroutine_is_no_scenario_and_is_not_left_unawaited() -> None:
    async def called() -> None: ...

    made: Any = called()
    with pytest.raises(TypeError, match="not <coroutine object"):
        sweep(made, state=memory(world))
    assert inspect.getcoroutinestate(made) == inspect.CORO_CLOSED


@pytest.mark.parametrize("option", ["reset", "disturb", "recover", "error"])
def test_an_option_that_has_to_be_a_function_and_is_none_is_refused(option: str) -> None:
    options: dict[str, Any] = {option: ValueError("not a class")}
    with pytest.raises(
        TypeError, match=rf"{option}= must be a function( or a class)?, not ValueError\('not a class'\)"
    ):
        sweep(scenario, state=memory(world), **options)


def test_ids_that_are_not_reached_are_told_together_and_survive_pickling() -> None:
    made = sweep(scenario, state=memory(world), only=["after@none", "after@put", "hook@tell"])
    with pytest.raises(
        SweepError, match=r"(?s)after@none was not reached; .*hook@tell: it comes after the commit"
    ) as no:
        made.check()
    assert [outcome.id for outcome in made.outcomes] == ["after@put"]
    again = pickle.loads(pickle.dumps(no.value))
    assert (type(again), str(again), again.ids) == (type(no.value), str(no.value), ["after@none", "hook@tell"])


def test_an_id_need_not_be_in_a_list() -> None:
    assert [each.id for each in sweep(scenario, state=memory(world), only="after@put")] == ["after@put"]


def fail() -> None:
    raise LookupError("not there")


def fail_at_once(step: object) -> None:
    fail()


def fail_later(step: object) -> Any:
    world["a"] = "of somebody else"
    return fail


@pytest.mark.parametrize("disturb", [fail_at_once, fail_later])
def test_what_disturb_raises_is_not_taken_for_the_undo(disturb: Any) -> None:
    with pytest.raises(SweepError, match=r"disturb=, or what takes that back, raised LookupError\('not there'\)"):
        sweep(scenario, state=memory(world), disturb=disturb, faults=["stale"]).check()


def test_a_system_that_never_differed_is_told() -> None:
    made = sweep(scenario, state={"world": memory(world), "mails": list}).check()
    assert made.untried == ["mails: state= has shown no difference there, so nothing was compared"]


def test_a_backend_that_there_is_not_is_refused() -> None:
    backend: Any = "curio"
    with pytest.raises(ValueError, match="backend must be 'asyncio', 'trio' or a function .*, not 'curio'"):
        sweep(scenario, state=memory(world), backend=backend)


def test_a_sweep_inside_a_transaction_is_told_to_get_out_of_it() -> None:
    with transaction(), pytest.raises(SweepError, match="the sweep is itself inside a transaction"):
        sweep(scenario, state=memory(world)).check()


def test_the_task_that_a_sweep_goes_on_in_is_not_cancelled() -> None:
    async def main() -> list[str]:
        made = sweep(scenario, state=memory(world)).check()
        await asyncio.sleep(0)  # where a cancellation would be delivered
        return [outcome.id for outcome in made.outcomes]

    assert [each for each in asyncio.run(main()) if "cancel" in each] == []
