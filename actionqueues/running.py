"""`current_step()`: the step that the running code belongs to."""

from __future__ import annotations

from typing import Any

from .errors import NoTransaction
from .owner import Owner, get_current, undoing
from .step import OWNER, Step

__all__ = ["current_step", "running_step"]


def running_step(within: Owner | None = None) -> Step[Any] | None:
    """The innermost step whose body is running here, or None; only of the transaction of `within`, if that is given."""
    log = get_current() if within is None else None
    owner: Owner | None = within if log is None else log[OWNER]
    while owner is not None:
        step = owner.running()
        if step is not None:
            return step
        around = owner.surrounding
        owner = owner.outer if within is not None else None if around is None else around[OWNER]
    return None


def current_step() -> Step[Any]:
    """The step whose body or rollback handler is running: the innermost one.

    Raises:
        NoTransaction: if none is, as in an action that was called outside any block.
    """
    step = running_step()
    if step is not None:
        return step
    rollback = undoing.get()
    step = None if rollback is None else rollback.step
    if step is None:
        advice = "call it in the body or the rollback handler of an action that is called inside `with transaction():`"
        raise NoTransaction("current_step()", advice, "step")
    return step
