"""A program in one file, as a first one on Temporal is: ``python -m tests.engines.temporal_script HOST:PORT QUEUE``.

Temporal's sandbox loads the running script once more, under another name.  Prints what a workflow returns.
"""

from __future__ import annotations

import asyncio
import os
import sys

from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import Worker

from actionqueues import action, transaction
from actionqueues.engines.temporal import ActionQueuesPlugin, TemporalEngine


class Full(Exception):
    """An exception of the script's own."""


@action
async def book(hotel: str) -> str:
    if hotel == "full":
        raise Full(hotel)
    return f"a room in {hotel}"


@book.rollback
async def unbook(hotel: str) -> None:
    pass


@workflow.defn
class Trip:
    """Books where there is a room."""

    @workflow.run
    async def run(self) -> str:
        async with transaction("trip", engine=TemporalEngine()):
            try:
                return await book("full")
            except Full:
                return await book("free")


async def main(target: str, queue: str) -> None:
    client = await Client.connect(target, plugins=[ActionQueuesPlugin()])  # which its workers have then, too
    async with Worker(client, task_queue=queue, workflows=[Trip]):
        print(await client.execute_workflow(Trip.run, id=f"trip-{queue}", task_queue=queue))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
    sys.stdout.flush()
    os._exit(0)  # threads of the client's own may abort a Python that is being taken down
