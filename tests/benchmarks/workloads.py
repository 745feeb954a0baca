"""The work over ``contextlib.ExitStack``, which is the measure, by hand, and over this library."""

from contextlib import ExitStack

from actionqueues import action, transaction
from tests.benchmarks.candidates import Candidate, Failure, Functions, Numbers, Probe, Work


def exit_stack(functions: Functions) -> Candidate:
    """Do a step, push its undo; ``pop_all`` is how a stack is told that all went well."""
    step, undo = functions.step, functions.undo

    def commit(numbers: Numbers) -> None:
        with ExitStack() as stack:
            for i in numbers:
                step(i, 2)
                stack.callback(undo, i, 2)
            stack.pop_all()

    def rollback(numbers: Numbers) -> None:
        try:
            with ExitStack() as stack:
                for i in numbers:
                    step(i, 2)
                    stack.callback(undo, i, 2)
                raise Failure
        except Failure:
            pass

    def explicit(numbers: Numbers) -> None:
        with ExitStack() as stack:
            for i in numbers:
                step(i, 2)
                stack.callback(undo, i, 2)
            stack.close()

    def hold(numbers: Numbers, probe: Probe) -> None:
        with ExitStack() as stack:
            for i in numbers:
                step(i, 2)
                stack.callback(undo, i, 2)
            probe()
            stack.pop_all()

    return Candidate("ExitStack", commit, rollback, hold, explicit)


def by_hand(functions: Functions) -> Candidate:
    """Call, append; pop, undo: about the least that Python can do for the price."""
    step, undo = functions.step, functions.undo

    def commit(numbers: Numbers) -> None:
        done = []
        try:
            for i in numbers:
                step(i, 2)
                done.append((undo, i, 2))
        except BaseException:
            while done:
                call, a, b = done.pop()
                call(a, b)
            raise

    def rollback(numbers: Numbers) -> None:
        done = []
        try:
            try:
                for i in numbers:
                    step(i, 2)
                    done.append((undo, i, 2))
                raise Failure
            except BaseException:
                while done:
                    call, a, b = done.pop()
                    call(a, b)
                raise
        except Failure:
            pass

    def explicit(numbers: Numbers) -> None:
        done = []
        for i in numbers:
            step(i, 2)
            done.append((undo, i, 2))
        while done:
            call, a, b = done.pop()
            call(a, b)

    def hold(numbers: Numbers, probe: Probe) -> None:
        done = []
        for i in numbers:
            step(i, 2)
            done.append((undo, i, 2))
        probe()

    return Candidate("by hand", commit, rollback, hold, explicit)


def ours(functions: Functions) -> Candidate:
    """A decorated function, its rollback handler, and the block around the calls."""
    step = action(functions.step)
    step.rollback(functions.undo)

    def commit(numbers: Numbers) -> None:
        with transaction():
            for i in numbers:
                step(i, 2)

    def rollback(numbers: Numbers) -> None:
        try:
            with transaction():
                for i in numbers:
                    step(i, 2)
                raise Failure
        except Failure:
            pass

    def explicit(numbers: Numbers) -> None:
        with transaction() as q:
            for i in numbers:
                step(i, 2)
            q.rollback()

    def hold(numbers: Numbers, probe: Probe) -> None:
        with transaction():
            for i in numbers:
                step(i, 2)
            probe()

    return Candidate("actionqueues", commit, rollback, hold, explicit)


def outside() -> tuple[Work, Work]:
    """The bare function and the decorated one, called where there is no block."""

    def bare(a: int, b: int) -> int:
        return a

    decorated = action(bare)

    @decorated.rollback
    def undo(a: int, b: int) -> None:
        return None

    def calls_bare(numbers: Numbers) -> None:
        for i in numbers:
            bare(i, 2)

    def calls_decorated(numbers: Numbers) -> None:
        for i in numbers:
            decorated(i, 2)

    return calls_bare, calls_decorated
