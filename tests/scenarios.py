"""The semantics as a list of small programs: steps, the queue, and what handlers know.

Each is written once, against a `World`, and says what its trail, the state and report of its first block, and the
exception that leaves it must be; every driver runs it.  In a trail, ``+a`` is the body of step a, ``-a`` its undo, and
``!Boom`` an exception that the program caught.  `scenarios_of_ends.py` and `scenarios_of_marks.py`
go on with this list.
"""

from __future__ import annotations

from typing import Any

from actionqueues import current_step

from .world import AT_ONCE, Boom, Stop, World, scenario

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


@scenario("body", "committed")
async def an_empty_block_commits(w: World) -> None:
    async with w.block():
        w.say("body")


@scenario("+a 1 2", "committed")
async def hooks_of_a_block_without_failures_run_at_its_end(w: World) -> None:
    async with w.block() as q:
        q.on_commit(w.say, 1)
        q.on_commit(w.say, 2)
        await w.step("a")


AGAIN_ENTERED = (
    "IllegalOperation: cannot enter the transaction 'block': it is committed; a transaction object serves one block; "
    "make another one for the next"
)


@scenario("+a", "committed", AGAIN_ENTERED)
async def a_transaction_serves_one_block(w: World) -> None:
    block = w.block()
    async with block:
        await w.step("a")
    async with block:
        await w.step("b")


# ---------------------------------------------------------------- the queue


@scenario("body +a +b", "committed")
async def queued_steps_run_in_order_when_the_block_ends(w: World) -> None:
    async with w.block() as q:
        q.add(w.define("a"))
        q.add(w.define("b"))
        w.say("body")


QUEUED = "actionqueues: {} was queued at scenarios.py"


@scenario("+a direct +b -b -a", "rolled back", f"Boom: late | {QUEUED.format('b')}", undone="b a")
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


@scenario("+a +b -b -a", "rolled back", f"Boom: b | {QUEUED.format('b')}", undone="b a", dropped="c d")
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


class Tool:
    """An action object."""

    def __init__(self, world: World) -> None:
        self.world = world

    def execute(self) -> None:
        self.world.say("execute")

    def rollback(self) -> None:
        self.world.say("rollback")


SAID = "Boom: body | actionqueues: not undone: World.say (no rollback handler)"


@scenario("execute said rollback", "rolled back", SAID, undone="Tool", not_undone="World.say")
async def objects_and_plain_callables_can_be_queued(w: World) -> None:
    async with w.block() as q:
        q.add(Tool(w))
        q.add(w.say, "said")
        await q.execute()
        raise Boom("body")


EARLY = (
    "IllegalOperation: cannot run b: one of its arguments is the result of a, which is queued; queue a before it, in "
    f"the same transaction, and let it succeed | {QUEUED.format('b')}"
)


@scenario("", "rolled back", EARLY, dropped="a b")
async def a_result_that_is_not_there_yet_is_refused(w: World) -> None:
    async with w.block() as q, w.block() as inner:
        inner.add(w.define("b"), q.add(w.define("a")))


@scenario("+a +b -b hand -a", "rolled back", "Boom: body", undone="b World.say a")
async def an_undo_by_hand_has_its_place_in_the_order(w: World) -> None:
    async with w.block() as q:
        await w.step("a")
        q.on_rollback(w.say, "hand")
        await w.step("b")
        raise Boom("body")


# ---------------------------------------------------------------- what a handler and a step know


SKIPPED = "actionqueues: not undone: b (undo_b needs its result, which it does not have)"


@scenario("+a +b -a !Boom +c -c", "rolled back", f"Boom: body | {SKIPPED}", undone="a c", skipped="b")
async def a_handler_that_needs_a_result_is_skipped_without_one(w: World) -> None:
    async with w.block():
        with w.caught():
            await w.step("a", body=lambda _: w.step("b", needs_result=True, fails=[Boom("b")]))
        await w.step("c", needs_result=True)
        raise Boom("body")


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
