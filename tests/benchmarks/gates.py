"""The ratios that must not grow: what a change of the code may cost before a run of the checks fails.

A figure is what the row has shown on idle and on busy machines, for each version of CPython.  It may be exceeded by a
quarter, which noise does not do in every one of several tries, and a regression of a third does.
"""

from collections.abc import Iterator, Mapping
from sys import version_info
from typing import Final

from tests.benchmarks.rows import Row, chosen
from tests.benchmarks.timing import QUICK

ROOM: Final = 1.25
TRIES: Final = 6

_USUAL: Final[Mapping[str, tuple[float, float, float, float]]] = {  # on CPython 3.11, 3.12, 3.13, and later ones
    "a step of a committed block": (0.23, 0.23, 0.26, 0.33),
    "the same as a method": (0.35, 0.33, 0.34, 0.43),
    "a step, and its undo": (0.41, 0.41, 0.44, 0.52),
    "a block of one step": (0.74, 0.74, 0.74, 0.96),
    "async step, against AsyncExitStack": (0.42, 0.38, 0.42, 0.57),
    "async step, and its undo": (0.86, 0.86, 0.87, 0.97),
    "memory a step": (0.047, 0.047, 0.047, 0.047),
    "outside a block, against the bare function": (3.7, 4.6, 4.4, 4.2),
    "a step at 100 000, against at 1000": (1.15, 1.15, 1.15, 1.15),
}


def gates() -> Iterator[tuple[Row, float]]:
    """The rows that have a gate, and the highest ratio that is let through."""
    column = min(max(version_info.minor, 11), 14) - 11
    for name, usual in _USUAL.items():
        (row,) = (row for row in chosen([]) if row.name == name)
        yield row, usual[column] * ROOM


def tried(row: Row, gate: float) -> float:
    """The lowest ratio of a few tries; no more of them than it takes to be let through."""
    lowest = row.measure(QUICK).ratio
    for _ in range(TRIES - 1):
        if lowest <= gate:
            break
        lowest = min(lowest, row.measure(QUICK).ratio)
    return lowest
