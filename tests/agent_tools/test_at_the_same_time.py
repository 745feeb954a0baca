"""Whatever is called at the same time, what stands is what `changes` lists, and each undo has run once."""

from __future__ import annotations

import asyncio
import re
from random import Random
from typing import Any

import pytest

from actionqueues import Step, action, current_step, transaction
from actionqueues.agents import tools

there: dict[str, str] = {}
undone: list[str] = []


@action
def put(name: str) -> None:
    there[current_step().key] = name


@put.rollback
def take(step: Step[None]) -> None:
    undone.append(step.key)
    del there[step.key]


@action
async def put_slowly(name: str) -> None:
    await asyncio.sleep(0)
    there[current_step().key] = name
    await asyncio.sleep(0)
    if name.endswith("3"):
        raise LookupError(name)


@put_slowly.rollback
async def take_slowly(step: Step[None]) -> None:
    await asyncio.sleep(0)
    undone.append(step.key)
    there.pop(step.key)
    await asyncio.sleep(0)


def standing(changes: str) -> list[str]:
    return sorted(re.findall(r"^\d+\. \w+\(name='([\d-]+)'\)", changes, re.MULTILINE))


@pytest.mark.parametrize("seed", range(12))
def test_tools_checkpoints_and_undos_in_many_tasks_and_threads(seed: int) -> None:
    there.clear()
    undone.clear()
    random = Random(seed)

    async def model(number: int, made: list[Any]) -> None:
        sync, slow, checkpoint, changes, undo_to, _ = made
        for turn in range(6):
            name = f"{number}-{turn}"
            kind = random.choice(["thread", "here", "slow", "slow", "checkpoint", "undo"])
            if kind == "thread":
                await asyncio.to_thread(sync, name=name)
            elif kind == "here":
                sync(name=name)
            elif kind == "slow":
                await slow(name=name)
            elif kind == "checkpoint":
                await checkpoint(name=name)
            else:
                checkpoints = re.findall(r"^-- checkpoint (\S+)", changes(), re.MULTILINE)
                await undo_to(checkpoint=random.choice(checkpoints))

    async def main() -> None:
        try:
            async with transaction() as q:
                made: Any = tools(q, put, put_slowly, mendable=LookupError)
                await asyncio.gather(*(model(number, made) for number in range(5)))
                changes, undo_to = made[3], made[4]
                assert standing(changes()) == sorted(there.values())
                assert await made[1](name="last") is None
                await undo_to(checkpoint="start")
                assert there == {}
                await made[1](name="the very last")
                raise ZeroDivisionError
        except ZeroDivisionError:
            assert q.report.clean

    asyncio.run(main())
    assert there == {}
    assert len(undone) == len(set(undone))
