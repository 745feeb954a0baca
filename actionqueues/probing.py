"""Asking whether a step whose outcome is unknown has happened (``@fn.landed``)."""

from __future__ import annotations

from typing import Any

from .errors import NotLanded
from .requests import Await, Probing
from .states import StepState
from .step import OUTCOME, Step
from .telling import log_error, shown

__all__ = ["probing"]


def probing(step: Step[Any]) -> Probing:
    """Ask the probe of a step what became of it.

    Returns:
        Whether it never happened, so that there is nothing to undo.  Otherwise it is done, with the result that the
        probe has returned, or, if that has failed, still unknown.
    """
    probe = step.definition.probe
    assert probe is not None  # noqa: S101 - the caller has looked
    error: BaseException | None = None
    result: Any = None
    try:
        result = probe.call(step)
    except BaseException as raised:
        error = raised
    else:
        if probe.is_async:
            asked = Await(result, probe.name)
            error = yield asked
            result = asked.result
    if error is None:
        step.entry[OUTCOME] = result
        step.move(StepState.DONE)
    elif isinstance(error, NotLanded):
        step.move(StepState.NOT_LANDED)
        return True
    elif isinstance(error, Exception):
        log_error(f"the probe {probe.name} of {step.name} failed, so it counts as maybe done: {shown(error)}", error)
    else:
        raise error
    return False
