"""Random programs in which each call goes through a `q` of any block around it, compared with a model.

What is done belongs to the innermost block, whichever `q` it is done through; a `q` only says whose queue it is.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from inspect import isawaitable
from random import Random
from typing import Any

import pytest

from actionqueues import action, transaction

from .world import Boom


@dataclass
class Op:
    """What is done, through which of the blocks around it, and for a block, what is in it."""

    kind: str
    through: int
    name: str
    fails: bool = False
    inside: list[Op] = field(default_factory=list["Op"])


LEAVES = ["step", "run", "hook", "undo", "add", "execute"]


def program(random: Random, depth: int = 0) -> list[Op]:
    ops: list[Op] = []
    for _ in range(random.randint(1, 5)):
        kind = random.choice([*LEAVES, "step", "transaction", "savepoint", "savepoint", "in a step"])
        op = Op(kind, random.randint(0, depth), f"{random.randrange(10**6)}")
        if kind not in LEAVES:
            if depth == 4:
                continue
            op.fails, op.inside = random.random() < 0.45, program(random, depth + 1)
        ops.append(op)
    return ops


# ---------------------------------------------------------------- the model


@dataclass
class Model:
    """A block: what was done in it, in order, what is to be called, and what is queued."""

    outer: Model | None = None
    done: list[str] = field(default_factory=list[str])
    hooks: list[str | Model] = field(default_factory=list["str | Model"])
    queue: list[tuple[str, Model]] = field(default_factory=list["tuple[str, Model]"])
    undone: bool = False

    @property
    def stands(self) -> bool:
        return not self.undone and (self.outer is None or self.outer.stands)


def expected(ops: list[Op], *, fails: bool) -> list[str]:
    trail: list[str] = []

    def execute(block: Model, innermost: Model) -> None:
        queue, block.queue = block.queue, []
        for name, origin in queue:
            if origin.stands:
                trail.append(f"+{name}")
                innermost.done.append(name)

    def run(ops: list[Op], blocks: list[Model]) -> None:
        here = blocks[-1]
        for op in ops:
            match op.kind:
                case "step" | "run":
                    trail.append(f"+{op.name}")
                    here.done.append(op.name)
                case "hook":
                    here.hooks.append(op.name)
                case "undo":
                    here.done.append(op.name)
                case "add":
                    blocks[op.through].queue.append((op.name, here))
                case "execute":
                    execute(blocks[op.through], here)
                case _:
                    leave(Model(here), op.inside, blocks, fails=op.fails)

    def leave(block: Model, ops: list[Op], blocks: list[Model], *, fails: bool) -> None:
        run(ops, [*blocks, block])
        if fails:
            trail.extend(f"-{name}" for name in reversed(block.done))
            block.undone = True
            return
        execute(block, block)
        if block.outer is not None:
            block.outer.done += block.done
            block.outer.hooks.append(block)

    def call(block: Model) -> None:
        for hook in block.hooks:
            if isinstance(hook, Model):
                call(hook)
            else:
                trail.append(f"!{hook}")

    root = Model()
    leave(root, ops, [], fails=fails)
    if not fails:
        call(root)
    return trail


# ---------------------------------------------------------------- the same for real


async def performed(ops: list[Op], *, fails: bool, awaits: bool) -> list[str]:
    trail: list[str] = []

    @action
    def step(name: str) -> None:
        trail.append(f"+{name}")

    @action
    async def step_async(name: str) -> None:
        await asyncio.sleep(0)
        trail.append(f"+{name}")

    def undo(name: str) -> None:
        trail.append(f"-{name}")

    one: Any = step_async if awaits else step
    one.rollback(undo)

    async def run(ops: list[Op], blocks: list[Any]) -> None:
        for op in ops:
            q = blocks[op.through]
            result: object = None
            match op.kind:
                case "step":
                    result = one(op.name)
                case "run":
                    result = q.run(one, op.name)
                case "hook":
                    q.on_commit(trail.append, f"!{op.name}")
                case "undo":
                    q.on_rollback(trail.append, f"-{op.name}")
                case "add":
                    q.add(one, op.name)
                case "execute":
                    result = q.execute()
                case "in a step":
                    result = in_a_step(op, blocks)
                case _:
                    await leave(transaction() if op.kind == "transaction" else q.savepoint(), op, blocks)
            if isawaitable(result):
                await result

    async def leave(block: Any, op: Op, blocks: list[Any]) -> None:
        with suppress(Boom):
            async with AsyncExitStack() as stack:
                entered = await stack.enter_async_context(block) if awaits else stack.enter_context(block)
                await run(op.inside, [*blocks, entered])
                if op.fails:
                    raise Boom

    def in_a_step(op: Op, blocks: list[Any]) -> object:
        async def body() -> None:
            await leave(blocks[op.through].savepoint(), op, blocks)

        around: Any = action(body if awaits else lambda: at_once(body()))
        around.rollback(lambda: None)
        return around()

    await leave(transaction(), Op("transaction", 0, "", fails, ops), [])
    return trail


def at_once(coroutine: Any) -> list[str]:
    """The result of a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # of any coroutine
    raise AssertionError


@pytest.mark.parametrize("awaits", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("seed", range(100))
def test_what_is_done_belongs_to_the_innermost_block_whichever_q_it_is_done_through(seed: int, awaits: bool) -> None:
    random = Random(seed)
    ops, fails = program(random), random.random() < 0.5
    made = performed(ops, fails=fails, awaits=awaits)
    assert (asyncio.run(made) if awaits else at_once(made)) == expected(ops, fails=fails)
