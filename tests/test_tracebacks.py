"""What tracebacks show of this package: at most one frame between the user's call and their function; the counts."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import traceback
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from inspect import getsourcelines
from pathlib import Path
from typing import Any

import pytest

import actionqueues
from actionqueues import (
    Action,
    ActionQueue,
    ActionRetryException,
    CommitHookFailed,
    Retry,
    RollbackFailed,
    TransactionDoomed,
    action,
    transaction,
)
from actionqueues.core.watch import Watch, observed
from actionqueues.journal import Journal

from .async_library import Library, everywhere
from .journal.leaving import leave

PACKAGE = str(Path(actionqueues.__file__).parent)
SOON = Retry(attempts=2, wait_initial=0, wait_jitter=0)


class Boom(Exception):
    """What the functions of these tests raise."""


# -- the functions that are called, all of them "their function"


@action(read_only=True)
def charge(amount: int = 1) -> None:
    raise Boom(amount)


@action(read_only=True, retry=SOON)
def charge_twice() -> None:
    raise Boom


@action(read_only=True, retry=Retry(attempts=2, wait_initial=0, wait_jitter=0, on_result=bool))
def charge_until() -> None:
    raise Boom


@action(read_only=True)
async def charge_later(amount: int = 1) -> None:
    raise Boom(amount)


@action(read_only=True, retry=SOON)
async def charge_later_twice() -> None:
    raise Boom


@action(read_only=True, timeout=60)
async def charge_in_time() -> None:
    raise Boom


@action(read_only=True, retry=Retry(attempts=1))
def charge_and_ask() -> None:
    try:
        raise Boom
    except Boom as error:
        raise ActionRetryException from error


@action(read_only=True, retry=Retry(attempts=1))
async def charge_later_and_ask() -> None:
    charge_and_ask.__wrapped__()


@action(read_only=True)
def around_another() -> None:
    charge()


class Shop:
    @action(read_only=True)
    def method(self) -> None:
        raise Boom

    @action(read_only=True)
    @classmethod
    def class_method(cls) -> None:
        raise Boom

    @action(read_only=True)
    @staticmethod
    def static_method() -> None:
        raise Boom

    @transaction
    def in_transaction(self) -> None:
        raise Boom


class Object(Action):
    def execute(self) -> None:
        raise Boom


@action
def undone() -> None: ...


@undone.rollback
def undo() -> None:
    raise Boom


@action
def undone_with_step() -> None: ...


@undone_with_step.rollback
def undo_with_step(step: Any) -> None:
    raise Boom


@action
async def undone_later() -> None: ...


@undone_later.rollback
async def undo_later() -> None:
    raise Boom


@action
def fails() -> None:
    raise Boom


@fails.rollback
def undo_fails() -> None:
    raise Boom


@transaction
def decorated() -> None:
    raise Boom


@transaction(retry=SOON)
def decorated_twice() -> None:
    raise Boom


@transaction(retry=Retry(attempts=1))
def decorated_and_ask() -> None:
    charge_and_ask.__wrapped__()


@transaction
async def decorated_later() -> None:
    raise Boom


@transaction(retry=SOON)
async def decorated_later_twice() -> None:
    raise Boom


def plain() -> None:
    raise Boom


async def plain_later() -> None:
    raise Boom


# -- who calls them


def in_a_block(call: Callable[[Any], object], **options: Any) -> Callable[[], object]:
    def block() -> None:
        with transaction(**options) as q:
            call(q)

    return block


def watched(call: Callable[[], object]) -> Callable[[], object]:
    def block() -> None:
        with observed(lambda _owner, _watch: Watch()):
            call()

    return block


def classic(thing: Any) -> Callable[[], object]:
    def run() -> None:
        queue = ActionQueue()
        queue.add(thing)
        queue.execute()

    return run


def executing(thing: Any) -> Callable[[Any], object]:
    def body(q: Any) -> None:
        q.add(thing)
        q.execute()

    return body


def in_a_thread(call: Callable[[Any], object]) -> Callable[[Any], object]:
    """Call it in another thread, which knows of the block by its context."""

    def body(q: Any) -> None:
        errors: list[BaseException] = []
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: errors.append(raised_by(lambda: context.run(call, q))))
        thread.start()
        thread.join()
        raise errors[0]

    return body


def in_a_savepoint(q: Any) -> None:
    with q.savepoint():
        charge()


def raising(q: Any) -> None:
    raise Boom


def after(step: Callable[[], object]) -> Callable[[Any], None]:
    def body(q: Any) -> None:
        step()
        raise Boom

    return body


# -- what their tracebacks show


def raised_by(call: Callable[[], object]) -> BaseException:
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("it has raised nothing")


def shown(error: BaseException) -> list[tuple[str, bool]]:
    """The names in a traceback, from the first frame of this file on, and whether they are of this package."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    names = [frame.f_code.co_filename for frame in frames]
    ours = [name.startswith((PACKAGE, "<actionqueues: ")) for name in names]
    both = zip(frames, ours, names, strict=True)
    return [(frame.f_code.co_name, own) for frame, own, name in both if own or name == __file__]


def counted(error: BaseException) -> tuple[int, int]:
    """How many frames are of this package: before the last one of this file, and behind that."""
    ours = [own for _, own in shown(error)]
    behind = ours[::-1].index(False) if False in ours else len(ours)
    return sum(ours) - behind, behind


#: For each way in which a function is called, how many frames of ours stand between the call and the function.
BETWEEN: dict[str, tuple[int, Callable[[], object]]] = {
    "outside any block": (1, lambda: charge()),
    "in a block": (1, in_a_block(lambda q: charge())),
    "in a block with a name": (1, in_a_block(lambda q: charge(), name="order")),
    "in a savepoint": (1, in_a_block(in_a_savepoint)),
    "in a watched block": (1, watched(in_a_block(lambda q: charge()))),
    "in another thread": (1, in_a_block(in_a_thread(lambda q: charge()))),
    "a method": (1, in_a_block(lambda q: Shop().method())),
    "a class method": (1, in_a_block(lambda q: Shop.class_method())),
    "a static method": (1, in_a_block(lambda q: Shop.static_method())),
    "a step in a step": (2, in_a_block(lambda q: around_another())),
    "a later attempt": (1, in_a_block(lambda q: charge_twice())),
    "a later attempt in a watched block": (1, watched(in_a_block(lambda q: charge_twice()))),
    "with a policy that looks at results": (1, in_a_block(lambda q: charge_until())),
    "the cause of an ActionRetryException": (2, in_a_block(lambda q: charge_and_ask())),
    "q.run": (1, in_a_block(lambda q: q.run(plain))),
    "q.run in another thread": (1, in_a_block(in_a_thread(lambda q: q.run(plain)))),
    "q.execute": (1, in_a_block(executing(charge))),
    "q.execute of a plain function": (1, in_a_block(executing(plain))),
    "q.execute in a watched block": (1, watched(in_a_block(executing(charge)))),
    "queued, at the end": (1, in_a_block(lambda q: q.add(charge))),
    "queued, at the end of a watched block": (1, watched(in_a_block(lambda q: q.add(charge)))),
    "a decorated function": (1, lambda: decorated()),
    "a decorated method": (1, lambda: Shop().in_transaction()),
    "a decorated function that is called again": (1, lambda: decorated_twice()),
    "the cause of it": (2, lambda: decorated_and_ask()),
    "a classic action": (1, classic(Object())),
    "a function in a classic queue": (1, classic(plain)),
    "a step in a classic queue": (1, classic(charge)),
    "a classic action that is watched": (1, watched(classic(Object()))),
    "execute_with_retries": (1, lambda: ActionQueue().execute_with_retries(None, lambda _: plain())),
    "raised in the block itself": (0, in_a_block(raising)),
    "raised in a watched block itself": (0, watched(in_a_block(raising))),
}


@pytest.mark.parametrize("way", BETWEEN)
def test_between_the_call_and_the_function_there_is_one_frame(way: str) -> None:
    count, call = BETWEEN[way]
    error = raised_by(call)
    assert type(error) is Boom
    assert counted(error) == (count, 0)


def test_in_a_block_with_a_journal_there_is_one_frame(tmp_path: Path) -> None:
    error = raised_by(in_a_block(lambda q: charge(), journal=tmp_path / "actions.db"))
    assert counted(error) == (1, 0)


def in_an_async_block(call: Callable[[Any], Awaitable[object]]) -> Callable[[], Coroutine[Any, Any, object]]:
    async def block() -> None:
        async with transaction() as q:
            await call(q)

    return block


async def executing_later(q: Any) -> None:
    q.add(charge_later)
    await q.execute()


async def queueing(q: Any) -> None:
    q.add(charge_later)


ASYNC: dict[str, tuple[int, Callable[[], Coroutine[Any, Any, object]]]] = {
    "outside any block": (0, lambda: charge_later()),
    "in a block": (1, in_an_async_block(lambda q: charge_later())),
    "a later attempt": (1, in_an_async_block(lambda q: charge_later_twice())),
    "with a time-out": (1, in_an_async_block(lambda q: charge_in_time())),
    "the cause of an ActionRetryException": (2, in_an_async_block(lambda q: charge_later_and_ask())),
    "q.run": (1, in_an_async_block(lambda q: q.run(plain_later))),
    "q.execute": (1, in_an_async_block(executing_later)),
    "queued, at the end": (1, in_an_async_block(queueing)),
    "a decorated function": (1, lambda: decorated_later()),
    "a decorated function that is called again": (1, lambda: decorated_later_twice()),
}


@everywhere
@pytest.mark.parametrize("way", ASYNC)
def test_in_async_code_there_is_one_frame_too(way: str, library: Library) -> None:
    count, call = ASYNC[way]
    error = raised_by(lambda: library.run(call))
    assert type(error) is Boom
    between, behind = counted(error)
    assert between <= count, "in trio and in debug mode it takes the long way, which has the same or one less"
    assert behind == 0


@pytest.mark.parametrize("way", ["in a block", "in a watched block", "a later attempt", "in another thread"])
def test_the_frame_between_has_the_name_of_the_step(way: str) -> None:
    names = [name for name, own in shown(raised_by(BETWEEN[way][1])) if own]
    assert names in (["charge"], ["charge_twice"])


@everywhere
@pytest.mark.parametrize("way", ["in a block", "a later attempt"])
def test_so_has_that_of_an_async_step(way: str, library: Library) -> None:
    names = [name for name, own in shown(raised_by(lambda: library.run(ASYNC[way][1]))) if own]
    assert names in (["charge_later"], ["charge_later_twice"])


#: What is raised at the user's line by this package itself, and how many frames of ours stand behind that line.
BEHIND: dict[str, tuple[int, type[BaseException], Callable[[], object]]] = {
    "a commit hook": (1, CommitHookFailed, in_a_block(lambda q: q.on_commit(plain))),
    "q.rollback": (2, RollbackFailed, in_a_block(lambda q: (undone(), q.rollback()))),
    "a doomed block": (1, TransactionDoomed, lambda: doomed()),
}


def doomed() -> None:
    with transaction() as q:
        try:
            with q.savepoint():
                after(undone)(q)
        except Boom:
            pass


@pytest.mark.parametrize("way", BEHIND)
def test_what_is_raised_here_stands_on_the_line_of_the_user_with_few_frames_behind(way: str) -> None:
    count, kind, call = BEHIND[way]
    error = raised_by(call)
    assert type(error) is kind
    assert counted(error) == (0, count)
    held: Any = error
    assert [counted(each) for each in getattr(held, "exceptions", ())] in ([], [(0, 0)])


# -- what is logged, and reported

LOGGED = {
    "a handler": (in_a_block(after(lambda: undone())), "undo"),
    "one that asks for the step": (in_a_block(after(lambda: undone_with_step())), "undo_with_step"),
    "one in a watched block": (watched(in_a_block(after(lambda: undone()))), "undo"),
    "one of a step that fails itself": (in_a_block(lambda q: fails()), "undo_fails"),
}


@pytest.mark.parametrize("way", LOGGED)
def test_the_traceback_of_a_handler_in_the_log_begins_with_the_handler(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    call, name = LOGGED[way]
    raised_by(call)
    (error,) = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert error is not None
    assert shown(error) == [(name, False)]


@everywhere
def test_that_of_an_async_handler_too(library: Library, caplog: pytest.LogCaptureFixture) -> None:
    async def body(q: Any) -> None:
        await undone_later()
        raise Boom

    raised_by(lambda: library.run(in_an_async_block(body)))
    (error,) = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert error is not None
    assert shown(error) == [("undo_later", False)]


def test_that_of_a_handler_in_a_recovery_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "actions.db"
    leave(path, lambda q: undone())
    (recovered,) = Journal(path).recover()
    (failure,) = recovered.report.failures
    assert shown(failure.error) == [("undo", False)]


def test_a_traceback_that_has_no_frame_but_ours_keeps_them(tmp_path: Path) -> None:
    with pytest.raises(Boom), transaction() as q:
        action(os.mkdir, undo=os.rmdir)(tmp_path / "made")
        (tmp_path / "made").rmdir()
        raise Boom
    (failure,) = q.report.failures
    assert type(failure.error) is FileNotFoundError
    assert [own for _, own in shown(failure.error)] == [True, True]


@pytest.mark.parametrize("watch", [False, True])
def test_what_the_user_has_raised_again_keeps_each_of_its_frames(watch: bool) -> None:
    def inner() -> None:
        raise Boom

    @action(read_only=True)
    def outer() -> None:
        try:
            inner()
        except Boom as error:
            errors.append(error)
        raise errors[0]

    errors: list[BaseException] = []
    call = in_a_block(lambda q: outer())
    error = raised_by(watched(call) if watch else call)
    assert error is errors[0]
    assert [name for name, own in shown(error) if not own][-3:] == ["outer", "outer", "inner"]
    assert error.__context__ is None


def test_an_exception_that_is_handled_around_the_call_does_not_become_its_context() -> None:
    for call in (charge_twice, lambda: charge(), executing(charge)):

        def body(q: Any, call: Any = call) -> None:
            try:
                raise KeyError
            except KeyError:
                call(q) if call.__name__ == "body" else call()

        error = raised_by(watched(in_a_block(body)))
        assert type(error) is Boom


# -- warnings


def line_of(function: Any, text: str) -> int:
    """The line of a function that has this text."""
    lines, first = getsourcelines(function)
    (number,) = [number for number, line in enumerate(lines, first) if text in line]
    return number


#: A predicate that nobody knows the line of, so that what it forgets to answer is warned of where the action is called.
forgetful: Any = dict[Any, Any]().get
FORGETFUL = Retry(on=forgetful)


def test_a_warning_points_at_the_line_of_the_call_in_each_way_to_call() -> None:
    step = action(read_only=True, retry=FORGETFUL)(plain)

    @transaction(retry=FORGETFUL)
    def block() -> None:
        raise Boom

    def directly() -> None:
        with transaction():
            step()  # here

    def queued() -> None:
        with transaction() as q:
            q.add(step)
            q.execute()  # here

    def by_a_classic_queue() -> None:
        queue = ActionQueue()
        queue.add(step)
        queue.execute()  # here

    def by_a_decorated_function() -> None:
        block()  # here

    def in_a_watched_block() -> None:
        with observed(lambda _owner, _watch: Watch()), transaction():
            step()  # here

    def by_hand() -> None:
        FORGETFUL(1, Boom())  # here
        raise Boom

    for way in (directly, queued, by_a_classic_queue, by_a_decorated_function, in_a_watched_block, by_hand):
        with pytest.warns(RuntimeWarning, match="which counts as False") as caught:
            raised_by(way)
        assert (caught[0].filename, caught[0].lineno) == (__file__, line_of(way, "# here")), way.__name__


@everywhere
def test_a_warning_points_at_the_line_of_an_async_call_too(library: Library) -> None:
    step = action(read_only=True, retry=FORGETFUL)(plain_later)

    @transaction(retry=FORGETFUL)
    async def block() -> None:
        raise Boom

    async def directly() -> None:
        async with transaction():
            await step()  # here

    async def queued() -> None:
        async with transaction() as q:
            q.add(step)
            await q.execute()  # here

    async def by_a_decorated_function() -> None:
        await block()  # here

    for way in (directly, queued, by_a_decorated_function):
        with pytest.warns(RuntimeWarning, match="which counts as False") as caught:
            raised_by(partial(library.run, way))
        assert (caught[0].filename, caught[0].lineno) == (__file__, line_of(way, "# here")), way.__name__


@everywhere
def test_pythons_own_warning_of_a_call_that_is_never_awaited_points_at_it(library: Library) -> None:
    async def main() -> None:
        async with transaction():
            charge_later()  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine] # here

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        library.run(main)
    (warning,) = caught
    assert str(warning.message).startswith("coroutine 'charge_later' was never awaited")
    assert (warning.filename, warning.lineno) == (__file__, line_of(main, "# here"))


def test_in_debug_mode_it_says_where_the_call_was_made_with_one_frame_behind_that() -> None:
    async def main() -> None:
        async with transaction():
            charge_later()  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine] # here

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(main(), debug=True)
    (warning,) = caught
    *_, mine, frame = [line for line in str(warning.message).splitlines() if line.lstrip().startswith("File ")]
    assert f'"{__file__}", line {line_of(main, "# here")}, in main' in mine
    assert '"<actionqueues: an async step (p0)>"' in frame
    assert frame.endswith("in charge_later")
