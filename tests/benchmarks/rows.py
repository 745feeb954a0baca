"""The rows of the table: what each must cost at most, and what it should.

`PROMISED` is what the design of this package promises, row by row. `EXPLAINING` has no such figures: each row
explains one of those, or says what something else costs.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.benchmarks import measures, together
from tests.benchmarks.figures import Figure
from tests.benchmarks.original import VERSION
from tests.benchmarks.timing import Effort


@dataclass(frozen=True)
class Row:
    """What is measured, the ratio that may not be missed, and the one that is hoped for.

    ``first`` is what version 1.0.0 came to, on a quiet machine, before there was a tree of logs.
    """

    name: str
    measure: Callable[[Effort], Figure]
    first: float | None = None
    must: float | None = None
    aim: float | None = None

    def verdict(self, ratio: float) -> str:
        """Whether ``ratio`` is good enough, in a word."""
        if self.must is None or self.aim is None:
            return ""
        if ratio > self.must:
            return "missed"
        return "met" if ratio > self.aim else "aim met"


PROMISED = (
    Row("a step of a committed block", measures.step, 0.30, 0.33, 0.24),
    Row("the same as a method", measures.method, 0.42, 0.45, 0.33),
    Row("a step, and its undo", measures.step_undone, 0.51, 0.55, 0.40),
    Row("a block of one step", measures.block, 0.73, 0.85, 0.60),
    Row("a block of one step that is rolled back", measures.block_undone, 4.96, 3.0, 2.0),
    Row("a savepoint of one step", measures.savepoint, 3.35, 2.5, 1.5),
    Row("a queued step (add, execute)", measures.queued_step, 4.39, 2.0, 1.2),
    Row("the classic queue, an Action object a step", measures.classic_step, 3.01, 1.2, 0.6),
    Row(f"the same in actionqueues {VERSION}", measures.original_step),
    Row("async step, against AsyncExitStack", measures.async_step, 0.54, 0.90, 0.60),
    Row("the same, suspending", measures.async_step_suspending, 0.85, 1.0, 0.90),
    Row("async step, and its undo", measures.async_step_undone, 0.95, 1.25, 0.90),
    Row("memory a step", measures.memory, 0.05, 0.40, 0.20),
    Row("outside a block, against the bare function", measures.outside, 3.4, 4.0, 2.5),
    Row("cost a step at 100 000 steps, against 1000", measures.growth, 0.9, 1.3, 1.0),
    Row("cost a block at a depth of 1600, against 200", measures.deep, None, 2.0, 1.0),
    Row("a journaled step, against bare sqlite3", measures.journaled, 1.2, 1.5, 1.15),
)

EXPLAINING = (
    Row("a step, and its undo by q.rollback()", measures.step_undone_explicitly),
    Row("a savepoint of one step, and its undo", measures.savepoint_undone),
    Row("a queued step, and its undo", measures.queued_step_undone),
    Row("the classic queue, and its rollback", measures.classic_step_undone),
    Row(f"the same rollback in actionqueues {VERSION}", measures.original_step_undone),
    Row("async step, and its undo, both suspending", measures.async_step_suspending_undone),
    Row("twenty undos of 50 ms at the same time", together.undone_together),
    Row("100 000 steps with the collector off", measures.growth_without_collector),
    Row("the depth of 1600, undone from inside", measures.deep_undone),
    Row("the depth of 1600, undone once released", measures.deep_undone_once_released),
    Row("a journaled step without syncs", measures.journaled_without_syncs),
    Row("8 threads with a journal, against one lock", measures.journaled_by_threads),
    Row("recovery of 100 000 steps, against 10 000", measures.recovery),
    Row("import actionqueues, against import wrapt", measures.importing),
    Row("decorating, against inspect.signature", measures.decorating),
)


def chosen(rows: Iterable[Row], parts: Iterable[str]) -> list[Row]:
    """The rows whose name contains one of ``parts``; all of them if there are none."""
    parts = list(parts)
    return [row for row in rows if not parts or any(part in row.name for part in parts)]
