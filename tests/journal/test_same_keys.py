"""What a recovery tells a handler, or a hook, is what the process that died has told it: its keys, and its attempts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actionqueues import Retry, Step, action, current_step, transaction
from actionqueues.journal import Journal, current_hook_key, durable

from .actions import note, trail
from .leaving import die, died, leave

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")

TESTING = os.getpid()


@action(retry=Retry(attempts=3, wait_initial=0, wait_jitter=0))
def charge(folder: str) -> None:
    step = current_step()
    with open(os.path.join(folder, "keys"), "a") as file:
        file.write(f"{step.key} {step.undo_key} {step.attempts}\n")
    if step.attempts == 1:
        raise ConnectionError


@charge.rollback
def refund(step: Step[None]) -> None:
    note(f"{step.key} {step.undo_key} {step.attempts}")


@durable
def tell(folder: str) -> None:
    with open(os.path.join(folder, "keys"), "a") as file:
        file.write(f"{current_hook_key()}\n")
    if os.getpid() != TESTING:
        die()


@durable
def also() -> None:
    """Do nothing."""


@durable
async def tell_async(folder: str) -> None:
    note(str(current_hook_key()))


def test_a_step_has_the_same_keys_and_attempts_in_a_recovery(path: Path) -> None:
    leave(path, lambda q: (charge(str(path.parent)), charge(str(path.parent))))
    first, second, third, fourth = path.with_name("keys").read_text().splitlines()
    assert len({line.rpartition(" ")[0] for line in (first, second)}) == 1
    assert len({line.rpartition(" ")[0] for line in (second, third)}) == 2
    Journal(path).recover()
    assert trail == [fourth, second]


def test_a_hook_has_the_same_key_in_a_recovery_and_another_than_other_hooks(path: Path) -> None:
    folder = str(path.parent)
    pid = os.fork()
    if pid == 0:
        with transaction(journal=path) as q:
            q.on_commit(tell, folder)
            q.on_commit(tell, folder)
    died(pid)
    assert Journal(path).recover()[0].state == "committed"
    first, again, second = path.with_name("keys").read_text().splitlines()
    assert first == again
    assert len({first, second, "None"}) == 3
    assert [hook.attempts for hook in Journal(path).show(1).hooks] == [2, 1]


def test_a_transaction_is_its_processs_until_the_last_hook_has_been_called(path: Path) -> None:
    journal = Journal(path)
    owners: list[object] = []

    def look() -> None:
        owners.append(journal.show(1).owner)

    with transaction(journal=journal) as q:
        q.on_commit(look)
        q.on_commit(also)
        q.on_commit(look)
        q.on_commit(also)
        q.on_commit(look)
    assert owners == [journal.store.owner, journal.store.owner, None]


def test_an_async_hook_has_a_key_too(path: Path) -> None:
    import asyncio

    async def main() -> None:
        async with transaction(journal=path) as q:
            q.on_commit(tell_async, "a")
            q.on_commit(tell_async, "b")

    asyncio.run(main())
    assert len({*trail, "None"}) == 3
    assert current_hook_key() is None
