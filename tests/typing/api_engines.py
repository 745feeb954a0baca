"""Engines: what `transaction(engine=...)` takes, what an adapter has to be, and how a workflow is cancelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, assert_type

from dbos import DBOSClient, WorkflowHandle

from actionqueues import Transaction, transaction
from actionqueues.engines import Engine, RolledBackBefore, WorkflowCancelled
from actionqueues.engines.dbos import DBOSEngine, cancel, undo
from actionqueues.engines.temporal import ActionQueuesPlugin, TemporalEngine, activities

# -- blocks

assert_type(transaction("sign-up", engine=DBOSEngine()), Transaction)
assert_type(transaction(engine=TemporalEngine()), Transaction)
dbos: Engine = DBOSEngine(notice_within=0)
temporal: Engine = TemporalEngine(task_queue="steps")
transaction(engine="dbos")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
transaction(engine=DBOSEngine)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


class NoEngine:
    name = "none"

    def begin(self, block: Any, *, awaits: bool) -> int:
        return 0


broken: Engine = NoEngine()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

# -- workers

assert_type(activities(resources={"db": list}), Sequence[Callable[..., Any]])
ActionQueuesPlugin(resources={"db": list})
ActionQueuesPlugin(resources={"db": 3})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]

# -- cancelling


def operate(client: DBOSClient) -> None:
    assert_type(cancel("sign-up-7", "the customer has called", client=client), None)
    assert_type(undo("sign-up-7", client=client), WorkflowHandle[Any])
    cancel(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


assert_type(WorkflowCancelled("why").reason, str | None)
assert_type(RolledBackBefore("why").error, str)
