"""Workflows that come to their end while a block of theirs is open in another task.

Imported by tests, and, again, by Temporal's sandbox.
"""

from __future__ import annotations

import asyncio

from temporalio import workflow

from actionqueues import transaction
from actionqueues.engines.temporal import TemporalEngine

from .temporal_scene import book, charge, see, wait_for_a_cancel


@workflow.defn
class Ending:
    """`case` says how."""

    @workflow.run
    async def run(self, trail: str, case: str) -> str:
        if case == "over":
            return case
        task = asyncio.create_task(getattr(self, case)(trail))
        if case == "waits":
            await task
        async with transaction("looking", engine=TemporalEngine()):
            await see(trail, "did wait", 1)
            if case == "beside_a_failure":
                await charge(trail, 5, fails=True)
        if case == "continued":
            workflow.continue_as_new(args=[trail, "over"])
        return "over"

    async def beside_a_result(self, trail: str) -> None:
        async with transaction("beside", engine=TemporalEngine()):
            await book(trail, 1)
            await wait_for_a_cancel(trail, "return")

    beside_a_failure = continued = waits = beside_a_result

    @workflow.update
    async def change(self, trail: str) -> None:
        """A block that is open as long as nobody cancels it."""
        await self.beside_a_result(trail)

    @workflow.signal
    async def order(self, trail: str) -> None:
        async with transaction("order", engine=TemporalEngine()):
            await charge(trail, 2, fails=True)
