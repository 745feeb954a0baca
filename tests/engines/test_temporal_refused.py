"""What Temporal cannot give is refused before anything has happened, by a sentence that says the way out."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("temporalio", reason="pip install 'actionqueues[temporal]'")

from temporalio.worker import Worker

from actionqueues import IllegalOperation, transaction
from actionqueues.engines.temporal import ActionQueuesPlugin, TemporalEngine, activities

from .servers import Server
from .temporal_running import Outcome, Place, first_failed_task, outcome, ran, runner, runs, status_of
from .temporal_scene import Order


def test_a_block_outside_a_workflow_is_refused() -> None:
    async def enter() -> None:
        async with transaction("order", engine=TemporalEngine()):
            pass

    with pytest.raises(IllegalOperation, match=r"cannot enter .*order.*this is no workflow of Temporal; enter it in"):
        asyncio.run(enter())


@pytest.mark.parametrize(
    ("case", "type_", "says", "trail"),
    [
        ("sync_block", "IllegalOperation", "write `async with transaction()`", []),
        (
            "sync_call",
            "IllegalOperation",
            "make it an `async def` and await it, or queue it: q.add(note, ...)",
            ["book"],
        ),
        ("no_plain_argument", "NotCarried", "cannot record 'room' of book: it is, or contains", []),
        ("local_function", "NotCarried", "cannot be found by the process that is to run it", ["book"]),
    ],
)
def test_what_temporal_cannot_give_fails_the_workflow_and_what_was_done_is_undone(
    temporal_server: Server, tmp_path: Path, case: str, type_: str, says: str, trail: list[str]
) -> None:
    done = ran(temporal_server, tmp_path, "Several", case)
    assert (done.status, done.failure.type) == ("failed", type_)
    assert says in str(done.failure)
    assert done.trail == [line for what in trail for line in (f"did {what} 1.1", f"undid {what} 1.1")]


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("nested", "nest is run as one step of a block in another process; leave that to it, or use independent=True"),
        ("calls_another", "call_another, which calls it, is run as one; call it in the block, or the plain function"),
    ],
)
def test_what_a_step_cannot_do_inside_is_refused_where_it_runs(
    temporal_server: Server, tmp_path: Path, case: str, says: str
) -> None:
    done = ran(temporal_server, tmp_path, "Several", case)
    assert (done.status, done.failure.type) == ("failed", "IllegalOperation")
    assert says in done.failure.message
    assert not [line for line in done.trail if line.startswith("did")]


def test_a_step_may_open_a_block_that_shares_nothing_with_its_own(temporal_server: Server, tmp_path: Path) -> None:
    done = ran(temporal_server, tmp_path, "Several", "nested_independently")
    assert (done.status, done.result) == ("completed", "nested")


@pytest.mark.filterwarnings("ignore:Module .* was imported after initial workflow load:UserWarning")
@pytest.mark.parametrize("sandboxed", [True, False], ids=["sandboxed", "unsandboxed"])
def test_a_worker_without_the_plugin_runs_no_block_until_it_has_it(
    temporal_server: Server, tmp_path: Path, sandboxed: bool
) -> None:
    async def run(place: Place) -> tuple[str, object]:
        handle = await place.start("Order", task_timeout=timedelta(seconds=2))
        options: dict[str, Any] = {"task_queue": place.queue, "workflows": [Order]}
        options["workflow_runner"] = runner(sandboxed=sandboxed)
        async with Worker(place.client, activities=activities(), **options):
            told = await first_failed_task(handle)
        async with Worker(place.client, plugins=[ActionQueuesPlugin()], **options):
            return told, await handle.result()

    told, result = runs(run, temporal_server, tmp_path)
    assert "this worker has no ActionQueuesPlugin" in told
    assert "plugins=[ActionQueuesPlugin()]" in told
    assert result == "room 7, 900"


def test_what_the_sandbox_refuses_undoes_nothing_and_is_tried_again_until_it_is_mended(
    temporal_server: Server, tmp_path: Path
) -> None:
    async def run(place: Place) -> tuple[str, Outcome]:
        handle = await place.start("Several", "restricted", task_timeout=timedelta(seconds=2))
        async with place.worker(sandboxed=True):
            told = await first_failed_task(handle)
        async with place.worker(sandboxed=False):
            return told, await outcome(place, handle)

    told, done = runs(run, temporal_server, tmp_path)
    assert told.startswith("Cannot access threading.get_ident")
    assert (done.status, done.result, done.trail) == ("completed", "mended", ["did book 1.1"])


def test_a_mistake_outside_any_block_is_left_to_temporal_which_tries_again_until_it_is_mended(
    temporal_server: Server, tmp_path: Path
) -> None:
    async def run(place: Place) -> tuple[str, str]:
        handle = await place.start("Several", "mistake")
        async with place.worker():
            told = await first_failed_task(handle)
        status = await status_of(handle)
        await handle.terminate()
        return status, told

    assert runs(run, temporal_server, tmp_path) == ("running", "a mistake after it")
