"""What comes out of a measurement: times of this library and of what it is compared with, and their ratio."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.benchmarks.candidates import Numbers, Work
from tests.benchmarks.timing import Effort, Timed, Times, blocks_of, side_by_side


@dataclass(frozen=True)
class Figure:
    """Amounts in ``unit`` a step; ``floor`` is the same work done by hand."""

    baseline: float
    ours: float
    floor: float | None = None
    median: float | None = None
    unit: str = "ns"

    @property
    def ratio(self) -> float:
        return self.ours / self.baseline

    @property
    def floor_ratio(self) -> float | None:
        return None if self.floor is None else self.floor / self.baseline


def timed(works: Mapping[str, Timed], effort: Effort) -> Figure:
    """Measure ``baseline``, ``ours`` and, if it is there, ``floor`` in turns."""
    times = side_by_side(works, effort)
    baseline, ours, floor = times["baseline"], times["ours"], times.get("floor")
    return Figure(baseline.best, ours.best, None if floor is None else floor.best, ours.median_ratio(baseline))


def against(baseline: Work, ours: Work, floor: Work | None, numbers: Numbers, effort: Effort) -> Figure:
    """Measure blocks of as many steps as there are numbers."""
    works = {"baseline": baseline, "ours": ours}
    if floor is not None:
        works["floor"] = floor
    return timed({name: blocks_of(work, numbers) for name, work in works.items()}, effort)


def grown(ours: Work, by_hand: Work, short: Numbers, long: Numbers, effort: Effort) -> Figure:
    """Measure what a step costs in a long block; here the baseline is the same in a short one."""
    works = {
        "short": blocks_of(ours, short),
        "long": blocks_of(ours, long),
        "short by hand": blocks_of(by_hand, short),
        "long by hand": blocks_of(by_hand, long),
    }
    times: dict[str, Times] = side_by_side(works, effort)
    floor = times["short"].best * times["long by hand"].best / times["short by hand"].best
    return Figure(times["short"].best, times["long"].best, floor, times["long"].median_ratio(times["short"]))
