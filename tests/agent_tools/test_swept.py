"""Fault sweeps of what uses tools, and of what waits for the commit: whatever fails, nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from actionqueues import Step, action, current_step, transaction
from actionqueues.agents import tools
from actionqueues.testing import memory, sweep

world: dict[str, bool] = {}


@action
def book() -> None:
    world[current_step().key] = True


@book.rollback
def cancel(step: Step[None]) -> None:
    world.pop(step.key, None)


@action(irreversible=True, when="commit")
def send() -> None:
    world["sent"] = True


def waiting() -> None:
    with transaction():
        send()
        book()


def going_back() -> None:
    with transaction() as q:
        tool, held, checkpoint, _, undo_to, _ = tools(q, book, send)
        tool()
        checkpoint(name="here")
        tool()
        held()
        undo_to(checkpoint="here")
        tool()


async def going_back_elsewhere() -> None:
    async with transaction() as q:
        made: Any = tools(q, book)
        tool, checkpoint, _, undo_to, _ = made
        tool()
        await checkpoint(name="here")
        tool()
        await asyncio.create_task(undo_to(checkpoint="here"))
        tool()


@pytest.mark.parametrize("scenario", [waiting, going_back, going_back_elsewhere])
def test_nothing_is_left_of_a_transaction_that_fails(scenario: Callable[[], object]) -> None:
    world.clear()
    made = sweep(scenario, state=memory(world)).check()
    assert made.stopped is None
    assert len(made.outcomes) >= 8
