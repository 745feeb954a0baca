"""Commit hooks: when they are called, which are dropped, and what a failed one means."""

from __future__ import annotations

import contextvars
import logging
from contextlib import suppress
from typing import Any

import pytest

from actionqueues import (
    ActionQueue,
    CommitHookFailed,
    NoTransaction,
    TransactionClosed,
    TransactionDoomed,
    current_transaction,
    transaction,
)
from tests.world import AT_ONCE, Boom, Stop, World


@pytest.fixture
def w() -> World:
    return World()


def failing(error: BaseException) -> None:
    raise error


def test_hooks_are_given_their_arguments_after_the_body_and_the_queue(w: World) -> None:
    calls: list[Any] = []

    def hook(*args: Any, **kwargs: Any) -> None:
        calls.append((args, kwargs, list(w.trail)))

    with transaction() as q:
        q.on_commit(hook, 1, two=2)
        q.add(w.define("a"))
        w.say("body")
    assert calls == [((1,), {"two": 2}, ["body", "+a"])]


def test_hooks_run_outside_the_block_which_has_committed_by_then(w: World) -> None:
    seen: list[Any] = []

    def hook() -> None:
        seen.append(q.state)
        with pytest.raises(NoTransaction):
            current_transaction()
        with pytest.raises(TransactionClosed):
            q.add(w.say, "too late")
        with transaction("own") as own:
            w.define("a")()
        seen.append(own.state)

    with transaction() as q:
        q.on_commit(hook)
    assert seen == ["committed", "committed"]


def test_hooks_of_all_savepoints_run_in_the_order_in_which_they_were_registered(w: World) -> None:
    with transaction() as q:
        q.on_commit(w.say, 1)
        with q.savepoint() as one:
            one.on_commit(w.say, 2)
            with transaction() as two:
                two.on_commit(w.say, 3)
                two.on_commit(w.say, 4)
            one.on_commit(w.say, 5)
        q.on_commit(w.say, 6)
        assert w.trail == []
    assert w.trail == ["1", "2", "3", "4", "5", "6"]


def test_hooks_of_a_released_savepoint_are_dropped_with_the_block_around_it(w: World) -> None:
    with transaction() as q:
        with w.caught(), q.savepoint("middle"):
            with transaction("deep") as deep:
                deep.on_commit(w.say, "never")
            raise Boom("middle")
        q.on_commit(w.say, "kept")
    assert w.trail == ["!Boom", "kept"]


@pytest.mark.parametrize("how", ["fails", "by hand"])
def test_hooks_of_an_undone_savepoint_are_dropped(how: str, w: World) -> None:
    with transaction() as q:
        try:
            with transaction() as inner:
                inner.on_commit(w.say, "never")
                if how == "by hand":
                    inner.rollback()
                else:
                    raise Boom("inner")
        except Boom:
            pass
        q.on_commit(w.say, "kept")
    assert w.trail == ["kept"]


def test_a_hook_belongs_to_the_innermost_savepoint_whoever_it_is_given_to(w: World) -> None:
    with transaction() as q:
        q.on_commit(w.say, 1)
        with w.caught(), q.savepoint("plan A"):
            q.on_commit(w.say, "never")
            with q.savepoint():
                q.on_commit(w.say, "nor this one")
            raise Boom("plan A")
        with q.savepoint("plan B"):
            q.on_commit(w.say, 2)
            with transaction():
                q.on_commit(w.say, 3)
            q.on_commit(w.say, 4)
        q.on_commit(w.say, 5)
    assert w.trail == ["!Boom", "1", "2", "3", "4", "5"]


def test_a_hook_given_in_a_block_that_shares_nothing_belongs_to_the_block_that_it_was_given_to(w: World) -> None:
    with transaction() as q, w.caught(), transaction(independent=True):
        q.on_commit(w.say, "kept")
        raise Boom("apart")
    assert w.trail == ["!Boom", "kept"]


def test_a_hook_registered_where_a_savepoint_was_that_has_ended_belongs_to_the_block_around_it(w: World) -> None:
    with transaction() as q:
        with w.caught(), q.savepoint():
            outlived = contextvars.copy_context()
            raise Boom("savepoint")
        outlived.run(q.on_commit, w.say, "kept")
    assert w.trail == ["!Boom", "kept"]


@pytest.mark.parametrize("catches", ["code around it", "step around it"])
def test_a_hook_of_a_step_that_was_undone_is_dropped(catches: str, w: World) -> None:
    with transaction() as q:

        async def register(_: Any) -> None:
            q.on_commit(w.say, "never")

        async def outer(_: Any) -> None:
            with w.caught():
                w.define("b", body=register, fails=[Boom("b")])()

        if catches == "code around it":
            with w.caught():
                w.define("b", body=register, fails=[Boom("b")])()
        else:
            w.define("a", body=outer)()
        q.on_commit(w.say, "kept")
    assert "never" not in w.trail
    assert w.trail[-1] == "kept"


def test_a_hook_of_an_inner_step_is_dropped_if_the_outer_step_fails(w: World) -> None:
    with transaction() as q:

        async def register(_: Any) -> None:
            q.on_commit(w.say, "never")

        with w.caught():
            w.define("a", body=lambda _: w.step("b", body=register), fails=[Boom("a")])()
    assert w.trail == ["+a", "+b", "-b", "-a", "!Boom"]


def test_a_hook_of_a_retried_attempt_is_dropped_and_that_of_the_last_is_kept(w: World) -> None:
    with transaction() as q:
        attempts = iter(range(1, 4))

        async def register(_: Any) -> None:
            q.on_commit(w.say, f"hook of {next(attempts)}")

        w.define("a", body=register, fails=[Boom("1"), Boom("2")], retry=AT_ONCE)()
    assert w.trail == ["+a", "+a", "+a", "hook of 3"]


def test_a_hook_of_an_inner_step_of_a_retried_attempt_is_dropped(w: World) -> None:
    with transaction() as q:
        attempts = iter(range(1, 4))

        async def register(_: Any) -> None:
            q.on_commit(w.say, f"hook of {next(attempts)}")

        b = w.define("b", body=register)
        w.define("a", body=lambda _: w.call(b), fails=[Boom("1")], retry=AT_ONCE)()
    assert w.trail == ["+a", "+b", "-b", "+a", "+b", "hook of 2"]


def test_a_hook_of_a_savepoint_in_a_retried_attempt_is_dropped(w: World) -> None:
    with transaction():
        attempts = iter(range(1, 4))

        async def body(_: Any) -> None:
            with transaction() as inner:
                inner.on_commit(w.say, f"hook of {next(attempts)}")
                w.define("b")()

        w.define("a", body=body, fails=[Boom("1")], retry=AT_ONCE)()
    assert w.trail == ["+a", "+b", "-b", "+a", "+b", "hook of 2"]


def test_a_hook_of_an_empty_savepoint_in_a_step_that_failed_is_dropped(w: World) -> None:
    with transaction():

        async def body(_: Any) -> None:
            with transaction() as inner:
                inner.on_commit(w.say, "never")

        with w.caught():
            w.define("a", body=body, fails=[Boom("a")])()
    assert w.trail == ["+a", "-a", "!Boom"]


def test_a_hook_of_a_queued_step_is_called(w: World) -> None:
    with transaction() as q:

        async def register(_: Any) -> None:
            current_transaction().on_commit(w.say, "hook")

        q.add(w.define("a", body=register))
    assert w.trail == ["+a", "hook"]


@pytest.mark.parametrize("around", ["step", "queued step", "classic queue"])
def test_a_hook_of_a_block_of_its_own_inside_a_step_is_called_when_that_block_commits(around: str, w: World) -> None:
    async def body(_: Any) -> None:
        with transaction("apart", independent=True) as apart:
            apart.on_commit(w.say, "hook")
        w.say("after it")

    a = w.define("a", body=body)
    if around == "classic queue":
        classic = ActionQueue()
        classic.add(a)
        classic.execute()
    else:
        with transaction() as q:
            if around == "step":
                a()
            else:
                q.add(a)
    assert w.trail == ["+a", "hook", "after it"]


@pytest.mark.parametrize("how", ["fails", "by hand", "doomed", "late failure of the queue"])
def test_no_hook_is_called_where_nothing_was_committed(how: str, w: World) -> None:
    with pytest.raises((Boom, TransactionDoomed)), transaction() as q:
        q.on_commit(w.say, "hook")
        if how == "fails":
            raise Boom("body")
        if how == "doomed":
            with w.caught():
                w.define("a", fails=[Boom("a")], undo_fails=[Boom("stuck")])()
        elif how == "by hand":
            q.rollback()
            raise Boom("after it")
        else:
            q.add(w.define("a", fails=[Boom("a")]))
    assert "hook" not in w.trail


# ---------------------------------------------------------------- hooks that fail


def test_all_hooks_run_and_their_failures_are_raised_together(w: World) -> None:
    errors = [Boom("1"), StopIteration(2)]
    with pytest.raises(CommitHookFailed) as caught, transaction("order") as q:
        q.on_commit(failing, errors[0])
        q.on_commit(w.say, "between")
        q.on_commit(failing, errors[1])
        w.define("a")()
    assert list(caught.value.exceptions) == errors
    assert caught.value.message == (
        "the transaction 'order' has committed, but these commit hooks failed: failing, failing"
    )
    assert (q.state, w.trail) == ("committed", ["+a", "between"])
    assert [(failure.name, failure.error) for failure in q.report.hook_failures] == [
        ("failing", errors[0]),
        ("failing", errors[1]),
    ]
    assert q.report.summary == (
        "order committed: commit hook failing failed (Boom('1')), commit hook failing failed (StopIteration(2))"
    )


def test_failed_hooks_can_be_split_like_any_group() -> None:
    with pytest.raises(CommitHookFailed) as caught, transaction() as q:
        q.on_commit(failing, Boom("1"))
        q.on_commit(failing, KeyError("2"))
    booms, others = caught.value.split(Boom)
    assert isinstance(booms, CommitHookFailed)
    assert isinstance(others, CommitHookFailed)
    assert [repr(error) for error in booms.exceptions] == ["Boom('1')"]
    with pytest.raises(ExceptionGroup):
        try:
            raise caught.value
        except* Boom:
            pass


def test_a_hook_that_fails_in_a_savepoint_is_raised_by_the_outermost_block_only() -> None:
    outer, inner = transaction("outer"), transaction("inner")
    with pytest.raises(CommitHookFailed, match="the transaction 'outer' has committed") as caught, outer, inner:
        inner.on_commit(failing, Boom("inner"))
    assert caught.value.exceptions[0].args == ("inner",)
    assert (outer.state, inner.state) == ("committed", "released")
    assert len(outer.report.hook_failures) == 1


def test_a_failed_hook_of_an_independent_block_is_an_exception_in_the_one_around_it(w: World) -> None:
    apart = transaction("apart", independent=True)
    with pytest.raises(CommitHookFailed), transaction() as outer:
        w.define("a")()
        with apart:
            w.define("b")()
            apart.on_commit(failing, Boom("hook"))
    assert (outer.state, apart.state, w.trail) == ("rolled back", "committed", ["+a", "+b", "-a"])


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), SystemExit(3), Stop("stop"), GeneratorExit()], ids=repr)
def test_what_is_no_exception_is_raised_after_all_hooks_with_the_group_as_its_cause(
    interrupt: BaseException, w: World
) -> None:
    with pytest.raises(type(interrupt)) as caught, transaction() as q:
        q.on_commit(failing, interrupt)
        q.on_commit(failing, Boom("1"))
        q.on_commit(w.say, "last")
    assert caught.value is interrupt
    assert isinstance(interrupt.__cause__, CommitHookFailed)
    assert [repr(error) for error in interrupt.__cause__.exceptions] == ["Boom('1')"]
    assert (q.state, w.trail, len(q.report.hook_failures)) == ("committed", ["last"], 2)


def test_a_hook_that_a_hook_registers_is_called_behind_the_others(w: World) -> None:
    def hook() -> None:
        w.say(1)
        q.on_commit(w.say, 3)
        inner.on_commit(lambda: q.on_commit(w.say, 5))
        with pytest.raises(TypeError):
            # Wrong on purpose:
            q.on_commit(w.say)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        q.on_commit(w.say, 4)

    with transaction("order") as q:
        with q.savepoint() as inner:
            inner.on_commit(hook)
        q.on_commit(w.say, 2)
    assert w.trail == ["1", "2", "3", "4", "5"]
    with pytest.raises(TransactionClosed, match="came too late: the transaction 'order' is committed"):
        q.on_commit(w.say, "too late")


def test_a_failure_of_a_hook_that_a_hook_registers_is_raised_with_those_of_the_others(w: World) -> None:
    with pytest.raises(CommitHookFailed) as caught, transaction() as q:
        q.on_commit(lambda: q.on_commit(failing, Boom("late")))
        q.on_commit(failing, Boom("early"))
    assert [str(error) for error in caught.value.exceptions] == ["early", "late"]
    assert w.trail == []


@pytest.mark.parametrize("fails", [False, True])
def test_a_hook_of_a_hook_is_registered_with_the_block_that_has_committed_and_no_other(w: World, fails: bool) -> None:
    def hook() -> None:
        with suppress(Boom), transaction() as own:
            q.on_commit(w.say, "outer")
            own.on_commit(w.say, "own")
            if fails:
                raise Boom

    with transaction() as q:
        q.on_commit(hook)
    assert w.trail == (["outer"] if fails else ["own", "outer"])


def test_hooks_that_succeed_log_nothing(caplog: pytest.LogCaptureFixture, w: World) -> None:
    with caplog.at_level(logging.DEBUG), transaction() as q:
        q.on_commit(w.say, "hook")
    assert caplog.records == []


@pytest.mark.parametrize("hook", ["not callable", "arguments"])
def test_a_hook_that_cannot_be_called_is_refused_when_it_is_registered(hook: str, w: World) -> None:
    with transaction() as q:
        if hook == "not callable":
            with pytest.raises(TypeError, match="None is not callable; give the function and its arguments, not the"):
                # Wrong on purpose:
                q.on_commit(w.say("now"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
        else:
            with pytest.raises(TypeError, match=r"World.say\(what: 'object'\) -> 'None': too many positional arg"):
                # Wrong on purpose:
                q.on_commit(w.say, 1, 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert w.trail == (["now"] if hook == "not callable" else [])
