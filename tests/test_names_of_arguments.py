"""No name of an argument is taken: functions may have parameters of any names, and be given any by keyword."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from actionqueues import ActionQueue, action, current_step, transaction
from actionqueues.journal import Journal, durable

NAMES: dict[str, int] = dict.fromkeys(
    ["self", "cls", "fn", "function", "args", "kwargs", "action", "step", "result", "error", "log", "place", "body"], 1
) | dict.fromkeys(["definition", "entry", "name", "within", "owner", "q", "queue", "retry", "timeout", "current"], 2)


def plain(**given: Any) -> dict[str, Any]:
    return given


def test_steps_of_every_kind_take_arguments_of_any_name() -> None:
    undone: list[Any] = []

    @action
    def step(**given: Any) -> dict[str, Any]:
        current_step().save(**given)
        return given

    @step.rollback
    def unstep(**given: Any) -> None:
        undone.append(given)

    def by_hand(**given: Any) -> None:
        undone.append(given)

    with transaction() as q:
        assert step(**NAMES) == NAMES
        queued = [q.add(step, **NAMES), q.add(plain, **NAMES)]
        q.on_rollback(by_hand, **NAMES)
        q.execute()
        assert [each.result for each in queued] == [NAMES, NAMES]
        assert queued[0].saved == NAMES
        assert q.run(plain, **NAMES) == NAMES
        q.rollback()
    assert undone == [NAMES] * 3
    queue = ActionQueue()
    added = queue.add(plain, **NAMES)
    queue.execute()
    assert added.result == NAMES


def test_so_do_hooks_and_what_is_run_and_awaited() -> None:
    told: list[Any] = []

    async def tell(**given: Any) -> None:
        told.append(given)

    async def main() -> None:
        async with transaction() as q:
            await q.run(tell, **NAMES)
            q.on_commit(tell, **NAMES)
            q.add(tell, **NAMES)

    asyncio.run(main())
    assert told == [NAMES] * 3


@durable
def hook(**given: Any) -> None:
    hooked.append(given)


hooked: list[Any] = []


@action
def saving(**given: Any) -> None:
    current_step().save(**given)


def test_so_do_steps_and_hooks_with_a_journal(tmp_path: Path) -> None:
    with Journal(tmp_path / "actions.db") as journal, transaction(journal=journal) as q:
        saving(**NAMES)
        q.on_commit(hook, **NAMES)
        q.on_rollback(hook, **NAMES)
    assert hooked == [NAMES]
