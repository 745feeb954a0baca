"""A workflow whose steps are passed through the sandbox of Temporal."""

from __future__ import annotations

from temporalio import workflow

from actionqueues import transaction
from actionqueues.engines.temporal import TemporalEngine

with workflow.unsafe.imports_passed_through():
    from tests.engines.passed_steps import Level, Receipt, Refused, pay


@workflow.defn
class Payment:
    """Pays twice."""

    @workflow.run
    async def run(self) -> list[bool | int]:
        async with transaction("payment", engine=TemporalEngine()):
            receipt = await pay(7)
            known: list[bool | int] = [
                isinstance(receipt, Receipt),  # pyright: ignore[reportUnnecessaryIsInstance] - of two classes of that name
                receipt.level is Level.HIGH,
            ]
            try:
                await pay(10)
            except Refused as refused:
                known.append(refused.args[0])
        return known
