"""What a step costs on Temporal through a block, against a plain activity: ``python -m`` this module.

A workflow of 20 activities, written as Temporal's own documentation shows it, and one with a block of 20 steps, on one
development server and in one worker, take turns: one workflow at a time, where the server's own pauses are most of it,
and ten at the same time, where all processors are busy, and what a step costs is what they do for it.  The figure is
for a step, the start and the end of the workflow included.
"""

import argparse
import asyncio
import itertools
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from actionqueues import action, transaction
from actionqueues.engines.temporal import ActionQueuesPlugin, TemporalEngine
from tests.benchmarks.machine import described
from tests.benchmarks.table import amount, ratio, rendered
from tests.benchmarks.timing import FULL, QUICK, Timed, side_by_side
from tests.engines.servers import TemporalServer

STEPS, AT_ONCE = 20, 10
MUST, AIM = 1.3, 1.1


@activity.defn
async def plain(a: int, b: int) -> int:
    return a


@workflow.defn
class Plain:
    @workflow.run
    async def run(self, count: int) -> None:
        for number in range(count):
            await workflow.execute_activity(plain, args=[number, 2], start_to_close_timeout=timedelta(seconds=10))


@action
async def step(a: int, b: int) -> int:
    return a


@step.rollback
async def unstep(a: int, b: int) -> None:
    return None


@workflow.defn
class Block:
    @workflow.run
    async def run(self, count: int) -> None:
        async with transaction("bench", engine=TemporalEngine()):
            for number in range(count):
                await step(number, 2)


@contextmanager
def running(target: str) -> Iterator[Callable[[type, int], None]]:
    """A worker, in the event loop of a thread of its own; gives what runs so many workflows to their ends."""
    loop, runs = asyncio.new_event_loop(), itertools.count()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def do(coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    async def worker() -> Worker:
        made = Worker(
            client,
            task_queue="bench",
            workflows=[Plain, Block],
            activities=[plain],
            plugins=[ActionQueuesPlugin()],
            workflow_runner=UnsandboxedWorkflowRunner(),
        )
        await made.__aenter__()
        return made

    async def workflows(kind: type, count: int) -> None:
        ids = [f"run-{next(runs)}" for _ in range(count)]
        started = [client.execute_workflow(kind.__name__, STEPS, id=each, task_queue="bench") for each in ids]
        await asyncio.gather(*started)

    client = do(Client.connect(target))
    made = do(worker())
    try:
        yield lambda kind, count: do(workflows(kind, count))
    finally:
        do(made.shutdown())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def repeated(run: Callable[[type, int], None], kind: str, count: int) -> Callable[[int], None]:
    """What runs so many workflows of a kind, as often as it is told to."""
    which = {"Plain": Plain, "Block": Block}[kind]

    def times(blocks: int) -> None:
        for _ in range(blocks):
            run(which, count)

    return times


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.on_temporal", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few rounds only, and rougher")
    parser.add_argument("--check", action="store_true", help="exit 1 if the must figure is missed")
    parser.add_argument("--markdown", action="store_true", help="print the table for a README")
    options = parser.parse_args()
    print(f"{described()}\n")
    effort = (QUICK if options.quick else FULL)._replace(row=8.0 if options.quick else 30.0)
    body: list[list[str]] = []
    with TemporalServer() as server, running(server.target) as run:
        for count in (1, AT_ONCE):
            works = {kind: Timed(repeated(run, kind, count), STEPS * count) for kind in ("Plain", "Block")}
            times = side_by_side(works, effort)
            plain_one, ours = times["Plain"], times["Block"]
            found = ours.median_ratio(plain_one)
            figures = amount(plain_one.best / 1000, "µs"), amount(ours.best / 1000, "µs")
            body.append([f"{count} at a time", *figures, ratio(ours.best / plain_one.best), ratio(found)])
    head = ["workflows on Temporal", "an activity", "a step", "ratio", "median"]
    print(rendered(head, body, markdown=options.markdown))
    print(f"\nmust {MUST}, aim {AIM}")
    return 1 if options.check and found > MUST else 0


if __name__ == "__main__":
    sys.exit(main())
