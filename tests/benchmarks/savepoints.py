"""Savepoints, one after the other: a block of one step each, kept by the block around them."""

from contextlib import ExitStack

from actionqueues import action, transaction
from tests.benchmarks.candidates import Candidate, Failure, Functions, Numbers, Probe


def exit_stack(functions: Functions) -> Candidate:
    """A stack in a stack; ``pop_all`` hands the inner one's undos to the outer one."""
    step, undo = functions.step, functions.undo

    def work(outer: ExitStack, numbers: Numbers) -> None:
        for i in numbers:
            with ExitStack() as inner:
                step(i, 2)
                inner.callback(undo, i, 2)
                outer.push(inner.pop_all())

    def commit(numbers: Numbers) -> None:
        with ExitStack() as outer:
            work(outer, numbers)
            outer.pop_all()

    def rollback(numbers: Numbers) -> None:
        try:
            with ExitStack() as outer:
                work(outer, numbers)
                raise Failure
        except Failure:
            pass

    def hold(numbers: Numbers, probe: Probe) -> None:
        with ExitStack() as outer:
            work(outer, numbers)
            probe()
            outer.pop_all()

    return Candidate("ExitStack", commit, rollback, hold)


def by_hand(functions: Functions) -> Candidate:
    """One list, and for each savepoint the length that it had."""
    step, undo = functions.step, functions.undo

    def back_to(mark: int, done: list[tuple[int, int]]) -> None:
        while len(done) > mark:
            undo(*done.pop())

    def work(done: list[tuple[int, int]], numbers: Numbers) -> None:
        for i in numbers:
            mark = len(done)
            try:
                step(i, 2)
                done.append((i, 2))
            except BaseException:
                back_to(mark, done)
                raise

    def commit(numbers: Numbers) -> None:
        done: list[tuple[int, int]] = []
        try:
            work(done, numbers)
        except BaseException:
            back_to(0, done)
            raise

    def rollback(numbers: Numbers) -> None:
        done: list[tuple[int, int]] = []
        try:
            work(done, numbers)
            raise Failure
        except Failure:
            back_to(0, done)

    def hold(numbers: Numbers, probe: Probe) -> None:
        work([], numbers)
        probe()

    return Candidate("by hand", commit, rollback, hold)


def ours(functions: Functions) -> Candidate:
    """A block in the block around each step."""
    step = action(functions.step)
    step.rollback(functions.undo)

    def commit(numbers: Numbers) -> None:
        with transaction():
            for i in numbers:
                with transaction():
                    step(i, 2)

    def rollback(numbers: Numbers) -> None:
        try:
            with transaction():
                for i in numbers:
                    with transaction():
                        step(i, 2)
                raise Failure
        except Failure:
            pass

    def hold(numbers: Numbers, probe: Probe) -> None:
        with transaction():
            for i in numbers:
                with transaction():
                    step(i, 2)
            probe()

    return Candidate("actionqueues", commit, rollback, hold)
