"""Workers and servers that are killed: whatever was killed when, all is done, or all is undone, and once.

But for the effect whose record was not written yet: that is done again, with the same key.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("temporalio", reason="pip install 'actionqueues[temporal]'")

from .servers import Server, TemporalServer
from .temporal_running import (
    Outcome,
    Place,
    Process,
    first_failed_task,
    held,
    numbered,
    outcome,
    runs,
    status_of,
    until_async,
)
from .temporal_scene import lines

FORWARD = ["did book 1.1", "did charge 1.2", "did ship 1.3"]
BACK = ["undid ship 1.3", "undid charge 1.2", "undid book 1.1"]

#: Where it is killed, what fails, and the trail: what is in it twice is what was in flight.
KILLS: list[tuple[str, str, list[str]]] = [
    ("before ship", "", FORWARD),
    ("charge", "", ["did book 1.1", "did charge 1.2", *FORWARD[1:]]),
    ("ship", "", [*FORWARD, "did ship 1.3"]),
    ("ship", "ship", [*FORWARD, "did ship 1.3", *BACK]),
    ("before undo charge", "ship", [*FORWARD, *BACK]),
    ("undo charge", "ship", [*FORWARD, "undid ship 1.3", "undid charge 1.2", "undid charge 1.2", "undid book 1.1"]),
    ("undo book", "ship", [*FORWARD, *BACK, "undid book 1.1"]),
]

#: One of each kind: between two steps, between an effect and its record, and in the middle of the undo.
FIRST = {("before ship", ""), ("charge", ""), ("undo charge", "ship")}


@pytest.mark.parametrize(
    ("where", "fails", "trail"),
    [each if each[:2] in FIRST else pytest.param(*each, marks=pytest.mark.slow) for each in KILLS],
    ids=[f"{where}-{fails}" for where, fails, _ in KILLS],
)
def test_a_worker_that_is_killed_is_replaced_by_the_next_one(
    temporal_server: Server, tmp_path: Path, where: str, fails: str, trail: list[str]
) -> None:
    async def run(place: Place) -> Outcome:
        gate = place.gate(where)
        with Process(temporal_server, place) as worker:
            handle = await place.start("Order", fails)
            assert await held(gate) == worker.pid
            worker.kill()
        gate.open()
        with Process(temporal_server, place):
            return await outcome(place, handle)

    done = runs(run, temporal_server, tmp_path)
    assert (done.status, done.trail) == ("failed" if fails else "completed", trail)


@pytest.mark.parametrize(
    ("where", "fails", "trail"),
    [
        ("charge", "", ["did book 1.1", "did charge 1.2", *FORWARD[1:]]),
        ("undo charge", "ship", [*FORWARD, "undid ship 1.3", "undid charge 1.2", *BACK[1:]]),
    ],
    ids=["in a step", "in an undo"],
)
def test_of_two_workers_the_other_one_goes_on(
    temporal_server: Server, tmp_path: Path, where: str, fails: str, trail: list[str]
) -> None:
    async def run(place: Place) -> Outcome:
        gate = place.gate(where)
        with Process(temporal_server, place) as one, Process(temporal_server, place) as other:
            handle = await place.start("Order", fails)
            pid = await held(gate)
            next(each for each in (one, other) if each.pid == pid).kill()
            gate.open()
            return await outcome(place, handle)

    done = runs(run, temporal_server, tmp_path)
    assert (done.status, done.trail) == ("failed" if fails else "completed", trail)


@pytest.mark.parametrize(
    ("where", "fails", "trail"),
    [
        ("charge", "", FORWARD),
        pytest.param("ship", "ship", [*FORWARD, *BACK], marks=pytest.mark.slow),
        ("undo charge", "ship", [*FORWARD, *BACK]),
    ],
    ids=["in a step", "in the failing step", "in an undo"],
)
def test_a_server_that_is_killed_and_started_again_goes_on(
    own_temporal_server: TemporalServer, tmp_path: Path, where: str, fails: str, trail: list[str]
) -> None:
    async def run(place: Place) -> Outcome:
        gate = place.gate(where)
        with Process(own_temporal_server, place):
            handle = await place.start("Order", fails)
            await held(gate)
            own_temporal_server.restart()
            gate.open()
            return await outcome(place, handle)

    done = runs(run, own_temporal_server, tmp_path)
    assert (done.status, done.trail) == ("failed" if fails else "completed", trail)


@pytest.mark.parametrize(
    "sandboxed", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["sandboxed", "unsandboxed"]
)
@pytest.mark.parametrize(("fails", "trail"), [("", FORWARD), ("ship", [*FORWARD, *BACK])], ids=["done", "undone"])
def test_an_eviction_undoes_nothing(
    temporal_server: Server, tmp_path: Path, sandboxed: bool, fails: str, trail: list[str]
) -> None:
    async def run(place: Place) -> Outcome:
        async with place.worker(sandboxed=sandboxed, max_cached_workflows=0):
            return await outcome(place, await place.start("Order", fails))

    done = runs(run, temporal_server, tmp_path)
    assert (done.status, done.trail) == ("failed" if fails else "completed", trail)


def test_a_workflow_that_sleeps_in_its_block_is_not_undone_by_an_eviction_nor_by_the_end_of_its_worker(
    temporal_server: Server, tmp_path: Path
) -> None:
    async def run(place: Place) -> list[Any]:
        async with place.worker(max_cached_workflows=0):
            handle = await place.start("Several", "sleeping", task_timeout=timedelta(seconds=2))
            await place.until("did book")
        async with place.worker():
            seen = (await handle.query("__temporal_workflow_metadata")) is not None
        status = await status_of(handle)
        async with place.worker():
            await handle.cancel()
            return [seen, status, await outcome(place, handle)]

    seen, status, done = runs(run, temporal_server, tmp_path)
    assert (seen, status) == (True, "running")
    assert (done.status, done.trail) == ("canceled", ["did book 1.1", "undid book 1.1"])


def test_a_worker_that_is_shut_down_in_a_step_leaves_it_to_the_next_one(
    temporal_server: Server, tmp_path: Path
) -> None:
    async def run(place: Place) -> Outcome:
        gate = place.gate("charge")
        async with place.worker():
            handle = await place.start("Order")
            await held(gate)
        gate.open()
        async with place.worker():
            return await outcome(place, handle)

    done = runs(run, temporal_server, tmp_path)
    assert (done.status, done.trail) == ("completed", ["did book 1.1", "did charge 1.2", *FORWARD[1:]])


def test_what_a_step_has_saved_reaches_the_worker_that_goes_on(temporal_server: Server, tmp_path: Path) -> None:
    async def run(place: Place) -> Outcome:
        gate = place.gate("flaky/1")
        with Process(temporal_server, place) as worker:
            handle = await place.start("Several", "saved_by_a_dead_worker")
            await held(gate)
            await beaten(handle)
            worker.kill()
        gate.open()
        async with place.worker():
            return await outcome(place, handle)

    done = runs(run, temporal_server, tmp_path)
    assert (done.status, done.result) == ("completed", 2)
    assert done.trail == ["did flaky/1 1.1", "did flaky/2 1.1"]


async def beaten(handle: Any) -> None:
    """Wait until the server has had a heartbeat with what was saved."""

    async def look() -> bool:
        told = (await handle.describe()).raw_description.pending_activities
        return any(b"tried" in payload.data for each in told for payload in each.heartbeat_details.payloads)

    await until_async(look)


def test_an_execution_that_fails_no_more_does_not_go_forward_over_what_was_undone(
    temporal_server: Server, tmp_path: Path
) -> None:
    async def run(place: Place) -> tuple[str, list[str], Outcome]:
        fails = Path(f"{place.trail}.fails")
        fails.touch()
        gate = place.gate("undo charge")
        async with place.worker(max_cached_workflows=0):
            handle = await place.start("Several", "unsteady", task_timeout=timedelta(seconds=2))
            await held(gate)
            fails.unlink()
            gate.open()
            told = await first_failed_task(handle)
            meanwhile = numbered(lines(place.trail))
            fails.touch()
            return told, meanwhile, await outcome(place, handle)

    told, meanwhile, done = runs(run, temporal_server, tmp_path)
    assert "Nondeterminism" in told
    assert "undo charge" in told
    assert meanwhile == ["did book 1.1", "did charge 1.2", "undid charge 1.2"]
    assert (done.status, done.trail) == ("failed", [*meanwhile, "undid book 1.1"])
