"""Testing: sweeps and what they find, the fixture of the plugin, snapshots, and what single tests use."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, assert_type

from actionqueues import Step, action
from actionqueues.pytest_plugin import RollbackSweep
from actionqueues.testing import (
    Bug,
    Change,
    Fault,
    Finding,
    Outcome,
    Recorder,
    Sweep,
    SweepError,
    SweepFailed,
    database,
    directory,
    fail_at,
    fake_step,
    held_hooks,
    memory,
    no_sleep,
    stubbed,
    sweep,
)


@action
def charge(card: str, amount: int) -> str:
    return card


def scenario() -> None: ...


async def scenario_async() -> None: ...


def with_an_argument(shop: str) -> None: ...


def disturb(step: Step[Any]) -> Callable[[], None] | None:
    return None


def sweeps(db: sqlite3.Connection) -> None:
    state = {"db": database(db), "files": directory("x"), "memory": memory([])}
    made = sweep(scenario, state=state)
    sweep(scenario, state=state, faults=["-taken"], disturb=disturb)
    sweep(scenario, state=state, faults=[Fault.TAKEN])
    assert_type(made, Sweep)
    assert_type(made.check(), Sweep)
    assert_type(made.outcomes, list[Outcome])
    assert_type(made.failures, list[Outcome])
    assert_type(made.steps, list[str])
    assert_type(made.stopped, str | None)
    assert_type(made.untried, list[str])
    sweep(scenario_async, state=list, backend="trio", reset=scenario, recover=scenario, disturb=disturb)
    sweep(scenario, state=list, error=ConnectionError, only=["after@charge"], faults=["after"])
    sweep(scenario, state=list, error=lambda step: LookupError(step.name), ignore=["a.*", lambda path: path == ("a",)])
    sweep(scenario, state=Path, backend=lambda coroutine: coroutine.close())
    sweep(scenario)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    sweep(scenario, list)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    sweep(with_an_argument, state=list)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sweep(scenario, state=[])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sweep(scenario, state={"a": 1})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    sweep(scenario, state=list, backend="curio")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sweep(scenario, state=list, disturb=scenario)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sweep(scenario, state=list, faults=[1])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    sweep(scenario, state=list, resets=None)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def outcomes(made: Sweep, failed: SweepFailed) -> None:
    for outcome in made:
        assert_type(outcome, Outcome)
        assert_type(outcome.id, str)
        assert_type(outcome.fault, Fault)
        assert_type(outcome.place, str)
        assert_type(outcome.ok, bool)
        assert_type(outcome.bug, Bug | None)
        assert_type(outcome.finding, Finding | None)
        assert_type(outcome.changes, tuple[Change, ...])
        assert_type(outcome.message, str)
        outcome.ok = True  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    assert_type(failed.outcomes, list[Outcome])
    errors: list[AssertionError] = [failed]
    errors.append(SweepError(""))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def plugin(rollback_sweep: RollbackSweep) -> None:
    assert_type(rollback_sweep(scenario, state=list, ignore=["a"], faults=["after"]), None)
    rollback_sweep(scenario_async, state={"a": memory({})}, backend="trio", only=["after@charge"])
    rollback_sweep(scenario)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    rollback_sweep(with_an_argument, state=list)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    rollback_sweep(scenario, state=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    rollback_sweep(scenario, state=list, nothing=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def single_tests() -> None:
    with no_sleep() as waits:
        assert_type(waits, list[float])
    with fail_at(charge, LookupError, when="after", times=1) as failed:
        assert_type(failed, list[Step[Any]])
    with fail_at("charge", LookupError()), Recorder() as recorder:
        assert_type(recorder.events, list[str])
        assert_type(recorder.of("charge"), list[str])
    with fake_step(charge, "card", amount=1, state="failed", error=LookupError(), saved={"id": 1}, key="k") as step:
        assert_type(step, Step[Any])
    with stubbed(charge, result="ch_1") as steps:
        assert_type(steps, list[Step[Any]])
    with held_hooks() as hooks:
        assert_type(hooks[0].name, str)
        assert_type(hooks[0].args, tuple[Any, ...])
        assert_type(hooks[0].kwargs, dict[str, Any])
        assert_type(hooks[0].call(), object)
    managers: list[AbstractContextManager[object]] = [no_sleep(), held_hooks(), stubbed(charge), fail_at("a", OSError)]
    assert managers
    fail_at(charge, LookupError, when="later")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    fail_at(charge, "error")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    stubbed("charge")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    stubbed(charge, "ch_1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def snapshots(db: sqlite3.Connection) -> None:
    assert_type(directory(Path("x"))(), dict[str, object])
    assert_type(database(db, tables=["a"], keys={"a": "id"})(), dict[str, object])
    assert_type(memory(a=[], b={})(), object)
    directory(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    database(db, tables=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
