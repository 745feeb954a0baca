"""Twenty undos of 50 ms, of steps that ran at the same time: one after the other, and at the same time."""

import asyncio
from contextlib import suppress

from actionqueues import action, transaction
from tests.benchmarks.figures import Figure, timed
from tests.benchmarks.timing import Effort, Timed

STEPS = 20
SECONDS = 0.05


@action
async def _upload(number: int) -> int:
    await asyncio.sleep(0)
    return number


@_upload.rollback
async def _remove(number: int) -> None:
    await asyncio.sleep(SECONDS)


async def _blocks(count: int, concurrently: bool) -> None:
    for _ in range(count):
        with suppress(LookupError):
            async with transaction(undo_concurrently=concurrently):
                await asyncio.gather(*(_upload(number) for number in range(STEPS)))
                raise LookupError


def undone_together(effort: Effort) -> Figure:
    """Here the baseline is the same block without the option."""
    with asyncio.Runner() as runner:
        works = {
            "baseline": Timed(lambda blocks: runner.run(_blocks(blocks, False)), STEPS),
            "ours": Timed(lambda blocks: runner.run(_blocks(blocks, True)), STEPS),
        }
        return timed(works, effort)
