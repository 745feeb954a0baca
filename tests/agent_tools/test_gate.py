"""Somebody is asked before an irreversible tool runs; a no, and whatever is not a yes, reaches the model."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Mapping
from typing import Any

import pytest

from actionqueues import CoroutineNotAwaited, TransactionClosed, action, transaction
from actionqueues.agents import Explanation, tools

from .belt import always, answer, block, done, everywhere, mail, mail_async, pay, pay_async, put

REFUSED = (
    "so it has not run, and nothing has changed. It cannot be undone, so it needs approval each time: do without it, "
    "or tell the user what it is needed for."
)


@everywhere
async def test_the_gate_is_given_the_explanation_and_the_arguments(kind: str) -> None:
    asked: list[tuple[str, Mapping[str, Any]]] = []

    def approve(explanation: Explanation, arguments: Mapping[str, Any]) -> bool:
        asked.append((explanation.name, dict(arguments)))
        return bool(arguments["euros"] < 10)

    async with block(kind) as q:
        paying, putting, held = tools(q, pay, put, mail, approve=approve, meta=False)
        assert await answer(paying, euros=5) == "paid"
        assert await answer(paying, 50) == f"pay was not approved, {REFUSED}"
        await answer(putting, name="a")  # nobody is asked about what can be undone, or waits
        await answer(held, to="ada")
    assert asked == [("pay", {"euros": 5}), ("pay", {"euros": 50})]
    assert done == ["paid 5", "mail to ada"]


@everywhere
async def test_whatever_is_not_true_is_a_no(kind: str) -> None:
    answered: list[Any] = []

    def last(*_: object) -> bool:
        return answered[-1]  # type: ignore[no-any-return] # what is no bool

    async with block(kind) as q:
        for said in (False, None, 1, "yes"):
            answered.append(said)
            (paying,) = tools(q, pay, approve=last, meta=False)
            assert (await answer(paying, euros=5)).startswith("pay was not approved, so")
    assert done == []


def test_an_exception_of_the_gate_is_a_no_with_a_reason_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(*_: object) -> bool:
        raise PermissionError("only before noon")

    def broken(*_: object) -> bool:
        raise KeyError

    async def refuse_async(*_: object) -> bool:
        raise PermissionError("only before noon")

    async def main() -> None:
        async with transaction() as q:
            for approve in (refuse, refuse_async):
                (paying,) = tools(q, pay, approve=approve, meta=False)
                told = await answer(paying, euros=5)
                assert told == f"pay was not approved (only before noon), {REFUSED}"
            (paying,) = tools(q, pay, approve=broken, meta=False)
            assert paying(euros=5) == f"pay was not approved, {REFUSED}"

    done.clear()
    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert done == []
    assert caplog.messages == [
        *["approve= raised PermissionError('only before noon'), so the tool pay has not run"] * 2,
        "approve= raised KeyError(), so the tool pay has not run",
    ]


def test_an_async_gate_makes_the_tools_behind_it_async_and_no_others() -> None:
    async def approve(_explanation: Explanation, arguments: Mapping[str, Any]) -> bool:
        await asyncio.sleep(0)
        return bool(arguments["euros"] < 10)

    async def main() -> None:
        async with transaction() as q:
            made = tools(q, pay, pay_async, put, mail, mail_async, approve=approve, meta=False)
            assert [inspect.iscoroutinefunction(tool) for tool in made] == [True, True, False, False, True]
            assert [await made[0](euros=5), await made[1](euros=6)] == ["paid", "paid"]
            assert (await made[1](euros=60)).startswith("pay_async was not approved")
            assert await made[4](to="ada") == (
                "mail_async(to='ada') waits: it runs once everything has succeeded. Until then undo_to drops it."
            )

    done.clear()
    asyncio.run(main())
    assert done == ["paid 5", "paid 6", "mail to ada"]


def test_a_function_of_an_async_tool_may_give_something_to_await_and_that_of_a_sync_one_may_not() -> None:
    async def yes() -> bool:
        return True

    def ask(*_: object) -> Awaitable[bool]:
        return yes()

    async def main() -> None:
        async with transaction() as q:
            sync, awaited = tools(q, pay, pay_async, approve=ask, meta=False)
            assert await awaited(euros=5) == "paid"
            (plain,) = tools(q, pay_async, approve=always, meta=False)
            assert await plain(euros=5) == "paid"
            with pytest.raises(CoroutineNotAwaited):
                sync(euros=5)

    done.clear()
    asyncio.run(main())
    assert done == ["paid 5"] * 2


def test_nobody_is_asked_once_the_block_has_ended() -> None:
    asked: list[object] = []

    def ask(*each: object) -> bool:
        asked.append(each)
        return True

    with transaction() as q:
        (paying,) = tools(q, pay, approve=ask, meta=False)
    with pytest.raises(TransactionClosed, match="the tool pay came too late"):
        paying(euros=5)
    assert asked == []


def test_a_gate_that_cannot_be_asked_is_refused_when_tools_are_made() -> None:
    async def approve(*_: object) -> bool:
        raise AssertionError

    with transaction() as q:
        with pytest.raises(TypeError, match=r"tools\(approve=...\) takes what is called before .* not True"):
            tools(q, pay, approve=True)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - no callable
        with pytest.raises(TypeError, match=r"tools\(approve=...\) is async, so the transaction has to be entered by"):
            tools(q, pay, approve=approve)


class GraphBubbleUp(Exception):
    """Stands for what LangGraph raises to stop a run until a person has answered: it is known by its name."""

    __module__ = "langgraph.errors"


class Interrupt(GraphBubbleUp): ...


def test_a_framework_that_stops_in_the_gate_until_somebody_has_answered_is_not_told_as_a_no(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def stop(*_: object) -> bool:
        raise Interrupt

    async def stop_async(*_: object) -> bool:
        raise Interrupt

    async def main() -> None:
        async with transaction() as q:
            for approve in (stop, stop_async):
                (paying,) = tools(q, pay, approve=approve, meta=False)
                with pytest.raises(Interrupt):
                    await answer(paying, euros=5)
            changes = tools(q)[1]
            assert changes() == "-- checkpoint start\nNothing has been done."

    done.clear()
    asyncio.run(main())
    assert (done, caplog.messages) == ([], [])


@everywhere
async def test_a_framework_that_stops_in_an_action_is_no_error_for_the_model_and_that_step_is_undone(kind: str) -> None:
    @action
    def ask_a_person() -> str:
        done.append("asked")
        raise Interrupt

    @ask_a_person.rollback
    def take_back() -> None:
        done.append("taken back")

    async with block(kind) as q:
        (asking,) = tools(q, ask_a_person, mendable=Exception, meta=False)
        with pytest.raises(Interrupt):
            await answer(asking)
        assert done == ["asked", "taken back"]
