"""Decorated functions, and other callables, in an explicit queue; and queues in blocks and threads."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import Any

import pytest

from actionqueues import (
    ActionQueue,
    ActionRetryException,
    AsyncActionInSyncBlock,
    IllegalOperation,
    NoTransaction,
    Retry,
    Step,
    TransactionClosed,
    current_step,
    current_transaction,
    transaction,
)
from actionqueues import action as step

from .inside import SLEEP
from .scripted import Boom, Scripted, Trail, queue_of


@pytest.fixture
def trail() -> Trail:
    return []


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(SLEEP, waited.append)
    return waited


# -- decorated functions in a queue

world: list[object] = []


@pytest.fixture(autouse=True)
def empty_world() -> None:
    world.clear()


@step
def create(name: str, *, size: int = 1) -> str:
    world.append(name)
    return f"{name}*{size}"


@create.rollback
def delete(name: str, size: int, result: str | None = None) -> None:
    world.append(("deleted", name, size, result))


@step
def describe(text: str, /, *more: str, **options: str) -> str:
    world.append((text, more, options))
    return text.upper()


def test_a_queue_takes_decorated_functions_with_their_arguments() -> None:
    queue = ActionQueue()
    made = queue.add(create, "disk", size=3)
    assert (made.state, world) == ("queued", [])
    queue.execute()
    assert (made.state, made.result, world) == ("done", "disk*3", ["disk"])
    queue.rollback()
    assert (made.state, world) == ("undone", ["disk", ("deleted", "disk", 3, "disk*3")])


def test_a_decorated_function_that_raised_is_rolled_back_with_the_others(trail: Trail) -> None:
    @step
    def break_it(name: str) -> None:
        raise ValueError(name)

    @break_it.rollback
    def mend(name: str, error: BaseException) -> None:
        trail.append(f"mend {name} after {error!r}")

    queue = queue_of(Scripted("a", trail))
    queue.add(break_it, "b")
    with pytest.raises(ValueError, match="b"):
        queue.execute()
    queue.rollback()
    assert trail == ["do a", "mend b after ValueError('b')", "undo a"]


def test_wrong_arguments_are_refused_when_they_are_added() -> None:
    queue = ActionQueue()
    add: Any = queue.add
    with pytest.raises(TypeError, match=r"create\(\) missing 1 required positional argument: 'name'"):
        add(create)
    with pytest.raises(TypeError, match=re.escape("len(obj, /): missing a required argument: 'obj'")):
        add(len)
    assert queue.state == "init"


def test_a_step_stands_for_its_result_wherever_it_is_passed() -> None:
    queue = ActionQueue()
    made = queue.add(create, "disk")
    text = queue.add(describe, made, made.later, extra=made.later)
    queue.execute()
    assert world == ["disk", ("disk*1", ("disk*1",), {"extra": "disk*1"})]
    assert text.result == "DISK*1"
    assert dict(text.arguments) == {"text": "disk*1", "more": ("disk*1",), "options": {"extra": "disk*1"}}


def test_a_step_stands_for_its_result_as_a_keyword_argument_too() -> None:
    queue = ActionQueue()
    size = queue.add(len, "abc")
    made = queue.add(create, "disk", size=size.later)
    queue.execute()
    assert made.result == "disk*3"
    queue.rollback()
    assert world[-1] == ("deleted", "disk", 3, "disk*3")


def test_a_step_of_another_queue_that_has_run_stands_for_its_result() -> None:
    first, second = ActionQueue(), ActionQueue()
    made = first.add(create, "disk")
    first.execute()
    text = second.add(describe, made)
    second.execute()
    assert text.result == "DISK*1"


def test_a_step_of_a_queue_that_has_not_run_cannot_stand_for_a_result(trail: Trail) -> None:
    other = ActionQueue().add(create, "elsewhere")
    queue = queue_of(Scripted("a", trail))
    queue.add(describe, other)
    with pytest.raises(IllegalOperation, match="cannot run describe: one of its arguments is the result of create"):
        queue.execute()
    queue.rollback()
    assert (trail, world) == (["do a", "undo a"], [])


def test_the_result_of_a_queued_step_cannot_be_read_before_it_has_run() -> None:
    made = ActionQueue().add(create, "disk")
    with pytest.raises(IllegalOperation, match="cannot read the result of create: it is queued; call "):
        _ = made.result


def test_a_plain_function_has_nothing_to_undo_and_the_report_says_so() -> None:
    queue = ActionQueue()
    queue.add(world.append, "x")
    queue.execute()
    queue.rollback()
    assert world == ["x"]
    assert [left.name for left in queue.report.not_undone] == ["list.append"]


def test_methods_are_added_bound_to_their_object() -> None:
    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        @step
        def sell(self, item: str) -> str:
            return f"{self.name} sells {item}"

        @sell.rollback
        def take_back(self, item: str, result: str) -> None:
            world.append((self.name, item, result))

    queue = ActionQueue()
    sold = queue.add(Shop("corner").sell, "tea")
    queue.execute()
    assert sold.result == "corner sells tea"
    queue.rollback()
    assert world == [("corner", "tea", "corner sells tea")]


def test_the_policy_of_an_action_holds_in_a_queue_too(waits: list[float]) -> None:
    attempts: list[int] = []

    @step(retry=Retry(attempts=3, wait_jitter=0, on=OSError))
    def flaky() -> int:
        attempts.append(current_step().attempts)
        if len(attempts) < 3:
            raise OSError
        return len(attempts)

    queue = ActionQueue()
    result = queue.add(flaky)
    queue.execute()
    assert (attempts, result.result, waits) == ([1, 2, 3], 3, [0.1, 0.2])
    assert repr(result).endswith("flaky done after 3 attempts>")


def test_actions_called_by_an_action_are_undone_in_their_place(trail: Trail) -> None:
    class Outer(Scripted):
        def execute(self) -> None:
            super().execute()
            assert create("inner") == "inner*1"

        def rollback(self) -> None:
            assert world[-1] == ("deleted", "inner", 1, "inner*1")
            super().rollback()

    queue = queue_of(Scripted("a", trail), Outer("b", trail))
    queue.execute()
    queue.rollback()
    assert trail == ["do a", "do b", "undo b", "undo a"]
    assert queue.report.undone == ["create", "Outer", "Scripted"]


def test_a_retry_undoes_first_what_the_failed_attempt_had_called(trail: Trail, waits: list[float]) -> None:
    class Outer(Scripted):
        def execute(self) -> None:
            create("inner")
            super().execute()

    queue = queue_of(Outer("a", trail, [ActionRetryException(1)]))
    queue.execute()
    assert world == ["inner", ("deleted", "inner", 1, "inner*1"), "inner"]
    queue.rollback()
    assert world[3:] == [("deleted", "inner", 1, "inner*1")]


def test_what_an_action_left_behind_cannot_call_into_a_queue_that_was_rolled_back(trail: Trail) -> None:
    contexts: list[Context] = []

    class Leaving(Scripted):
        def execute(self) -> None:
            super().execute()
            contexts.append(copy_context())

    queue = queue_of(Leaving("a", trail))
    queue.execute()
    contexts[0].run(create, "in time")
    queue.rollback()
    assert world == ["in time", ("deleted", "in time", 1, "in time*1")]
    with pytest.raises(TransactionClosed):
        contexts[0].run(create, "too late")
    assert len(world) == 2


def test_outside_execute_the_queue_records_nothing() -> None:
    queue = ActionQueue()
    queue.add(create, "queued")
    create("by hand")
    queue.execute()
    create("by hand again")
    queue.rollback()
    assert queue.report.undone == ["create"]


@pytest.mark.parametrize("handler", [True, False])
def test_a_queue_refuses_async_actions_and_runs_nothing(handler: bool) -> None:
    async def send() -> None:
        """Never awaited, so never called."""

    queue = ActionQueue()
    with pytest.raises(AsyncActionInSyncBlock, match="send is async, and this action queue cannot await it"):
        queue.add(step(send) if handler else send)
    assert queue.state == "init"


@pytest.mark.parametrize("phase", ["execute", "rollback"])
def test_a_queue_refuses_action_objects_with_an_async_method(phase: str) -> None:
    async def never_awaited(_self: object) -> None:
        """Never awaited, so never called."""

    half = {"execute": Scripted.execute, "rollback": Scripted.rollback, phase: never_awaited}
    queue = ActionQueue()
    with pytest.raises(AsyncActionInSyncBlock):
        queue.add(type("Half", (Scripted,), half)("a", []))
    assert queue.state == "init"


# -- where a queue is used


def test_a_queue_in_a_block_is_a_matter_of_its_own(trail: Trail) -> None:
    with transaction() as q:
        create("in the block")
        queue = queue_of(Scripted("a", trail))
        queue.add(create, "in the queue")
        queue.execute()
        q.rollback()
        assert q.report.undone == ["create"]
    assert world == ["in the block", "in the queue", ("deleted", "in the block", 1, "in the block*1")]
    queue.rollback()
    assert world[3:] == [("deleted", "in the queue", 1, "in the queue*1")]
    assert trail == ["do a", "undo a"]


def test_a_block_takes_a_queue_as_a_step(trail: Trail) -> None:
    queue = queue_of(Scripted("a", trail), Scripted("b", trail))
    with pytest.raises(ValueError, match="later"), transaction() as q:
        q.add(queue)
        q.execute()
        raise ValueError("later")
    assert trail == ["do a", "do b", "undo b", "undo a"]


def test_the_block_around_a_queue_is_current_again_after_it(trail: Trail) -> None:
    with transaction() as q:
        queue_of(Scripted("a", trail)).execute()
        assert current_transaction() is q
        with pytest.raises(Boom):
            queue_of(Scripted("a", trail, [Boom()])).execute()
        assert current_transaction() is q


def test_current_step_is_the_running_action_and_the_one_being_undone() -> None:
    names: list[str] = []

    class Curious:
        def execute(self) -> None:
            names.append(current_step().name)

        def rollback(self) -> None:
            self.execute()

    queue = ActionQueue()
    queue.add(Curious())
    queue.execute()
    queue.rollback()
    assert names == ["Curious", "Curious"]
    with pytest.raises(NoTransaction):
        current_step()


def test_a_queue_may_be_executed_and_rolled_back_in_other_threads_than_the_one_that_made_it(trail: Trail) -> None:
    seen: list[Step[object]] = []

    def look() -> None:
        seen.append(current_step())
        create("inner")

    queue = queue_of(Scripted("a", trail))
    added_step = queue.add(look)
    for operation in (queue.execute, queue.rollback):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(operation).result()
    assert seen == [added_step]
    assert trail == ["do a", "undo a"]
    assert world == ["inner", ("deleted", "inner", 1, "inner*1")]


def test_an_action_that_has_failed_inside_another_one_is_not_the_current_step_any_more(trail: Trail) -> None:
    seen: list[str] = []

    @step
    def refuse() -> None:
        raise Boom("inner")

    @step
    def outer() -> None:
        with pytest.raises(Boom):
            refuse()
        seen.append(current_step().name)

    queue = ActionQueue()
    queue.add(outer)
    queue.execute()
    assert seen == ["outer"]
