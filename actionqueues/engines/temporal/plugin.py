"""`ActionQueuesPlugin`: tells a worker of Temporal, or a replayer, all that it has to know of actions and blocks.

Stands on temporalio's plugins.  Used by programs: ``Worker(..., plugins=[ActionQueuesPlugin()])``.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn

from temporalio import workflow
from temporalio.exceptions import ApplicationError
from temporalio.plugin import SimplePlugin
from temporalio.worker import (
    ExecuteWorkflowInput,
    HandleSignalInput,
    HandleUpdateInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowRunner,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from actionqueues.core.tasks import LOOPS_OF_ENGINES
from actionqueues.journal.serializer import Serializer

from .execution import Execution, current_execution, goes_on_elsewhere
from .worker import activities

__all__ = ["ActionQueuesPlugin"]

#: What workflows in the sandbox share with their worker: what is in their context is in these modules.
_PASSED_THROUGH = ("actionqueues", "wrapt")

#: What may end a workflow that leaves its code.
_ENDS = (Exception, asyncio.CancelledError, workflow.ContinueAsNewError)


class ActionQueuesPlugin(SimplePlugin):
    """Lets a worker run blocks with ``engine=TemporalEngine()``, and the steps of these.

    For a `Worker`, and for a `Replayer`.  Make the worker once the modules with its actions have been imported.  It

    - adds `activities`, so that the worker runs each loaded action, and its undo;
    - lets an exception that leaves a workflow fail it, once a block of it has been rolled back.  Any other exception is
      for the worker's own ``workflow_failure_exception_types``, as ever: a mistake in the code that has not undone
      anything is tried again until it is mended, and so is a version of it that does not fit the records;
    - has blocks undone that are still open in other tasks when the workflow ends, before it does;
    - passes ``actionqueues`` and ``wrapt`` through the sandbox.

    Args:
        resources: what actions are supplied with by the name of a parameter, such as a connection: a function that
            makes it, called once, when it is first needed in this worker.  Its value is never sent to Temporal.
        serializer: what turns arguments and results into JSON data, if it is to know more types than the usual one.

    A worker that only runs activities can do with `activities` alone.
    """

    def __init__(
        self, resources: Mapping[str, Callable[[], Any]] | None = None, serializer: Serializer | None = None
    ) -> None:
        def add_activities(there: Sequence[Callable[..., Any]] | None) -> Sequence[Callable[..., Any]]:
            return [*(there or ()), *activities(resources, serializer)]

        logging.getLogger("actionqueues").addFilter(_is_news)  # once, however often
        super().__init__(  # pyright: ignore[reportUnknownMemberType] - what it calls a `Callable` has no types
            "actionqueues",
            activities=add_activities,
            interceptors=[_Around(resources or {}, serializer)],
            workflow_runner=_passing_through,
        )


def _is_news(_: logging.LogRecord) -> bool:
    """Whether what a workflow logs has not been logged by an execution before this one."""
    return not (workflow.in_workflow() and workflow.unsafe.is_replaying())


def _passing_through(runner: WorkflowRunner | None) -> WorkflowRunner:
    if isinstance(runner, SandboxedWorkflowRunner):
        restrictions = runner.restrictions.with_passthrough_modules(*_PASSED_THROUGH)
        return dataclasses.replace(runner, restrictions=restrictions)
    return SandboxedWorkflowRunner() if runner is None else runner


class _Around(Interceptor):
    """Makes what stands around each execution of a workflow."""

    def __init__(self, resources: Mapping[str, Callable[[], Any]], serializer: Serializer | None) -> None:
        self.resources, self.serializer = resources, serializer

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        resources, serializer = self.resources, self.serializer

        class AroundOne(_AroundOne):
            def __init__(self, next: WorkflowInboundInterceptor) -> None:
                super().__init__(next)
                self.execution = Execution(resources, serializer)

        return AroundOne


class _AroundOne(WorkflowInboundInterceptor):
    """Stands around the code of one execution of a workflow: its own, and that of signals and updates."""

    execution: Execution

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        execution = self.execution
        try:
            result = await self._around(super().execute_workflow(input))
        except _ENDS as error:
            if not _ends_workflow(error):
                raise
            await execution.finish()
            if execution.failure is None:
                raise
        else:
            await execution.finish()
            if execution.failure is None:
                return result
        failure, execution.failure = execution.failure, None
        raise failure

    async def handle_signal(self, input: HandleSignalInput) -> None:
        execution = self.execution
        try:
            await self._around(super().handle_signal(input))
        except _ENDS as error:
            if not _ends_workflow(error):
                raise
            if execution.ending:
                return  # the workflow ends anyway, and that may have cancelled this
            execution.failure = error
            if await execution.finish() is not None:  # the workflow's own code had no block open, or goes on
                raise

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:
        return await self._around(super().handle_update_handler(input))

    async def _around(self, code: Awaitable[Any]) -> Any:
        LOOPS_OF_ENGINES.add(type(asyncio.get_running_loop()))
        current_execution.set(self.execution)
        try:
            return await code
        except Exception as error:
            if workflow.in_workflow() and not workflow.is_failure_exception(error) and self.execution.has_failed(error):
                _fail(error)
            raise


def _ends_workflow(error: BaseException) -> bool:
    """Whether it ends the workflow, and not only this execution of it."""
    if not workflow.in_workflow() or goes_on_elsewhere(error):
        return False
    return not isinstance(error, Exception) or workflow.is_failure_exception(error)


def _fail(error: Exception) -> NoReturn:
    """Fail the workflow with what Temporal itself makes of such an exception, and with its notes."""
    notes = getattr(error, "__notes__", ())
    failure = ApplicationError(str(error), *notes, type=type(error).__name__)
    raise failure.with_traceback(error.__traceback__) from error.__cause__
