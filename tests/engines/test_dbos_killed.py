"""Processes of a workflow on DBOS that are killed with SIGKILL: each goes on in the next one, forward or undoing.

Every effect is there once, but for the one that was in flight, which carries the same key both times.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbos", reason="pip install 'actionqueues[dbos]'")

from dbos import DBOSClient

from actionqueues.engines.dbos import cancel, undo

from .conftest import migrated
from .on_dbos import World, wait_until
from .servers import PostgreSQL

ROOT = Path(__file__).parents[2]


def first(*values: str) -> list[Any]:
    """The first of the variants of a test each time; the others, which show the same, where there is time."""
    return [value if value == values[0] else pytest.param(value, marks=pytest.mark.slow) for value in values]


each_flow = pytest.mark.parametrize("flow", first("order", "order_async", "order_mixed"))


class Processes:
    """Those of one workflow, one after the other."""

    def __init__(self, url: str, trail: Path, flow: str) -> None:
        self.url, self.world, self.flow = url, World(trail), flow
        self.started: list[subprocess.Popen[str]] = []

    def start(self, plan: list[str], *options: str, executor: str = "A", workflow: str = "w") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.engines.on_dbos"),
                *(self.url, executor, str(self.world.path), workflow, self.flow, json.dumps(plan), *options),
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.started.append(process)
        return process

    def killed(self, plan: list[str], die_at: str) -> None:
        """One that dies there."""
        process = self.start(plan, f"--die-at={die_at}")
        told, _ = process.communicate(timeout=100)
        assert process.returncode == -signal.SIGKILL, told

    def ends(self, plan: list[str], *options: str) -> Any:
        """One that comes to the end of the workflow; what it tells of that."""
        return outcome(self.start(plan, *options))

    def close(self) -> None:
        while self.started:
            process = self.started.pop()
            process.kill()
            process.communicate()


def outcome(process: subprocess.Popen[str]) -> Any:
    told, _ = process.communicate(timeout=100)
    assert process.returncode == 0, told
    return json.loads(told)


@pytest.fixture
def processes(dbos_database: str, tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    flow = request.getfixturevalue("flow") if "flow" in request.fixturenames else "order"
    made = Processes(dbos_database, tmp_path / "trail", flow)
    yield made
    made.close()


def keys_of(world: World, name: str) -> set[str]:
    return {each.key for each in world.trail if each.name == name}


# -- forward


@each_flow
def test_killed_after_step_two_of_three_it_goes_on_with_the_third(processes: Processes, flow: str) -> None:
    plan = ["a", "b", "die", "c"]
    processes.killed(plan, "die")
    assert processes.ends(plan) == {"result": ["A", "B", "C"]}
    assert processes.world.names == ["+a", "+b", "+c"]
    assert len({each.process for each in processes.world.trail}) == 2


@each_flow
def test_killed_between_an_effect_and_its_record_it_repeats_that_with_the_same_key(
    processes: Processes, flow: str
) -> None:
    plan = ["a", "b", "c"]
    processes.killed(plan, "+b")
    assert processes.ends(plan) == {"result": ["A", "B", "C"]}
    assert processes.world.names == ["+a", "+b", "+b", "+c"]
    assert len(keys_of(processes.world, "b")) == 1


def test_an_exception_that_was_caught_is_caught_again_after_a_crash(processes: Processes) -> None:
    plan = ["a", "caught", "die", "b"]
    processes.killed(plan, "die")
    assert processes.ends(plan) == {"result": ["A", "POOR", "B"]}
    assert processes.world.names == ["+a", "+caught", "-caught", "+poor", "+b"]


# -- undoing


@each_flow
@pytest.mark.parametrize("die_at", first("-b", "before -b", "before -c", "-c", "-a"))
def test_killed_in_the_middle_of_the_undo_it_goes_on_undoing(processes: Processes, flow: str, die_at: str) -> None:
    plan = ["a", "b", "c", "raise"]
    processes.killed(plan, die_at)
    assert processes.ends(plan) == {"error": "ValueError('raise')"}
    expected = ["+a", "+b", "+c", "-c", "-b", "-a"]
    if not die_at.startswith("before"):
        expected.insert(expected.index(die_at), die_at)  # it was in flight
    assert processes.world.names == expected
    assert all(len(keys_of(processes.world, name)) == 1 for name in "abc")


@each_flow
def test_killed_in_the_middle_of_the_undo_it_goes_on_though_it_would_not_fail_any_more(
    processes: Processes, flow: str
) -> None:
    plan = ["a", "b", "unlucky", "c"]
    processes.killed(plan, "before -a")
    told = processes.ends(plan, "--lucky")["error"]
    assert told.startswith("RolledBackBefore")
    assert "ValueError('unlucky')" in told
    assert processes.world.names == ["+a", "+b", "-b", "-a"]


def test_killed_in_the_middle_of_the_attempts_of_an_undo_it_counts_them_once(processes: Processes) -> None:
    plan = ["hopeless", "raise"]
    processes.killed(plan, "-hopeless, time 2")
    assert processes.ends(plan) == {"error": "ValueError('raise')"}
    assert processes.world.names == ["+hopeless", *["-hopeless"] * 4]  # three attempts, and the one that was in flight


# -- cancelling what nobody runs


@each_flow
def test_cancelled_while_it_is_dead_it_undoes_what_was_in_flight_without_repeating_it(
    processes: Processes, flow: str
) -> None:
    plan = ["a", "b", "c"]
    processes.killed(plan, "+b")
    client = DBOSClient(system_database_url=processes.url)
    cancel("w", "too late", client=client)
    client.destroy()
    assert "the workflow was cancelled: too late" in processes.ends(plan)["error"]
    assert processes.world.names == ["+a", "+b", "-b", "-a"]
    assert len(keys_of(processes.world, "b")) == 1


def test_cancelled_by_dbos_while_it_is_dead_it_is_undone_by_whoever_resumes_it(processes: Processes) -> None:
    plan = ["a", "b", "c"]
    processes.killed(plan, "+b")
    client = DBOSClient(system_database_url=processes.url)
    client.cancel_workflow("w")
    undo("w", "so", client=client)
    client.destroy()
    assert "the workflow was cancelled: so" in processes.ends(plan)["error"]
    assert processes.world.names == ["+a", "+b", "-b", "-a"]


# -- processes that end as they are told to


@each_flow
def test_a_process_that_ends_in_good_order_undoes_nothing_and_the_next_one_goes_on(
    processes: Processes, flow: str
) -> None:
    plan = ["a", "die", "held", "b"]
    processes.killed(plan, "die")
    told_to_end = processes.start(plan)  # which DBOS lets run it in an event loop of its own, and cancels with that
    processes.world.gate.wait_until_something_waits()
    told_to_end.send_signal(signal.SIGTERM)
    if flow == "order_async":
        told_to_end.communicate(timeout=100)
        assert processes.world.names == ["+a"]
    processes.world.gate.open()
    told_to_end.communicate(timeout=100)
    assert processes.ends(plan) == {"result": ["A", "HELD", "B"]}
    assert list(dict.fromkeys(processes.world.names)) == ["+a", "+held", "+b"]
    assert len(keys_of(processes.world, "held")) == 1


# -- the server, and two workers


@each_flow
def test_when_the_server_is_killed_the_workflow_waits_for_it_and_goes_on(
    own_postgresql: PostgreSQL, tmp_path: Path, flow: str
) -> None:
    processes = Processes(migrated(own_postgresql), tmp_path / "trail", flow)
    try:
        process = processes.start(["a", "held", "b"])
        processes.world.gate.wait_until_something_waits()
        own_postgresql.kill()
        processes.world.gate.open()
        wait_until(lambda: "+held" in processes.world.names, "the step has ended")
        own_postgresql.restart()
        assert outcome(process) == {"result": ["A", "HELD", "B"]}
        assert processes.world.names == ["+a", "+held", "+b"]
    finally:
        processes.close()


def test_when_the_server_is_killed_in_the_middle_of_an_undo_that_goes_on(
    own_postgresql: PostgreSQL, tmp_path: Path
) -> None:
    processes = Processes(migrated(own_postgresql), tmp_path / "trail", "order")
    try:
        process = processes.start(["a", "holding its undo", "raise"])
        processes.world.second.wait_until_something_waits()
        own_postgresql.kill()
        processes.world.second.open()
        wait_until(lambda: "-holding its undo" in processes.world.names, "the undo has ended")
        own_postgresql.restart()
        assert outcome(process) == {"error": "ValueError('raise')"}
        assert processes.world.names == ["+a", "+holding its undo", "-holding its undo", "-a"]
    finally:
        processes.close()


def test_what_a_killed_worker_has_left_waits_for_one_with_its_executor_id(processes: Processes) -> None:
    plan = ["a", "b", "c"]
    processes.killed(plan, "+b")
    other = processes.start(["other"], executor="B", workflow="of-b")  # and it lives, and runs its own
    assert outcome(other) == {"result": ["OTHER"]}
    client = DBOSClient(system_database_url=processes.url)
    (left,) = client.list_workflows(workflow_ids=["w"])
    client.destroy()
    assert (left.status, left.executor_id) == ("PENDING", "A")
    assert processes.world.names == ["+a", "+b", "+other"]
    assert processes.ends(plan) == {"result": ["A", "B", "C"]}
    assert processes.world.names == ["+a", "+b", "+other", "+b", "+c"]


def test_an_operator_hands_what_a_killed_worker_has_left_to_one_that_lives(processes: Processes) -> None:
    processes.killed(["a", "b", "c"], "+b")
    other = processes.start(["held"], executor="B", workflow="of-b")
    processes.world.gate.wait_until_something_waits()
    client = DBOSClient(system_database_url=processes.url)
    assert client.resume_workflow("w").get_result() == ["A", "B", "C"]
    client.destroy()
    processes.world.gate.open()
    assert outcome(other) == {"result": ["HELD"]}
    assert processes.world.names == ["+a", "+b", "+b", "+c", "+held"]
    assert len(keys_of(processes.world, "b")) == 1


def test_a_second_process_with_the_same_executor_id_takes_away_what_the_first_one_is_running(
    processes: Processes,
) -> None:
    plan = ["a", "held", "b"]
    processes.start(plan)
    processes.world.gate.wait_until_something_waits()
    processes.start(["wait"], workflow="another")
    client = DBOSClient(system_database_url=processes.url)
    wait_until(lambda: client.list_workflows(workflow_ids=["w"])[0].recovery_attempts == 2, "it is executed again")
    client.destroy()
    processes.world.gate.open()
    wait_until(lambda: "+held" in processes.world.names, "the step has ended in one of them")
    processes.close()
    assert processes.ends(plan) == {"result": ["A", "HELD", "B"]}
    assert processes.world.names.count("+held") >= 2  # that of the first one was not recorded, though nobody had died
    assert len(keys_of(processes.world, "held")) == 1
