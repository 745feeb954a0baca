"""The same actions and the same block on Temporal: ``pip install 'actionqueues[temporal]'``.

In a workflow, one line says where the steps run::

    @workflow.defn
    class SignUp:
        @workflow.run
        async def run(self, email: str) -> int:
            async with transaction("sign-up", engine=TemporalEngine()):
                user = await create_user(email)
                await charge(user, 900)
            return user

and the worker is told of them by one plugin::

    Worker(client, task_queue="sign-ups", workflows=[SignUp], plugins=[ActionQueuesPlugin(resources={"db": connect})])

Each attempt of a step, and of its undo, is an activity.  `README.md` in the folder above says what that gives.
"""

from __future__ import annotations

# Here, since a workflow's sandbox wants all to be imported before the workflow runs.
from actionqueues.engines import attaching as _attaching  # noqa: F401 # pyright: ignore[reportUnusedImport] - for that alone

from . import sandboxed as _sandboxed  # noqa: F401 # pyright: ignore[reportUnusedImport] - it registers itself
from .engine import TemporalEngine
from .plugin import ActionQueuesPlugin
from .worker import activities

__all__ = ["ActionQueuesPlugin", "TemporalEngine", "activities"]
