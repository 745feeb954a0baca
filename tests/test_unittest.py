"""Blocks in the fixtures of `unittest`, which has a task for each part of a test, and in exit stacks (R21)."""

from __future__ import annotations

import inspect
import unittest
from contextlib import AsyncExitStack

import pytest

from actionqueues import AsyncTransaction, TransactionState, current_transaction, transaction

from .async_library import Library, everywhere
from .async_stage import Boom, Stage, mark, put

stage = Stage(Library())


class Case(unittest.IsolatedAsyncioTestCase):
    """What a user writes, so that each test leaves nothing behind."""

    async def asyncSetUp(self) -> None:
        self.q = await self.enterAsyncContext(transaction("fixture"))
        self.addAsyncCleanup(self.check, self.q)
        self.addAsyncCleanup(self.q.rollback)
        await put(stage, "set up")

    async def check(self, q: AsyncTransaction) -> None:
        assert q.state is TransactionState.ROLLED_BACK
        assert q.report.clean

    async def test_steps_in_it(self) -> None:
        assert current_transaction() is self.q
        await put(stage, "a")
        mark(stage, "b")

    async def test_a_failing_one(self) -> None:
        await put(stage, "a")
        with pytest.raises(Boom):
            async with transaction():
                await put(stage, "b")
                raise Boom


@pytest.mark.parametrize(
    ("test", "told"),
    [
        ("test_steps_in_it", "+set up +a +b -b -a -set up"),
        ("test_a_failing_one", "+set up +a +b -b -a -set up"),
    ],
)
def test_the_fixture_of_a_test_case_is_entered_and_rolled_back(test: str, told: str) -> None:
    stage.trail.clear()
    result = unittest.TestResult()
    Case(test).run(result)
    assert (result.errors, result.failures, result.testsRun) == ([], [], 1)
    assert stage.told == told
    assert stage.present == set()


def test_a_fixture_that_nothing_rolls_back_commits() -> None:
    stage.trail.clear()
    made = transaction()

    class Committing(unittest.IsolatedAsyncioTestCase):
        async def test_it(self) -> None:
            q = await self.enterAsyncContext(made)
            q.add(put, stage, "queued")
            await put(stage, "a")

    result = unittest.TestResult()
    Committing("test_it").run(result)
    assert (result.errors, result.failures) == ([], [])
    assert made.state is TransactionState.COMMITTED
    assert stage.told == "+a +queued"
    stage.present.clear()


@everywhere
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_an_exit_stack_enters_and_leaves_it(library: Library, ends: str) -> None:
    stage = Stage(library)
    made = transaction()

    async def main() -> None:
        async with AsyncExitStack() as stack:
            q = await stack.enter_async_context(made)
            assert isinstance(q, AsyncTransaction)
            await put(stage, "a")
            if ends == "badly":
                raise Boom

    async def outer() -> None:
        if ends == "badly":
            with pytest.raises(Boom):
                await main()
        else:
            await main()

    library.run(outer)
    assert made.state is (TransactionState.ROLLED_BACK if ends == "badly" else TransactionState.COMMITTED)
    assert stage.told == "+a" + " -a" * (ends == "badly")


@everywhere
def test_a_rollback_that_an_exit_stack_calls_back_comes_before_the_end(library: Library) -> None:
    stage = Stage(library)
    made = transaction()

    async def main() -> None:
        async with AsyncExitStack() as stack:
            q = await stack.enter_async_context(made)
            stack.push_async_callback(q.rollback)
            await put(stage, "a")

    library.run(main)
    assert made.state is TransactionState.ROLLED_BACK
    assert stage.told == "+a -a"


def test_what_is_awaited_is_async_to_inspect_too() -> None:
    made = transaction()
    methods = [made.__aenter__, made.__aexit__, AsyncTransaction.execute, AsyncTransaction.rollback]
    assert all(inspect.iscoroutinefunction(method) for method in methods)
