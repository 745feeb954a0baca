"""The sign-up on Temporal: each step, and each undo, is an activity.

pip install 'actionqueues[temporal]'
python examples/engines/on_temporal.py 127.0.0.1:7233
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

from temporalio import workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    import steps
    from steps import charge, create_user, make_home, welcome

from actionqueues import transaction
from actionqueues.engines.temporal import ActionQueuesPlugin, TemporalEngine

QUEUE = "sign-ups"


@workflow.defn
class SignUp:
    @workflow.run
    async def sign_up(self, username: str, name: str, card: str) -> int:
        email = f"{username}@example.com"
        async with transaction("sign-up", engine=TemporalEngine()) as q:
            user = await create_user(email, name, "pro")
            await make_home(username, name)
            await charge(card, 2900, email)
            q.on_commit(welcome, email, name)
        return user


async def main(client: Client) -> None:
    async def sign_up(username: str, name: str, card: str) -> int:
        return await client.execute_workflow(
            SignUp.sign_up,
            args=[username, name, card],
            id=f"sign-up-of-{username}",
            task_queue=QUEUE,
        )

    plugin = ActionQueuesPlugin()
    async with Worker(client, task_queue=QUEUE, workflows=[SignUp], plugins=[plugin]):
        print("ada is user", await sign_up("ada", "Ada", "tok_flaky_503"))
        try:
            await sign_up("bob", "Bob", "tok_refused")
        except WorkflowFailureError as error:
            print("bob is none:", cast("ApplicationError", error.cause).message)
        print(steps.told())


async def connected() -> None:
    await main(await Client.connect(sys.argv[1]))


if __name__ == "__main__":
    with steps.running():
        asyncio.run(connected())
