"""Actions that do as a script says, for the tests of the explicit queue."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from actionqueues import ActionQueue

Trail: TypeAlias = list[str]
Outcome: TypeAlias = BaseException | None


class Boom(Exception):
    """What goes wrong here."""


class Scripted:
    """An action that leaves a trail, and raises what its script says, attempt by attempt; then it succeeds."""

    def __init__(
        self, name: str, trail: Trail, execute: Iterable[Outcome] = (), rollback: Iterable[Outcome] = ()
    ) -> None:
        self.name, self.trail = name, trail
        self._execute, self._rollback = iter(execute), iter(rollback)

    def execute(self) -> None:
        self._play("do", next(self._execute, None))

    def rollback(self) -> None:
        self._play("undo", next(self._rollback, None))

    def _play(self, what: str, outcome: Outcome) -> None:
        self.trail.append(f"{what} {self.name}")
        if outcome is not None:
            raise outcome


def queue_of(*actions: Scripted) -> ActionQueue:
    queue = ActionQueue()
    for action in actions:
        queue.add(action)
    return queue
