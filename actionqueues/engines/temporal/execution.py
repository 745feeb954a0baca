"""`Execution`: one execution of a workflow, as its blocks see it; and how an eviction is told from a cancellation.

Temporal executes a workflow again from its records wherever and whenever it likes.  What the blocks of one execution
share, such as how many there have been, is kept here, and the plugin sets it up before the workflow's own code runs.

Stands on temporalio.  Used by the engine, and by the plugin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

from temporalio import workflow

from actionqueues.core.states import TransactionState
from actionqueues.errors import ActionQueuesError
from actionqueues.journal.serializer import Serializer

__all__ = ["Execution", "current_execution", "goes_on_elsewhere"]

#: How a block can have ended that has undone what it has done.
_ROLLED_BACK: Final = frozenset({TransactionState.ROLLED_BACK, TransactionState.ROLLED_BACK_WITH_FAILURES})


class Execution:
    """What the blocks of one execution of a workflow share.

    Attributes:
        resources: what the workers supply by the name of a parameter; only the names count here.
        serializer: what turns values into JSON data, or None for the usual one.
        blocks: those that have been entered, in order.
        ending: whether something is about to end the workflow, and waits for what is still open in it.
        failure: what a signal handler has raised meanwhile, which fails the workflow.
    """

    def __init__(self, resources: Mapping[str, Callable[[], Any]], serializer: Serializer | None) -> None:
        self.resources, self.serializer = resources, serializer
        self.blocks: list[Any] = []
        self.ending = False
        self.failure: BaseException | None = None
        self._tasks: list[asyncio.Task[Any] | None] = []  # that the blocks were entered in
        self._called_off: list[Any] = []

    def enter(self, block: Any) -> str:
        """A block is about to be entered; returns its key: the same in each execution of this run of the workflow.

        A reset goes on with the same keys; a retry of the workflow, and one that is continued as new, has others.
        """
        self.blocks.append(block)
        self._tasks.append(asyncio.current_task())
        return f"{workflow.info().original_execution_run_id}-{len(self.blocks)}"

    def has_failed(self, error: BaseException) -> bool:
        """Whether an exception that leaves the workflow has to fail it, since trying its task again would not help."""
        return isinstance(error, ActionQueuesError) or any(block.state in _ROLLED_BACK for block in self.blocks)

    async def finish(self) -> BaseException | None:
        """Have all blocks undone that are still open in other tasks, such as those of handlers, and wait for them.

        For the moment before the workflow ends: the server gives up whatever is running then.  `asyncio.run` does the
        same with the tasks that it finds at its end.  Returns the failure that nothing has raised yet.
        """
        self.ending = True
        while still_open := self._still_open():
            for block, task in still_open:
                if block.state == TransactionState.OPEN and block.hook_run is None and block not in self._called_off:
                    self._called_off.append(block)
                    task.cancel("the workflow ends")
            try:
                await workflow.wait_condition(lambda: not self._still_open())
            except asyncio.CancelledError as error:  # of the workflow, which is about to end
                if goes_on_elsewhere(error):
                    raise
        return self.failure

    def _still_open(self) -> list[tuple[Any, asyncio.Task[Any]]]:
        here = asyncio.current_task()
        return [
            (block, task)
            for block, task in zip(self.blocks, self._tasks, strict=True)
            if (block.unfinished or block.hook_run is not None)
            and task is not None
            and task is not here
            and not task.done()
        ]


#: The execution that the running code belongs to, or None in a worker without the plugin.
current_execution: Final[ContextVar[Execution | None]] = ContextVar("actionqueues.temporal.execution", default=None)


def goes_on_elsewhere(error: BaseException) -> bool:
    """Whether an error is no failure of the work: the worker gives up this execution, and the workflow goes on later.

    An eviction cancels every task, and what waits for Temporal gets a `BaseException` of its own.  There is a public
    call that raises that too while an eviction is going on, and that has no effect at any other time.
    """
    if isinstance(error, workflow.NondeterminismError | workflow.ReadOnlyContextError):
        return True  # a mistake in the workflow's code: the task is tried again until that is mended
    if isinstance(error, Exception):
        return False
    of_temporal = type(error).__module__.startswith("temporalio.") and not isinstance(
        error, workflow.ContinueAsNewError
    )
    return of_temporal or _is_evicted()


def _is_evicted() -> bool:
    try:
        workflow.set_current_details(workflow.get_current_details())
    except BaseException:
        return True
    return False
