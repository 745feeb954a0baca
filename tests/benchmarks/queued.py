"""Steps that are all added first, and then run in their order: ``q.add`` and ``q.execute``."""

from contextlib import ExitStack

from actionqueues import action, transaction
from tests.benchmarks.candidates import Candidate, Failure, Functions, Numbers, Probe


def exit_stack(functions: Functions) -> Candidate:
    """A list of calls, and a stack that is given the undo of each one as it is made."""
    step, undo = functions.step, functions.undo

    def work(stack: ExitStack, numbers: Numbers) -> None:
        queue = [(step, undo, i, 2) for i in numbers]
        for call, uncall, a, b in queue:
            call(a, b)
            stack.callback(uncall, a, b)

    def commit(numbers: Numbers) -> None:
        with ExitStack() as stack:
            work(stack, numbers)
            stack.pop_all()

    def rollback(numbers: Numbers) -> None:
        try:
            with ExitStack() as stack:
                work(stack, numbers)
                raise Failure
        except Failure:
            pass

    def hold(numbers: Numbers, probe: Probe) -> None:
        with ExitStack() as stack:
            work(stack, numbers)
            probe()
            stack.pop_all()

    return Candidate("ExitStack", commit, rollback, hold)


def by_hand(functions: Functions) -> Candidate:
    """Two lists: what is to be called, and what has been."""
    step, undo = functions.step, functions.undo

    def work(done: list[tuple[int, int]], numbers: Numbers) -> None:
        queue = [(i, 2) for i in numbers]
        for a, b in queue:
            step(a, b)
            done.append((a, b))

    def back(done: list[tuple[int, int]]) -> None:
        while done:
            undo(*done.pop())

    def commit(numbers: Numbers) -> None:
        done: list[tuple[int, int]] = []
        try:
            work(done, numbers)
        except BaseException:
            back(done)
            raise

    def rollback(numbers: Numbers) -> None:
        done: list[tuple[int, int]] = []
        try:
            work(done, numbers)
            raise Failure
        except Failure:
            back(done)

    def hold(numbers: Numbers, probe: Probe) -> None:
        work([], numbers)
        probe()

    return Candidate("by hand", commit, rollback, hold)


def ours(functions: Functions) -> Candidate:
    """``q.add`` for each, and one ``q.execute``."""
    step = action(functions.step)
    step.rollback(functions.undo)

    def commit(numbers: Numbers) -> None:
        with transaction() as q:
            for i in numbers:
                q.add(step, i, 2)
            q.execute()

    def rollback(numbers: Numbers) -> None:
        try:
            with transaction() as q:
                for i in numbers:
                    q.add(step, i, 2)
                q.execute()
                raise Failure
        except Failure:
            pass

    def hold(numbers: Numbers, probe: Probe) -> None:
        with transaction() as q:
            for i in numbers:
                q.add(step, i, 2)
            q.execute()
            probe()

    return Candidate("actionqueues", commit, rollback, hold)
