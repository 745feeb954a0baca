"""What a step costs on DBOS through the adapter, against a step of DBOS's own: ``python -m`` this module.

Both do nothing else, in workflows of 100 steps on a PostgreSQL on loopback that syncs each commit.  On either side DBOS
looks for a record before the step, and writes one after it.  The adapter adds the block, the step's record in it, its
outcome as JSON, now and then a look whether the workflow was cancelled, and a record for each block that it commits.

What the disk takes differs from moment to moment by more than that, so there are many rounds, and the median of the
ratios within each is the figure that counts.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dbos import DBOS

from actionqueues import action, transaction
from actionqueues.engines.dbos import DBOSEngine
from tests.benchmarks.candidates import Numbers, Work
from tests.benchmarks.figures import Figure, against
from tests.benchmarks.machine import described
from tests.benchmarks.table import ratio, rendered
from tests.benchmarks.timing import QUICK, Effort
from tests.engines.servers import PostgreSQL

MUST, AIM = 1.3, 1.1
LONG = Effort(sample=0.01, row=30.0, fewest=7, most=200)
HUNDRED: Numbers = tuple(range(100))


def step(a: int, b: int) -> int:
    return a


async def async_step(a: int, b: int) -> int:
    return a


ours = action(step)
ours_async = action(async_step)


@DBOS.workflow()
def bare(numbers: list[int]) -> None:
    for number in numbers:
        DBOS.run_step({"name": "step"}, step, number, 2)


@DBOS.workflow()
def in_a_block(numbers: list[int]) -> None:
    with transaction("bench", engine=DBOSEngine()):
        for number in numbers:
            ours(number, 2)


@DBOS.workflow()
async def bare_async(numbers: list[int]) -> None:
    for number in numbers:
        await DBOS.run_step_async({"name": "step"}, async_step, number, 2)


@DBOS.workflow()
async def bare_in_threads(numbers: list[int]) -> None:
    for number in numbers:
        await DBOS.run_step_async({"name": "step"}, step, number, 2)


@DBOS.workflow()
async def in_an_async_block(numbers: list[int]) -> None:
    async with transaction("bench", engine=DBOSEngine()):
        for number in numbers:
            await ours_async(number, 2)


@DBOS.workflow()
async def sync_in_an_async_block(numbers: list[int]) -> None:
    async with transaction("bench", engine=DBOSEngine()):
        for number in numbers:
            ours(number, 2)


#: What is measured: a name, the baseline, and the adapter.
ROWS: list[tuple[str, Any, Any]] = [
    ("a step, against run_step", bare, in_a_block),
    ("an async step, against run_step_async", bare_async, in_an_async_block),
    ("a sync step in an async block, against the same", bare_in_threads, sync_in_an_async_block),
]


@contextmanager
def on_dbos() -> Iterator[Callable[[Any], Work]]:
    """DBOS on a PostgreSQL of its own; gives what makes work of a workflow."""
    with PostgreSQL() as server:
        DBOS(config={"name": "bench", "system_database_url": server.new_database(), "log_level": "ERROR"})
        DBOS.launch()
        loop = asyncio.new_event_loop()

        def work_of(workflow: Any) -> Work:
            def work(numbers: Numbers) -> None:
                answer: Awaitable[None] | None = workflow(list(numbers))
                if answer is not None:
                    loop.run_until_complete(answer)

            return work

        try:
            yield work_of
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
            DBOS.destroy()


def prove(work: Work, name: str) -> None:
    """Let a workflow show that each of its steps is recorded."""
    work((0, 1, 2))
    (last,) = DBOS.list_workflows(sort_desc=True, limit=1)
    recorded = [each["function_name"] for each in DBOS.list_workflow_steps(last.workflow_id)]
    if [each.removeprefix("async_") for each in recorded if each != "committing"] != ["step"] * 3:
        raise RuntimeError(f"{name} does not do the work: it has recorded {recorded}")


def measured(effort: Effort) -> Iterator[tuple[str, Figure]]:
    """Each row, measured side by side."""
    with on_dbos() as work_of:
        for name, baseline, adapter in ROWS:
            theirs, mine = work_of(baseline), work_of(adapter)
            prove(theirs, name)
            prove(mine, name)
            yield name, against(theirs, mine, None, HUNDRED, effort)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.on_dbos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="rougher")
    parser.add_argument("--check", action="store_true", help="exit 1 if a must figure is missed")
    parser.add_argument("--markdown", action="store_true", help="print the table for a README")
    options = parser.parse_args()
    print(f"{described()}\n")
    body: list[list[str]] = []
    missed = False
    for name, figure in measured(QUICK if options.quick else LONG):
        missed = missed or (figure.median or figure.ratio) > MUST
        times = [f"{each / 1e6:.2f} ms" for each in (figure.baseline, figure.ours)]
        found = [*times, ratio(figure.ratio), ratio(figure.median)]
        body.append([name, *found, ratio(MUST), ratio(AIM)])
    head = ["100 steps in a workflow", "of DBOS's own", "ours", "of the best", "median", "must", "aim"]
    print(rendered(head, body, markdown=options.markdown))
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
