"""The same actions and the same block on engines of durable execution, where one machine is not enough.

An engine is given to the block, and nothing else changes::

    with transaction("sign-up", engine=DBOSEngine()) as q:  # inside a @DBOS.workflow()

`actionqueues.engines.dbos` and `actionqueues.engines.temporal` are adapters of two engines, each behind its extra.
`Engine` and `Run` say what an adapter of another one has to do; `README.md` beside this file shows a whole one.
"""

from __future__ import annotations

from .engine import Engine, Run, Unit
from .errors import EngineError, NotCarried, RolledBackBefore, WorkflowCancelled

__all__ = ["Engine", "EngineError", "NotCarried", "RolledBackBefore", "Run", "Unit", "WorkflowCancelled"]
