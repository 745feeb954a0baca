"""The semantics as a list of small programs, each with the trail, the end and the error that it must have.

They are written once, as coroutines against a `World` (see `test_scenarios.py`), and run by every driver.  In a trail,
``+a`` is the body of step a, ``-a`` its undo, ``!Boom`` an exception that the program caught.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from actionqueues import ActionRetryException, Retry, RollbackConflict, current_step

if TYPE_CHECKING:
    from .test_scenarios import World

Program: TypeAlias = "Callable[[World], Awaitable[None]]"
AT_ONCE = Retry(attempts=3, wait_initial=0, wait_jitter=0)
SCENARIOS: list[Scenario] = []


class Boom(Exception):
    """What goes wrong."""


class Stop(BaseException):
    """What goes wrong and is no `Exception`."""


@dataclass(frozen=True)
class Scenario:
    run: Program
    trail: list[str]
    state: str
    error: str
    report: dict[str, list[Any]]


def scenario(trail: str, state: str, error: str = "", **report: str | list[Any]) -> Callable[[Program], Program]:
    """Register a program; `report` is what the report of its first block holds, errors and names as words."""
    lists = {key: value.split() if isinstance(value, str) else value for key, value in report.items()}

    def register(run: Program) -> Program:
        SCENARIOS.append(Scenario(run, trail.split(), state, error, lists))
        return run

    return register


# ---------------------------------------------------------------- direct calls, and the way out


@scenario("+a A +b(7) B", "committed")
async def a_call_runs_at_once_and_returns_its_value(w: World) -> None:
    async with w.block():
        w.say(await w.step("a"))
        w.say(await w.step("b", 7))


@scenario("+a", "rolled back", "Boom: body")
async def outside_any_block_an_action_is_the_plain_function(w: World) -> None:
    await w.step("a")
    async with w.block():
        raise Boom("body")


@scenario("!NoTransaction +a -a", "rolled back", "Boom: body", undone="a")
async def an_action_that_requires_a_transaction_runs_only_in_one(w: World) -> None:
    a = w.define("a", transaction_required=True)
    with w.caught():
        await w.call(a)
    async with w.block():
        await w.call(a)
        raise Boom("body")


@scenario("+a +b +c -c -b -a", "rolled back", "Boom: body", undone="c b a")
async def a_body_that_fails_is_undone_in_reverse(w: World) -> None:
    async with w.block():
        for name in "abc":
            await w.step(name)
        raise Boom("body")


@scenario("+a +b -b -a", "rolled back", "Stop: now", undone="b a")
async def any_base_exception_undoes_everything(w: World) -> None:
    async with w.block():
        await w.step("a")
        await w.step("b", fails=[Stop("now")])


@scenario("+a -a !Boom +b -b", "rolled back", "Boom: body", undone="a b")
async def a_failed_step_is_undone_before_the_code_around_it_goes_on(w: World) -> None:
    async with w.block():
        with w.caught():
            await w.step("a", fails=[Boom("a")])
        await w.step("b")
        raise Boom("body")


@scenario("+a +b -b !Boom +c", "committed", undone="b")
async def a_caught_failure_leaves_nothing_in_the_commit(w: World) -> None:
    async with w.block():
        await w.step("a")
        with w.caught():
            await w.step("b", fails=[Boom("full")])
        await w.step("c")


DOOMED = (
    "TransactionDoomed: the transaction 'block' was rolled back instead of committed, because an undo inside it had "
    "failed: b; see q.report.failures, and put right by hand what they left"
)
B_STUCK = {"step": "b", "error": "Boom('stuck')"}


@scenario("+a +b -b !Boom +c -c -a", "rolled back with failures", DOOMED, undone="c a", failures=[B_STUCK])
async def a_failed_undo_dooms_the_transaction(w: World) -> None:
    async with w.block():
        await w.step("a")
        with w.caught():
            await w.step("b", fails=[Boom("b")], undo_fails=[Boom("stuck")])
        await w.step("c")


@scenario("+a +b +c -c -b -a", "rolled back", "Boom: body", undone="c b a")
async def a_step_inside_a_step_is_undone_before_it(w: World) -> None:
    async with w.block():
        await w.step("a", body=lambda _: w.step("b", body=lambda _: w.step("c")))
        raise Boom("body")


@scenario("+a +b -b !Boom -a", "rolled back", "Boom: body", undone="b a")
async def a_failed_inner_step_that_the_outer_one_catches_is_undone_at_once(w: World) -> None:
    async def body(_: Any) -> None:
        with w.caught():
            await w.step("b", fails=[Boom("b")])

    async with w.block():
        await w.step("a", body=body)
        raise Boom("body")


@scenario("+a +b -b -a !Boom +c", "committed", undone="b a")
async def a_failed_outer_step_takes_its_inner_ones_along(w: World) -> None:
    async with w.block():
        with w.caught():
            await w.step("a", body=lambda _: w.step("b"), fails=[Boom("a")])
        await w.step("c")


# ---------------------------------------------------------------- the queue


@scenario("body +a +b", "committed")
async def queued_steps_run_in_order_when_the_block_ends(w: World) -> None:
    async with w.block() as q:
        q.add(w.define("a"))
        q.add(w.define("b"))
        w.say("body")


@scenario("+a direct +b -b -a", "rolled back", "Boom: late", undone="b a")
async def queued_steps_run_at_execute_and_the_rest_at_the_end(w: World) -> None:
    async with w.block() as q:
        q.add(w.define("a"))
        await q.execute()
        q.add(w.define("b", fails=[Boom("late")]))
        w.say("direct")


@scenario("+a +b(A) +c(B)", "committed")
async def a_queued_step_stands_for_its_result(w: World) -> None:
    async with w.block() as q:
        a = q.add(w.define("a"))
        q.add(w.define("c"), q.add(w.define("b"), a))


@scenario("+a +b -b -a", "rolled back", "Boom: b", undone="b a", dropped="c d")
async def steps_behind_a_failed_one_are_never_started(w: World) -> None:
    async with w.block() as q:
        for name, fails in (("a", []), ("b", [Boom("b")]), ("c", []), ("d", [])):
            q.add(w.define(name, fails=fails))


@scenario("+a +b -b !Boom +c", "committed", undone="b")
async def a_caught_failure_of_the_queue_leaves_the_rest_queued(w: World) -> None:
    async with w.block() as q:
        for name, fails in (("a", []), ("b", [Boom("b")]), ("c", [])):
            q.add(w.define(name, fails=fails))
        with w.caught():
            await q.execute()


@scenario("body", "rolled back", "Boom: body", dropped="a")
async def a_failed_body_drops_what_is_queued(w: World) -> None:
    async with w.block() as q:
        q.add(w.define("a"))
        w.say("body")
        raise Boom("body")


EARLY = (
    "IllegalOperation: cannot run b: one of its arguments is the result of a, which is queued; queue a before it, in "
    "the same transaction, and let it succeed"
)


@scenario("", "rolled back", EARLY, dropped="b a")
async def a_result_that_is_not_there_yet_is_refused(w: World) -> None:
    async with w.block() as q:
        async with w.block() as inner:
            inner.add(w.define("b"), q.add(w.define("a")))


@scenario("+a +b -b hand -a", "rolled back", "Boom: body", undone="b say a")
async def an_undo_by_hand_has_its_place_in_the_order(w: World) -> None:
    async with w.block() as q:
        await w.step("a")
        q.on_rollback(w.say, "hand")
        await w.step("b")
        raise Boom("body")


# ---------------------------------------------------------------- what a handler and a step know


@scenario("+a -a skipped", "committed", undone="a", skipped="b")
async def a_handler_that_needs_a_result_is_skipped_without_one(w: World) -> None:
    async with w.block():
        try:
            await w.step("a", body=lambda _: w.step("b", needs_result=True, body=w.fail), needs_result=False)
        except Boom:
            w.say("skipped")


@scenario("+a(1) +b -b B None -a A 1", "rolled back", "Boom: body", undone="b a")
async def a_handler_sees_the_arguments_and_the_result(w: World) -> None:
    async def undo(step: Any) -> None:
        w.say(step.result)
        w.say(step.arguments["value"])

    async with w.block():
        await w.step("a", 1, undo=undo)
        await w.step("b", undo=undo)
        raise Boom("body")


@scenario("+a -a 17 Boom('half') failed", "rolled back", "Boom: half", undone="a")
async def a_failed_step_hands_its_progress_to_its_handler(w: World) -> None:
    async def body(_: Any) -> None:
        current_step().save(id=17)
        raise Boom("half")

    async def undo(step: Any) -> None:
        for word in (step.saved["id"], repr(step.error), step.state):
            w.say(word)

    async with w.block():
        await w.step("a", body=body, undo=undo)


@scenario("+a +a +b -b -a same", "rolled back", "Boom: body", undone="b a")
async def a_key_outlives_retries_and_differs_between_calls(w: World) -> None:
    keys: list[str] = []

    async def note(_: Any) -> None:
        keys.append(current_step().key)

    async def undo(step: Any) -> None:
        keys.append(step.key)
        again = keys[0] == keys[1] == keys[4] and keys[2] == keys[3]
        w.say("same" if again and len({*keys, step.undo_key}) == 3 else f"different: {keys}")

    async with w.block():
        await w.step("a", body=note, fails=[Boom("once")], retry=AT_ONCE, undo=undo)
        await w.step("b", body=note, undo=note)
        raise Boom("body")


@scenario("+a a +b b a -b b -a a !NoTransaction", "rolled back", "Boom: body", undone="b a")
async def the_current_step_is_the_innermost_one(w: World) -> None:
    async def inner(_: Any) -> None:
        w.say(current_step().name)

    async def outer(_: Any) -> None:
        w.say(current_step().name)
        await w.step("b", body=inner, undo=inner)
        w.say(current_step().name)

    try:
        async with w.block():
            await w.step("a", body=outer, undo=inner)
            raise Boom("body")
    finally:
        with w.caught():
            current_step()


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
    "Boom: body | actionqueues: the undo of b conflict: RollbackConflict('theirs')",
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
    "RollbackFailed: the transaction 'block': everything was rolled back, but the undo of b failed (1 sub-exception)"
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


@scenario("+a +b +c -c", "rolled back", "Boom: body", undone="c", not_undone="b a")
async def what_cannot_be_undone_is_listed(w: World) -> None:
    async with w.block():
        await w.step("a", irreversible=True)
        await w.step("b", undo=None)
        await w.step("c")
        raise Boom("body")


# ---------------------------------------------------------------- savepoints


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


@scenario(
    "+a 1",
    "committed",
    "CommitHookFailed: the transaction 'block' has committed, but these commit hooks failed: fail_now "
    "(1 sub-exception) [Boom: failed]",
    hook_failures=[{"hook": "fail_now", "error": "Boom('failed')"}],
)
async def a_failed_hook_undoes_nothing(w: World) -> None:
    async with w.block() as q:
        q.on_commit(w.fail_now)
        q.on_commit(w.say, 1)
        await w.step("a")


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


@scenario("+a +a -a -a", "rolled back", "Boom: 3 | actionqueues: gave up after 2 attempts in … s", undone="a")
async def a_step_gives_up_after_its_attempts(w: World) -> None:
    async with w.block():
        retry = Retry(attempts=2, wait_initial=0, wait_jitter=0)
        await w.step("a", fails=[ActionRetryException(), Boom("3")], undo_fails=[ActionRetryException()], retry=retry)


@scenario("+a +b -b +a +b -b -a", "rolled back", "Boom: body", undone="b b a")
async def the_inner_steps_of_an_attempt_are_undone_before_the_next(w: World) -> None:
    async with w.block():
        policy = lambda attempt, error: 0 if isinstance(error, Boom) else None  # noqa: E731 - as a user writes it
        await w.step("a", body=lambda _: w.step("b"), fails=[Boom("once")], retry=policy)
        raise Boom("body")


@scenario("+a +b -b -a +a +b done", "rolled back", undone="b a")
async def a_decorated_function_is_called_again_as_a_whole(w: World) -> None:
    b = w.define("b", fails=[Boom("once")])

    async def body() -> None:
        w.watch()
        await w.step("a")
        await w.call(b)

    await w.call(w.decorate(body, "again", retry=AT_ONCE))
    w.say("done")
