"""Classes that only a passed-through module has imported are known in the workflow, as that module knows them."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("temporalio", reason="pip install 'actionqueues[temporal]'")

from temporalio.worker import Worker

from actionqueues.engines.temporal import ActionQueuesPlugin

from .passed_workflow import Payment
from .servers import Server
from .temporal_running import Place, runner, runs


@pytest.mark.parametrize("sandboxed", [True, False], ids=["sandboxed", "unsandboxed"])
def test_policies_excepts_and_results_know_the_classes_of_a_module_that_is_passed_through(
    temporal_server: Server, tmp_path: Path, sandboxed: bool
) -> None:
    async def run(place: Place) -> list[bool | int]:
        async with Worker(
            place.client,
            task_queue=place.queue,
            workflows=[Payment],
            plugins=[ActionQueuesPlugin()],
            workflow_runner=runner(sandboxed=sandboxed),
        ):
            return await place.client.execute_workflow(Payment.run, id=place.queue, task_queue=place.queue)

    assert runs(run, temporal_server, tmp_path) == [True, True, 10]
