"""The rows of the table: what each of them measures, and the figure that it must keep to."""

import asyncio
import gc
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from actionqueues import action
from tests.benchmarks import coroutines, journals, methods, queued, savepoints, workloads
from tests.benchmarks.candidates import Build, NotMeasured, Numbers, Work, built
from tests.benchmarks.memory import bytes_a_step
from tests.benchmarks.timing import Effort, Timed, blocks_of, side_by_side

HUNDRED: Numbers = tuple(range(100))
THOUSAND: Numbers = tuple(range(1000))
MANY: Numbers = tuple(range(100_000))
ONE: Numbers = (0,)


@dataclass(frozen=True)
class Figure:
    """What came out of a row, in ``unit`` a step; ``floor`` is the same work done by hand."""

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


@dataclass(frozen=True)
class Row:
    """What is measured, the ratio that may not be missed, and the one that is hoped for.

    A row without them explains another one, or says what something else costs.
    """

    name: str
    must: float | None
    aim: float | None
    measure: Callable[[Effort], Figure]

    def verdict(self, ratio: float) -> str:
        """Whether ``ratio`` is good enough, in a word."""
        if self.must is None or self.aim is None:
            return ""
        if ratio > self.must:
            return "missed"
        return "met" if ratio > self.aim else "aim met"


def _timed(works: dict[str, Timed], effort: Effort) -> Figure:
    times = side_by_side(works, effort)
    baseline, mine, floor = times["baseline"], times["ours"], times.get("floor")
    median = mine.median_ratio(baseline)
    return Figure(baseline.best, mine.best, None if floor is None else floor.best, median)


def _against(baseline: Work, mine: Work, floor: Work, numbers: Numbers, effort: Effort) -> Figure:
    works = {"baseline": baseline, "ours": mine, "floor": floor}
    return _timed({name: blocks_of(work, numbers) for name, work in works.items()}, effort)


def _committed(effort: Effort, numbers: Numbers = THOUSAND) -> Figure:
    builds = (workloads.exit_stack, workloads.ours, workloads.by_hand)
    baseline, mine, floor = (built(build).commit for build in builds)
    return _against(baseline, mine, floor, numbers, effort)


def _one_step(effort: Effort) -> Figure:
    return _committed(effort, ONE)


def _method(effort: Effort) -> Figure:
    return _against(methods.exit_stack, methods.ours, methods.by_hand, THOUSAND, effort)


def _undone(effort: Effort, numbers: Numbers = THOUSAND) -> Figure:
    builds = (workloads.exit_stack, workloads.ours, workloads.by_hand)
    baseline, mine, floor = (built(build).rollback for build in builds)
    return _against(baseline, mine, floor, numbers, effort)


def _one_step_undone(effort: Effort) -> Figure:
    return _undone(effort, ONE)


def _undone_explicitly(effort: Effort) -> Figure:
    builds = (workloads.exit_stack, workloads.ours, workloads.by_hand)
    baseline, mine, floor = (built(build).explicit for build in builds)
    if baseline is None or mine is None or floor is None:
        raise NotMeasured("no explicit rollback")
    return _against(baseline, mine, floor, THOUSAND, effort)


def _savepoints(effort: Effort) -> Figure:
    return _alike(savepoints.exit_stack, savepoints.ours, savepoints.by_hand, effort, undone=False)


def _savepoints_undone(effort: Effort) -> Figure:
    return _alike(savepoints.exit_stack, savepoints.ours, savepoints.by_hand, effort, undone=True)


def _queued(effort: Effort) -> Figure:
    return _alike(queued.exit_stack, queued.ours, queued.by_hand, effort, undone=False)


def _queued_and_undone(effort: Effort) -> Figure:
    return _alike(queued.exit_stack, queued.ours, queued.by_hand, effort, undone=True)


def _alike(baseline: Build, mine: Build, floor: Build, effort: Effort, *, undone: bool) -> Figure:
    candidates = [built(build) for build in (baseline, mine, floor)]
    first, second, third = (each.rollback if undone else each.commit for each in candidates)
    return _against(first, second, third, THOUSAND, effort)


def _async(effort: Effort) -> Figure:
    return _coroutines(effort, coroutines.PLAIN, undone=False)


def _async_undone(effort: Effort) -> Figure:
    return _coroutines(effort, coroutines.PLAIN, undone=True)


def _suspending(effort: Effort) -> Figure:
    return _coroutines(effort, coroutines.SUSPENDING, undone=False)


def _suspending_undone(effort: Effort) -> Figure:
    return _coroutines(effort, coroutines.SUSPENDING, undone=True)


def _coroutines(effort: Effort, functions: coroutines.AsyncFunctions, *, undone: bool) -> Figure:
    """Here the baseline is ``AsyncExitStack``."""
    builds = {"baseline": coroutines.exit_stack, "ours": coroutines.ours, "floor": coroutines.by_hand}
    candidates = {name: build(functions) for name, build in builds.items()}
    works = {name: each.rollback if undone else each.commit for name, each in candidates.items()}
    with asyncio.Runner() as runner:
        return _timed(
            {name: coroutines.blocks_of(runner, work, THOUSAND) for name, work in works.items()},
            effort,
        )


def _memory(effort: Effort) -> Figure:
    builds = (workloads.exit_stack, workloads.ours, workloads.by_hand)
    baseline, mine, floor = (bytes_a_step(built(build), THOUSAND) for build in builds)
    return Figure(baseline, mine, floor, unit="B")


def _outside(effort: Effort) -> Figure:
    bare, decorated = workloads.outside()
    works = {"baseline": blocks_of(bare, THOUSAND), "ours": blocks_of(decorated, THOUSAND)}
    return _timed(works, effort)


def _growth(effort: Effort) -> Figure:
    """Here the baseline is not ``ExitStack``, but a shorter block of the same candidate."""
    mine, by_hand = (built(build).commit for build in (workloads.ours, workloads.by_hand))
    works = {
        "short": blocks_of(mine, THOUSAND),
        "long": blocks_of(mine, MANY),
        "short by hand": blocks_of(by_hand, THOUSAND),
        "long by hand": blocks_of(by_hand, MANY),
    }
    times = side_by_side(works, effort)
    short, long = times["short"], times["long"]
    by_hand_grows = times["long by hand"].best / times["short by hand"].best
    return Figure(short.best, long.best, short.best * by_hand_grows, long.median_ratio(short))


def _growth_without_collector(effort: Effort) -> Figure:
    """What is left of the growth when nothing walks through the records while they pile up."""
    gc.disable()
    try:
        return _growth(effort)
    finally:
        gc.enable()


def _journaled(effort: Effort, *, sync: bool) -> Figure:
    """Here the baseline is bare ``sqlite3``."""
    pair = journals.Pair(sync=sync)
    try:
        works = {"baseline": blocks_of(pair.bare, HUNDRED), "ours": blocks_of(pair.ours, HUNDRED)}
        return _timed(works, effort)
    finally:
        pair.close()


def _journal_on_disk(effort: Effort) -> Figure:
    return _journaled(effort, sync=True)


def _journal_without_syncs(effort: Effort) -> Figure:
    return _journaled(effort, sync=False)


def _group_commit(effort: Effort) -> Figure:
    """Here the baseline is one lock around one connection."""
    pairs = [journals.group_commit() for _ in range(effort.fewest)]
    one, ours = (min(column) for column in zip(*pairs, strict=True))
    return Figure(one, ours)


def _recovery(effort: Effort) -> Figure:
    """Here the baseline is a tenth of the steps; the figure is that of each step."""
    few, many = (10_000, 100_000) if effort.row > 1 else (1000, 10_000)
    return Figure(journals.recovery_seconds(few) / few * 1e9, journals.recovery_seconds(many) / many * 1e9)


def _import(effort: Effort) -> Figure:
    """Here the baseline is ``import wrapt``, each in a new process, which says how long it took."""
    times: dict[str, list[float]] = {"wrapt": [], "actionqueues": []}
    for _ in range(2 * effort.fewest):
        for module, taken in times.items():
            program = f"from time import perf_counter_ns as t; a = t(); import {module}; print(t() - a)"
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
            taken.append(float(done.stdout))
    return Figure(min(times["wrapt"]), min(times["actionqueues"]))


def _decorating(effort: Effort) -> Figure:
    """Here the baseline is ``inspect.signature`` of the same function, which has to be known."""

    def function(a: int, b: int = 0, *, c: int = 0) -> int:
        return a

    def read(numbers: Numbers) -> None:
        for _ in numbers:
            inspect.signature(function)

    def decorate(numbers: Numbers) -> None:
        for _ in numbers:
            action(function)

    hundred = {"baseline": blocks_of(read, HUNDRED), "ours": blocks_of(decorate, HUNDRED)}
    return _timed(hundred, effort)


ROWS = (
    Row("a step of a committed block", 0.30, 0.15, _committed),
    Row("the same as a method", 0.40, 0.20, _method),
    Row("a step, and its undo", 0.45, 0.25, _undone),
    Row("the same by q.rollback()", None, None, _undone_explicitly),
    Row("a block of one step", 0.80, 0.50, _one_step),
    Row("a block of one step, and its undo", None, None, _one_step_undone),
    Row("savepoints of one step, one after the other", None, None, _savepoints),
    Row("the same, all undone", None, None, _savepoints_undone),
    Row("queued steps, q.add and q.execute", None, None, _queued),
    Row("the same, and their undo", None, None, _queued_and_undone),
    Row("async step, against AsyncExitStack", 0.45, 0.25, _async),
    Row("async step that suspends", None, None, _suspending),
    Row("async step, and its undo", None, None, _async_undone),
    Row("async step, and its undo, both suspend", None, None, _suspending_undone),
    Row("memory a step", 0.40, 0.10, _memory),
    Row("outside a block, against the bare function", 5.0, 2.5, _outside),
    Row("a step at 100 000, against at 1000", 1.3, 1.0, _growth),
    Row("the same with the collector off", None, None, _growth_without_collector),
    Row("import actionqueues, against import wrapt", 1.2, 1.1, _import),
    Row("decorating, against inspect.signature", None, None, _decorating),
    Row("a journaled step, against bare sqlite3", 1.5, 1.15, _journal_on_disk),
    Row("the same without syncs", None, None, _journal_without_syncs),
    Row("8 threads, against one lock", 0.5, 0.25, _group_commit),
    Row("recovery: a step of 100 000, against 10 000", 1.3, 1.0, _recovery),
)


def chosen(parts: Iterable[str]) -> list[Row]:
    """The rows whose name contains one of ``parts``; all of them if there are none."""
    parts = list(parts)
    return [row for row in ROWS if not parts or any(part in row.name for part in parts)]
