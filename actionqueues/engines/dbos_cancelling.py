"""Cancelling a DBOS workflow so that what it has done is undone: `cancel`, and `undo` where it was cancelled without.

DBOS's own `cancel_workflow` lets no step start any more, so that no undo could either.  Here a message is left instead,
among the attributes of the workflow, where operators see it too; the next step of its block finds it and does not run.

Stands on DBOS.  Used by `dbos.py`, which looks for the message, and by programs.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from dbos import DBOS, DBOSClient, WorkflowHandle, WorkflowHandleAsync, WorkflowStatus
from dbos import error as errors

from actionqueues.core.tasks import running_loop
from actionqueues.errors import IllegalOperation

__all__ = ["ATTRIBUTE", "Message", "cancel", "cancel_async", "message_in", "undo", "undo_async"]

#: The attribute of a workflow that the message is.
ATTRIBUTE: Final = "actionqueues.cancel"

#: The states of a workflow that has come to its end, and of one that DBOS does not run any more.
_ENDED: Final = ("SUCCESS", "ERROR")
_GIVEN_UP: Final = ("CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")

_Client: TypeAlias = "DBOSClient | type[DBOS]"


@dataclass(frozen=True)
class Message:
    """Somebody has asked for a workflow to be cancelled.

    Attributes:
        reason: what they have said.
        cut_short: whether it has been resumed for that, and a step of it may have been running when it was cut short.
    """

    reason: str | None
    cut_short: bool


def message_in(status: WorkflowStatus) -> Message | None:
    """The message that has been left for a workflow."""
    told: Any = (status.attributes or {}).get(ATTRIBUTE)
    return Message(told["reason"], told["cut_short"]) if told else None


def cancel(workflow_id: str, reason: str | None = None, *, client: DBOSClient | None = None) -> None:
    """Ask a workflow to undo everything that its block has done, and to end with `WorkflowCancelled`.

    Returns at once.  The block notices before its next step, which then does not run, or before it commits; a step that
    is running comes to its end first.  What has been committed stays.

    The message stays with the workflow, as its attribute `ATTRIBUTE`: take that away before you rewind it.

    Args:
        workflow_id: which one.
        reason: why, in words that are to be read in the report and in the error.
        client: how to reach DBOS from a process that does not run it.

    Raises:
        IllegalOperation: if there is no such workflow, if it has ended, if it was cancelled by DBOS itself, or where an
            event loop runs: there, await `cancel_async`.

    Example::

        cancel(handle.workflow_id, "the customer has called")
        with pytest.raises(WorkflowCancelled):
            handle.get_result()
    """
    what = f"cancel the workflow {workflow_id}"
    where = _where(client, what, "await cancel_async(workflow_id)")
    status = _status(where, workflow_id, what)
    if status in _GIVEN_UP:
        raise IllegalOperation(what, f"DBOS does not run it any more ({status})", "undo(workflow_id) undoes it")
    if status in _ENDED:
        raise IllegalOperation(what, f"it has ended ({status})", "what it has done has been kept, or undone, already")
    _leave(where, workflow_id, reason, cut_short=False)


def undo(workflow_id: str, reason: str | None = None, *, client: DBOSClient | None = None) -> WorkflowHandle[Any]:
    """Undo what a workflow has done that DBOS has cancelled, by ``DBOS.cancel_workflow`` or because its time was up.

    The workflow is resumed: what it has recorded comes back from its records, and its first step that is not recorded
    does not run again, but is undone as one that may have been done; then everything before it.  It ends with
    `WorkflowCancelled`.  A time-out of the workflow begins anew; if it comes to pass again, call this again, and the
    undoing goes on where it was.  What a block has committed stays, and a workflow that was cancelled after its last
    block goes on from there.

    So is undone what a workflow has left that ended in ERROR since its records did not fit its code any more
    (``DBOSUnexpectedStepError``), once a version of the code runs that they do fit.

    A step that was running when DBOS cancelled the workflow is not stopped by that.  Where the same process resumes the
    workflow, the step is waited for; if that may be another one, call this once the step has come to its end.

    Args:
        workflow_id: which one.
        reason: why, in words that are to be read in the report and in the error.
        client: how to reach DBOS from a process that does not run it.

    Returns:
        A handle of the workflow, as ``DBOS.resume_workflow`` does; `get_result` waits for the end, and raises.

    Raises:
        IllegalOperation: if there is no such workflow, if it is running or has ended, or where an event loop runs:
            there, await `undo_async`.
    """
    where, first = _ready_to_undo(workflow_id, reason, client)
    if first is not None:
        return where.rewind_workflow(workflow_id, start_step=first)
    return where.resume_workflow(workflow_id)


async def cancel_async(workflow_id: str, reason: str | None = None, *, client: DBOSClient | None = None) -> None:
    """`cancel`, for async code."""
    await asyncio.to_thread(partial(cancel, workflow_id, reason, client=client))


async def undo_async(
    workflow_id: str, reason: str | None = None, *, client: DBOSClient | None = None
) -> WorkflowHandleAsync[Any]:
    """`undo`, for async code."""
    where, first = await asyncio.to_thread(_ready_to_undo, workflow_id, reason, client)
    if first is not None:
        return await where.rewind_workflow_async(workflow_id, start_step=first)
    return await where.resume_workflow_async(workflow_id)


def _ready_to_undo(workflow_id: str, reason: str | None, client: DBOSClient | None) -> tuple[_Client, int | None]:
    """Leave the message for a workflow that is about to be resumed, or rewound to a step; returns where, and which."""
    what = f"undo the workflow {workflow_id}"
    where = _where(client, what, "await undo_async(workflow_id)")
    status = _status(where, workflow_id, what)
    first = _after_its_records(where, workflow_id) if status == "ERROR" else None
    if status in _ENDED and first is None:
        raise IllegalOperation(what, f"it has ended ({status})", "what it has done has been kept, or undone, already")
    if status not in (*_GIVEN_UP, *_ENDED):
        advice = "cancel(workflow_id) lets it undo everything itself"
        raise IllegalOperation(what, f"it has not been cancelled ({status})", advice)
    _leave(where, workflow_id, reason, cut_short=True)
    return where, first


def _after_its_records(where: _Client, workflow_id: str) -> int | None:
    """The number behind all records of a workflow that has ended because they did not fit its code; None of others."""
    (found,) = where.list_workflows(workflow_ids=[workflow_id], load_input=False)
    if not isinstance(found.error, (errors.DBOSUnexpectedStepError, errors.DBOSStepNondeterminismError)):
        return None
    return 1 + max((each["function_id"] for each in where.list_workflow_steps(workflow_id)), default=0)


def _where(client: DBOSClient | None, what: str, advice: str) -> _Client:
    if client is not None:
        return client
    if running_loop() is not None:
        raise IllegalOperation(what, "an event loop runs in this thread, and DBOS would block it", advice)
    return DBOS


def _status(where: _Client, workflow_id: str, what: str) -> str:
    found = where.list_workflows(workflow_ids=[workflow_id], load_input=False, load_output=False)
    if not found:
        raise IllegalOperation(what, "DBOS does not know it", "look at its id: handle.workflow_id")
    return found[0].status


def _leave(where: _Client, workflow_id: str, reason: str | None, *, cut_short: bool) -> None:
    message = {"reason": reason, "cut_short": cut_short}
    where.update_workflow_attributes(workflow_id, {ATTRIBUTE: message}, merge=True)
