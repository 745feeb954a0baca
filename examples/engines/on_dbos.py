"""The sign-up on DBOS: each step, and each undo, is a step that DBOS records in PostgreSQL.

pip install 'actionqueues[dbos]'
python examples/engines/on_dbos.py postgresql://postgres@127.0.0.1:5432/signup
"""

from __future__ import annotations

import asyncio
import sys

import steps
from dbos import DBOS, SetWorkflowID
from steps import PaymentRefused, charge, create_user, make_home, welcome

from actionqueues import transaction
from actionqueues.engines.dbos import DBOSEngine


@DBOS.workflow()
async def sign_up(username: str, name: str, card: str) -> int:
    email = f"{username}@example.com"
    async with transaction("sign-up", engine=DBOSEngine()) as q:
        user = await create_user(email, name, "pro")
        await make_home(username, name)
        await charge(card, 2900, email)
        q.on_commit(welcome, email, name)
    return user


async def main() -> None:
    with SetWorkflowID("sign-up-of-ada"):
        print("ada is user", await sign_up("ada", "Ada", "tok_flaky_503"))
    try:
        with SetWorkflowID("sign-up-of-bob"):
            await sign_up("bob", "Bob", "tok_refused")
    except PaymentRefused as error:
        print("bob is none:", error)
    print(steps.told())
    recorded = await DBOS.list_workflow_steps_async("sign-up-of-bob")
    print("recorded of bob:", ", ".join(step["function_name"] for step in recorded))


if __name__ == "__main__":
    DBOS(
        config={
            "name": "sign-up",
            "system_database_url": sys.argv[1],
            # So that a new version of the program goes on with the work that this one has left.
            "application_version": "1",
            "executor_id": "worker-1",  # its own in each process, the same when it starts again
            "log_level": "WARNING",
        }
    )
    with steps.running():
        DBOS.launch()
        try:
            asyncio.run(main())
        finally:
            DBOS.destroy()
