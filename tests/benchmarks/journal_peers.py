"""Other libraries that keep steps in a file, doing what `tests.benchmarks.journals` does: ``python -m`` this module.

Each does 100 steps a block, with what it writes by default. What they promise differs: safeact and larzstate record
what is done to go on with it when the block is run again; an undo that a dead process owed is up to the program.
agent-saga syncs its log before a step that can be compensated, and compensates after a crash what its daemon is told
how to. DBOS goes forward only: it records the outcomes of steps, in SQLite's rollback mode, and has no undo.
"""

import argparse
import asyncio
import itertools
import logging
import os
import sqlite3
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

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


def agent_saga(folder: Path) -> Callable[[Numbers], None]:
    library, wal = import_module("agent_saga"), import_module("agent_saga.wal.file_wal")
    semantics = import_module("agent_saga.semantics")
    logging.getLogger("agent_saga").setLevel(logging.ERROR)

    async def undo(result: int) -> None:
        return unstep(result)

    def compensation(result: int) -> Any:
        return semantics.Compensation(undo, {"result": result}, handler="unstep")

    import_module("agent_saga.registry").compensator("unstep")(undo)

    @library.tool("step", semantics=semantics.ActionSemantics.COMPENSABLE, compensate=compensation)  # type: ignore[untyped-decorator] # likewise
    async def async_step(a: int, b: int) -> int:
        return step(a, b)

    loop = asyncio.new_event_loop()
    log: Any = wal.FileWAL(str(folder / "agent-saga.wal"))
    loop.run_until_complete(log.start())

    async def block(numbers: Numbers) -> None:
        async with library.saga_scope(name="bench", wal=log):
            for number in numbers:
                await async_step(a=number, b=2)

    def work(numbers: Numbers) -> None:
        loop.run_until_complete(block(numbers))

    return work


def dbos(folder: Path) -> Callable[[Numbers], None]:
    library = import_module("dbos")
    url = f"sqlite:///{folder / 'dbos.sqlite'}"
    library.DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR"})

    @library.DBOS.step()  # type: ignore[untyped-decorator] # imported by its name, so it has no types
    def durable_step(a: int, b: int) -> int:
        return step(a, b)

    @library.DBOS.workflow()  # type: ignore[untyped-decorator] # imported by its name, so it has no types
    def block(count: int) -> None:
        for number in range(count):
            durable_step(number, 2)

    library.DBOS.launch()

    def work(numbers: Numbers) -> None:
        block(len(numbers))

    return work


PEERS = {"safeact": safeact, "larzstate": larzstate, "agent-saga": agent_saga, "dbos": dbos}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.journal_peers", description=__doc__)
    parser.add_argument("--markdown", action="store_true", help="print the table for a README")
    options = parser.parse_args()
    print(f"{described()}, SQLite {sqlite3.sqlite_version}\n")
    pair, quick = journals.Pair(sync=True), journals.Pair(sync=False)
    folder = Path(pair.folder.name)
    works: dict[str, Callable[[Numbers], None]] = {
        "bare sqlite3": pair.bare,
        "actionqueues": pair.ours,
        'actionqueues, durability="process"': quick.ours,
    }
    for name, peer in PEERS.items():
        try:
            label = f"{name} {version(name)}"
        except PackageNotFoundError:
            print(f"{name} is not installed, so it is not measured")
            continue
        try:
            work = peer(folder)
            work(HUNDRED)
        except Exception as error:
            print(f"{label} does not run here: {str(error).splitlines()[0]}")
        else:
            works[label] = work
    try:
        times = side_by_side({name: blocks_of(work, HUNDRED) for name, work in works.items()}, FULL)
    finally:
        pair.close()
        quick.close()
    bare = times["bare sqlite3"]
    body = [
        [name, amount(each.best / 1000, "µs"), ratio(each.best / bare.best), ratio(each.median_ratio(bare))]
        for name, each in times.items()
    ]
    print(rendered(["100 steps, committed", "a step", "ratio", "median"], body, markdown=options.markdown), flush=True)
    os._exit(0)  # some of them leave threads behind that would not end by themselves


if __name__ == "__main__":
    main()
