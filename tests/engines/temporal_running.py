"""Runs the workflows of `temporal_scene` on a real server, with a worker in this process or in others.

Used by the tests of the Temporal adapter.
"""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from actionqueues.engines.temporal import ActionQueuesPlugin

from .servers import Server
from .temporal_scene import WORKFLOWS, Gate, lines

T = TypeVar("T")

#: How long anything may take before a test gives up on it, in seconds.
PATIENCE = 40.0


def runner(*, sandboxed: bool) -> WorkflowRunner:
    """What runs workflows."""
    return SandboxedWorkflowRunner() if sandboxed else UnsandboxedWorkflowRunner()


@dataclass
class Place:
    """A client, a task queue and a trail of one test's own."""

    client: Client
    queue: str
    trail: str

    def worker(self, *, sandboxed: bool = False, plugin: ActionQueuesPlugin | None = None, **options: Any) -> Worker:
        """A worker for all workflows of the scene, which hears of cancellations soon, and is soon given up."""
        options = {"workflow_runner": runner(sandboxed=sandboxed), **options}
        return Worker(
            self.client,
            task_queue=self.queue,
            workflows=WORKFLOWS,
            plugins=[plugin or ActionQueuesPlugin()],
            max_heartbeat_throttle_interval=timedelta(milliseconds=100),
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
            **options,
        )

    async def start(self, workflow: str, *args: Any, **options: Any) -> WorkflowHandle[Any, Any]:
        """Start a workflow on the trail."""
        options = {"id": f"{workflow}-{uuid.uuid4().hex}", **options}
        return await self.client.start_workflow(workflow, args=[self.trail, *args], task_queue=self.queue, **options)

    async def until(self, *expected: str) -> None:
        """Wait until these are in the trail, in whatever order; `did charge` also stands for one with its key."""
        await until(lambda: all(any(each.startswith(one) for each in lines(self.trail)) for one in expected))

    def gate(self, what: str) -> Gate:
        """A closed gate, which holds a step of this test's workflow back."""
        gate = Gate(self.trail, what)
        gate.close()
        return gate


@dataclass(frozen=True)
class Outcome:
    """What became of a workflow: how its status is called, what it returned, and what it failed with."""

    status: str
    result: Any
    failure: Any
    trail: list[str]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)


async def until_async(condition: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    """The same, of what has to be awaited."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.02)


async def held(gate: Gate) -> int:
    """Wait until somebody is held back there; returns the id of the process."""
    await until(lambda: gate.held.exists() and gate.held.read_text().endswith("\n"))
    return int(gate.held.read_text().split()[-1])


async def outcome(place: Place, handle: WorkflowHandle[Any, Any]) -> Outcome:
    """Wait for the end of a workflow."""
    result = failure = None
    async with asyncio.timeout(PATIENCE):
        try:
            result = await handle.result()
        except WorkflowFailureError as error:
            failure = error.cause
    return Outcome(await status_of(handle), result, failure, numbered(lines(place.trail)))


def numbered(trail: list[str]) -> list[str]:
    """A trail in which a key is told by what follows the run of the workflow: its block and its step."""
    return [re.sub(r" [0-9a-f-]{36}-(\d+)-(\d+)", r" \1.\2", line) for line in trail]


@asynccontextmanager
async def at(server: Server, folder: Path) -> AsyncIterator[Place]:
    """A place on a server."""
    client = await Client.connect(server.target)
    name = uuid.uuid4().hex
    yield Place(client, f"queue-{name}", str(folder / f"trail-{name}"))


def ran(
    server: Server, folder: Path, workflow: str, *args: Any, sandboxed: bool = False, plugin: Any = None, **options: Any
) -> Outcome:
    """Run a workflow to its end."""

    async def run() -> Outcome:
        async with at(server, folder) as place, place.worker(sandboxed=sandboxed, plugin=plugin, **options):
            return await outcome(place, await place.start(workflow, *args))

    return asyncio.run(run())


def runs(work: Callable[[Place], Coroutine[Any, Any, T]], server: Server, folder: Path) -> T:
    """Run a test's own coroutine at a place."""

    async def run() -> T:
        async with at(server, folder) as place:
            return await work(place)

    return asyncio.run(run())


async def activities_in(handle: WorkflowHandle[Any, Any]) -> list[str]:
    """The names of the activities in the history of a workflow, in order."""
    scheduled = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    events = [event async for event in handle.fetch_history_events() if event.event_type == scheduled]
    return [event.activity_task_scheduled_event_attributes.activity_type.name for event in events]


async def first_failed_task(handle: WorkflowHandle[Any, Any]) -> str:
    """Wait until a task of a workflow has failed, which is tried again; returns the text."""
    told: list[str] = []

    async def look() -> bool:
        events = [event async for event in handle.fetch_history_events()]
        failed = [event for event in events if event.HasField("workflow_task_failed_event_attributes")]
        told.extend(event.workflow_task_failed_event_attributes.failure.message for event in failed)
        return bool(told)

    await until_async(look)
    return told[0]


async def status_of(handle: WorkflowHandle[Any, Any]) -> str:
    """How far a workflow is, as outcomes name it."""
    status = (await handle.describe()).status
    assert status is not None
    return status.name.lower()


# -- workers that are processes


class Process:
    """A worker in a process of its own, until it is killed."""

    def __init__(self, server: Server, place: Place) -> None:
        command = [sys.executable, "-m", "tests.engines.temporal_worker", server.target, place.queue]
        self._process = subprocess.Popen[bytes](command, cwd=Path(__file__).parents[2])

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
