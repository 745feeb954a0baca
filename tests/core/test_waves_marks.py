"""Going back to a mark in a block whose undos run at the same time."""

from __future__ import annotations

import pytest

from actionqueues import AsyncTransaction, RollbackFailed, TransactionDoomed, TransactionState, transaction
from tests.async_library import Library, everywhere, raised_together
from tests.async_stage import Boom, Stage, boom, put

from .test_waves import meeting, together
from .test_waves_interrupted import names, press


@everywhere
def test_what_ran_together_behind_a_mark_is_undone_together_as_often_as_that_is_gone_back_to(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        async with transaction(undo_concurrently=True) as q:
            await put(stage, "first")
            mark = q.mark()
            for _ in range(2):
                await put(stage, "a")
                await together(stage, "b", "c", "d")
                await put(stage, "e")
                meeting(stage, "b", "c", "d")
                await q.rollback(to=mark)
                assert stage.present == {"first"}
                assert (stage.trail[-5], stage.trail[-1]) == ("-e", "-a")
            meeting(stage, "x", "y")
            await together(stage, "x", "y")
            await q.rollback()
        assert q.report.clean

    library.run(main)
    assert stage.trail[-1] == "-first"
    assert stage.present == set()


@everywhere
def test_a_mark_of_a_savepoint_is_gone_back_to_by_the_rule_of_the_block(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        async with transaction(undo_concurrently=True) as q, q.savepoint() as inner:
            await put(stage, "a")
            mark = inner.mark()
            meeting(stage, "b", "c")
            async with transaction("inmost"):
                await together(stage, "b", "c")
            await inner.rollback(to=mark)

    library.run(main)
    assert stage.present == {"a"}


@everywhere
def test_undos_that_fail_on_the_way_back_stop_none_and_are_told_in_reverse_order_of_start(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        stage.undoing.update(b=boom(Boom("b")), c=boom(Boom("c")))
        with pytest.raises(TransactionDoomed):
            async with transaction(undo_concurrently=True) as q:
                mark = q.mark()
                await together(stage, "a", "b", "c", "d")
                with pytest.raises(RollbackFailed) as caught:
                    await q.rollback(to=mark)
                assert [str(each) for each in caught.value.exceptions] == ["c", "b"]
        assert q.state is TransactionState.ROLLED_BACK_WITH_FAILURES

    library.run(main)
    assert stage.present == {"b", "c"}


@everywhere
def test_a_third_ctrl_c_on_the_way_back_cuts_all_of_them_short_and_the_end_undoes_the_rest(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        async def third() -> None:
            await library.checkpoint(5)
            press()

        async with transaction(undo_concurrently=True) as q:
            blocks.append(q)
            mark = q.mark()
            await put(stage, "x")
            stage.undoing.update(c=third, b=library.forever, a=library.forever)
            await together(stage, "a", "b", "c")
            await q.rollback(to=mark)

    blocks = list[AsyncTransaction]()
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - a group in trio
        library.run(main)
    assert all(isinstance(each, KeyboardInterrupt) for each in raised_together(caught.value))
    assert names(each.step for each in blocks[0].report.failures) == "cba"
    assert stage.trail[-1] == "-x"
