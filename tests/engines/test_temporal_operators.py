"""What an operator sees of a block in a workflow, and can do to it."""

from __future__ import annotations

import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("temporalio", reason="pip install 'actionqueues[temporal]'")

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from .servers import Server
from .temporal_running import Place, held, numbered, outcome, ran, runs
from .temporal_scene import lines


async def details(handle: WorkflowHandle[Any, Any]) -> list[str]:
    """The current details of a workflow, as its page shows them."""
    told: WorkflowMetadata = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    return told.current_details.splitlines()


async def pending(handle: WorkflowHandle[Any, Any]) -> list[str]:
    """The names of the activities that are under way, which the server knows though no worker is there."""
    return [each.activity_type.name for each in (await handle.describe()).raw_description.pending_activities]


def test_the_details_of_a_workflow_say_how_far_its_block_is(temporal_server: Server, tmp_path: Path) -> None:
    async def run(place: Place) -> list[Any]:
        async with place.worker():
            step, undo = place.gate("charge"), place.gate("undo charge")
            handle = await place.start("Order", "ship")
            await held(step)
            seen: list[Any] = [await details(handle), await pending(handle)]
            step.open()
            await held(undo)
            seen += [await details(handle), await pending(handle)]
            undo.open()
            await outcome(place, handle)
            return [*seen, await details(handle)]

    assert runs(run, temporal_server, tmp_path) == [
        ["order: running"],
        ["charge"],
        ["order: rolling back: CardDeclined('card-3 declined for 3'); undone 0 of 2"],
        ["undo charge"],
        ["order: rolled back: CardDeclined('card-3 declined for 3')"],
    ]


def test_each_block_has_a_line_in_the_details_and_those_of_the_workflow_stay(
    temporal_server: Server, tmp_path: Path
) -> None:
    async def run(place: Place) -> list[str]:
        async with place.worker():
            handle = await place.start("Several", "with_details")
            await outcome(place, handle)
            return await details(handle)

    assert runs(run, temporal_server, tmp_path) == ["for Ada", "one: committed", "two: committed"]


def test_what_fails_a_workflow_tells_what_had_to_be_left(temporal_server: Server, tmp_path: Path) -> None:
    done = ran(temporal_server, tmp_path, "Several", "left")
    assert (done.failure.type, done.failure.message) == ("CardDeclined", "nobody's declined for 0")
    assert any("mail" in note and "no rollback handler" in note for note in done.failure.details), done.failure.details


def test_a_step_that_an_operator_fails_is_undone_with_what_was_before_it(
    temporal_server: Server, tmp_path: Path
) -> None:
    async def run(place: Place) -> Any:
        gate = place.gate("charge")
        async with place.worker():
            handle = await place.start("Order")
            await held(gate)
            (under_way,) = (await handle.describe()).raw_description.pending_activities
            activity = place.client.get_async_activity_handle(
                workflow_id=handle.id, run_id=None, activity_id=under_way.activity_id
            )
            await activity.fail(ApplicationError("the bank is gone", non_retryable=True))
            done = await outcome(place, handle)
            gate.open()
            return done

    done = runs(run, temporal_server, tmp_path)
    assert (done.status, done.failure.activity_type) == ("failed", "charge")
    assert done.failure.cause.message == "the bank is gone"
    assert done.trail == ["did book 1.1", "did charge 1.2", "undid charge 1.2", "undid book 1.1"]


def test_a_result_that_is_longer_than_a_server_takes_is_undone_and_told(
    temporal_server: Server, tmp_path: Path
) -> None:
    done = ran(temporal_server, tmp_path, "Several", "too_long")
    assert (done.status, done.failure.type) == ("failed", "NotCarried")
    assert "takes 5,000," in done.failure.message
    assert "at most; keep it elsewhere, and return what identifies it" in done.failure.message
    assert done.trail == ["did fill 1.1", "undid fill with all of it 1.1"]


def test_an_argument_that_is_longer_than_a_server_takes_is_refused(temporal_server: Server, tmp_path: Path) -> None:
    done = ran(temporal_server, tmp_path, "Several", "too_long_to_be_given")
    assert (done.status, done.failure.type, done.trail) == ("failed", "NotCarried", [])
    assert "what book is given takes 2,000," in done.failure.message


def test_a_workflow_that_is_reset_goes_on_with_the_same_keys(temporal_server: Server, tmp_path: Path) -> None:
    async def run(place: Place) -> list[str]:
        async with place.worker():
            handle = await place.start("Order")
            await outcome(place, handle)
            ended = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
            tasks = [event.event_id async for event in handle.fetch_history_events() if event.event_type == ended]
            await place.client.workflow_service.reset_workflow_execution(
                ResetWorkflowExecutionRequest(
                    namespace="default",
                    workflow_execution=WorkflowExecution(workflow_id=handle.id),
                    workflow_task_finish_event_id=tasks[1],  # once the first step was done
                    request_id=uuid.uuid4().hex,
                )
            )
            await place.client.get_workflow_handle(handle.id).result()
            return lines(place.trail)

    trail = runs(run, temporal_server, tmp_path)
    assert numbered(trail)[:3] == ["did book 1.1", "did charge 1.2", "did ship 1.3"]
    assert trail[3:] == trail[1:3]  # with the keys that they had


def test_a_retry_of_the_workflow_has_other_keys(temporal_server: Server, tmp_path: Path) -> None:
    async def run(place: Place) -> list[str]:
        policy = RetryPolicy(initial_interval=timedelta(milliseconds=10), maximum_attempts=2)
        async with place.worker():
            await outcome(place, await place.start("Order", "between", retry_policy=policy))
            return lines(place.trail)

    trail = runs(run, temporal_server, tmp_path)
    assert numbered(trail) == ["did book 1.1", "undid book 1.1"] * 2
    assert trail[0] != trail[2]
