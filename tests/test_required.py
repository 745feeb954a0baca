"""`require_transactions()`: no action of the program runs outside a block, and a forgotten `q.run` is not silent."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from actionqueues import (
    ActionQueue,
    CommitHookFailed,
    NoTransaction,
    action,
    require_transactions,
    transaction,
)
from actionqueues.testing import stubbed
from tests.world import Boom

trail: list[str] = []


@action
def put(name: str) -> str:
    trail.append(f"+{name}")
    return name


@put.rollback
def remove(name: str) -> None:
    trail.append(f"-{name}")


@action(read_only=True)
async def fetch(name: str) -> str:
    trail.append(f"?{name}")
    return name


@pytest.fixture(autouse=True)
def required() -> Iterator[None]:
    trail.clear()
    with require_transactions():
        yield


def told(name: str = "put") -> Any:
    text = (
        f"{name} was called outside any transaction; call it inside `with transaction() as q:`, in a thread or a pool "
        f"by `q.run({name}, ...)`"
    )
    return pytest.raises(NoTransaction, match=f"^{re.escape(text)}$")


def test_an_action_outside_any_block_is_refused_and_nothing_has_run() -> None:
    with told():
        put("a")
    with told("fetch"):
        fetch("a")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    assert trail == []


def test_inside_a_block_and_in_a_queue_nothing_changes() -> None:
    with pytest.raises(Boom), transaction() as q:
        assert put("a") == "a"
        q.add(put, "b")
        q.execute()
        raise Boom
    queue = ActionQueue()
    queue.add(put, "c")
    queue.execute()
    assert trail == ["+a", "+b", "-b", "-a", "+c"]


def test_a_step_in_a_pool_without_run_is_refused_and_the_block_undone() -> None:
    with ThreadPoolExecutor() as pool, told(), transaction() as q:
        pool.submit(q.run, put, "a").result()
        pool.submit(put, "b").result()
    assert trail == ["+a", "-a"]


def test_async_actions_likewise() -> None:
    async def main() -> None:
        async with transaction():
            assert await fetch("a") == "a"
            assert await asyncio.to_thread(put, "b") == "b"
        with told("fetch"):
            await fetch("c")

    asyncio.run(main())
    assert trail == ["?a", "+b"]


def test_actions_that_are_made_later_and_methods_are_refused_too() -> None:
    class Shop:
        @action
        def buy(self) -> None:
            raise AssertionError

        @action
        @staticmethod
        def tax() -> None:
            raise AssertionError

    late: dict[str, Any] = {"Shop.buy": Shop().buy, "Shop.tax": Shop.tax, "<lambda>": action(lambda: trail.append("x"))}
    for name, call in late.items():
        with told(name):
            call()


def test_the_plain_function_can_be_called_as_ever() -> None:
    plain: Any = put
    assert plain.__wrapped__("a") == "a"


def test_a_rollback_handler_may_call_an_action_since_what_undoes_needs_no_undo() -> None:
    @action
    def move(name: str) -> None: ...

    @move.rollback
    def move_back(name: str) -> None:
        put(name)

    with pytest.raises(Boom), transaction() as q:
        move("a")
        q.on_rollback(put, "b")
        raise Boom
    assert trail == ["+b", "+a"]
    assert q.report.clean


def test_an_action_that_requires_a_transaction_by_itself_does_so_there_too() -> None:
    @action(transaction_required=True)
    def strict() -> None:
        raise AssertionError

    with pytest.raises(Boom), transaction() as q:
        q.on_rollback(lambda: strict())
        raise Boom
    (failure,) = q.report.failures
    assert isinstance(failure.error, NoTransaction)


def test_a_commit_hook_is_outside_the_block_and_opens_one_of_its_own() -> None:
    with pytest.raises(CommitHookFailed) as caught, transaction() as q:
        q.on_commit(put, "a")
        q.on_commit(transaction(put), "b")
    assert [type(error) for error in caught.value.exceptions] == [NoTransaction]
    assert trail == ["+b"]


def test_it_can_be_given_up_for_a_while_or_for_good() -> None:
    with require_transactions(False):
        assert put("a") == "a"
        with require_transactions(), told():
            put("b")
        assert put("c") == "c"
    with told():
        put("d")
    require_transactions(False)
    assert put("e") == "e"


def test_an_action_that_requires_a_transaction_by_itself_keeps_doing_so() -> None:
    strict = action(transaction_required=True)(lambda: None)
    require_transactions(False)
    with told("<lambda>"):
        strict()


def test_a_stub_of_an_action_is_refused_as_the_action_is() -> None:
    with stubbed(put, result="stub") as made:
        with told():
            put("a")
        with transaction():
            assert put("b") == "stub"
        with require_transactions(False):
            assert put("c") == "stub"
    assert [step.args for step in made] == [("b",), ("c",)]
    assert trail == []


PROGRAM = """
from actionqueues import NoTransaction, action, transaction
@action
def put(): return "ran"
with transaction():
    assert put() == "ran"
try:
    print(put())
except NoTransaction:
    print("refused")
"""


@pytest.mark.parametrize(
    ("value", "printed"),
    [*((no, "ran") for no in (None, "", "0", "false", "No", "off")), *((yes, "refused") for yes in ("1", "yes"))],
)
def test_an_environment_variable_asks_for_it_from_the_start(value: str | None, printed: str) -> None:
    environment = {name: text for name, text in os.environ.items() if name != "ACTIONQUEUES_REQUIRE_TRANSACTIONS"}
    if value is not None:
        environment["ACTIONQUEUES_REQUIRE_TRANSACTIONS"] = value
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (f"{printed}\n", "")
