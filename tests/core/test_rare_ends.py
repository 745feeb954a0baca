"""Ends that few programs meet: cut short, closed, left elsewhere, with something running that cannot be waited for."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import weakref
from contextlib import nullcontext, suppress
from contextvars import copy_context
from linecache import getline
from types import FrameType
from typing import Any

import pytest

from actionqueues import (
    Action,
    ActionQueue,
    ActionRetryException,
    IllegalOperation,
    NoTransaction,
    TransactionClosed,
    TransactionState,
    action,
    current_step,
    current_transaction,
    transaction,
)
from actionqueues.core.definition import definition_behind
from actionqueues.core.engine import Rollback
from actionqueues.core.hooks import HookRun
from actionqueues.core.requests import Call, Request
from actionqueues.core.step import PENDING
from actionqueues.core.watch import Hook, Watch, observed
from actionqueues.report import Report
from tests.async_library import Library, in_asyncio, outcome_of
from tests.async_stage import Boom, Stage, mark, put, work
from tests.inside import left_in_context

from .doing import do, done


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


def press(times: int = 1) -> None:
    for _ in range(times):
        signal.raise_signal(signal.SIGINT)


# -- cut short


def test_a_third_ctrl_c_drops_what_was_queued_and_registered_by_what_it_leaves() -> None:
    called: list[str] = []
    with pytest.raises(KeyboardInterrupt), transaction() as q:
        q.on_commit(called.append, "hook")
        step = q.add(do, "queued")
        do("a")
        do("b", lambda: press(3))
        raise LookupError
    assert done == ["+a", "+b", "-b"]
    assert called == []
    assert step.state == "dropped"
    assert q.report.dropped == [step]


def test_hooks_for_which_there_is_no_room_are_told_of() -> None:
    report = Report("transaction", TransactionState.COMMITTED)
    run = HookRun(report, "the transaction")
    run.hooks = [Hook(print, (), {}, "print")]
    with pytest.raises(RecursionError):
        run.interrupted(RecursionError())
    assert report.hooks_not_run == ["print"]
    assert isinstance(run.result(), RecursionError)


def test_what_comes_out_of_the_calling_of_hooks_itself_is_raised_once_all_have_been_called() -> None:
    run = HookRun(Report("transaction", TransactionState.COMMITTED), "the transaction")
    run.interrupted(interrupt := KeyboardInterrupt())
    assert run.result() is interrupt


def test_a_ctrl_c_in_the_undo_of_what_an_attempt_of_a_classic_action_has_made_comes_out() -> None:
    class Again(Action):
        def execute(self) -> None:
            do("inside", press)
            raise ActionRetryException

    queue = ActionQueue()
    queue.add(Again())
    with pytest.raises(KeyboardInterrupt):
        queue.execute()
    queue.rollback()
    assert done == ["+inside", "-inside"]


@pytest.mark.parametrize("at", range(32))
def test_a_time_limit_in_an_undo_at_once_leaves_the_block_the_current_one(at: int) -> None:
    """The handler of a program's own signal raises before any line of the drivers.

    But not before a `try:`, where no handler is called, and which CPython leaves out of the block around it.
    """

    class TimeUp(Exception):
        pass

    left = at

    def trace(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal left
        path = frame.f_code.co_filename
        if event == "line" and "/core/drivers.py" in path and getline(path, frame.f_lineno).strip() != "try:":
            left -= 1
            if left == 0:
                sys.settrace(None)
                raise TimeUp
        return trace

    @action
    def fail() -> None:
        raise Boom

    fail.rollback(lambda: None)
    before = sys.gettrace()
    with pytest.raises(LookupError), transaction() as q:
        try:
            sys.settrace(trace)
            fail()
        except (Boom, TimeUp):
            pass
        finally:
            sys.settrace(before)
        assert current_transaction() is q
        do("b")
        raise LookupError
    assert done == ["+b", "-b"]
    assert left_in_context() == {}


def test_a_time_limit_between_two_undos_is_raised_once_all_is_undone() -> None:
    rollback = Rollback(Report("transaction", TransactionState.ROLLING_BACK), Boom())
    rollback.interrupted(limit := TimeoutError())
    assert rollback.interrupt() is limit


# -- rolled back by hand


def test_savepoints_in_a_block_that_was_rolled_back_by_hand_end_in_silence() -> None:
    with transaction() as q:
        do("a")
        with q.savepoint() as outer, q.savepoint() as inner:
            do("b")
            q.rollback()
    assert done == ["+a", "+b", "-b", "-a"]
    assert outer.state == inner.state == TransactionState.ROLLED_BACK


def test_the_face_that_was_entered_by_async_with_says_which_one_to_ask() -> None:
    async def main() -> None:
        q = transaction()
        async with q as entered:
            for call in (q.execute, q.rollback):
                with pytest.raises(IllegalOperation, match="call it on what `async with ... as q` gives, and await it"):
                    call()
            await entered.execute()

    asyncio.run(main())


def test_an_undo_that_was_about_to_be_called_when_a_time_limit_came_is_called_later() -> None:
    with transaction() as q:
        do("a")
        rollback, log = Rollback(q.report), q._block.log
        rollback.log, rollback.entry = log, log[-1]
        rollback.interrupted(TimeoutError())
        assert rollback.entry is None
        assert rollback.problems == []
        assert len(log) == 1
        q.rollback()
    assert done == ["+a", "-a"]


def test_an_undo_that_a_time_limit_may_have_cut_short_counts_as_failed() -> None:
    rollback = Rollback(Report("transaction", TransactionState.ROLLING_BACK))
    rollback.entry = [PENDING, definition_behind(do), "a", None, None]
    rollback.interrupted(limit := TimeoutError())
    ((step, error),) = rollback.report.failures
    assert (step.state, error) == ("undo failed", limit)
    assert done == []


def test_what_is_registered_in_a_block_that_is_undone_is_not_kept_alive_by_it() -> None:
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    with pytest.raises(LookupError), transaction() as q:
        q.on_commit(print, thing)
        do("a")
        raise LookupError
    del thing
    assert gone() is None
    assert q.state is TransactionState.ROLLED_BACK


# -- which step is running


def test_a_step_finds_itself_behind_many_that_it_has_made_and_behind_one_that_has_failed() -> None:
    keys: list[str] = []

    @action
    def fail() -> None:
        raise Boom

    @action
    def work() -> None:
        for number in range(40):
            do(str(number))
            keys.append(current_step().key)
            if number % 10 == 9:
                with pytest.raises(Boom):
                    fail()
                keys.append(current_step().key)

    with transaction():
        do("before")
        work()
    assert len(keys) == 44
    assert len(set(keys)) == 1


# -- closed


class Slow(Watch):
    """Asks, before each step, for a call that takes until it is told to go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def starting(self, step: object) -> Request:
        return Call(self.go_on.wait)


def test_a_coroutine_that_is_closed_while_its_watch_is_asked_starts_no_step() -> None:
    stage = Stage(Library())
    watch = Slow()

    async def block() -> None:
        async with transaction():
            await put(stage, "a")

    async def main() -> None:
        coroutine = block()
        coroutine.send(None)
        coroutine.close()
        watch.go_on.set()

    with observed(lambda _owner, _watch: watch):
        asyncio.run(main())
    assert stage.told == ""


def test_a_watched_step_that_fails_once_a_closed_coroutine_has_undone_it_is_not_undone_again() -> None:
    stage = Stage(Library())

    async def main() -> None:
        wait, there, _ = stage.waiting()

        async def block() -> None:
            async with transaction():
                tasks.append(asyncio.create_task(outcome_of(work(stage, "a", wait))))
                await asyncio.Event().wait()

        tasks: list[asyncio.Task[BaseException | None]] = []
        coroutine = block()
        coroutine.send(None)
        await there.wait()
        coroutine.close()
        assert stage.told == "+a -a"
        assert isinstance(await tasks[0], asyncio.CancelledError)

    with observed(lambda _owner, _watch: Watch()):
        asyncio.run(main())
    assert stage.told == "+a -a"


def test_a_task_that_is_left_to_the_end_of_the_event_loop_is_rolled_back() -> None:
    stage = Stage(Library())

    async def block(there: asyncio.Event) -> None:
        async with transaction():
            await put(stage, "a")
            there.set()
            raise Boom

    async def main() -> None:
        there = asyncio.Event()
        tasks.append(asyncio.create_task(outcome_of(block(there))))
        await there.wait()

    tasks: list[asyncio.Task[BaseException | None]] = []
    asyncio.run(main())
    assert stage.told == "+a -a"
    assert isinstance(tasks[0].result(), (Boom, asyncio.CancelledError))


# -- left elsewhere


def test_a_call_where_a_block_was_entered_that_was_left_elsewhere_is_a_plain_one() -> None:
    q = transaction()
    q.__enter__()
    do("a")
    copy_context().run(q.__exit__, None, None, None)
    do("b")
    with pytest.raises(NoTransaction):
        current_transaction()
    assert done == ["+a", "+b"]
    assert q.state is TransactionState.COMMITTED


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_a_block_with_steps_that_is_left_elsewhere_needs_no_warning(
    within: bool, fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with transaction() if within else nullcontext():
        there, q = copy_context(), transaction("elsewhere")
        there.run(q.__enter__)
        there.run(do, "a")
        if fails:
            q.__exit__(Boom, Boom(), None)
        else:
            q.__exit__(None, None, None)
    assert done == (["+a", "-a"] if fails else ["+a"])
    assert caplog.records == []


@in_asyncio
@pytest.mark.parametrize("before", [False, True])
def test_a_task_that_outlives_its_block_makes_no_steps_whatever_it_has_done_before(
    library: Library, before: bool
) -> None:
    stage = Stage(library)

    async def main() -> None:
        go_on = asyncio.Event()

        async def late() -> None:
            await go_on.wait()
            if before:
                async with transaction():
                    pass
            mark(stage, "late")

        async with transaction():
            task = asyncio.create_task(late())
            await asyncio.sleep(0)
        go_on.set()
        assert isinstance(await outcome_of(task), TransactionClosed)

    library.run(main)
    assert stage.told == ""


class Delayed:
    """A function that is looked at before it is called, which takes until the block has ended."""

    def __init__(self) -> None:
        self.looked_at, self.ended = threading.Event(), threading.Event()

    def __getattribute__(self, name: str) -> Any:
        if name == "__call__":
            self.looked_at.set()
            assert self.ended.wait(30)
        return super().__getattribute__(name)

    def __call__(self) -> None:
        raise AssertionError


@pytest.mark.parametrize("method", ["run", "on_rollback", "on_commit"])
@pytest.mark.parametrize("fails", [False, True])
def test_a_thread_that_looks_at_a_function_while_the_block_ends_comes_too_late(method: str, fails: bool) -> None:
    delayed, raised = Delayed(), list[BaseException]()

    def late() -> None:
        try:
            getattr(q, method)(delayed)
        except BaseException as error:
            raised.append(error)

    with suppress(Boom), transaction("short") as q:
        do("a")
        thread = threading.Thread(target=late)
        thread.start()
        assert delayed.looked_at.wait(30)
        if fails:
            raise Boom
    delayed.ended.set()
    thread.join()
    assert isinstance(raised[0], TransactionClosed)
    assert f"came too late: the transaction 'short' is {'rolled back' if fails else 'committed'}" in str(raised[0])
