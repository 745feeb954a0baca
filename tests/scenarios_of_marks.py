"""The list of `scenarios.py`, continued: marks, which are gone back to while the block goes on."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from actionqueues import IllegalOperation, RollbackConflict

from .scenarios import B_STUCK
from .world import Boom, World, scenario


@scenario("+a +b +c -c -b +d", "committed", undone="c b")
async def what_came_after_a_mark_is_undone_and_the_block_goes_on(w: World) -> None:
    async with w.block() as q:
        await w.step("a")
        mark = q.mark()
        await w.step("b")
        await w.step("c")
        await q.rollback(to=mark)
        await w.step("d")


@scenario("+a +b -b +c -c +d -d -a", "rolled back", "Boom: body", undone="b c d a")
async def what_stands_before_a_mark_is_undone_with_the_block_and_what_was_undone_is_not_again(w: World) -> None:
    async with w.block() as q:
        await w.step("a")
        mark = q.mark("start")
        for name in "bc":
            await w.step(name)
            await q.rollback(to=mark)
        await w.step("d")
        raise Boom("body")


@scenario("+a", "committed")
async def a_mark_with_nothing_after_it_undoes_nothing(w: World) -> None:
    async with w.block() as q:
        await w.step("a")
        mark = q.mark()
        await q.rollback(to=mark)
        await q.rollback(to=mark)


@scenario("+a +b +c -c +d -d -b +e -e -a !IllegalOperation +f", "committed", undone="c d b e a")
async def marks_are_gone_back_to_in_any_order_and_one_that_was_passed_over_is_gone(w: World) -> None:
    async with w.block() as q:
        first = q.mark("first")
        await w.step("a")
        second = q.mark("second")
        await w.step("b")
        third = q.mark("third")
        await w.step("c")
        await q.rollback(to=third)
        await w.step("d")
        await q.rollback(to=second)
        await w.step("e")
        await q.rollback(to=first)
        with w.caught():
            await q.rollback(to=second)
        await w.step("f")


@scenario("+b +a -a -b", "committed", undone="a b", dropped="c")
async def what_was_queued_before_a_mark_and_run_after_it_is_undone_and_what_was_queued_after_it_dropped(
    w: World,
) -> None:
    async with w.block() as q:
        q.add(w.define("b"))
        mark = q.mark()
        await q.execute()
        q.add(w.define("c"))
        await w.step("a")
        await q.rollback(to=mark)
        await q.execute()


@scenario("+b -b +a", "committed", undone="b")
async def what_was_queued_before_a_mark_and_has_not_run_stays_queued(w: World) -> None:
    async with w.block() as q:
        q.add(w.define("a"))
        mark = q.mark()
        await w.step("b")
        await q.rollback(to=mark)


@scenario("+a -by-hand -a first third", "committed", undone="by_hand a")
async def hooks_and_undos_by_hand_that_came_after_a_mark_are_dropped_and_called(w: World) -> None:
    def by_hand() -> None:
        w.say("-by-hand")

    async with w.block() as q:
        by_hand.__qualname__ = "by_hand"
        q.on_commit(w.say, "first")
        mark = q.mark()
        q.on_commit(w.say, "second")
        await w.step("a")
        q.on_rollback(by_hand)
        await q.rollback(to=mark)
        q.on_commit(w.say, "third")


@scenario("+a +b +c -c -b +d -d -a", "rolled back", "Boom: body", undone="c b d a")
async def a_savepoint_that_has_succeeded_after_a_mark_is_undone_as_one(w: World) -> None:
    async with w.block() as q:
        await w.step("a")
        mark = q.mark()
        async with q.savepoint("inner"):
            await w.step("b")
            await w.step("c")
        await q.rollback(to=mark)
        await w.step("d")
        raise Boom("body")


@scenario("+a +b +c -c +d -d -b -a", "rolled back", "Boom: body", undone="c d b a")
async def a_savepoint_has_marks_of_its_own(w: World) -> None:
    async with w.block() as q:
        await w.step("a")
        async with q.savepoint("inner") as inner:
            await w.step("b")
            mark = inner.mark()
            await w.step("c")
            await inner.rollback(to=mark)
            await w.step("d")
        raise Boom("body")


@scenario("+a +b -b !Boom +c -c -a", "committed", undone="b c a")
async def a_step_that_has_failed_after_a_mark_is_not_undone_again(w: World) -> None:
    async with w.block() as q:
        mark = q.mark()
        await w.step("a")
        with w.caught():
            await w.step("b", fails=[Boom("b")])
        await w.step("c")
        await q.rollback(to=mark)


@scenario("+a +b +c -c -b -a", "committed", undone="c b a")
async def what_a_step_contains_goes_with_it(w: World) -> None:
    async with w.block() as q:
        mark = q.mark()
        await w.step("a", body=lambda _: w.step("b", body=lambda _: w.step("c")))
        await q.rollback(to=mark)


MARK_DOOMED = (
    "TransactionDoomed: the transaction 'block' was rolled back instead of committed, because an undo inside it had "
    "failed: b; see q.report.failures, and put right by hand what they left"
)


@scenario(
    "+a +b +c -c -b !RollbackFailed +d -d -a",
    "rolled back with failures",
    MARK_DOOMED,
    undone="c d a",
    failures=[B_STUCK],
)
async def an_undo_that_fails_on_the_way_to_a_mark_is_raised_and_dooms_the_transaction(w: World) -> None:
    async with w.block() as q:
        await w.step("a")
        mark = q.mark()
        await w.step("b", undo_fails=[Boom("stuck")])
        await w.step("c")
        with w.caught():
            await q.rollback(to=mark)
        await w.step("d")


@scenario(
    "+a +b -b",
    "rolled back with failures",
    "RollbackFailed: the transaction 'block': what came after the mark 'here' was rolled back, but not b, so it cannot "
    "commit any more (1 sub-exception) [RollbackConflict: theirs] | actionqueues: not undone: a (no rollback handler)"
    " | actionqueues: the undo of b met a conflict: RollbackConflict('theirs')",
    conflicts=[{"step": "b", "error": "RollbackConflict('theirs')"}],
    not_undone="a",
)
async def what_could_not_be_undone_to_a_mark_is_told_on_what_leaves_the_block(w: World) -> None:
    async with w.block() as q:
        mark = q.mark("here")
        await w.step("a", undo=False)
        await w.step("b", undo_fails=[RollbackConflict("theirs")])
        await q.rollback(to=mark)


@scenario("+a +b -b", "committed", undone="b", not_undone="a")
async def what_nothing_undoes_is_left_and_told_and_the_block_goes_on(w: World) -> None:
    async with w.block() as q:
        mark = q.mark()
        await w.step("a", undo=False)
        await w.step("b")
        await q.rollback(to=mark)


@scenario("+a refused !IllegalOperation +b -b -a", "rolled back", "Boom: body", undone="b a")
async def a_mark_is_neither_made_nor_gone_back_to_in_a_step(w: World) -> None:
    async def body(_: Any) -> None:
        with suppress(IllegalOperation):
            q.mark()
            raise AssertionError
        w.say("refused")
        with w.caught():
            await q.rollback(to=mark)

    async with w.block() as q:
        mark = q.mark()
        await w.step("a", body=body)
        await w.step("b")
        raise Boom("body")


@scenario("+a -a +b", "committed", undone="a")
async def a_block_that_shares_nothing_is_no_hindrance(w: World) -> None:
    async with w.block() as q:
        mark = q.mark()
        await w.step("a")
        async with w.block("other", independent=True):
            await q.rollback(to=mark)
        await w.step("b")


@scenario("+a -a", "rolled back", undone="a")
async def a_mark_does_not_keep_the_whole_from_being_rolled_back_by_hand(w: World) -> None:
    async with w.block() as q:
        q.mark()
        await w.step("a")
        await q.rollback()
