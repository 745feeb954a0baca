"""Times taken side by side: in one process, in turns, with the collector running.

Ratios are what the table is about, and a ratio of two times taken minutes apart says more about the
machine than about the code. So the candidates of a row take turns, a sample each, round after
round, and every round starts with another one. The time of a candidate is its best sample: noise
only ever adds. The median of the ratios within each round is kept beside it, as a second opinion.

The garbage collector stays enabled (``timeit`` disables it), because records that live until the
block ends are exactly what it has to walk through. A full collection before each sample, outside
the time, gives every candidate the same start.
"""

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter_ns
from typing import NamedTuple

from tests.benchmarks.candidates import Numbers, Work


class Effort(NamedTuple):
    """How long to measure: the seconds of one sample and of one row, and the fewest rounds."""

    sample: float
    row: float
    fewest: int
    most: int


FULL = Effort(sample=0.010, row=6.0, fewest=7, most=60)
QUICK = Effort(sample=0.004, row=0.4, fewest=3, most=15)


class Timed(NamedTuple):
    """``run(blocks)`` makes that many whole blocks of ``steps`` steps each."""

    run: Callable[[int], None]
    steps: int


@dataclass
class Times:
    """Nanoseconds a step, one entry for each round."""

    samples: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        return min(self.samples)

    def median_ratio(self, baseline: "Times") -> float:
        """The median over the rounds of the ratio within the round."""
        pairs = zip(self.samples, baseline.samples, strict=True)
        return median(mine / other for mine, other in pairs)


def blocks_of(work: Work, numbers: Numbers) -> Timed:
    """``work`` over ``numbers``, block after block."""

    def run(blocks: int) -> None:
        for _ in range(blocks):
            work(numbers)

    return Timed(run, len(numbers))


def side_by_side(works: Mapping[str, Timed], effort: Effort) -> dict[str, Times]:
    """Measure the works in turns, and return the nanoseconds a step of each.

    A sample is as many blocks as fit into ``effort.sample`` seconds, and one at least. Rounds are
    made until ``effort.row`` seconds are over.
    """
    blocks = {name: _calibrated(timed, effort.sample) for name, timed in works.items()}
    times = {name: Times() for name in works}
    order = list(works)
    end = perf_counter_ns() + effort.row * 1e9
    for done in range(effort.most):
        if done >= effort.fewest and perf_counter_ns() > end:
            break
        for name in order:
            timed = works[name]
            took = _sample(timed, blocks[name])
            times[name].samples.append(took / blocks[name] / timed.steps)
        order.append(order.pop(0))
    return times


def _calibrated(timed: Timed, seconds: float) -> int:
    timed.run(1)  # whatever is done once only is done here
    blocks = 1
    while (took := _sample(timed, blocks)) < seconds * 1e9 / 2:
        blocks *= 2 if took * 8 > seconds * 1e9 else 8
    return blocks


def _sample(timed: Timed, blocks: int) -> int:
    gc.collect()
    start = perf_counter_ns()
    timed.run(blocks)
    return perf_counter_ns() - start
