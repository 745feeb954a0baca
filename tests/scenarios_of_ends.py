"""The list of `scenarios.py`, continued: undos that fail, savepoints, hooks, explicit rollback and retries."""

from __future__ import annotations

from typing import Any

from actionqueues import ActionRetryException, Retry, RollbackConflict, current_step, current_transaction

from .scenarios import B_STUCK, DOOMED
from .world import AT_ONCE, Boom, Stop, World, scenario

# ---------------------------------------------------------------- undos that fail


@scenario(
    "+a +b +c -c -b -a",
    "rolled back with failures",
    "Boom: body | actionqueues: the undo of b failed: Boom('stuck')",
    undone="c a",
    failures=[B_STUCK],
)
async def a_failed_undo_is_noted_and_the_others_still_run(w: World) -> None:
    async with w.block():
        await w.step("a")
        await w.step("b", undo_fails=[Boom("stuck")])
        await w.step("c")
        raise Boom("body")


@scenario(
    "+a +b -b -a",
    "rolled back with failures",
    "Boom: body | actionqueues: the undo of b met a conflict: RollbackConflict('theirs')",
    undone="a",
    conflicts=[{"step": "b", "error": "RollbackConflict('theirs')"}],
)
async def a_conflict_is_not_retried(w: World) -> None:
    async with w.block():
        await w.step("a")
        await w.step("b", undo_fails=[RollbackConflict("theirs")], undo_retry=AT_ONCE)
        raise Boom("body")


@scenario("+a -a -a -a", "rolled back", "Boom: body", undone="a")
async def an_undo_is_retried_by_its_own_policy(w: World) -> None:
    async with w.block():
        await w.step("a", undo_fails=[Boom("1"), ActionRetryException()], undo_retry=AT_ONCE)
        raise Boom("body")


@scenario(
    "+a +b -b -a",
    "rolled back with failures",
    "RollbackFailed: the transaction 'block': everything else was rolled back, but not b (1 sub-exception)"
    " [Boom: stuck]",
    undone="a",
    failures=[B_STUCK],
)
async def an_explicit_rollback_raises_what_failed(w: World) -> None:
    async with w.block() as q:
        await w.step("a")
        await w.step("b", undo_fails=[Boom("stuck")])
        await q.rollback()


@scenario("+a +b -b +c -a", "rolled back", "Boom: body", undone="b a")
async def a_step_called_by_a_handler_belongs_to_no_block(w: World) -> None:
    async with w.block():
        await w.step("a")
        await w.step("b", undo=lambda _: w.step("c"))
        raise Boom("body")


NOTED = "actionqueues: the undo of b failed: Boom('stuck')"
LEFT = "Boom: body | actionqueues: not undone: b (no rollback handler), a (irreversible)"
AGAIN = f"Boom: body | {NOTED} | actionqueues: not tried again, because something that it had made was left behind"


@scenario("+a +b +c -c", "rolled back", LEFT, undone="c", not_undone="b a")
async def what_cannot_be_undone_is_listed(w: World) -> None:
    async with w.block():
        await w.step("a", irreversible=True, undo=False)
        await w.step("b", undo=False)
        await w.step("c")
        raise Boom("body")


@scenario(
    "+a +b -b -a",
    "rolled back with failures",
    "Stop: undo | actionqueues: here <- Boom: body | actionqueues: the undo of b failed: Stop('undo')",
    undone="a",
    failures=[{"step": "b", "error": "Stop('undo')"}],
)
async def what_is_no_exception_is_raised_once_everything_is_undone(w: World) -> None:
    stop = Stop("undo")
    stop.add_note("actionqueues: here")
    async with w.block():
        await w.step("a")
        await w.step("b", undo_fails=[stop])
        raise Boom("body")


@scenario("+a +b -b -a", "rolled back with failures", f"Boom: b | {NOTED}", undone="a", failures=[B_STUCK])
async def a_failed_step_whose_undo_fails_says_so_once(w: World) -> None:
    async with w.block():
        await w.step("a")
        await w.step("b", fails=[Boom("b")], undo_fails=[Boom("stuck")])


@scenario("+a +b -b !Boom -a", "rolled back with failures", f"Boom: body | {NOTED}", undone="a", failures=[B_STUCK])
async def a_doomed_block_that_fails_ends_with_failures(w: World) -> None:
    async with w.block():
        await w.step("a")
        with w.caught():
            await w.step("b", fails=[Boom("b")], undo_fails=[Boom("stuck")])
        raise Boom("body")


@scenario("+a +b -b -a end", "rolled back", undone="b a", dropped="c")
async def a_rollback_of_a_clean_block_raises_nothing_and_drops_the_queue(w: World) -> None:
    async with w.block() as q:
        await w.step("a")
        await w.step("b")
        q.add(w.define("c"))
        await q.rollback()
    w.say("end")


# ---------------------------------------------------------------- savepoints


@scenario("+a +b +c -c -b -a", "rolled back", "Boom: deep", undone="c b a")
async def a_failure_goes_out_through_all_savepoints(w: World) -> None:
    async with w.block():
        await w.step("a")
        async with w.block("middle"):
            await w.step("b")
            async with w.block("deep"):
                await w.step("c")
                raise Boom("deep")


@scenario("body +b +a", "committed")
async def the_queue_of_a_savepoint_runs_when_that_ends(w: World) -> None:
    async with w.block() as q:
        q.add(w.define("a"))
        async with w.block("inner") as inner:
            inner.add(w.define("b"))
            w.say("body")


@scenario("+a +b -b after +c", "committed", undone="b")
async def a_savepoint_that_is_rolled_back_by_hand_leaves_the_outer_block_open(w: World) -> None:
    async with w.block():
        await w.step("a")
        async with w.block("inner") as inner:
            await w.step("b")
            await inner.rollback()
        w.say("after")
        await w.step("c")


@scenario("+a +b +c -c -b !Boom +d -d -a", "rolled back", "Boom: body", undone="c b d a")
async def a_savepoint_inside_a_savepoint_is_undone_with_it(w: World) -> None:
    async with w.block():
        await w.step("a")
        with w.caught():
            async with w.block("middle"):
                await w.step("b")
                async with w.block("deep"):
                    await w.step("c")
                raise Boom("middle")
        await w.step("d")
        raise Boom("body")


NESTED = (
    "NestedTransaction: the transaction 'inner' is declared outermost=True, but was entered inside the transaction "
    "'block'; enter it outside, drop outermost=True to make it a savepoint, or use independent=True to share nothing"
)


@scenario("+a -a", "rolled back", NESTED, undone="a")
async def an_outermost_block_refuses_to_be_a_savepoint(w: World) -> None:
    async with w.block():
        await w.step("a")
        async with w.block("inner", outermost=True):
            await w.step("b")


@scenario("+a +b +c +d -d -c -b -a", "rolled back", "Boom: body", undone="d c b a")
async def the_steps_of_a_savepoint_keep_their_place(w: World) -> None:
    async with w.block() as q:
        await w.step("a")
        async with w.block():
            await w.step("b")
        async with q.savepoint("by name"):
            await w.step("c")
        await w.step("d")
        raise Boom("body")


@scenario("+a +b -b !Boom +c -c -a", "rolled back", "Boom: body", undone="b c a")
async def a_caught_savepoint_is_undone_once(w: World) -> None:
    async with w.block():
        await w.step("a")
        with w.caught():
            async with w.block():
                await w.step("b")
                raise Boom("inner")
        await w.step("c")
        raise Boom("body")


@scenario("+a +b -b !Boom -a", "rolled back with failures", DOOMED, undone="a", failures=[B_STUCK])
async def a_failed_undo_in_a_savepoint_dooms_the_outer_block(w: World) -> None:
    async with w.block():
        await w.step("a")
        with w.caught():
            async with w.block("inner"):
                await w.step("b", undo_fails=[Boom("stuck")])
                raise Boom("inner")


@scenario("+a +b hook -a", "rolled back", "Boom: body", undone="a")
async def an_independent_block_shares_nothing(w: World) -> None:
    async with w.block():
        await w.step("a")
        async with w.block("apart", independent=True) as apart:
            await w.step("b")
            apart.on_commit(w.say, "hook")
        raise Boom("body")


# ---------------------------------------------------------------- hooks, rollback, retries


@scenario("+a +b -b !Boom +c body 1 3 4", "committed", undone="b")
async def hooks_run_in_order_after_the_outermost_commit(w: World) -> None:
    async with w.block() as q:
        q.on_commit(w.say, 1)
        await w.step("a")
        with w.caught():
            async with w.block() as undone:
                undone.on_commit(w.say, 2)
                await w.step("b", fails=[Boom("b")])
        async with w.block() as kept:
            kept.on_commit(w.say, 3)
            await w.step("c")
        q.on_commit(w.say, 4)
        w.say("body")


def fail() -> None:
    """A hook that fails."""
    raise Boom("failed")


@scenario(
    "+a 1",
    "committed",
    "CommitHookFailed: the transaction 'block' has committed, but these commit hooks failed: fail "
    "(1 sub-exception) [Boom: failed]",
    hook_failures=[{"hook": "fail", "error": "Boom('failed')"}],
)
async def a_failed_hook_undoes_nothing(w: World) -> None:
    async with w.block() as q:
        q.on_commit(fail)
        q.on_commit(w.say, 1)
        await w.step("a")


@scenario("+a -a !Boom", "rolled back", "Boom: body", undone="a")
async def a_block_that_fails_calls_no_hook(w: World) -> None:
    async with w.block() as q:
        q.on_commit(w.say, 1)
        with w.caught():
            await w.step("a", fails=[Boom("a")])
        raise Boom("body")


@scenario("+a -a !Boom +b +b hook-2", "committed", undone="a")
async def a_hook_of_a_step_that_failed_is_dropped(w: World) -> None:
    async with w.block() as q:

        async def register(_: Any) -> None:
            q.on_commit(w.say, f"hook-{current_step().attempts}")

        with w.caught():
            await w.step("a", body=register, fails=[Boom("a")])
        await w.step("b", body=register, fails=[Boom("once")], retry=AT_ONCE)


CLOSED = (
    "TransactionClosed: b came too late: the transaction 'block' was rolled back by q.rollback(), and nothing was run; "
    "call it before that, or in a transaction of its own"
)


@scenario("+a -a", "rolled back", CLOSED, undone="a")
async def a_step_after_the_rollback_is_refused_before_it_runs(w: World) -> None:
    async with w.block() as q:
        await w.step("a")
        await q.rollback()
        await w.step("b")


@scenario("+a -a !TransactionClosed !TransactionClosed end", "rolled back", undone="a")
async def an_explicit_rollback_closes_the_block(w: World) -> None:
    async with w.block() as q:
        await w.step("a")
        await q.rollback()
        with w.caught():
            await w.step("b")
        with w.caught():
            await q.rollback()
        w.say("end")


@scenario(
    "+a +a -a -a",
    "rolled back",
    "Boom: 3 | actionqueues: gave up after 2 attempts in … s: attempts=2 allows no more",
    undone="a",
)
async def a_step_gives_up_after_its_attempts(w: World) -> None:
    async with w.block():
        retry = Retry(attempts=2, wait_initial=0, wait_jitter=0)
        await w.step("a", fails=[ActionRetryException(), Boom("3")], undo_fails=[ActionRetryException()], retry=retry)


@scenario("+a +b -b +a +b -b -a", "rolled back", "Boom: body", undone="b b a")
async def the_inner_steps_of_an_attempt_are_undone_before_the_next(w: World) -> None:
    async with w.block():
        await w.step(
            "a",
            body=lambda _: w.step("b"),
            fails=[Boom("once")],
            retry=lambda _, error: 0 if isinstance(error, Boom) else None,
        )
        raise Boom("body")


@scenario("+a +b -b -a +a +b done", "rolled back", undone="b a")
async def a_decorated_function_is_called_again_as_a_whole(w: World) -> None:
    b = w.define("b", fails=[Boom("once")])

    async def body() -> None:
        w.blocks.append(current_transaction())
        await w.step("a")
        await w.call(b)

    await w.call(w.decorate(body, "again", retry=AT_ONCE))
    w.say("done")


@scenario("+a +b -b -a", "rolled back with failures", AGAIN, undone="a", failures=[B_STUCK])
async def a_decorated_function_is_not_called_again_after_a_failed_undo(w: World) -> None:
    async def body() -> None:
        w.blocks.append(current_transaction())
        await w.step("a")
        await w.step("b", undo_fails=[Boom("stuck")])
        raise Boom("body")

    await w.call(w.decorate(body, "again", retry=AT_ONCE))


@scenario("+a +b -b +b -b !Boom +c", "committed", undone="b b")
async def a_decorated_function_in_a_block_is_a_savepoint_that_is_retried(w: World) -> None:
    b = w.define("b", fails=[Boom("1"), Boom("2")])
    retry = Retry(attempts=2, wait_initial=0, wait_jitter=0)
    async with w.block():
        await w.step("a")
        with w.caught():
            await w.call(w.decorate(lambda: w.call(b), "inner", retry=retry))
        await w.step("c")


@scenario("+a -a", "rolled back", "Boom: other", undone="a")
async def an_error_that_the_policy_does_not_name_is_not_retried(w: World) -> None:
    async with w.block():
        await w.step("a", fails=[Boom("other")], retry=Retry(on=KeyError))


@scenario(
    "+a -a",
    "rolled back",
    "Boom: 1 | actionqueues: not retried, because the retry policy failed: ZeroDivisionError('division by zero')",
    undone="a",
)
async def a_policy_that_fails_does_not_hide_the_error(w: World) -> None:
    async with w.block():
        await w.step("a", fails=[Boom("1")], retry=lambda attempt, error: 1 / 0)


@scenario("+a +a +a gave-up +b", "committed", not_undone="a")
async def a_policy_bounds_what_the_step_asks_for_itself(w: World) -> None:
    retry = Retry(attempts=3, wait_initial=0, wait_jitter=0, on=KeyError)
    async with w.block():
        try:
            await w.step("a", fails=[ActionRetryException() for _ in range(4)], undo=False, retry=retry)
        except ActionRetryException:
            w.say("gave-up")
        await w.step("b")
