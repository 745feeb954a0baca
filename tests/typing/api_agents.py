"""Tools for agents, and what waits for the commit, as type checkers see them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import FunctionType
from typing import Any, Literal, assert_type

from actionqueues import action, current_transaction, transaction
from actionqueues.agents import Explanation, explain, tools


@action(irreversible=True, when="commit")
def mail(to: str) -> int:
    return len(to)


@action(irreversible=True, when="commit", name="mail-later")
async def mail_async(to: str) -> int:
    return len(to)


@action
def put(name: str) -> int:
    return len(name)


@action(when="commit")  # type: ignore[call-overload, untyped-decorator] # pyright: ignore[reportCallIssue, reportUntypedFunctionDecorator]
def reversible() -> None: ...


def approve(explanation: Explanation, arguments: Mapping[str, Any]) -> bool:
    return explanation.name != "pay" or arguments["euros"] < 10


async def approve_async(explanation: Explanation, arguments: Mapping[str, Any]) -> bool:
    return approve(explanation, arguments)


def held() -> None:
    assert_type(mail("ada"), int | None)
    mail(3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def held_async() -> None:
    assert_type(await mail_async("ada"), int | None)


def explained() -> None:
    assert_type(explain(put), Explanation)
    assert_type(explain(put).kind, Literal["reversible", "irreversible", "read-only"])
    assert_type(explain(put).undo, str | None)
    assert_type(explain(put).mcp, dict[str, bool])
    explain(3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def bound() -> None:
    with transaction() as q:
        assert_type(tools(q, put, partial(put, "a"), approve=approve, mendable=LookupError), list[FunctionType])
        tools(q, named={"store": put}, mendable=(LookupError, OSError), meta=False)
        tools(q, 3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        tools(q, put, mendable=KeyboardInterrupt)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def bound_async() -> None:
    async with transaction() as q:
        assert_type(tools(q, put, mail_async, approve=approve_async), list[FunctionType])
    tools(current_transaction, put)
