"""The sign-up in one process. The programs beside this one differ in one line of the block.

python examples/engines/in_process.py
"""

from __future__ import annotations

import asyncio

import steps
from steps import PaymentRefused, charge, create_user, make_home, welcome

from actionqueues import transaction


async def sign_up(username: str, name: str, card: str) -> int:
    email = f"{username}@example.com"
    async with transaction("sign-up") as q:
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
    with steps.running():
        asyncio.run(main())
