"""A cancellation, of a workflow, of a task or by a time-out: all is undone first, and it comes out as what it was."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("temporalio", reason="pip install 'actionqueues[temporal]'")

from temporalio.client import WorkflowHandle

from .servers import Server
from .temporal_running import Outcome, Place, activities_in, outcome, ran, runs, until_async

CASES = [
    ("sleeping", ("did book",), ["did book 1.1", "undid book 1.1"]),
    (
        "waiting",
        ("did wait",),
        ["did book 1.1", "did wait 1.2", "undid wait, begun: True 1.2", "undid book 1.1"],
    ),
    (
        "waiting_returns",
        ("did wait",),
        ["did book 1.1", "did wait 1.2", "undid wait, begun: True with 'done all the same' 1.2", "undid book 1.1"],
    ),
    (
        "waiting_fails",
        ("did wait",),
        ["did book 1.1", "did wait 1.2", "undid wait, begun: True 1.2", "undid book 1.1"],
    ),
    (
        "waiting_in_a_thread",
        ("did wait",),
        ["did book 1.1", "did wait 1.2", "ended wait 1.2", "undid wait, ended 1.2", "undid book 1.1"],
    ),
]


@pytest.mark.parametrize("sandboxed", [True, False], ids=["sandboxed", "unsandboxed"])
@pytest.mark.parametrize(("case", "begun", "trail"), CASES, ids=[case for case, _, _ in CASES])
def test_a_cancelled_workflow_is_undone_and_ends_as_cancelled_whatever_the_step_makes_of_it(
    temporal_server: Server, tmp_path: Path, case: str, begun: tuple[str, ...], trail: list[str], sandboxed: bool
) -> None:
    done = runs(cancelled(case, begun, sandboxed=sandboxed), temporal_server, tmp_path)
    assert (done.status, done.trail) == ("canceled", trail)


def cancelled(case: str, begun: tuple[str, ...], **options: Any) -> Callable[[Place], Coroutine[Any, Any, Outcome]]:
    """Starts a workflow, cancels it once that is in the trail, and waits for its end."""

    async def run(place: Place) -> Outcome:
        async with place.worker(**options):
            handle = await place.start("Several", case)
            await place.until(*begun)
            await handle.cancel()
            return await outcome(place, handle)

    return run


def test_a_cancelled_workflow_that_is_executed_again_at_each_task_ends_alike(
    temporal_server: Server, tmp_path: Path
) -> None:
    async def run(place: Place) -> Outcome:
        async with place.worker(max_cached_workflows=0):
            handle = await place.start("Several", "waiting_returns")
            await place.until("did wait")
            await handle.cancel()
            return await outcome(place, handle)

    done = runs(run, temporal_server, tmp_path)
    assert (done.status, done.trail) == ("canceled", CASES[2][2])


def test_a_time_out_around_the_block_undoes_it_and_comes_out_as_a_time_out(
    temporal_server: Server, tmp_path: Path
) -> None:
    done = ran(temporal_server, tmp_path, "Several", "timed_out")
    assert (done.status, done.result) == ("completed", "timed out")
    assert done.trail == ["did book 1.1", "did wait 1.2", "undid wait, begun: True 1.2", "undid book 1.1"]


def test_a_time_out_in_the_block_undoes_the_step_at_once_though_it_had_a_result_and_the_block_goes_on(
    temporal_server: Server, tmp_path: Path
) -> None:
    done = ran(temporal_server, tmp_path, "Several", "timed_out_in_the_block")
    assert (done.status, done.result) == ("completed", "timed out inside")
    assert done.trail == [
        "did book 1.1",
        "did wait 1.2",
        "undid wait, begun: True with 'done all the same' 1.2",
        "did charge 1.3",
    ]


def test_a_task_that_is_cancelled_is_undone_and_the_workflow_goes_on(temporal_server: Server, tmp_path: Path) -> None:
    done = ran(temporal_server, tmp_path, "Several", "locally_cancelled")
    assert (done.status, done.result) == ("completed", "cancelled")
    assert done.trail == ["did book 2.1", "did wait 2.2", "undid wait, begun: True 2.2", "undid book 2.1"]


def test_a_step_that_no_worker_has_begun_is_cancelled_at_once(temporal_server: Server, tmp_path: Path) -> None:
    async def run(place: Place) -> Outcome:
        async with place.worker():
            handle = await place.start("Several", "nobody_there")
            await until_async(lambda: is_scheduled(handle))
            await handle.cancel()
            return await outcome(place, handle)

    done = runs(run, temporal_server, tmp_path)
    assert (done.status, done.trail) == ("canceled", [])


async def is_scheduled(handle: WorkflowHandle[Any, Any]) -> bool:
    """Whether an activity of the workflow is waiting for a worker."""
    return await activities_in(handle) == ["call_another"]


def test_a_second_cancellation_does_not_cut_the_rollback_short(temporal_server: Server, tmp_path: Path) -> None:
    async def run(place: Place) -> Outcome:
        async with place.worker():
            handle = await place.start("Several", "waiting")
            await place.until("did wait")
            await handle.cancel()
            await place.until("undid wait")
            await handle.cancel()
            return await outcome(place, handle)

    done = runs(run, temporal_server, tmp_path)
    assert (done.status, done.trail[-1]) == ("canceled", "undid book 1.1")
