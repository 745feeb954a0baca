"""`serve`: runs a unit that an engine has brought to this process as text, and answers with what came of it.

Stands on requests and units.  Used by adapters, in the processes that do the work.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import cache, partial
from typing import Any, cast

from actionqueues.core.definition import Definition
from actionqueues.core.log import Log, Owner, new_log, set_current, this_thread, undoing
from actionqueues.core.signature import is_async
from actionqueues.core.states import StepState
from actionqueues.core.step import OUTCOME, PENDING, Step
from actionqueues.errors import IllegalOperation
from actionqueues.journal.modules import find
from actionqueues.journal.names import definition_of_function, named
from actionqueues.journal.values import Missing
from actionqueues.report import Report

from .carrying import Carrier
from .errors import NotCarried
from .units import Undone, Work

__all__ = ["Keep", "serve"]

#: Called with what a step saves.
Keep = Callable[[Mapping[str, Any]], object]


class _Elsewhere(Owner):
    """Stands for the block, which is in another process."""

    name = "transaction"
    awaits, direct, plain, unawaited = True, False, False, None

    def __init__(self, step: Step[Any]) -> None:
        self.step, self.label = step, f"the block of {step.name}"
        self.state, self.report = "open elsewhere", Report(step.name, cast("Any", "open"))
        self.running = dict[Log, None]()

    def refuse_inside(self, what: str, advice: str) -> None:
        state = f"{self.step.name} is run as one step of a block in another process"
        raise IllegalOperation(what, state, advice)

    def refuse(self, log: Log, what: str) -> BaseException | None:
        advice = f"call it in the block, or the plain function, {what}.__wrapped__"
        return IllegalOperation(f"run the step {what}", f"{self.step.name}, which calls it, is run as one", advice)


async def serve(
    request: str, carrier: Carrier, resources: Mapping[str, Any] | None = None, keep: Keep | None = None
) -> str:
    """Run a unit; returns what came of it, as text.

    Functions that are not async run in a thread, and to their end, also if this is cancelled meanwhile.

    Args:
        request: what `Unit.request` has returned.
        carrier: reads and writes values.
        resources: the values of parameters that are not carried, by name.
        keep: called with what a step saves, whenever it does.

    Raises:
        NotCarried: for an undo or a commit hook that this process has not loaded, or misses a resource for.
    """
    asked: Mapping[str, Any] = json.loads(request)
    kind = asked["kind"]
    try:
        if "function" in asked:
            call, awaits = _call(asked, carrier)
            work = Work(carrier, kind, asked["shown"], 0, asked["key"], call, is_async=awaits)
        else:
            work = _of_action(asked, carrier, resources or {}, keep)
    except NotCarried as refused:
        if kind in ("undo", "hook"):
            raise  # it has to be done: another worker may be able to
        work = Work(carrier, kind, asked["shown"], 0, asked["key"], partial(_raise, refused))
    return await (work.perform_async() if work.is_async else _in_a_thread(work.perform))


async def _in_a_thread(call: Callable[[], str]) -> str:
    """Call it in a thread, which nothing stops: a cancellation does not end the wait for it either."""
    run = partial(copy_context().run, call)
    running = asyncio.get_running_loop().run_in_executor(_threads(), run)
    while not running.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait((running,))
    return running.result()


@cache
def _threads() -> ThreadPoolExecutor:
    """As many threads as there are units at a time, which the engine bounds; those of the event loop are few."""
    return ThreadPoolExecutor(1000, thread_name_prefix="actionqueues")


def _call(asked: Mapping[str, Any], carrier: Carrier) -> tuple[Callable[[], Any], bool]:
    """What calls a plain function, and whether that is to be awaited."""
    name = asked["function"]
    found = find(name)
    if not found:
        found = [each.function for each in named(name)]
    if len(found) != 1:
        raise NotCarried(f"this worker has not loaded {name}; import the module that defines it", name)
    definition = definition_of_function(found[0])
    function = found[0] if definition is None else definition.function
    args, kwargs = carrier.values.called(json.dumps(asked["call"]), {})
    return partial(function, *args, **kwargs), is_async(function)


def _of_action(asked: Mapping[str, Any], carrier: Carrier, resources: Mapping[str, Any], keep: Keep | None) -> Work:
    name = asked["action"]
    found = named(name)
    if len(found) != 1:
        raise NotCarried(f"this worker has not loaded the action {name}; import the module that defines it", name)
    step = _step(asked, found[0], carrier, resources, keep)
    definition, kind = found[0], asked["kind"]
    if kind == "step":
        call, awaits = partial(definition.run, step._record), definition.is_async
        set_current(new_log(None, _Elsewhere(step), this_thread(), direct=False, record=step))
    else:
        handler = definition.handler_of(step._record) if kind == "undo" else definition.probe
        if handler is None:
            raise NotCarried(f"the {kind} of {name} is not there any more in this worker", name)
        call, awaits = partial(handler.call, step), handler.is_async
        cause = carrier.error_of(asked["cause"]) if "cause" in asked else None
        undoing.set(Undone(step, cause))
    return Work(carrier, kind, asked["shown"], 0, asked["key"], call, is_async=awaits, step=step)


def _step(
    asked: Mapping[str, Any],
    definition: Definition,
    carrier: Carrier,
    resources: Mapping[str, Any],
    keep: Keep | None,
) -> Step[Any]:
    """The step that the block has, as far as it was carried."""
    values = carrier.values.of_call(definition, json.dumps(asked["arguments"]), resources)
    for parameter, value in zip(definition.parameters.names, values, strict=True):
        if isinstance(value, Missing):
            raise NotCarried(f"{parameter!r} of {definition.name} is not known here: {value.reason}", definition.name)
    step = Step([PENDING, definition, *values], StepState(asked.get("state", "running")))
    step._key, step.attempts = asked["key"], asked["attempts"]
    if "result" in asked:
        step._record[OUTCOME] = carrier.value_of(asked["result"])
    if "error" in asked:
        step.error = carrier.error_of(asked["error"])
    saved = _Saved(carrier.saved_of(asked["saved"]))
    saved.keep = keep
    step.saved = saved
    return step


class _Saved(dict[str, Any]):
    """What a step saves, made known at once."""

    keep: Keep | None = None

    def update(self, /, *args: Any, **kwargs: Any) -> None:
        super().update(*args, **kwargs)
        if self.keep is not None:
            self.keep(dict(self))


def _raise(error: BaseException) -> None:
    raise error
