"""`probing`: asking the probe of a step (``@fn.landed``) whether it has happened.

Stands on handlers.  Used by the engine.
"""

from __future__ import annotations

from collections.abc import Awaitable
from types import CoroutineType
from typing import Any, cast

from actionqueues.errors import NotLanded
from actionqueues.report import Report

from .definition import Definition
from .handler import Handler
from .requests import Asking, Await
from .signature import unawaited
from .states import StepState
from .step import OUTCOME, Step
from .telling import fields
from .text import log_error, shown
from .watch import Watch


def probing(report: Report, step: Step[Any], definition: Definition, watch: Watch | None) -> Asking[bool]:
    """Ask the probe of a step (``@fn.landed``) what became of it.

    Returns:
        Whether it never happened, so that there is nothing to undo.  Otherwise it is done, with the result that the
        probe has returned, or, if that has failed, still unknown.
    """
    probe = cast("Handler", definition.probe)
    error: BaseException | None = None
    result: Any = None
    try:
        result = probe.call(step) if watch is None else watch.run_probe(step, probe)
    except BaseException as raised:
        error = raised
    if error is None and (probe.is_async or (watch is not None and watch.awaits)):
        asked = Await(cast("Awaitable[object]", result), probe.name)
        error = yield asked
        result = asked.result
    elif type(result) is CoroutineType:
        error = unawaited(result, probe.function, f"the probe of {step.name}")
    if error is None:
        step._record[OUTCOME] = result
        step._move(StepState.DONE)
    elif isinstance(error, NotLanded):
        step._move(StepState.NOT_LANDED)
        return True
    elif isinstance(error, Exception):
        what = f"the probe {probe.name} of {step.name} failed, so it counts as maybe done: {shown(error)}"
        log_error(what, error, **fields(report, step, step.attempts))
    else:
        raise error
    return False
