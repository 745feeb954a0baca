"""A transaction that was entered by hand and never left is told of, by name and steps, when it is lost."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path

import pytest

import actionqueues
from actionqueues import Transaction, action, transaction
from actionqueues.blockstate import _warn_at_exit

PACKAGE = str(Path(actionqueues.__file__).parent.parent)


@action
def put(name: str) -> None:
    """Nothing that would have to be undone."""


def in_thread(function: Callable[[], None]) -> None:
    """Run it in a context that ends."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


@pytest.fixture(autouse=True)
def nothing_is_left_of_other_tests() -> None:
    """Those that send interrupts leave blocks open that nobody can leave."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def told(function: Callable[[], None]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
        gc.collect()
    assert {warning.category for warning in caught} <= {ResourceWarning}
    return [str(warning.message) for warning in caught]


def test_a_block_that_was_forgotten_in_a_thread_is_named_with_its_steps() -> None:
    def forget() -> None:
        transaction("sign-up").__enter__()
        put("a")
        put("b")

    (message,) = told(lambda: in_thread(forget))
    assert message == (
        "the transaction 'sign-up' was never left, so its steps were neither committed nor undone: put, put; "
        "use `with`, or see to it that `__exit__` is called"
    )


def enter() -> None:
    transaction().__enter__()


def test_a_block_without_steps_is_named_as_well() -> None:
    (message,) = told(lambda: in_thread(enter))
    assert "neither committed nor undone: none so far" in message


def test_an_async_block_that_was_forgotten_in_a_task_is_named() -> None:
    async def main() -> None:
        async def forget() -> None:
            await transaction("in a task").__aenter__()
            put("a")

        await asyncio.create_task(forget())
        gc.collect()

    (message,) = told(lambda: asyncio.run(main()))
    assert message.startswith("the transaction 'in a task' was never left")


def test_a_block_that_was_left_is_not_told_of_however_it_ended() -> None:
    def leave() -> None:
        with transaction():
            put("a")
        with pytest.raises(LookupError), transaction("fails"):
            raise LookupError
        with transaction() as q:
            q.rollback()
        with transaction(), transaction("inner"):
            put("b")
        transaction("never entered")

    assert told(leave) == []
    assert told(lambda: in_thread(leave)) == []


def test_an_async_block_that_was_left_is_not_told_of() -> None:
    async def main() -> None:
        async with transaction() as q:
            put("a")
            async with q.savepoint():
                put("b")

    assert told(lambda: asyncio.run(main())) == []


def test_a_block_that_has_ended_has_no_finalizer_in_which_an_interrupt_could_get_lost() -> None:
    with transaction() as q:
        assert isinstance(q, Transaction)
    assert type(q) is Transaction
    assert not hasattr(q, "__del__")


def test_a_block_that_was_forgotten_in_the_main_thread_is_told_of_when_the_program_ends() -> None:
    program = """
from actionqueues import action, transaction
@action
def put(): pass
q = transaction("to the end")
q.__enter__()
put()
"""
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", program], env={"PYTHONPATH": PACKAGE}, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "ResourceWarning: the transaction 'to the end' was never left" in done.stderr
    assert "neither committed nor undone: put;" in done.stderr


def test_a_block_that_was_forgotten_in_the_main_thread_is_told_of_as_all_blocks_around_it_are() -> None:
    context = copy_context()
    outer, inner = transaction("outer"), transaction("inner", independent=True)
    context.run(outer.__enter__)
    context.run(inner.__enter__)
    with pytest.warns(ResourceWarning) as told:
        context.run(_warn_at_exit)
    assert [str(each.message).partition(" was never left")[0] for each in told] == [
        "the transaction 'inner'",
        "the transaction 'outer'",
    ]
    context.run(inner.__exit__, None, None, None)
    context.run(outer.__exit__, None, None, None)
    with transaction("gone"):
        copied = copy_context()
    copied.run(_warn_at_exit)
