"""Scenarios as workflows of Temporal, in its sandbox, with a worker in a thread of this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Replayer, Worker

from actionqueues.engines.temporal import ActionQueuesPlugin, TemporalEngine

from . import scenarios  # noqa: F401 # pyright: ignore[reportUnusedImport] - they are played by name
from .stage import Stage, play

T = TypeVar("T")

#: A step that runs hears with its heartbeats that it is cancelled; it gives them in time for that many seconds.
ENGINE = TemporalEngine(heartbeat=timedelta(seconds=2))


@workflow.defn
class Conformance:
    """One scenario."""

    @workflow.run
    async def run(self, name: str, run: str) -> dict[str, Any]:
        return await play(name, Stage(run, lambda _: {"engine": ENGINE}, awaits=True))


class Working:
    """A worker of one server, and a client of it, in an event loop of their own."""

    def __init__(self, target: str, queue: str, **options: Any) -> None:
        self.client: Client
        self.queue = queue
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._ready: list[BaseException | None] = []
        self._there = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._main(target, options)))
        self._thread.start()
        self._there.wait()
        if self._ready != [None]:
            self.end()
            raise RuntimeError("the worker did not start") from self._ready[0]

    def end(self) -> None:
        """Shut it down."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._loop.close()

    def do(self, work: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """Do something with the client, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work(self.client), self._loop).result(120)

    def start(self, name: str, run: str) -> WorkflowHandle[Conformance, dict[str, Any]]:
        """Begin to play a scenario in a workflow whose id is the name of the run."""
        return self.do(
            lambda client: client.start_workflow(Conformance.run, args=[name, run], id=run, task_queue=self.queue)
        )

    def play(self, name: str, run: str) -> dict[str, Any]:
        """Play one to its end."""
        handle = self.start(name, run)
        return self.do(lambda _: handle.result())

    def details(self, run: str) -> str:
        """What operators are shown of a workflow."""

        async def work(client: Client) -> str:
            query = "__temporal_workflow_metadata"
            found: WorkflowMetadata = await client.get_workflow_handle(run).query(query, result_type=WorkflowMetadata)
            return found.current_details

        return self.do(work)

    def replay(self, run: str) -> None:
        """Execute a workflow once more, from its records; raises if the code does not do what they say."""

        async def work(client: Client) -> None:
            history = await client.get_workflow_handle(run).fetch_history()
            await Replayer(workflows=[Conformance], plugins=[ActionQueuesPlugin()]).replay_workflow(history)

        self.do(work)

    async def _main(self, target: str, options: dict[str, Any]) -> None:
        try:
            self.client = await Client.connect(target)
            worker = Worker(
                self.client, task_queue=self.queue, workflows=[Conformance], plugins=[ActionQueuesPlugin()], **options
            )
            async with worker:
                self._ready.append(None)
                self._there.set()
                await self._over.wait()
        except BaseException as error:
            self._ready.append(error)
            self._there.set()


@contextmanager
def working(target: str, queue: str, **options: Any) -> Generator[Working]:
    """A worker that runs meanwhile."""
    worker = Working(target, queue, **options)
    try:
        yield worker
    finally:
        worker.end()
