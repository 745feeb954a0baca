"""Other libraries that keep steps in a file, doing what `tests.benchmarks.journals` does: ``python -m`` this module.

Each does 100 steps a block, with what it writes by default. What they promise differs: safeact and larzstate record
what is done to go on with it when the block is run again; an undo that a dead process owed is up to the program.
"""

import itertools
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from tests.benchmarks import journals
from tests.benchmarks.candidates import Numbers
from tests.benchmarks.machine import described
from tests.benchmarks.table import amount, ratio, rendered
from tests.benchmarks.timing import FULL, blocks_of, side_by_side

HUNDRED: Numbers = tuple(range(100))


def step(a: int, b: int) -> int:
    return a


def unstep(result: int) -> None:
    return None


def safeact(folder: Path) -> Callable[[Numbers], None]:
    library = import_module("safeact")
    store, runs = library.Store(str(folder / "safeact.db")), itertools.count()

    def work(numbers: Numbers) -> None:
        with library.Saga(f"run {next(runs)}", store) as saga:
            for number in numbers:
                saga.step(step, number, 2, compensate=unstep)

    return work


def larzstate(folder: Path) -> Callable[[Numbers], None]:
    library = import_module("larzstate")
    runs = itertools.count()
    flow = library.Workflow("bench", library.FileStore(str(folder / "larzstate")))
    for number in HUNDRED:
        flow.step(lambda ctx, number=number: step(number, 2), name=f"step {number}")

    def work(_numbers: Numbers) -> None:
        flow.run(f"run {next(runs)}")

    return work


def main() -> None:
    print(f"{described()}\n")
    pair = journals.Pair(sync=True)
    folder = Path(pair.folder.name)
    works: dict[str, Callable[[Numbers], None]] = {"bare sqlite3": pair.bare, "actionqueues": pair.ours}
    for peer in (safeact, larzstate):
        try:
            works[peer.__name__] = peer(folder)
        except ImportError:
            print(f"{peer.__name__} is not installed")
    try:
        times = side_by_side({name: blocks_of(work, HUNDRED) for name, work in works.items()}, FULL)
    finally:
        pair.close()
    bare = times["bare sqlite3"]
    body = [
        [name, amount(each.best, "ns"), ratio(each.best / bare.best), ratio(each.median_ratio(bare))]
        for name, each in times.items()
    ]
    print(rendered(["100 steps, committed", "a step", "ratio", "median"], body, markdown=False))


if __name__ == "__main__":
    main()
