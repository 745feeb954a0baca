"""Steps in a module that workflows pass through the sandbox of Temporal."""

from __future__ import annotations

from actionqueues import Retry, action, current_step

from .passed_errors import Busy, Level, Receipt, Refused

__all__ = ["Busy", "Level", "Receipt", "Refused", "pay"]


@action(retry=Retry(attempts=3, wait_initial=0.01, on=Busy))
async def pay(number: int) -> Receipt:
    """Is busy at first, and refuses what is more than 9."""
    if current_step().attempts < 3:
        raise Busy(number)
    if number > 9:
        raise Refused(number)
    return Receipt(number, Level.HIGH)


@pay.rollback
async def unpay(number: int) -> None:
    pass
