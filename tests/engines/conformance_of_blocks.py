"""The list of `conformance.py`, continued: savepoints, marks, hooks, and what happens at the same time."""

from __future__ import annotations

import asyncio

from .conformance import BODY
from .doing import Boom, failing_hook, hook
from .stage import Stage, scenario, settled

# ---------------------------------------------------------------- savepoints


@scenario("+a +b +c -c -b +d", "committed", said="!Boom", undone="do do")
async def a_savepoint_whose_failure_is_caught_is_undone_and_the_block_commits(w: Stage) -> None:
    async with w.block() as q:
        await w.step("a")
        with w.caught():
            async with q.savepoint():
                await w.step("b")
                await w.step("c", fails=["Boom"])
        await w.step("d")


@scenario("+a +b +c +d -d -c -b -a", "rolled back", BODY, undone="do do do do")
async def a_savepoint_that_has_succeeded_is_undone_in_its_place_later(w: Stage) -> None:
    async with w.block() as q:
        await w.step("a")
        async with q.savepoint("outer") as outer:
            await w.step("b")
            async with outer.savepoint("inner"):
                await w.step("c")
        await w.step("d")
        raise Boom("body")


@scenario("+a +b -b +c -c -a", "rolled back", BODY, said="!Boom", undone="do do do")
async def nothing_is_undone_twice(w: Stage) -> None:
    async with w.block() as q:
        await w.step("a")
        with w.caught():
            async with q.savepoint():
                await w.step("b")
                raise Boom("inner")
        await w.step("c")
        raise Boom("body")


@scenario("+a +b +c -c -b -a", "rolled back", "Boom: c", undone="do do do")
async def a_failure_goes_out_through_all_savepoints(w: Stage) -> None:
    async with w.block() as q:
        await w.step("a")
        async with q.savepoint("outer") as outer:
            await w.step("b")
            async with outer.savepoint("inner"):
                await w.step("c", fails=["Boom"])


@scenario("+a +b -b +c", "committed", undone="do")
async def a_savepoint_may_be_rolled_back_by_hand(w: Stage) -> None:
    async with w.block() as q:
        await w.step("a")
        async with q.savepoint() as inner:
            await w.step("b")
            await inner.rollback()
        await w.step("c")


@scenario(
    "+a +b -b -a",
    "rolled back with failures",
    "TransactionDoomed: the transaction 'block' was rolled back instead of committed, because an undo inside it had "
    "failed: do; see q.report.failures, and put right by hand what they left",
    said="!Boom",
    undone="do",
    failures=[{"step": "do", "error": "Boom('b')"}],
)
async def an_undo_that_fails_in_a_savepoint_keeps_the_block_from_committing(w: Stage) -> None:
    async with w.block() as q:
        await w.step("a")
        with w.caught():
            async with q.savepoint():
                await w.step("b", undo_fails=["Boom"])
                raise Boom("inner")


# ---------------------------------------------------------------- marks


@scenario("+a +b +c -c -b +d -d -a", "rolled back", BODY, undone="do do do do")
async def what_came_after_a_mark_is_undone_and_the_block_goes_on(w: Stage) -> None:
    async with w.block() as q:
        await w.step("a")
        mark = q.mark()
        await w.step("b")
        await w.step("c")
        await q.rollback(to=mark)
        await w.step("d")
        raise Boom("body")


@scenario("+a +b -b +c -c +d first", "committed", undone="do do")
async def a_mark_may_be_gone_back_to_again_and_hooks_after_it_are_dropped(w: Stage) -> None:
    async with w.block() as q:
        q.on_commit(hook, w.run, "first")
        await w.step("a")
        mark = q.mark("start")
        for name in "bc":
            q.on_commit(hook, w.run, name)
            await w.step(name)
            await q.rollback(to=mark)
        await w.step("d")


# ---------------------------------------------------------------- rollback by hand


@scenario("+a +b -b -a", "rolled back", said="!TransactionClosed end", undone="do do", dropped="do")
async def a_rollback_by_hand_undoes_all_and_closes_the_block(w: Stage) -> None:
    async with w.block() as q:
        await w.step("a")
        await w.step("b")
        w.add(q, "c")
        await q.rollback()
        with w.caught():
            await w.step("d")
        w.say("end")


@scenario(
    "+a +b -b -a",
    "rolled back with failures",
    "RollbackFailed: the transaction 'block': everything else was rolled back, but not do (1 sub-exception) [Boom: b]",
    undone="do",
    failures=[{"step": "do", "error": "Boom('b')"}],
)
async def a_rollback_by_hand_raises_what_failed(w: Stage) -> None:
    async with w.block() as q:
        await w.step("a")
        await w.step("b", undo_fails=["Boom"])
        await q.rollback()


@scenario("+a -a", "rolled back", said="!TransactionClosed", undone="do")
async def a_step_after_the_block_has_closed_is_refused_before_it_runs(w: Stage) -> None:
    async with w.block() as q:
        await w.step("a")
        await q.rollback()
        with w.caught():
            await w.step("b")


@scenario("+a -a", "rolled back", "Boom: body", undone="do", said="!TransactionClosed", is_async=True)
async def a_task_that_comes_too_late_is_refused(w: Stage) -> None:
    over = asyncio.Event()

    async def late() -> None:
        await over.wait()
        with w.caught():
            await w.step("b")

    tasks: list[asyncio.Task[None]] = []
    try:
        async with w.block():
            tasks.append(asyncio.create_task(late()))
            await asyncio.sleep(0)
            await w.step("a")
            raise Boom("body")
    finally:
        over.set()
        await asyncio.gather(*tasks)


# ---------------------------------------------------------------- hooks


@scenario("+a +b one two", "committed", said="body")
async def hooks_run_in_order_after_everything_has_succeeded(w: Stage) -> None:
    async with w.block() as q:
        q.on_commit(hook, w.run, "one")
        await w.step("a")
        async with q.savepoint() as inner:
            inner.on_commit(hook, w.run, "two")
            await w.step("b")
        w.say("body")


@scenario(
    "+a one two three",
    "committed",
    "CommitHookFailed: the transaction 'block' has committed, but these commit hooks failed: failing_hook "
    "(1 sub-exception) [Boom: two]",
    hook_failures=[{"hook": "failing_hook", "error": "Boom('two')"}],
)
async def a_hook_that_fails_undoes_nothing_and_the_others_run(w: Stage) -> None:
    async with w.block() as q:
        q.on_commit(hook, w.run, "one")
        q.on_commit(failing_hook, w.run, "two")
        q.on_commit(hook, w.run, "three")
        await w.step("a")


@scenario("+a +b -b outer", "committed", said="!Boom", undone="do")
async def the_hooks_of_a_savepoint_that_was_undone_are_dropped(w: Stage) -> None:
    async with w.block() as q:
        q.on_commit(hook, w.run, "outer")
        await w.step("a")
        with w.caught():
            async with q.savepoint() as inner:
                inner.on_commit(hook, w.run, "inner")
                await w.step("b", fails=["Boom"])


@scenario("+a -a", "rolled back", BODY, undone="do")
async def a_block_that_fails_runs_no_hook(w: Stage) -> None:
    async with w.block() as q:
        q.on_commit(hook, w.run, "hook")
        await w.step("a")
        raise Boom("body")


# ---------------------------------------------------------------- more blocks than one


@scenario("+a +b +c -c -b", "committed", said="!Boom")
async def a_block_after_a_block_is_its_own(w: Stage) -> None:
    async with w.block("first"):
        await w.step("a")
    with w.caught():
        async with w.block("second"):
            await w.step("b")
            await w.step("c", fails=["Boom"])


@scenario("+a +b hook +c -c -a", "rolled back", BODY, undone="do do")
async def an_independent_block_shares_nothing_with_the_one_around_it(w: Stage) -> None:
    async with w.block():
        await w.step("a")
        async with w.block("apart", independent=True) as apart:
            await w.step("b")
            apart.on_commit(hook, w.run, "hook")
        await w.step("c")
        raise Boom("body")


@scenario("+a +b +c -c -b +d -d -a", "rolled back", BODY, said="!Boom", undone="do do do do")
async def a_block_in_a_block_is_a_savepoint_where_the_outer_one_runs(w: Stage) -> None:
    async with w.block():
        await w.step("a")
        with w.caught():
            async with w.inner("inner"):
                await w.step("b")
                await w.step("c", fails=["Boom"])
        await w.step("d")
        raise Boom("body")


@scenario("+a +b -b -a", "rolled back", "Boom: b", undone="do do")
async def a_decorated_function_opens_a_block_for_each_call(w: Stage) -> None:
    async def body() -> None:
        w.here()
        await w.step("a")
        await w.step("b", fails=["Boom"])

    await settled(w.decorated(body, "block")())


# ---------------------------------------------------------------- at the same time


@scenario(
    "{+a +b +c} +d -d {-c -b -a}", "rolled back", BODY, said="A B C True", beside=True, undone="do do patient retried"
)
async def steps_that_run_at_the_same_time_are_undone_in_reverse_order_of_start(w: Stage) -> None:
    try:
        async with w.block() as q:
            kinds = {"a": "do", "b": "retried", "c": "patient"}
            for result in await asyncio.gather(*(w.step(name, kind=kind) for name, kind in kinds.items())):
                w.say(result)
            await w.step("d")
            raise Boom("body")
    finally:
        started = [step.name for step in q.report.steps]
        w.say(q.report.undone == started[::-1])


@scenario("{+a +b +c} {-a -b -c}", "rolled back", BODY, beside=True, undone="do do do")
async def what_ran_at_the_same_time_may_be_undone_at_the_same_time(w: Stage) -> None:
    async with w.block(undo_concurrently=True):
        await asyncio.gather(*(w.step(name) for name in "abc"))
        raise Boom("body")


@scenario("+a +b -b -a", "rolled back", "Boom: b", undone="following lasting", beside=True)
async def a_step_that_still_runs_when_another_one_fails_is_cancelled_and_undone(w: Stage) -> None:
    async with w.block():
        await asyncio.gather(
            w.step("a", kind="lasting"),
            w.step("b", "a", kind="following", fails=["Boom"]),
        )


# ---------------------------------------------------------------- time-outs


async def too_long(w: Stage) -> None:
    """A step that lasts, in a time limit that ends once it is seen to run."""

    async def hurry(limit: asyncio.Timeout) -> None:
        await w.step("c", "b", kind="watching")
        limit.reschedule(asyncio.get_running_loop().time() + 0.01)

    async with asyncio.timeout(None) as limit:
        await asyncio.gather(w.step("b", kind="lasting"), hurry(limit))


@scenario("+a +b +c -b -a", "rolled back", "TimeoutError: ", undone="do lasting", beside=True)
async def a_block_that_runs_out_of_time_in_the_middle_of_a_step_is_undone(w: Stage) -> None:
    async with w.block():
        await w.step("a")
        await too_long(w)


@scenario("+a +b +c -b +d", "committed", said="!TimeoutError", undone="lasting", beside=True)
async def a_time_out_that_is_caught_undoes_the_step_that_it_hit(w: Stage) -> None:
    async with w.block():
        await w.step("a")
        with w.caught():
            await too_long(w)
        await w.step("d")


@scenario("+a +b -b -a", "rolled back", "TimeoutError: not done within 0.3 s", undone="limited do", is_async=True)
async def a_step_that_takes_longer_than_it_may_fails(w: Stage) -> None:
    async with w.block():
        await w.step("a")
        await w.step("b", kind="limited")
