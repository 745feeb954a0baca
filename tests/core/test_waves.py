"""What has run at the same time is undone at the same time: `transaction(undo_concurrently=True)` (R20b)."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest

from actionqueues import (
    Retry,
    RollbackConflict,
    RollbackFailed,
    Step,
    TransactionClosed,
    TransactionState,
    action,
    current_step,
    transaction,
)
from tests.async_library import Library, everywhere, in_trio
from tests.async_stage import Boom, Moment, Stage, Stop, boom, flaky, mark, nest, put, work

AT_ONCE = Retry(attempts=3, wait_initial=0, wait_jitter=0)


def barrier(library: Library, count: int) -> Moment:
    """A moment that ends once so many have come to it."""
    there: list[None] = []
    go_on = library.event()

    async def wait() -> None:
        there.append(None)
        if len(there) == count:
            go_on.set()
        await go_on.wait()

    return wait


async def together(stage: Stage, *names: str, step: Any = put) -> None:
    """Steps each of which begins before any of the others has ended, in this order."""
    meet = barrier(stage.library, len(names))
    async with stage.library.group() as start:
        for name in names:
            start(partial(step, stage, name, after=meet))
            await stage.library.checkpoint(3)


def meeting(stage: Stage, *names: str) -> None:
    """Let the undos of these wait for each other."""
    meet = barrier(stage.library, len(names))
    stage.undoing.update((name, meet) for name in names)


# -- what overlaps, and what does not


@everywhere
def test_twenty_undos_of_steps_that_ran_together_all_wait_for_each_other(library: Library) -> None:
    stage, names = Stage(library), [f"n{number}" for number in range(20)]

    async def main() -> None:
        meeting(stage, *names)
        with pytest.raises(Boom):
            async with transaction(undo_concurrently=True) as q:
                await together(stage, *names)
                raise Boom
        assert q.state is TransactionState.ROLLED_BACK
        assert sorted(q.report.undone) == ["put"] * 20

    library.run(main)
    assert stage.present == set()
    assert sorted(stage.trail) == sorted(f"{sign}{name}" for sign in "+-" for name in names)


@everywhere
def test_without_the_option_one_undo_ends_before_the_next_one_begins(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        with pytest.raises(Boom):
            async with transaction(undo_concurrently=False):
                await together(stage, "a", "b", "c")
                raise Boom

    library.run(main)
    assert stage.told == "+a +b +c -c -b -a"
    assert stage.overlaps == []


@everywhere
def test_what_builds_on_each_other_is_undone_in_reverse_order(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        meeting(stage, "b", "c", "d")
        with pytest.raises(Boom):
            async with transaction(undo_concurrently=True):
                await put(stage, "a")
                await together(stage, "b", "c", "d")
                await put(stage, "e")
                await put(stage, "f")
                raise Boom

    library.run(main)
    assert stage.trail[:8] == ["+a", "+b", "+c", "+d", "+e", "+f", "-f", "-e"]
    assert set(stage.trail[8:11]) == {"-b", "-c", "-d"}
    assert stage.trail[11:] == ["-a"]
    assert set(stage.overlaps) < {"b", "c", "d"}


@everywhere
def test_an_undo_that_waits_holds_up_nothing_that_it_does_not_build_on(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        last = library.event()

        async def let_go() -> None:
            last.set()

        stage.undoing.update(long=last.wait, a=let_go)  # the one goes on once the other one has begun
        with pytest.raises(Boom):
            async with transaction(undo_concurrently=True):
                async with library.group() as start:
                    wait, there, go_on = stage.waiting()
                    start(put, stage, "long", wait)
                    await there.wait()
                    await put(stage, "a")
                    await put(stage, "b")
                    go_on.set()
                raise Boom

    library.run(main)
    assert stage.told in ("+long +a +b -b -long -a", "+long +a +b -long -b -a")
    assert stage.present == set()


@everywhere
def test_sync_handlers_are_called_one_after_the_other_in_reverse_order_of_start(library: Library) -> None:
    stage, names = Stage(library), list("abcdefgh")

    async def main() -> None:
        with pytest.raises(Boom):
            async with transaction(undo_concurrently=True):
                await together(stage, *names, step=work)
                mark(stage, "i")
                mark(stage, "j")
                raise Boom

    library.run(main)
    assert stage.told == " ".join([*(f"+{name}" for name in "abcdefghij"), *(f"-{name}" for name in "jihgfedcba")])


@everywhere
def test_what_was_done_by_hand_is_undone_in_its_place(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        meeting(stage, "b", "c")
        with pytest.raises(Boom):
            async with transaction(undo_concurrently=True) as q:
                await put(stage, "a")
                q.on_rollback(stage.say, "first")
                await together(stage, "b", "c")
                q.on_rollback(stage.say, "second")
                q.on_rollback(stage.say, "third")
                raise Boom

    library.run(main)
    assert stage.trail[3:5] == ["third", "second"]
    assert set(stage.trail[5:7]) == {"-b", "-c"}
    assert stage.trail[7:] == ["first", "-a"]


@everywhere
def test_hooks_and_queued_steps_are_dropped_as_ever(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        with pytest.raises(Boom):
            async with transaction(undo_concurrently=True) as q:
                q.on_commit(stage.say, "never")
                q.add(put, stage, "a")
                q.add(put, stage, "b")
                await q.execute()
                q.add(put, stage, "never")
                raise Boom
        assert [step.name for step in q.report.dropped] == ["put"]
        async with transaction(undo_concurrently=True) as q:
            q.add(put, stage, "c")
            q.on_commit(stage.say, "committed")

    library.run(main)
    assert stage.told == "+a +b -b -a +c committed"


# -- what contains others


@everywhere
def test_a_step_is_undone_with_what_it_contains_which_follows_the_same_rule(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        meeting(stage, "x", "y", "b")  # what is inside of a, and what ran beside a
        with pytest.raises(Boom):
            async with transaction(undo_concurrently=True):
                async with library.group() as start:
                    wait, there, go_on = stage.waiting()
                    start(put, stage, "b", wait)
                    await there.wait()
                    start(nest, stage, "a", lambda: together(stage, "x", "y"), boom_later(go_on))
                raise Boom

    library.run(main)
    assert set(stage.trail[-4:-1]) == {"-x", "-y", "-b"}
    assert stage.trail[-1] == "-a"


def boom_later(event: Any) -> Moment:
    async def let_go() -> None:
        event.set()

    return let_go


@everywhere
def test_what_outlives_the_step_that_has_started_it_is_undone_with_that_after_what_has_begun_later(
    library: Library,
) -> None:
    stage = Stage(library)

    async def main() -> None:
        with pytest.raises(Boom):
            async with transaction(undo_concurrently=True):
                async with library.group() as start:
                    wait, there, go_on = stage.waiting()

                    async def start_one() -> None:
                        start(put, stage, "inner", wait)
                        await there.wait()

                    await nest(stage, "outer", start_one)
                    await put(stage, "beside")  # while that goes on
                    go_on.set()
                meeting(stage, "inner", "beside")
                raise Boom

    library.run(main)
    assert set(stage.trail[3:5]) == {"-inner", "-beside"}
    assert stage.trail[5] == "-outer"


@everywhere
@pytest.mark.parametrize("released", [True, False])
def test_a_savepoint_needs_no_option_of_its_own(library: Library, released: bool) -> None:
    stage = Stage(library)

    async def main() -> None:
        meeting(stage, "b", "c")
        async with transaction(undo_concurrently=True) as q:
            await put(stage, "a")
            with pytest.raises(Boom):
                async with q.savepoint():
                    await together(stage, "b", "c")
                    if not released:
                        raise Boom
                stage.say("released")
                async with transaction("empty"):
                    pass
                await put(stage, "d")
                await q.rollback()
                raise Boom
            stage.say("end")

    library.run(main)
    if released:
        assert stage.trail[3:6] == ["released", "+d", "-d"]
        assert set(stage.trail[6:8]) == {"-b", "-c"}
        assert stage.trail[8:] == ["-a", "end"]
    else:
        assert set(stage.trail[3:5]) == {"-b", "-c"}
        assert stage.trail[5:] == ["end"]


@everywhere
def test_a_savepoint_with_the_option_overlaps_where_it_fails_and_not_as_a_part_of_a_block_without(
    library: Library,
) -> None:
    stage = Stage(library)

    async def main() -> None:
        async with transaction() as q:
            with pytest.raises(Boom):
                async with transaction(undo_concurrently=True):
                    meeting(stage, "a", "b")
                    await together(stage, "a", "b")
                    raise Boom
            async with transaction(undo_concurrently=True):
                await together(stage, "c", "d")
            await q.rollback()

    library.run(main)
    assert stage.trail[-2:] == ["-d", "-c"]
    assert "d" not in stage.overlaps


@in_trio
def test_a_savepoint_that_was_undone_with_its_block_says_so_to_who_comes_too_late(library: Library) -> None:
    stage = Stage(library)
    said: list[str] = []

    async def main() -> None:
        wait, there, go_on = stage.waiting()

        async def hold() -> None:
            async with transaction("inner"):
                await put(stage, "b")
                await wait()
                with pytest.raises(TransactionClosed) as caught:
                    await put(stage, "late")
                said.append(str(caught.value))

        async with transaction("outer", undo_concurrently=True) as q, library.group() as start:
            await put(stage, "a")
            start(hold)  # a task of trio is not cancelled
            await there.wait()
            await q.rollback()
            go_on.set()

    library.run(main)
    assert stage.told == "+a +b -b -a"
    assert [
        "the savepoint 'inner' was undone with the transaction 'outer' by q.rollback()" in each for each in said
    ] == [True]


@everywhere
def test_the_steps_of_a_thread_are_undone_as_one_in_their_own_order(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        with pytest.raises(Boom):
            async with transaction(undo_concurrently=True) as q:

                def both() -> None:
                    mark(stage, "a")
                    mark(stage, "b")

                await library.to_thread(lambda: q.run(both))
                await library.to_thread(lambda: q.run(stage.say, "nothing"))
                await put(stage, "c")
                raise Boom

    library.run(main)
    assert stage.told == "+a +b nothing +c -c -b -a"


@everywhere
def test_what_a_failed_attempt_has_made_is_undone_at_the_same_time_before_the_next_one(library: Library) -> None:
    stage = Stage(library)

    @action(retry=AT_ONCE)
    async def around() -> None:
        stage.say(f"try{current_step().attempts}")
        await together(stage, f"a{current_step().attempts}", f"b{current_step().attempts}")
        if current_step().attempts == 1:
            raise Boom

    async def main() -> None:
        meeting(stage, "a1", "b1")
        async with transaction(undo_concurrently=True) as q:
            await around()
            await flaky(stage, "f", 1)
            await q.rollback()

    library.run(main)
    assert set(stage.trail[3:5]) == {"-a1", "-b1"}
    assert stage.trail[5:9] == ["try2", "+a2", "+b2", "+f"]
    assert stage.present == set()


# -- failures


@everywhere
def test_failures_stop_none_and_are_told_in_reverse_order_of_start(library: Library) -> None:
    stage = Stage(library)
    names = list("abcdef")

    async def main() -> None:
        # They end in the order of start, each once the one before has.
        ended = {name: library.event() for name in names}

        async def fail(name: str) -> None:
            before = names[names.index(name) - 1]
            if name != "a":
                await ended[before].wait()
            ended[name].set()
            if name == "c":
                raise RollbackConflict(name)
            if name != "e":
                raise LookupError(name)

        stage.undoing.update((name, partial(fail, name)) for name in names)
        async with transaction(undo_concurrently=True) as q:
            await together(stage, *names)
            with pytest.raises(RollbackFailed) as caught:
                await q.rollback()
        assert [str(error) for error in caught.value.exceptions] == list("fdcba")
        assert [failure.step.arguments["name"] for failure in q.report.failures] == list("fdba")
        assert [failure.step.arguments["name"] for failure in q.report.conflicts] == ["c"]
        assert q.report.undone == ["put"]
        assert q.state is TransactionState.ROLLED_BACK_WITH_FAILURES

    library.run(main)
    assert sorted(stage.trail) == sorted(f"{sign}{name}" for sign in "+-" for name in names)


@everywhere
def test_what_is_left_is_told_in_reverse_order_of_start(library: Library) -> None:
    stage = Stage(library)

    @action(irreversible=True)
    async def mail(stage: Stage, name: str, after: Moment) -> None:
        stage.say(f"+{name}")
        await after()

    async def main() -> None:
        with pytest.raises(Boom) as caught:
            async with transaction(undo_concurrently=True) as q:
                await together(stage, "a", "b", "c", step=mail)
                raise Boom
        assert [step.arguments["name"] for step in q.report.not_undone] == ["c", "b", "a"]
        assert caught.value.__notes__ == [f"actionqueues: not undone: {', '.join(['mail (irreversible)'] * 3)}"]

    library.run(main)


@everywhere
def test_the_retries_of_one_undo_do_not_hold_up_the_others(library: Library) -> None:
    stage, attempts = Stage(library), list[int]()

    @action
    async def stubborn(stage: Stage, name: str, after: Moment) -> None:
        await after()

    @stubborn.rollback(retry=lambda attempt, _: 0.001 if attempt < 4 else None)
    async def give_way(stage: Stage) -> None:
        attempts.append(len(attempts))
        if not stage.told.endswith("-b"):
            raise ConnectionError

    async def main() -> None:
        with pytest.raises(Boom):
            async with transaction(undo_concurrently=True) as q:
                meet = barrier(library, 2)
                async with library.group() as start:
                    start(put, stage, "b", None, meet)
                    await library.checkpoint(3)
                    start(stubborn, stage, "a", meet)
                raise Boom
        assert q.report.clean

    library.run(main)
    assert stage.told == "+b -b"


@everywhere
def test_what_ends_the_program_is_raised_after_everything_has_been_undone(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        stage.undoing["b"] = boom(SystemExit(3))
        stage.undoing["c"] = boom(Stop("c"))
        async with transaction(undo_concurrently=True):
            await together(stage, "a", "b", "c", "d")
            raise Boom

    with pytest.raises((SystemExit, Stop)):
        library.run(main)
    assert sorted(stage.trail[4:]) == ["-a", "-b", "-c", "-d"]
    assert stage.present == {"b", "c"}


# -- where it runs


@everywhere
def test_each_undo_knows_its_step_and_its_cause_and_the_context_that_the_block_was_left_in(library: Library) -> None:
    stage, seen = Stage(library), list[Any]()
    var: ContextVar[str] = ContextVar("var", default="none")

    @action
    async def note(stage: Stage, name: str, after: Moment) -> str:
        await after()
        return name

    async def main() -> None:
        meet = barrier(library, 3)

        @note.rollback
        async def forget(name: str, step: Step[str], cause: BaseException) -> None:
            before = var.get()
            var.set(name)
            await meet()
            seen.append((name, current_step() is step, step.result, type(cause), before, var.get()))

        with pytest.raises(Boom):
            async with transaction(undo_concurrently=True):
                await together(stage, "a", "b", "c", step=note)
                var.set("left")
                raise Boom
        assert var.get() == "left"
        var.set("none")

    library.run(main)
    assert sorted(seen) == [(name, True, name, Boom, "left", name) for name in "abc"]


@everywhere
def test_cancelled_again_it_cuts_nothing_short(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        with library.scope() as scope:

            async def again() -> None:
                scope.cancel()
                await library.checkpoint(2)

            stage.undoing.update(dict.fromkeys("abcd", again))
            async with transaction(undo_concurrently=True):
                await together(stage, "a", "b", "c", "d")
                scope.cancel()
                await library.forever()
        assert scope.cancelled_caught
        stage.say("out")

    library.run(main)
    assert sorted(stage.trail[4:8]) == ["-a", "-b", "-c", "-d"]
    assert stage.trail[8:] == ["out"]
    assert stage.present == set()


def test_what_others_cancel_are_not_the_undos() -> None:
    stage = Stage(Library())

    async def main() -> None:
        async def cancel_all() -> None:
            me = asyncio.current_task()
            for task in asyncio.all_tasks():
                if task is not me:
                    task.cancel()
            await asyncio.sleep(0)

        stage.undoing.update(dict.fromkeys("abc", cancel_all))
        async with transaction(undo_concurrently=True):
            await together(stage, "a", "b", "c")
            raise Boom

    with pytest.raises((Boom, asyncio.CancelledError)):
        asyncio.run(main())  # it is cancelled too
    assert stage.present == set()
    assert sorted(stage.trail[3:]) == ["-a", "-b", "-c"]


def test_where_the_coroutine_is_closed_one_undo_comes_after_the_other() -> None:
    stage = Stage(Library())

    async def main() -> None:
        async with transaction(undo_concurrently=True):
            mark(stage, "a")
            mark(stage, "b")
            async with transaction():
                mark(stage, "c")
                mark(stage, "d")
            await never

    never = asyncio.Future[None](loop=asyncio.new_event_loop())
    coroutine = main()
    coroutine.send(None)
    coroutine.close()
    never.get_loop().close()
    assert stage.told == "+a +b +c +d -d -c -b -a"


def test_closed_while_undos_run_together_they_count_as_failed_and_the_rest_is_undone_at_once() -> None:
    stage = Stage(Library())
    loop = asyncio.new_event_loop()
    blocks: list[Any] = []

    async def main() -> None:
        forever = asyncio.Event()
        stage.undoing.update(b=forever.wait, c=forever.wait)
        async with transaction(undo_concurrently=True) as q:
            blocks.append(q)
            await work(stage, "a")
            await together(stage, "b", "c")
            raise Boom

    coroutine = main()
    task = loop.create_task(coroutine)
    for _ in range(30):
        loop.run_until_complete(asyncio.sleep(0))
    assert set(stage.trail[-2:]) == {"-b", "-c"}
    del task
    loop.close()
    with pytest.raises(GeneratorExit):
        coroutine.throw(GeneratorExit)
    assert [failure.step.arguments["name"] for failure in blocks[0].report.failures] == ["c", "b"]
    assert stage.trail[-1] == "-a"


# -- how it is asked for


def test_it_is_refused_where_nothing_overlaps() -> None:
    said = "transaction(undo_concurrently=True) needs {}: nothing overlaps in {}; {}, or leave the option out"
    with pytest.raises(TypeError) as caught, transaction(undo_concurrently=True):
        pass
    assert str(caught.value) == said.format("`async with`", "a `with` block", "enter it by that")
    with pytest.raises(TypeError) as caught:

        @transaction(undo_concurrently=True)
        def book() -> None:
            pass

    assert str(caught.value) == said.format("an `async def`", "the sync function book", "make it one")
    with pytest.raises(TypeError, match=r"transaction\(undo_concurrently=...\) must be True or False, not 1"):
        transaction(undo_concurrently=1)  # type: ignore[call-overload]  # pyright: ignore
    with pytest.raises(TypeError, match="options go before the function"):
        transaction(test_it_is_refused_where_nothing_overlaps, undo_concurrently=True)  # type: ignore[call-overload]  # pyright: ignore


@everywhere
def test_a_decorated_function_overlaps_in_each_call(library: Library) -> None:
    stage = Stage(library)

    @transaction("import", undo_concurrently=True)
    async def load(*names: str) -> None:
        meeting(stage, *names)
        await together(stage, *names)
        raise Boom

    async def main() -> None:
        for names in ("ab", "cd"):
            with pytest.raises(Boom):
                await load(*names)

    library.run(main)
    assert stage.present == set()
    assert len(stage.trail) == 8


def test_a_transaction_that_a_with_block_has_refused_can_be_entered_by_async_with() -> None:
    stage = Stage(Library())

    async def main() -> None:
        made = transaction(undo_concurrently=True)
        with pytest.raises(TypeError), made:
            pass
        meeting(stage, "a", "b")
        with pytest.raises(Boom):
            async with made:
                await together(stage, "a", "b")
                raise Boom

    stage.library.run(main)
    assert stage.present == set()
