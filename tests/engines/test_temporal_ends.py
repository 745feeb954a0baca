"""A workflow that ends while a block is open in another task of it: that block is undone first."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("temporalio", reason="pip install 'actionqueues[temporal]'")

from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError, WorkflowUpdateStage
from temporalio.worker import Worker

from actionqueues.engines.temporal import ActionQueuesPlugin

from .servers import Server
from .temporal_ends_scene import Ending
from .temporal_running import Outcome, Place, outcome, runner, runs

BEGUN = ["did book 1.1", "did wait 1.2"]
UNDONE = ["undid wait, begun: True with 'done all the same' 1.2", "undid book 1.1"]


def worker(place: Place, *, sandboxed: bool, cached: int = 100) -> Worker:
    """One that runs these workflows."""
    return Worker(
        place.client,
        task_queue=place.queue,
        workflows=[Ending],
        plugins=[ActionQueuesPlugin()],
        workflow_runner=runner(sandboxed=sandboxed),
        max_cached_workflows=cached,
        max_heartbeat_throttle_interval=timedelta(milliseconds=100),
    )


def ended(
    server: Server,
    folder: Path,
    case: str,
    then: Callable[[Place, WorkflowHandle[Any, Any]], Coroutine[Any, Any, Any]] | None = None,
    **options: Any,
) -> Outcome:
    """What becomes of a workflow of this case, to which something is done once its blocks wait."""

    async def run(place: Place) -> Outcome:
        async with worker(place, **{"sandboxed": False, **options}):
            handle = await place.start("Ending", case)
            if then is not None:
                await place.until("did wait")
                await then(place, handle)
            return await outcome(place, handle)

    return runs(run, server, folder)


def told_by(done: Outcome) -> list[str]:
    """Its trail, whichever of its blocks was the first one."""
    swapped = [line.replace(" 2.", " 0.").replace(" 1.", " 2.").replace(" 0.", " 1.") for line in done.trail]
    return done.trail if done.trail[0] == BEGUN[0] else swapped


@pytest.mark.parametrize("cached", [100, 0], ids=["cached", "executed again at each task"])
def test_a_block_beside_one_that_fails_is_undone_before_the_workflow_fails(
    temporal_server: Server, tmp_path: Path, cached: int
) -> None:
    done = ended(temporal_server, tmp_path, "beside_a_failure", sandboxed=True, cached=cached)
    assert (done.status, done.failure.type) == ("failed", "CardDeclined")
    assert told_by(done) == [*BEGUN, "did charge 2.2", "undid charge 2.2", *UNDONE]


def test_a_block_that_nobody_waits_for_is_undone_before_the_workflow_completes(
    temporal_server: Server, tmp_path: Path
) -> None:
    done = ended(temporal_server, tmp_path, "beside_a_result")
    assert (done.status, done.result, told_by(done)) == ("completed", "over", [*BEGUN, *UNDONE])


def test_a_block_that_nobody_waits_for_is_undone_before_the_workflow_is_continued(
    temporal_server: Server, tmp_path: Path
) -> None:
    done = ended(temporal_server, tmp_path, "continued")
    assert (done.status, done.result, told_by(done)) == ("completed", "over", [*BEGUN, *UNDONE])


def test_a_signal_that_fails_the_workflow_has_the_block_of_the_workflow_undone_first(
    temporal_server: Server, tmp_path: Path
) -> None:
    done = ended(
        temporal_server, tmp_path, "waits", lambda place, handle: handle.signal("order", place.trail), sandboxed=True
    )
    assert (done.status, done.failure.type) == ("failed", "CardDeclined")
    assert done.trail == [*BEGUN, "did charge 2.1", "undid charge 2.1", *UNDONE]


def test_a_cancelled_workflow_has_the_block_of_an_update_undone_too(temporal_server: Server, tmp_path: Path) -> None:
    async def change_and_cancel(place: Place, handle: WorkflowHandle[Any, Any]) -> None:
        stage = WorkflowUpdateStage.ACCEPTED
        update = await handle.start_update("change", place.trail, wait_for_stage=stage)  # pyright: ignore[reportUnknownMemberType]
        await place.until("did wait", "did book")
        await handle.cancel()
        with pytest.raises(WorkflowUpdateFailedError):
            await update.result()

    done = ended(temporal_server, tmp_path, "waits", change_and_cancel)
    did = sorted(line.removeprefix("did ") for line in done.trail if line.startswith("did book"))
    undid = sorted(line.removeprefix("undid ") for line in done.trail if line.startswith("undid book"))
    assert (done.status, did) == ("canceled", undid)
