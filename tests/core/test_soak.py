"""Thousands of concurrent transactions with random faults and cancellations: each leaves nothing behind."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from itertools import count

import pytest

from actionqueues import Retry, TransactionClosed, TransactionState, action, transaction
from tests.async_library import Library, raised_together

#: How many transactions, and how many of them at once.
AT_ONCE = 500
RETRY = Retry(attempts=3, wait_initial=0, wait_jitter=0)


class Fault(Exception):
    """A random one."""


@dataclass
class Account:
    """One transaction's effects, and what happened to each."""

    chance: random.Random
    present: set[int] = field(default_factory=set[int])
    started: set[int] = field(default_factory=set[int])
    numbers: Iterator[int] = field(default_factory=count)
    undone: Counter[int] = field(default_factory=Counter[int])
    hooks: int = 0
    orphans: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    async def pause(self) -> None:
        for _ in range(self.chance.choice((0, 0, 1, 2))):
            await asyncio.sleep(0)

    def maybe_fail(self, probability: float) -> None:
        if self.chance.random() < probability:
            raise Fault


@action
async def put(account: Account, number: int, faults: float) -> int:
    account.started.add(number)
    await account.pause()
    account.present.add(number)
    await account.pause()
    account.maybe_fail(faults)
    return number


@put.rollback
async def take(account: Account, number: int) -> None:
    account.undone[number] += 1
    await account.pause()
    account.present.discard(number)


@action(retry=RETRY)
async def retried(account: Account, number: int, faults: float) -> None:
    account.started.add(number)
    account.present.add(number)
    await account.pause()
    account.maybe_fail(4 * faults)


@retried.rollback(retry=RETRY)
async def take_retried(account: Account, number: int) -> None:
    await account.pause()
    account.undone[number] = 1
    account.present.discard(number)


@action
def mark(account: Account, number: int, faults: float) -> None:
    account.started.add(number)
    account.present.add(number)
    account.maybe_fail(faults)


@mark.rollback
def unmark(account: Account, number: int) -> None:
    account.undone[number] += 1
    account.present.discard(number)


@action
async def nest(account: Account, number: int, faults: float) -> None:
    account.started.add(number)
    account.present.add(number)
    for _ in range(account.chance.randrange(3)):
        await one(account, faults, depth=1)


@nest.rollback
async def unnest(account: Account, number: int) -> None:
    account.undone[number] += 1
    account.present.discard(number)


async def one(account: Account, faults: float, depth: int = 0) -> None:
    """A random step."""
    step = account.chance.choice((put, retried, mark, nest if depth == 0 else put))
    result = step(account, next(account.numbers), faults)
    if isinstance(result, Coroutine):
        await result


async def work(account: Account, faults: float) -> None:
    """A random body: steps one after the other, at the same time, in savepoints, and in tasks that nobody waits for."""
    chance = account.chance
    for _ in range(chance.randrange(1, 4)):
        kind = chance.random()
        if kind < 0.4:
            await one(account, faults)
        elif kind < 0.5:
            account.orphans.append(asyncio.create_task(chance.choice((one, in_savepoint))(account, faults)))
        elif kind < 0.75:
            async with asyncio.TaskGroup() as group:
                for _ in range(chance.randrange(1, 4)):
                    group.create_task(chance.choice((one, in_savepoint))(account, faults))
        else:
            try:
                await in_savepoint(account, faults)
            except Fault:
                await account.pause()


async def in_savepoint(account: Account, faults: float) -> None:
    """Two random steps that fail together."""
    async with transaction("savepoint"):
        await one(account, faults)
        await one(account, faults)


async def one_transaction(seed: str) -> str | None:
    """Run one, cancelled at a random moment or not; what is wrong afterwards."""
    chance = random.Random(seed)
    account = Account(chance)
    faults = chance.choice((0.0, 0.0, 0.05, 0.2))
    q = transaction(seed)

    def hook() -> None:
        account.hooks += 1

    async def job() -> None:
        async with q:
            q.on_commit(hook)
            await work(account, faults)
            if chance.random() < faults:
                raise Fault

    task = asyncio.create_task(job())
    if chance.random() < 0.3:
        for _ in range(chance.randrange(12)):
            await asyncio.sleep(0)
        for _ in range(chance.choice((1, 1, 2, 3))):
            task.cancel()
            await asyncio.sleep(0)
    (error,) = await asyncio.gather(task, return_exceptions=True)
    late = await asyncio.gather(*account.orphans, return_exceptions=True)
    if any(not isinstance(raised, Fault | asyncio.CancelledError | TransactionClosed | None) for raised in late):
        return f"tasks that outlived the block raised {late}"
    return wrong(account, q.state, error)


def wrong(account: Account, state: TransactionState, error: BaseException | None) -> str | None:
    """What is not as it must be."""

    leaves = raised_together(error)
    if any(not isinstance(leaf, Fault | asyncio.CancelledError | None) for leaf in leaves):
        return f"it raised {error!r}"
    if any(times > 1 for times in account.undone.values()):
        return f"undone more than once: {account.undone}"
    if state is TransactionState.COMMITTED:
        kept = account.started - set(account.undone)
        return None if account.present == kept and account.hooks == 1 else f"committed: {account}"
    if state is TransactionState.ROLLED_BACK:
        missed = account.present
        return None if not missed and not account.hooks else f"left behind: {account}"
    return None if state is TransactionState.NEW and not account.started else f"it is {state}: {account}"


@pytest.mark.parametrize("many", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_concurrent_transactions_leave_nothing_behind(many: int) -> None:
    outcomes: Counter[str] = Counter()

    async def main() -> None:
        numbers = iter(range(many))

        async def worker() -> None:
            for number in numbers:
                outcomes[str(await one_transaction(f"soak {number}"))] += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(worker())

    Library().run(main, seconds=120)
    assert outcomes == {"None": many}
