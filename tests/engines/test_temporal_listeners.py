"""Listeners hear once of what happens in a workflow, however often it is replayed."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("temporalio", reason="pip install 'actionqueues[temporal]'")

from actionqueues import events, listen

from .servers import Server
from .temporal_running import ran


@pytest.mark.parametrize("sandboxed", [True, False], ids=["sandboxed", "unsandboxed"])
def test_a_listener_is_told_once_of_what_a_workflow_does_that_is_replayed_at_each_task(
    temporal_server: Server, tmp_path: Path, sandboxed: bool
) -> None:
    told: list[str] = []

    def tell(event: events.Event) -> None:
        step = f" {event.step.name}" if isinstance(event, events.StepEvent) else ""
        told.append(f"{type(event).__name__}{step}")

    with listen(tell):
        done = ran(temporal_server, tmp_path, "Order", "charge", sandboxed=sandboxed, max_cached_workflows=0)
    assert done.status == "failed"
    assert told == [
        "TransactionOpened",
        "StepStarted book",
        "StepDone book",
        "StepStarted charge",
        "StepFailed charge",
        "StepUndoing charge",
        "StepUndone charge",
        "TransactionRollingBack",
        "StepUndoing book",
        "StepUndone book",
        "TransactionRolledBack",
        "TransactionEnded",
    ]
