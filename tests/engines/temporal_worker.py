"""A worker as a process: ``python -m tests.engines.temporal_worker HOST:PORT TASK_QUEUE``; runs until it is killed."""

from __future__ import annotations

import asyncio
import sys

from temporalio.client import Client

from .temporal_running import Place


async def main(target: str, queue: str) -> None:
    client = await Client.connect(target)
    await Place(client, queue, "").worker(sandboxed=True).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
