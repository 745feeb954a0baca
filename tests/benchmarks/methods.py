"""The same step as a method: looked up on its object at each call, as programs do."""

from contextlib import ExitStack

from actionqueues import action, transaction
from tests.benchmarks.candidates import Numbers


class Plain:
    """An object with a step and its undo, and no library."""

    def step(self, a: int, b: int) -> int:
        return a

    def undo(self, a: int, b: int) -> None:
        return None


class Decorated:
    """The same object over this library."""

    @action
    def step(self, a: int, b: int) -> int:
        return a

    @step.rollback
    def undo(self, a: int, b: int) -> None:
        return None


_plain = Plain()
_decorated = Decorated()


def exit_stack(numbers: Numbers) -> None:
    """A committed block over ``contextlib.ExitStack``."""
    subject = _plain
    with ExitStack() as stack:
        for i in numbers:
            subject.step(i, 2)
            stack.callback(subject.undo, i, 2)
        stack.pop_all()


def by_hand(numbers: Numbers) -> None:
    """A committed block without any library."""
    subject = _plain
    done = []
    try:
        for i in numbers:
            subject.step(i, 2)
            done.append((subject.undo, i, 2))
    except BaseException:
        while done:
            call, a, b = done.pop()
            call(a, b)
        raise


def ours(numbers: Numbers) -> None:
    """A committed block over this library."""
    subject = _decorated
    with transaction():
        for i in numbers:
            subject.step(i, 2)
