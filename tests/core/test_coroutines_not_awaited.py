"""A plain function that returns a coroutine has done nothing: its step, hook or undo has failed, and says so.

Mostly it is a decorator around an ``async def``.  What is legitimately returned, such as a task, is a result.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from actionqueues import (
    ActionQueue,
    CommitHookFailed,
    CoroutineNotAwaited,
    Retry,
    TransactionDoomed,
    action,
    transaction,
)
from actionqueues.journal import Journal
from tests.async_library import Library, everywhere
from tests.world import Boom

trail: list[str] = []
SOON = Retry(attempts=3, wait_initial=0, wait_jitter=0)


@pytest.fixture(autouse=True)
def nothing_is_left_unawaited() -> Any:
    trail.clear()
    yield
    gc.collect()  # an un-awaited coroutine would warn, which is an error here


async def put(name: str) -> str:
    trail.append(f"put {name}")
    return name


def logged(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        trail.append("logged")
        return fn(*args, **kwargs)

    return wrapper


def give_back(name: str) -> Any:
    """Undoes nothing, and finds out nothing."""
    return put(name)


def unput(name: str) -> None:
    trail.append(f"unput {name}")


def told(name: str) -> Any:
    return pytest.raises(CoroutineNotAwaited, match=f"^{name} .*returned a coroutine of put, which nobody awaits")


def a_step(**options: Any) -> Any:
    """An action of a plain wrapper around an ``async def``, with an undo."""
    decorate: Any = action
    made = decorate(**options)(logged(put))
    made.rollback(unput)
    return made


def test_a_decorator_around_an_async_function_is_named_with_its_place() -> None:
    with pytest.raises(CoroutineNotAwaited) as caught, transaction():
        a_step()("a")
    line = logged.__code__.co_firstlineno + 1
    assert str(caught.value) == (
        f"put (logged.<locals>.wrapper in {__file__}, line {line}) returned a coroutine of put, which nobody awaits: "
        "make it an `async def` that awaits it, or mark it as one, with functools.wraps and "
        "inspect.markcoroutinefunction (Python 3.12)"
    )
    assert caught.value.coroutine == "put"


@pytest.mark.parametrize("queued", [False, True], ids=["called", "queued"])
@pytest.mark.parametrize("options", [{}, {"retry": SOON}], ids=["plain", "retried"])
def test_the_step_is_undone_at_once_and_not_tried_again(queued: bool, options: Any) -> None:
    made = a_step(**options)
    with transaction() as q, told("put"):
        if queued:
            q.add(made, "a")
            q.execute()
        else:
            made("a")
    assert trail == ["logged", "unput a"]
    assert (q.state, q.report.undone, q.report.clean) == ("committed", ["put"], True)


@pytest.mark.parametrize("queued", [False, True], ids=["called", "queued"])
@everywhere
def test_so_it_is_in_an_async_block(library: Library, queued: bool) -> None:
    made = a_step(retry=SOON)

    async def main() -> None:
        async with transaction() as q:
            with told("put"):
                if queued:
                    q.add(made, "a")
                    await q.execute()
                else:
                    await made("a")
        assert q.report.undone == ["put"]

    library.run(main)
    assert trail == ["logged", "unput a"]


def test_a_lambda_a_partial_and_a_callable_object_are_no_exceptions() -> None:
    class Putter:
        def __call__(self, name: str) -> Any:
            return put(name)

    kinds: list[Callable[[str], Any]] = [lambda name: put(name), functools.partial(logged(put)), Putter()]
    for each in kinds:
        with transaction() as q:
            with pytest.raises(CoroutineNotAwaited):
                action(each)("a")
            q.add(each, "a")
            with pytest.raises(CoroutineNotAwaited):
                q.execute()


def test_an_async_partial_and_an_async_callable_object_are_known_to_be_async() -> None:
    class Putter:
        async def __call__(self, name: str) -> str:
            return await put(name)

    async def main() -> None:
        async with transaction() as q:
            for each in (functools.partial(put), Putter()):
                assert await action(each)("a") == "a"
                q.add(each, "b")

    asyncio.run(main())
    assert trail == ["put a", "put a", "put b", "put b"]


@everywhere
def test_an_async_step_that_forgets_to_await_has_failed_too(library: Library) -> None:
    @action
    async def forgetful(name: str) -> Coroutine[Any, Any, str]:
        return put(name)

    @forgetful.rollback
    async def undo(name: str) -> None:
        trail.append(f"undo {name}")

    async def main() -> None:
        async with transaction():
            with told("forgetful"):
                await forgetful("a")  # type: ignore[unused-coroutine]
            assert trail == ["undo a"]

    library.run(main)


def test_a_task_is_a_result_like_any_other() -> None:
    @action(read_only=True)
    def start(name: str) -> asyncio.Task[str]:
        return asyncio.ensure_future(put(name))

    async def main() -> None:
        async with transaction():
            assert await start("a") == "a"

    asyncio.run(main())


def test_outside_a_block_it_is_the_plain_function_whose_coroutine_the_caller_awaits() -> None:
    assert asyncio.run(a_step()("a")) == "a"
    assert trail == ["logged", "put a"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is no such mark")
@everywhere
def test_a_decorator_that_is_marked_is_awaited(library: Library) -> None:
    mark: Any = getattr(inspect, "markcoroutinefunction", None)
    made = action(mark(logged(put)))

    async def main() -> None:
        async with transaction():
            assert await made("a") == "a"

    library.run(main)
    assert trail == ["logged", "put a"]


# -- the siblings


@everywhere
def test_a_plain_callable_in_a_queue_is_awaited_where_that_is_possible_and_has_failed_elsewhere(
    library: Library,
) -> None:
    async def main() -> None:
        async with transaction() as q:
            step = q.add(logged(put), "a")
            await q.execute()
            assert step.result == "a"

    library.run(main)
    with transaction() as q, told("put"):
        q.add(logged(put), "b")
        q.execute()
    queue = ActionQueue()
    queue.add(logged(put), "c")
    with told("put"):
        queue.execute()
    assert trail == ["logged", "put a", "logged", "logged"]


def test_an_action_object_whose_method_returns_one() -> None:
    class Work:
        def execute(self) -> Any:
            return put("a")

        def rollback(self) -> Any:
            return put("b")

    queue = ActionQueue()
    queue.add(Work())
    with told("Work"):
        queue.execute()
    queue.rollback()
    (failure,) = queue.report.failures
    assert str(failure.error).startswith("the rollback handler of ")
    assert trail == []


@everywhere
def test_a_commit_hook(library: Library) -> None:
    with pytest.raises(CommitHookFailed) as caught, transaction() as q:
        q.on_commit(logged(put), "a")
    (error,) = caught.value.exceptions
    assert str(error).startswith("the commit hook put (logged.<locals>.wrapper in ")

    async def main() -> None:
        async with transaction() as q:
            q.on_commit(logged(put), "b")

    library.run(main)
    assert trail == ["logged", "logged", "put b"]


@everywhere
def test_what_is_brought_in_by_run(library: Library) -> None:
    with transaction() as q, told("put"):
        q.run(logged(put), "a")

    async def main() -> None:
        async with transaction() as q:
            assert await q.run(logged(put), "b") == "b"

    library.run(main)
    assert trail == ["logged", "logged", "put b"]


@pytest.mark.parametrize("options", [{}, {"retry": SOON}], ids=["plain", "retried"])
def test_a_decorated_transaction_is_rolled_back_and_not_called_again(options: Any) -> None:
    @action
    def note(name: str) -> None:
        trail.append(name)

    @note.rollback
    def unnote(name: str) -> None:
        trail.append(f"not {name}")

    def work() -> Any:
        note("a")
        return put("b")

    with told("work"):
        transaction(**options)(work)()
    assert trail == ["a", "not a"]


@everywhere
def test_so_is_an_async_one_that_forgets_to_await(library: Library) -> None:
    @transaction
    async def job() -> Coroutine[Any, Any, str]:
        trail.append("job")
        return put("a")

    async def main() -> None:
        with told("job"):
            await job()  # type: ignore[unused-coroutine]

    library.run(main)
    assert trail == ["job"]


def test_an_undo_by_hand() -> None:
    with pytest.raises(Boom), transaction() as q:
        q.on_rollback(logged(put), "a")
        raise Boom
    (failure,) = q.report.failures
    assert isinstance(failure.error, CoroutineNotAwaited)


def test_an_undo_at_once_dooms_the_transaction() -> None:
    made = action(logged(put))
    made.rollback(give_back)
    with pytest.raises(TransactionDoomed), transaction(), told("put"):
        made("a")


def test_a_probe_that_returns_one_leaves_the_outcome_unknown() -> None:
    undone: list[str] = []

    @action(timeout=0.01)
    async def upload(name: str) -> None:
        await asyncio.sleep(60)

    @upload.rollback
    def remove(name: str, result: object = "unknown") -> None:
        undone.append(f"{name} {result}")

    upload.landed(give_back)

    async def main() -> None:
        async with transaction():
            with pytest.raises(TimeoutError):
                await upload("a")

    asyncio.run(main())
    assert undone == ["a unknown"]


def test_it_is_no_result_that_a_journal_would_keep(tmp_path: Any) -> None:
    journal = Journal(tmp_path / "j.db")
    with transaction(journal=journal) as q, told("put"):
        q.add(logged(put), "a")
        q.execute()
    journal.close()
    assert trail == ["logged"]
