"""Savepoints inside savepoints, a step in each: what a block costs where it is deep.

They are entered one in the other by a loop and not by functions that call each other, so nothing but this
library can meet the limit of recursion.
"""

from contextlib import ExitStack
from typing import Any

from actionqueues import action, transaction
from tests.benchmarks.candidates import Candidate, Failure, Functions, Numbers, Probe


def by_hand(functions: Functions) -> Candidate:
    """A list for each savepoint; what is released goes into the list around it, as one."""
    step, undo = functions.step, functions.undo

    def enter(numbers: Numbers) -> list[list[Any]]:
        logs: list[list[Any]] = []
        for i in numbers:
            log: list[Any] = []
            logs.append(log)
            step(i, 2)
            log.append((i, 2))
        return logs

    def release(logs: list[list[Any]]) -> None:
        while len(logs) > 1:
            log = logs.pop()
            logs[-1].append(log)

    def commit(numbers: Numbers) -> None:
        release(enter(numbers))

    def rollback(numbers: Numbers) -> None:
        logs = enter(numbers)
        while logs:
            for record in reversed(logs.pop()):
                undo(*record)

    def hold(numbers: Numbers, probe: Probe) -> None:
        logs = enter(numbers)
        probe()
        release(logs)

    return Candidate("by hand", commit, rollback, hold)


def ours(functions: Functions) -> Candidate:
    """A transaction in a transaction in a transaction."""
    step = action(functions.step)
    step.rollback(functions.undo)

    def enter(stack: ExitStack, numbers: Numbers) -> None:
        for i in numbers:
            stack.enter_context(transaction())
            step(i, 2)

    def commit(numbers: Numbers) -> None:
        with ExitStack() as stack:
            enter(stack, numbers)

    def rollback(numbers: Numbers) -> None:
        try:
            with ExitStack() as stack:
                enter(stack, numbers)
                raise Failure
        except Failure:
            pass

    def hold(numbers: Numbers, probe: Probe) -> None:
        with ExitStack() as stack:
            enter(stack, numbers)
            probe()

    return Candidate("actionqueues", commit, rollback, hold)


def released(functions: Functions) -> Candidate:
    """The same, but the outermost block alone fails, once all the others have been released into each other."""
    candidate = ours(functions)

    def rollback(numbers: Numbers) -> None:
        try:
            with transaction():
                candidate.commit(numbers)
                raise Failure
        except Failure:
            pass

    return Candidate("actionqueues", candidate.commit, rollback, candidate.hold)
