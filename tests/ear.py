"""`Ear`: a listener that writes down, in short, what it is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from actionqueues import events, listen

__all__ = ["Ear", "heard", "word"]


def word(event: events.Event) -> str:
    """What has happened: ``opened``, ``a started``, ``a retried 2 Boom``, ``b left``."""
    name = type(event).__name__
    what = re.sub(r"(?<!^)(?=[A-Z])", " ", re.sub(r"^(Transaction|Step|Hook)", "", name)).lower()
    known: list[str] = []
    if isinstance(event, events.StepEvent):
        known.append(event.step.name)
    if isinstance(event, events.HookCalled):
        known.append(re.sub(r".*\.", "", event.name))
    known.append(what)
    if isinstance(event, events.StepRetried) or (isinstance(event, events.StepUndoing) and event.attempt > 1):
        known.append(str(event.attempt))
    error: BaseException | None = getattr(event, "error", None)
    if error is not None:
        known.append(type(error).__name__)
    return " ".join(known)


class Ear:
    """Keeps all events, and their words; `then` is called with each."""

    def __init__(self, then: Callable[[events.Event], object] | None = None) -> None:
        self.events: list[events.Event] = []
        self.then = then

    def __call__(self, event: events.Event) -> None:
        self.events.append(event)
        if self.then is not None:
            self.then(event)

    @property
    def words(self) -> list[str]:
        return [word(event) for event in self.events]

    def of(self, kind: type[Any]) -> list[Any]:
        """Those of one class."""
        return [event for event in self.events if isinstance(event, kind)]


@contextmanager
def heard(then: Callable[[events.Event], object] | None = None) -> Iterator[Ear]:
    """Listen meanwhile."""
    ear = Ear(then)
    with listen(ear):
        yield ear
