"""`activities()`: what a worker of Temporal needs to run the steps of blocks, and their undos.

An activity for each action that is loaded, by its name, one for its undo and one for its probe; and a few for plain
functions.  All do the same: they run the unit that they are given as JSON, and return what came of it, as JSON.  So
none of them fails, as far as Temporal is concerned, unless its worker does.

Stands on `serving.py`, and on temporalio.  Used by the plugin, and by programs whose workers run activities only.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from temporalio import activity
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from actionqueues.core.definition import all_definitions
from actionqueues.engines.carrying import Carrier
from actionqueues.engines.engine import Unit
from actionqueues.engines.serving import serve
from actionqueues.journal.serializer import Serializer

from .payloads import LONGEST, packed, unpacked

__all__ = ["Resources", "activities", "activity_name"]

#: What activities are called that run no action: functions given to `q.add`, `q.on_rollback` and `q.on_commit`.
_FUNCTION: Final[Mapping[str, str]] = {"step": "function", "undo": "undo function", "hook": "on commit"}

#: How often a heartbeat is given in the time after which a worker counts as dead, and how often without such a time.
_BEATS: Final = 4
_PAUSE: Final = 10.0


def activity_name(unit: Unit) -> str:
    """The name of the activity that runs a unit."""
    return unit.name if unit.is_action else _FUNCTION[unit.kind]


def activities(
    resources: Mapping[str, Callable[[], Any]] | None = None, serializer: Serializer | None = None
) -> Sequence[Callable[..., Any]]:
    """The activities for all actions that have been loaded, for ``Worker(..., activities=[*activities(), ...])``.

    `ActionQueuesPlugin` gives them to a worker, and is what a worker needs that runs workflows too.  By themselves they
    are for one that runs activities only.

    Args:
        resources: what actions are supplied with by the name of a parameter, such as a connection: a function that
            makes it, called once, when it is first needed in this worker.  Its value is never sent to Temporal.
        serializer: what turns arguments and results into JSON data, if it is to know more types than the usual one.
    """
    there = Resources(resources or {})
    carrier = Carrier("Temporal", serializer, there.makers, LONGEST)
    names = {*_FUNCTION.values()}
    for definition in all_definitions():
        known = {definition.name, *(alias.rpartition(":")[2] for alias in definition.aliases)}
        names |= {f"{prefix}{name}" for name in known for prefix in ("", "undo ", "look for ")}
    return [_activity(name, carrier, there) for name in sorted(names)]


class Resources(Mapping[str, Any]):
    """The live objects of this worker, each made when it is first asked for."""

    def __init__(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        self.makers = makers
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = self.makers[name]()
        return self._made[name]

    def __iter__(self) -> Any:
        return iter(self.makers)

    def __len__(self) -> int:
        return len(self.makers)


def _activity(name: str, carrier: Carrier, resources: Resources) -> Callable[[RawValue], Awaitable[RawValue]]:
    async def run(request: RawValue) -> RawValue:
        return packed(await _run(unpacked(request), carrier, resources))

    return activity.defn(name=name)(run)


async def _run(request: str, carrier: Carrier, resources: Resources) -> str:
    """Run one unit, and tell the server meanwhile that it is running, and what its step has saved."""
    beats = _Beats(carrier)
    beating = asyncio.create_task(beats.go_on())
    try:
        return _final(await serve(beats.resumed(request), carrier, resources, beats.keep))
    finally:
        beating.cancel()


def _final(text: str) -> str:
    """What came of a unit; raises if nothing did, because this worker shuts down, or another one has it already."""
    details = activity.cancellation_details()
    if details is not None and not details.cancel_requested and not _is_done(text):
        raise ApplicationError(
            "the worker has stopped before it was done", type="WorkerStopped", category=ApplicationErrorCategory.BENIGN
        )
    return text


def _is_done(text: str) -> bool:
    outcome = json.loads(text)
    return "error" not in outcome and "stopped" not in outcome


class _Beats:
    """The heartbeats of one activity, which carry what its step has saved."""

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier
        timeout = activity.info().heartbeat_timeout
        self.pause = _PAUSE if timeout is None else timeout.total_seconds() / _BEATS
        self.saved: dict[str, Any] | None = None
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def resumed(self, request: str) -> str:
        """The request, with what was saved by a worker that has died."""
        details = activity.info().heartbeat_details
        if not details:
            return request
        asked = json.loads(request)
        asked["saved"] = self.saved = {**asked.get("saved", {}), **details[0]}
        return json.dumps(asked)

    def keep(self, saved: Mapping[str, Any]) -> None:
        """The step has saved something, in whatever thread its body runs."""
        texts = {name: self.carrier.value(value, name, "what a step saves") for name, value in saved.items()}
        self.carrier.fitting("".join(texts.values()), "what a step saves", "save")
        self.saved = {name: json.loads(text) for name, text in texts.items()}
        with suppress(RuntimeError):  # the worker is gone, but its thread is not
            self._loop.call_soon_threadsafe(self._news.set)

    async def go_on(self) -> None:
        """Give them until this is cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.pause):
                    await self._news.wait()
            self._news.clear()
            activity.heartbeat(*([] if self.saved is None else [self.saved]))
