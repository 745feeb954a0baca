"""What must come of a block wherever its steps are run, as a list of scenarios: steps, undos, retries, handlers.

`conformance_of_blocks.py` goes on with the list.  Each is written once, and says what its effects, its own words, the
state and report of its block and the exception that leaves it are.  In a trail, ``+a`` is the body of step a, ``-a``
its undo; ``!Boom`` is an exception that the scenario has caught.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from .doing import Boom, Busy, Full, by_hand, hook
from .stage import Stage, scenario

BODY = "Boom: body"

# ---------------------------------------------------------------- a failure at each step


async def three(w: Stage, failing: str) -> None:
    async with w.block():
        for name in "abc":
            await w.step(name, fails=["Boom"] if name == failing else [])
        if failing == "body":
            raise Boom("body")


@scenario("+a +b +c", "committed")
async def nothing_fails(w: Stage) -> None:
    await three(w, "")


@scenario("+a -a", "rolled back", "Boom: a", undone="do")
async def the_first_step_fails(w: Stage) -> None:
    await three(w, "a")


@scenario("+a +b -b -a", "rolled back", "Boom: b", undone="do do")
async def the_second_of_three_steps_fails(w: Stage) -> None:
    await three(w, "b")


@scenario("+a +b +c -c -b -a", "rolled back", "Boom: c", undone="do do do")
async def the_last_step_fails(w: Stage) -> None:
    await three(w, "c")


@scenario("+a +b +c -c -b -a", "rolled back", BODY, undone="do do do")
async def the_code_of_the_block_fails_after_its_steps(w: Stage) -> None:
    await three(w, "body")


# ---------------------------------------------------------------- failures that are caught, and undos that fail


@scenario("+a +b -b +c", "committed", said="!Boom", undone="do")
async def a_step_whose_failure_is_caught_is_undone_at_once_and_the_block_goes_on(w: Stage) -> None:
    async with w.block():
        await w.step("a")
        with w.caught():
            await w.step("b", fails=["Boom"])
        await w.step("c")


@scenario(
    "+a +b +c -c -b -a",
    "rolled back with failures",
    "Boom: body | actionqueues: the undo of do failed: Boom('b')",
    undone="do do",
    failures=[{"step": "do", "error": "Boom('b')"}],
)
async def an_undo_that_fails_is_noted_and_the_others_run(w: Stage) -> None:
    async with w.block():
        await w.step("a")
        await w.step("b", undo_fails=["Boom"])
        await w.step("c")
        raise Boom("body")


@scenario("+a +b -b -b -a", "rolled back", BODY, undone="retried do")
async def an_undo_that_succeeds_when_it_is_tried_again_counts_once(w: Stage) -> None:
    async with w.block():
        await w.step("a")
        await w.step("b", kind="retried", undo_fails=["Boom"])
        raise Boom("body")


@scenario(
    "+a +b -b -b -b -a",
    "rolled back with failures",
    "Boom: body | actionqueues: the undo of retried failed: Boom('b')",
    undone="do",
    failures=[{"step": "retried", "error": "Boom('b')"}],
)
async def an_undo_that_fails_for_good_is_reported_after_its_attempts(w: Stage) -> None:
    async with w.block():
        await w.step("a")
        await w.step("b", kind="retried", undo_fails=["Boom", "again", "Boom"])
        raise Boom("body")


@scenario(
    "+a +b -b -a",
    "rolled back with failures",
    "Boom: body | actionqueues: the undo of retried met a conflict: RollbackConflict('b')",
    undone="do",
    conflicts=[{"step": "retried", "error": "RollbackConflict('b')"}],
)
async def a_conflict_is_reported_as_one_and_not_tried_again(w: Stage) -> None:
    async with w.block():
        await w.step("a")
        await w.step("b", kind="retried", undo_fails=["conflict"])
        raise Boom("body")


@scenario(
    "+a +b -b +c -c -a",
    "rolled back with failures",
    "TransactionDoomed: the transaction 'block' was rolled back instead of committed, because an undo inside it had "
    "failed: do; see q.report.failures, and put right by hand what they left",
    said="!Boom",
    undone="do do",
    failures=[{"step": "do", "error": "Boom('b')"}],
)
async def an_undo_that_has_failed_keeps_the_block_from_committing(w: Stage) -> None:
    async with w.block():
        await w.step("a")
        with w.caught():
            await w.step("b", fails=["Boom"], undo_fails=["Boom"])
        await w.step("c")


@scenario(
    "+a +b +c +d -d",
    "rolled back",
    "Boom: body | actionqueues: not undone: bare (no rollback handler), final (irreversible)",
    undone="do",
    not_undone="bare final",
)
async def what_nothing_undoes_is_listed_and_what_only_looks_is_not(w: Stage) -> None:
    async with w.block():
        await w.step("a", kind="final")
        await w.step("b", kind="bare")
        await w.step("c", kind="look")
        await w.step("d")
        raise Boom("body")


# ---------------------------------------------------------------- retries


@scenario("+a +a +a +b", "committed", said="A")
async def a_step_is_tried_again_until_it_succeeds(w: Stage) -> None:
    async with w.block():
        w.say(await w.step("a", kind="retried", fails=["Boom", "again"]))
        await w.step("b")


@scenario(
    "+a +b +b +b -b -a",
    "rolled back",
    "Boom: b | actionqueues: gave up after 3 attempts in … s: attempts=3 allows no more",
    undone="retried do",
)
async def a_step_that_gives_up_raises_its_last_error_and_is_undone_once(w: Stage) -> None:
    async with w.block():
        await w.step("a")
        await w.step("b", kind="retried", fails=["Boom", "Boom", "Boom"])


@scenario("+a +a +b -b -a", "rolled back", "Boom: b", undone="patient patient")
async def only_what_the_policy_names_is_tried_again(w: Stage) -> None:
    async with w.block():
        await w.step("a", kind="patient", fails=["Busy"])
        await w.step("b", kind="patient", fails=["Boom"])


@scenario("+a +a +a +a -a -a", "rolled back", BODY, undone="do")
async def a_step_may_ask_for_another_attempt_itself_and_so_may_an_undo(w: Stage) -> None:
    async with w.block():
        await w.step("a", fails=["again", "again", "again"], undo_fails=["again"])
        raise Boom("body")


@scenario(["+a", "+a", "+a", "-a 3"], "rolled back", BODY, said="3", undone="polled")
async def a_step_is_polled_until_its_result_will_do(w: Stage) -> None:
    async with w.block():
        w.say(await w.step("a", kind="polled"))
        raise Boom("body")


# ---------------------------------------------------------------- what a handler is given

DONE = "value=5 result='A' error=None cause={} state='done' attempts=1 saved={{'at': 7}} argument=5"


@scenario(["+a(5)", "-a " + DONE.format("Boom('body')")], "rolled back", BODY, undone="telling")
async def a_handler_is_given_arguments_result_and_cause(w: Stage) -> None:
    async with w.block():
        await w.step("a", 5, kind="telling", saves={"at": 7})
        raise Boom("body")


@scenario(["+a(5)", "-a " + DONE.format("None")], "rolled back", undone="telling")
async def nothing_is_the_cause_of_a_rollback_by_hand(w: Stage) -> None:
    async with w.block() as q:
        await w.step("a", 5, kind="telling", saves={"at": 7})
        await q.rollback()


FAILED = (
    "-b value=None result=None error=Boom('b') cause=Boom('b') state='failed' attempts=2 saved={'at': 8} argument=None"
)


NOT_AGAIN = "actionqueues: gave up after 2 attempts in … s: on=... says that this error is not worth another one"


@scenario(["+a", "+b", "+b", FAILED, "-a"], "rolled back", f"Boom: b | {NOT_AGAIN}", undone="telling do")
async def a_handler_is_given_the_error_and_what_the_step_had_saved_in_any_attempt(w: Stage) -> None:
    async with w.block():
        await w.step("a")
        await w.step("b", kind="telling", fails=["Busy", "Boom"], saves={"at": 8})


@scenario(
    ["+a", "+b", "-a A"],
    "rolled back",
    "Boom: b | actionqueues: not undone: needing (undo_needing needs its result, which it does not have)",
    undone="needing",
    skipped="needing",
)
async def a_handler_that_needs_a_result_is_skipped_where_there_is_none(w: Stage) -> None:
    async with w.block():
        await w.step("a", kind="needing")
        await w.step("b", kind="needing", fails=["Boom"])


FULL = "Full('Adlon has 2 free')"
TOLD = f"-a value=None result=None error={FULL} cause={FULL} state='failed' attempts=1 saved={{}} argument=None"


@scenario(["+a", TOLD], "committed", said="Adlon 2 ask-again-in-spring Busy('reception')", undone="telling")
async def an_error_comes_back_as_its_own_type_with_its_attributes_notes_and_cause(w: Stage) -> None:
    async with w.block():
        try:
            await w.step("a", kind="telling", fails=["Full"])
        except Full as error:
            for word in (error.hotel, error.free, error.__notes__[0].replace(" ", "-"), repr(error.__cause__)):
                w.say(word)


STAY = (date(2026, 12, 1), {"price": Decimal("99.50"), "rooms": [7, None, 1.5]}, b"\x00\xff")


@scenario(["+a", f"-a {STAY!r} {STAY!r}"], "rolled back", BODY, said="True", undone="echo")
async def arguments_and_results_keep_their_types(w: Stage) -> None:
    async with w.block():
        w.say(await w.step("a", STAY, kind="echo") == STAY)
        raise Boom("body")


@scenario("+a", "rolled back", "Busy: body | actionqueues: not undone: bare (no rollback handler)", not_undone="bare")
async def the_very_exception_that_left_the_block_goes_on(w: Stage) -> None:
    error = Busy("body")
    try:
        async with w.block():
            await w.step("a", kind="bare")
            raise error
    except Busy as raised:
        assert raised is error
        raise


# ---------------------------------------------------------------- the queue


@scenario("+a +b(A) +c(B)", "committed", said="body")
async def queued_steps_run_at_the_end_and_stand_for_their_results(w: Stage) -> None:
    async with w.block() as q:
        a = w.add(q, "a")
        w.add(q, "c", w.add(q, "b", a))
        w.say("body")


QUEUED = "actionqueues: do was queued at stage.py"


@scenario("+a +b -b -a", "rolled back", f"Boom: b | {QUEUED}", undone="do do", dropped="do")
async def queued_steps_behind_one_that_fails_are_never_started(w: Stage) -> None:
    async with w.block() as q:
        w.add(q, "a")
        w.add(q, "b", fails=["Boom"])
        w.add(q, "c")


@scenario("+a +b +c -c -b -a", "rolled back", BODY, undone="do do do")
async def queued_steps_run_when_the_block_says_so(w: Stage) -> None:
    async with w.block() as q:
        w.add(q, "a")
        w.add(q, "b")
        await q.execute()
        await w.step("c")
        raise Boom("body")


@scenario("+a hand-2 -a hand-1", "rolled back", BODY, undone="by_hand do by_hand")
async def undos_by_hand_have_their_place_in_the_order(w: Stage) -> None:
    async with w.block() as q:
        q.on_rollback(by_hand, w.run, "hand-1")
        await w.step("a")
        q.on_rollback(by_hand, w.run, "hand-2")
        raise Boom("body")


@scenario(
    "plain +a -a",
    "rolled back",
    "Boom: body | actionqueues: not undone: hook (no rollback handler)",
    undone="do",
    not_undone="hook",
)
async def a_plain_function_may_be_queued(w: Stage) -> None:
    async with w.block() as q:
        q.add(hook, w.run, "plain")
        w.add(q, "a")
        await q.execute()
        raise Boom("body")
