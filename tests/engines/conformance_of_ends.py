"""The list of `conformance.py`, continued: blocks that a test cancels, or looks at, while a step or an undo lasts."""

from __future__ import annotations

from .conformance import BODY
from .doing import Boom
from .stage import Stage, scenario


@scenario("+a +b -b -a", "rolled back", meddled=True)
async def a_block_is_cancelled_in_the_middle_of_a_step(w: Stage) -> None:
    async with w.block():
        await w.step("a")
        await w.step("b", kind="lasting")
        await w.step("c")


@scenario("+a +b +c -c -b -a", "rolled back", meddled=True)
async def a_block_is_cancelled_in_the_middle_of_its_rollback(w: Stage) -> None:
    async with w.block():
        await w.step("a")
        await w.step("b", kind="long_undone")
        await w.step("c")
        raise Boom("body")


@scenario("+a +b +c -c -b -a", "rolled back", BODY, undone="do long_undone do", meddled=True)
async def an_operator_looks_at_a_block_in_the_middle_of_its_rollback(w: Stage) -> None:
    async with w.block():
        await w.step("a")
        await w.step("b", kind="long_undone")
        await w.step("c")
        raise Boom("body")
