"""The sign-up in one process, under a journal: what a kill leaves is undone by recovery.

python examples/engines/in_journal.py
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import steps
from steps import PaymentRefused, charge, create_user, make_home, welcome

from actionqueues import transaction
from actionqueues.journal import Journal


async def sign_up(username: str, name: str, card: str) -> int:
    email = f"{username}@example.com"
    async with transaction("sign-up", journal=journal) as q:
        user = await create_user(email, name, "pro")
        await make_home(username, name)
        await charge(card, 2900, email)
        q.on_commit(welcome, email, name)
    return user


async def main() -> None:
    print("ada is user", await sign_up("ada", "Ada", "tok_flaky_503"))
    try:
        await sign_up("bob", "Bob", "tok_refused")
    except PaymentRefused as error:
        print("bob is none:", error)
    print(steps.told())


if __name__ == "__main__":
    with (
        TemporaryDirectory() as folder,
        steps.running(),
        Journal(Path(folder) / "sign-ups.db") as journal,
    ):
        asyncio.run(main())
