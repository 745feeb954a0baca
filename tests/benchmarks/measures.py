"""How each row of the table is measured; `tests.benchmarks.rows` says what it must come to."""

import asyncio
import gc
import inspect
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from types import ModuleType
from typing import Any

from actionqueues import action
from tests.benchmarks import classic, coroutines, depth, methods, original, queued, savepoints, workloads
from tests.benchmarks.candidates import Build, NotMeasured, Numbers, Work, built
from tests.benchmarks.figures import Figure, against, grown, timed
from tests.benchmarks.memory import bytes_a_step
from tests.benchmarks.timing import FULL, Effort

ONE: Numbers = (0,)
HUNDRED: Numbers = tuple(range(100))
THOUSAND: Numbers = tuple(range(1000))
MANY: Numbers = tuple(range(100_000))
SHALLOW: Numbers = tuple(range(200))
DEEP: Numbers = tuple(range(1600))


def _ending(way: str, builds: tuple[Build, Build, Build], numbers: Numbers, effort: Effort) -> Figure:
    """Blocks that all end in one way, which is the name of that work of a candidate."""
    works: list[Work | None] = [getattr(built(build), way) for build in builds]
    baseline, ours, floor = works
    assert baseline is not None
    assert ours is not None
    return against(baseline, ours, floor, numbers, effort)


_STEP = (workloads.exit_stack, workloads.ours, workloads.by_hand)
_SAVEPOINT = (savepoints.exit_stack, savepoints.ours, savepoints.by_hand)
_QUEUED = (queued.exit_stack, queued.ours, queued.by_hand)
_CLASSIC = (queued.exit_stack, classic.ours, queued.by_hand)
_ORIGINAL = (queued.exit_stack, original.queue, queued.by_hand)


def step(effort: Effort) -> Figure:
    return _ending("commit", _STEP, THOUSAND, effort)


def step_undone(effort: Effort) -> Figure:
    return _ending("rollback", _STEP, THOUSAND, effort)


def step_undone_explicitly(effort: Effort) -> Figure:
    return _ending("explicit", _STEP, THOUSAND, effort)


def method(effort: Effort) -> Figure:
    return against(methods.exit_stack, methods.ours, methods.by_hand, THOUSAND, effort)


def block(effort: Effort) -> Figure:
    return _ending("commit", _STEP, ONE, effort)


def block_undone(effort: Effort) -> Figure:
    return _ending("rollback", _STEP, ONE, effort)


def savepoint(effort: Effort) -> Figure:
    return _ending("commit", _SAVEPOINT, THOUSAND, effort)


def savepoint_undone(effort: Effort) -> Figure:
    return _ending("rollback", _SAVEPOINT, THOUSAND, effort)


def queued_step(effort: Effort) -> Figure:
    return _ending("commit", _QUEUED, THOUSAND, effort)


def queued_step_undone(effort: Effort) -> Figure:
    return _ending("rollback", _QUEUED, THOUSAND, effort)


def classic_step(effort: Effort) -> Figure:
    return _ending("commit", _CLASSIC, THOUSAND, effort)


def classic_step_undone(effort: Effort) -> Figure:
    return _ending("rollback", _CLASSIC, THOUSAND, effort)


def original_step(effort: Effort) -> Figure:
    return _ending("commit", _ORIGINAL, THOUSAND, effort)


def original_step_undone(effort: Effort) -> Figure:
    return _ending("rollback", _ORIGINAL, THOUSAND, effort)


def _coroutines(functions: coroutines.AsyncFunctions, way: str, effort: Effort) -> Figure:
    """Here the baseline is ``AsyncExitStack``."""
    builds = {"baseline": coroutines.exit_stack, "ours": coroutines.ours, "floor": coroutines.by_hand}
    works = {name: getattr(build(functions), way) for name, build in builds.items()}
    with asyncio.Runner() as runner:
        return timed({name: coroutines.blocks_of(runner, work, THOUSAND) for name, work in works.items()}, effort)


def async_step(effort: Effort) -> Figure:
    return _coroutines(coroutines.PLAIN, "commit", effort)


def async_step_suspending(effort: Effort) -> Figure:
    return _coroutines(coroutines.SUSPENDING, "commit", effort)


def async_step_undone(effort: Effort) -> Figure:
    return _coroutines(coroutines.PLAIN, "rollback", effort)


def async_step_suspending_undone(effort: Effort) -> Figure:
    return _coroutines(coroutines.SUSPENDING, "rollback", effort)


def memory(_effort: Effort) -> Figure:
    baseline, ours, floor = (bytes_a_step(built(build), THOUSAND) for build in _STEP)
    return Figure(baseline, ours, floor, unit="B")


def outside(effort: Effort) -> Figure:
    """Here the baseline is the bare function."""
    bare, decorated = workloads.outside()
    return against(bare, decorated, None, THOUSAND, effort)


def growth(effort: Effort) -> Figure:
    """Here the baseline is a shorter block of the same candidate."""
    ours, by_hand = built(workloads.ours), built(workloads.by_hand)
    return grown(ours.commit, by_hand.commit, THOUSAND, MANY, effort)


def growth_without_collector(effort: Effort) -> Figure:
    """What is left of the growth when nothing walks through the records while they pile up."""
    gc.disable()
    try:
        return growth(effort)
    finally:
        gc.enable()


def _deep(way: str, build: Build, effort: Effort) -> Figure:
    """Here the baseline is a shallower nest of the same candidate."""
    ours, by_hand = getattr(built(build), way), getattr(built(depth.by_hand), way)
    try:
        return grown(ours, by_hand, SHALLOW, DEEP, effort)
    except RecursionError:
        raise NotMeasured(f"it fails with a RecursionError in a nest of {len(DEEP)}") from None


def deep(effort: Effort) -> Figure:
    return _deep("commit", depth.ours, effort)


def deep_undone(effort: Effort) -> Figure:
    return _deep("rollback", depth.ours, effort)


def deep_undone_once_released(effort: Effort) -> Figure:
    return _deep("rollback", depth.released, effort)


def _journals() -> ModuleType:
    """Imported only for the rows with a journal, since SQLite may be missing, and is not measured elsewhere."""
    try:
        from tests.benchmarks import journals
    except ImportError as error:
        raise NotMeasured(f"no journal: {error}") from error
    return journals


def _journaled(*, sync: bool, effort: Effort) -> Figure:
    """Here the baseline is bare ``sqlite3``."""
    pair: Any = _journals().Pair(sync=sync)
    try:
        return against(pair.bare, pair.ours, None, HUNDRED, effort)
    finally:
        pair.close()


def journaled(effort: Effort) -> Figure:
    return _journaled(sync=True, effort=effort)


def journaled_without_syncs(effort: Effort) -> Figure:
    return _journaled(sync=False, effort=effort)


def journaled_by_threads(effort: Effort) -> Figure:
    """Here the baseline is one lock around one connection."""
    measure: Callable[[], tuple[float, float]] = _journals().by_threads
    pairs = [measure() for _ in range(effort.fewest)]
    one, ours = (min(column) for column in zip(*pairs, strict=True))
    return Figure(one, ours)


def recovery(effort: Effort) -> Figure:
    """Here the baseline is a tenth of the steps."""
    seconds: Callable[[int], float] = _journals().recovery_seconds
    few, many = (10_000, 100_000) if effort.row >= FULL.row else (1000, 10_000)
    return Figure(seconds(few) / few * 1e9, seconds(many) / many * 1e9)


def importing(effort: Effort) -> Figure:
    """Here the baseline is ``import wrapt``, each in a new process, which says how long it took."""
    times: dict[str, list[float]] = {"wrapt": [], "actionqueues": []}
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
        for _ in range(2 * effort.fewest):
            for module, taken in times.items():
                program = f"from time import perf_counter_ns as t; a = t(); import {module}; print(t() - a)"
                command = [sys.executable, "-c", program]
                done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
                taken.append(float(done.stdout))
    return Figure(min(times["wrapt"]), min(times["actionqueues"]))


def decorating(effort: Effort) -> Figure:
    """Here the baseline is ``inspect.signature`` of the same function, which has to be known."""

    def function(a: int, b: int = 0, *, c: int = 0) -> int:
        return a

    def read(numbers: Numbers) -> None:
        for _ in numbers:
            inspect.signature(function)

    def decorate(numbers: Numbers) -> None:
        for _ in numbers:
            action(function)

    return against(read, decorate, None, HUNDRED, effort)
