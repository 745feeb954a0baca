"""A block in the wrong place: used in its own rollback handlers, rolled back in its own steps, from another thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from actionqueues import (
    AsyncActionInSyncBlock,
    IllegalOperation,
    Retry,
    Step,
    Transaction,
    TransactionDoomed,
    action,
    current_step,
    current_transaction,
    transaction,
)

from .core.test_threads import in_thread
from .world import Boom, World


@pytest.fixture
def w() -> World:
    return World()


def refused(call: Callable[[], object]) -> str:
    """What is said to a call, which is no operation for now."""
    with pytest.raises(IllegalOperation) as caught:
        call()
    return str(caught.value)


# ---------------------------------------------------------------- rolled back in one of its steps

IN_A_STEP = (
    "cannot roll back the transaction 'order': the step b of it is running; raise an exception in it instead: leaving "
    "the block with that rolls back"
)


@pytest.mark.parametrize("queued", [False, True])
def test_a_step_cannot_roll_back_the_block_that_it_is_a_part_of(queued: bool, w: World) -> None:
    async def body(_: Any) -> None:
        w.say(refused(q.rollback) == IN_A_STEP)

    with transaction("order") as q:
        w.define("a")()
        if queued:
            q.add(w.define("b", body=body))
            q.execute()
        else:
            w.define("b", body=body)()
        w.define("c")()
        assert q.state == "open"
    assert (w.trail, q.state) == (["+a", "+b", "True", "+c"], "committed")


def test_the_innermost_step_is_named(w: World) -> None:
    async def inner(_: Any) -> None:
        w.say(refused(q.rollback) == IN_A_STEP)

    with transaction("order") as q:
        w.define("a", body=lambda _: w.step("b", body=inner))()
    assert w.trail == ["+a", "+b", "True"]


def test_a_block_in_the_body_of_a_step_cannot_roll_back_the_block_around_that(w: World) -> None:
    async def body(_: Any) -> None:
        for independent in (False, True):
            with transaction(independent=independent):
                w.say(refused(q.rollback) == IN_A_STEP)

    with transaction("order") as q:
        w.define("b", body=body)()
    assert (w.trail, q.state) == (["+b", "True", "True"], "committed")


@pytest.mark.parametrize("by_name", [False, True])
def test_a_savepoint_in_the_body_of_a_step_can_be_rolled_back_there(by_name: bool, w: World) -> None:
    async def body(_: Any) -> None:
        with q.savepoint() if by_name else transaction() as inner:
            w.define("b")()
            inner.rollback()
        w.define("c")()

    with pytest.raises(Boom), transaction() as q:
        w.define("a", body=body)()
        raise Boom("late")
    assert w.trail == ["+a", "+b", "-b", "+c", "-c", "-a"]


def test_a_step_in_a_savepoint_cannot_roll_back_that_savepoint_nor_the_one_around(w: World) -> None:
    async def body(_: Any) -> None:
        w.say(refused(inner.rollback).startswith("cannot roll back the savepoint 'inner': the step b of it is running"))
        w.say(refused(q.rollback) == IN_A_STEP)

    with transaction("order") as q, q.savepoint("inner") as inner:
        w.define("b", body=body)()
    assert (w.trail, q.state) == (["+b", "True", "True"], "committed")


def test_a_block_is_rolled_back_by_hand_from_within_a_savepoint_of_it(w: World) -> None:
    with transaction() as q:
        w.define("a")()
        with q.savepoint() as inner:
            w.define("b")()
            q.rollback()
    assert (w.trail, q.state, inner.state) == (["+a", "+b", "-b", "-a"], "rolled back", "rolled back")


def test_a_block_of_its_own_in_a_step_can_be_rolled_back_there(w: World) -> None:
    async def body(_: Any) -> None:
        with transaction(independent=True) as apart:
            w.define("b")()
            apart.rollback()

    with transaction() as q:
        w.define("a", body=body)()
    assert (w.trail, q.state) == (["+a", "+b", "-b"], "committed")


# ---------------------------------------------------------------- used in one of its rollback handlers

IN_A_HANDLER = (
    "cannot use the transaction 'order': a rollback handler of a step in it is running; a handler only undoes; it may "
    "open a transaction of its own"
)

USES: dict[str, Callable[[Transaction], object]] = {
    "add": lambda q: q.add(print),
    "on_commit": lambda q: q.on_commit(print),
    "on_rollback": lambda q: q.on_rollback(print),
    "savepoint": lambda q: q.savepoint(),
    "execute": lambda q: q.execute(),
    "rollback": lambda q: q.rollback(),
    "run": lambda q: q.run(print),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_a_handler_of_a_step_that_is_undone_at_once_cannot_use_the_block(
    use: Callable[[Transaction], object], w: World
) -> None:
    async def undo(_: Any) -> None:
        w.say(refused(lambda: use(q)) == IN_A_HANDLER)

    with transaction("order") as q:
        w.define("a")()
        with w.caught():
            w.define("b", fails=[Boom("b")], undo=undo)()
        w.define("c")()
    assert w.trail == ["+a", "+b", "-b", "True", "!Boom", "+c"]
    assert (q.state, q.report.undone, q.report.dropped) == ("committed", ["b"], [])


def test_nor_can_the_handler_of_a_step_in_a_savepoint_use_the_block_around(w: World) -> None:
    async def undo(_: Any) -> None:
        w.say(refused(lambda: q.add(print)) == IN_A_HANDLER)

    with transaction("order") as q, w.caught(), q.savepoint():
        w.define("a", undo=undo)()
        raise Boom("inner")
    assert w.trail == ["+a", "-a", "True", "!Boom"]
    assert q.state == "committed"


def test_a_handler_may_open_a_transaction_of_its_own_which_is_nested_in_nothing(w: World) -> None:
    async def undo(_: Any) -> None:
        with transaction("mine", outermost=True) as mine:
            assert current_transaction() is mine
            w.define("fix")()
            assert current_step().name == "b"
            mine.add(w.define("more"))
        w.say(mine.state)

    with transaction() as q:
        w.define("a")()
        with w.caught():
            w.define("b", fails=[Boom("b")], undo=undo)()
        assert current_transaction() is q
    assert w.trail == ["+a", "+b", "-b", "+fix", "+more", "committed", "!Boom"]
    assert q.state == "committed"


def test_a_transaction_of_a_handler_that_fails_is_undone_and_fails_the_undo(w: World) -> None:
    async def undo(_: Any) -> None:
        with transaction("mine"):
            w.define("fix")()
            raise Boom("fixing")

    with pytest.raises(Boom, match="body") as caught, transaction() as q:
        w.define("a")()
        w.define("b", undo=undo)()
        raise Boom("body")
    assert w.trail == ["+a", "+b", "-b", "+fix", "-fix", "-a"]
    assert caught.value.__notes__ == ["actionqueues: the undo of b failed: Boom('fixing')"]
    assert [step.name for step, _ in q.report.failures] == ["b"]


# ---------------------------------------------------------------- from another thread


@pytest.mark.parametrize("what", ["execute", "rollback"])
def test_only_the_thread_that_entered_a_block_runs_its_queue_or_rolls_it_back(what: str, w: World) -> None:
    with transaction("order") as q:
        w.define("a")()
        q.add(w.define("b"))
        error = in_thread(getattr(q, what))
        assert isinstance(error, IllegalOperation)
        assert str(error) == (
            f"cannot call {what}() of the transaction 'order': another thread has entered it; raise an exception in a "
            "step there, or let the thread that entered the block call it"
        )
        assert (q.state, w.trail) == ("open", ["+a"])
    assert (q.state, w.trail) == ("committed", ["+a", "+b"])


# ---------------------------------------------------------------- doomed


def doom(w: World, name: str) -> None:
    with w.caught():
        w.define(name, fails=[Boom(name)], undo_fails=[Boom(f"undo of {name}")])()


def note(name: str) -> str:
    return f"actionqueues: the undo of {name} failed: Boom('undo of {name}')"


def test_what_leaves_a_doomed_block_says_which_undos_had_failed_before_each_once(w: World) -> None:
    with pytest.raises(Boom) as caught, transaction("order") as q:
        w.define("a", undo_fails=[Boom("undo of a")])()
        doom(w, "b")
        with w.caught(), transaction():
            doom(w, "c")
        w.define("d", fails=[Boom("d")], undo_fails=[Boom("undo of d")])()
    assert caught.value.__notes__ == [note("b"), note("c"), note("d"), note("a")]
    assert q.state == "rolled back with failures"


def test_a_doomed_block_says_so_in_the_error_and_not_in_notes_too(w: World) -> None:
    with pytest.raises(TransactionDoomed) as caught, transaction("order"):
        w.define("a")()
        doom(w, "b")
    assert "b; see q.report.failures" in str(caught.value)
    assert not hasattr(caught.value, "__notes__")


def test_undos_that_fail_while_a_doomed_block_is_undone_are_noted(w: World) -> None:
    with pytest.raises(TransactionDoomed) as caught, transaction("order"):
        w.define("a", undo_fails=[Boom("undo of a")])()
        doom(w, "b")
    assert caught.value.__notes__ == [note("a")]
    assert caught.value.steps == ("b",)


def test_a_doomed_block_does_not_run_what_is_queued(w: World) -> None:
    with pytest.raises(TransactionDoomed), transaction() as q:
        w.define("a")()
        q.add(w.define("never"))
        doom(w, "b")
    assert w.trail == ["+a", "+b", "-b", "!Boom", "-a"]
    assert [step.name for step in q.report.dropped] == ["never"]


@pytest.mark.parametrize("where", ["at once", "in a savepoint"])
def test_a_block_in_which_an_undo_has_failed_ends_with_failures_even_if_the_rest_was_undone(
    where: str, w: World
) -> None:
    with pytest.raises(Boom, match="body"), transaction() as q:
        if where == "at once":
            doom(w, "b")
        else:
            with w.caught(), transaction():
                w.define("b", undo_fails=[Boom("undo of b")])()
                raise Boom("inner")
        w.define("a")()
        raise Boom("body")
    assert (q.state, q.report.state, q.report.undone) == (
        "rolled back with failures",
        "rolled back with failures",
        ["a"],
    )


# ---------------------------------------------------------------- attempts that end in no `Exception`


@pytest.mark.parametrize("kind", [Boom, KeyboardInterrupt, SystemExit])
def test_only_an_exception_says_after_how_many_attempts_it_came(kind: type[BaseException]) -> None:
    last = kind("second")
    errors: list[BaseException] = [Boom("first"), last]

    @action(read_only=True, retry=Retry(attempts=2, wait_initial=0, wait_jitter=0))
    def flaky() -> None:
        raise errors.pop(0)

    with pytest.raises(kind), transaction():
        flaky()
    notes = getattr(last, "__notes__", [])
    assert [text.partition(" in ")[0] for text in notes] == (
        ["actionqueues: gave up after 2 attempts"] if kind is Boom else []
    )


# ---------------------------------------------------------------- ended in one of its steps


def test_a_step_that_leaves_its_own_block_by_an_exception_is_undone_with_it_and_not_again(w: World) -> None:
    states: list[str] = []

    @action
    def leave(error: BaseException) -> None:
        stack.__exit__(type(error), error, None)
        raise error

    @leave.rollback
    def unleave(step: Step[None]) -> None:
        states.append(str(step.state))
        w.say("-leave")

    stack = ExitStack()
    q = stack.enter_context(transaction())
    w.define("a")()
    with pytest.raises(Boom):
        leave(Boom("in the step"))
    assert w.trail == ["+a", "-leave", "-a"]
    assert states == ["unknown"], "nobody knew by then how it would end"
    assert q.state == "rolled back"


def test_a_step_that_ends_its_own_block_normally_and_then_fails_raises_its_own_error(w: World) -> None:
    @action
    def leave() -> None:
        stack.close()
        raise Boom("too late to be undone")

    @leave.rollback
    def unleave() -> None:
        w.say("-leave")

    stack = ExitStack()
    q = stack.enter_context(transaction())
    w.define("a")()
    with pytest.raises(Boom, match="too late"):
        leave()
    assert (w.trail, q.state) == (["+a"], "committed")


def test_an_async_block_that_is_refused_in_a_sync_one_leaves_the_savepoints_of_that_alone(w: World) -> None:
    with pytest.raises(Boom), transaction("sync") as q:
        with q.savepoint():
            w.define("a")()
        with pytest.raises(AsyncActionInSyncBlock, match="'sync' cannot await it; enter that by `async with` too"):
            asyncio.run(enter(transaction()))
        w.define("b")()
        raise Boom("body")
    assert w.trail == ["+a", "+b", "-b", "-a"]


async def enter(block: Transaction) -> None:
    async with block:
        raise AssertionError("it has not been refused")
