"""The classic API: an ``Action`` object a step, added first and then executed by an ``ActionQueue``."""

import importlib
from types import ModuleType
from typing import Any, NamedTuple

from tests.benchmarks.candidates import Candidate, Failure, Functions, Numbers, Probe


class Classic(NamedTuple):
    """The two modules that a program over the classic API imports."""

    action: ModuleType
    actionqueue: ModuleType


def candidate(name: str, modules: Classic, functions: Functions) -> Candidate:
    """Either library: the original, or this one."""
    step, undo = functions.step, functions.undo
    make_queue: Any = modules.actionqueue.ActionQueue
    base: Any = modules.action.Action

    class Work(base):  # type: ignore[misc]  # known only at run time
        def __init__(self, a: int, b: int) -> None:
            self.a = a
            self.b = b

        def execute(self) -> None:
            step(self.a, self.b)

        def rollback(self) -> None:
            undo(self.a, self.b)

    def queued(numbers: Numbers) -> Any:
        queue = make_queue()
        for i in numbers:
            queue.add(Work(i, 2))
        return queue

    def commit(numbers: Numbers) -> None:
        queued(numbers).execute()

    def rollback(numbers: Numbers) -> None:
        queue = queued(numbers)
        try:
            queue.execute()
            raise Failure
        except Failure:
            queue.rollback()

    def explicit(numbers: Numbers) -> None:
        queue = queued(numbers)
        queue.execute()
        queue.rollback()

    def hold(numbers: Numbers, probe: Probe) -> None:
        queue = queued(numbers)
        queue.execute()
        probe()

    return Candidate(name, commit, rollback, hold, explicit, "an Action object a step")


def ours(functions: Functions) -> Candidate:
    """The classic API of this version, doing what the original does."""
    here = Classic(
        importlib.import_module("actionqueues.action"),
        importlib.import_module("actionqueues.actionqueue"),
    )
    return candidate("its ActionQueue", here, functions)
