"""What a candidate is: one library made to do the work that every other one does.

The work is a step of two positional arguments and an undo of two. A candidate does it in whole
blocks: it opens a block, makes a step for each number, and ends the block in one of these ways:

``commit``    everything succeeded; no undo is called and every record is dropped
``rollback``  an exception leaves the block, every undo is called, the exception is caught outside
``explicit``  the program itself asks for the rollback, and there is no exception
``hold``      as ``commit``, but ``probe`` is called while all the records are alive

The numbers are made beforehand, so that neither their making nor their memory is charged to anyone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Numbers = Sequence[int]
Work = Callable[[Numbers], None]
Probe = Callable[[], None]


class Failure(Exception):
    """Raised by the work itself to leave a block."""


class NotMeasured(Exception):
    """A candidate cannot be measured here; the message is the reason that the table prints."""


class Functions(NamedTuple):
    """What is done and undone: the same for all, each as cheap as a function can be."""

    step: Callable[[int, int], int]
    undo: Callable[[int, int], object]
    # For a library that reads more into the value a step returns than a value.
    silent_step: Callable[[int, int], None]


@dataclass(frozen=True)
class Candidate:
    """One library doing the work. ``note`` is what a reader must know to compare it fairly."""

    name: str
    commit: Work
    rollback: Work
    hold: Callable[[Numbers, Probe], None]
    explicit: Work | None = None
    note: str = ""
    undoes_in_reverse: bool = True


Build = Callable[[Functions], Candidate]


def _step(a: int, b: int) -> int:
    return a


def _undo(a: int, b: int) -> object:
    return None


def _silent_step(a: int, b: int) -> None:
    return None


def built(build: Build) -> Candidate:
    """The candidate over the functions that are timed, once it has proved that it does the work."""
    _prove(build)
    return build(Functions(_step, _undo, _silent_step))


def _prove(build: Build) -> None:
    trail: list[tuple[str, int, int]] = []

    def step(a: int, b: int) -> int:
        trail.append(("step", a, b))
        return a

    def silent_step(a: int, b: int) -> None:
        trail.append(("step", a, b))

    def undo(a: int, b: int) -> object:
        trail.append(("undo", a, b))
        return None

    candidate = build(Functions(step, undo, silent_step))
    numbers = (0, 1, 2)
    steps = [("step", number, 2) for number in numbers]
    undone = numbers[::-1] if candidate.undoes_in_reverse else numbers
    undos = [("undo", number, 2) for number in undone]

    def probe() -> None:
        trail.append(("probe", 0, 0))

    candidate.commit(numbers)
    _expect(candidate, "commit", trail, steps)
    candidate.rollback(numbers)
    _expect(candidate, "rollback", trail, steps + undos)
    candidate.hold(numbers, probe)
    _expect(candidate, "hold", trail, [*steps, ("probe", 0, 0)])
    if candidate.explicit is not None:
        candidate.explicit(numbers)
        _expect(candidate, "explicit", trail, steps + undos)


def _expect(
    candidate: Candidate,
    what: str,
    trail: list[tuple[str, int, int]],
    wanted: list[tuple[str, int, int]],
) -> None:
    if trail != wanted:
        raise RuntimeError(f"{candidate.name} does not do the work: {what} did {trail}, and not {wanted}")
    trail.clear()
