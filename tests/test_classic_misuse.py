"""Calls of an explicit queue in a wrong order: they are refused, also without asserts, and change nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import actionqueues
from actionqueues import ActionQueue, CoroutineNotAwaited, IllegalOperation, transaction
from actionqueues.core.queue import SupportsAction

from .scripted import Boom, Scripted, Trail, queue_of

ROOT = Path(actionqueues.__file__).parent.parent


@pytest.fixture
def trail() -> Trail:
    return []


def nothing(_queue: ActionQueue) -> None:
    """A queue that was just made."""


def added(queue: ActionQueue) -> None:
    queue.add(Scripted("a", []))


def executed(queue: ActionQueue) -> None:
    added(queue)
    queue.execute()


def failed(queue: ActionQueue) -> None:
    queue.add(Scripted("a", [], [Boom()]))
    with pytest.raises(Boom):
        queue.execute()


def rolled_back(queue: ActionQueue) -> None:
    executed(queue)
    queue.rollback()


ADD = "add to this queue"
EXECUTE = "execute this queue"
ROLL_BACK = "roll back this queue"
ILLEGAL: list[tuple[Callable[[ActionQueue], None], str, str, str]] = [
    (nothing, EXECUTE, "it is empty", "a queue is executed once: add() first"),
    (nothing, ROLL_BACK, "it is empty", "call execute() first: nothing has been done"),
    (added, ROLL_BACK, "it has not been executed", "call execute() first: nothing has been done"),
    (executed, ADD, "it has been executed", "add before execute(), or make a new ActionQueue"),
    (executed, EXECUTE, "it has been executed", "a queue is executed once: make a new ActionQueue"),
    (failed, ADD, "it is being executed, or an exception has stopped it", "add before execute(), or make a new "),
    (failed, EXECUTE, "it is being executed, or an exception has stopped it", "a queue is executed once: make a new"),
    (rolled_back, ADD, "it has been rolled back", "add before execute(), or make a new ActionQueue"),
    (rolled_back, EXECUTE, "it has been rolled back", "a queue is executed once: make a new ActionQueue"),
    (rolled_back, ROLL_BACK, "it has been rolled back", "a queue is rolled back once"),
]


@pytest.mark.parametrize(("history", "operation", "state", "advice"), ILLEGAL)
def test_an_illegal_call_says_what_why_and_what_to_do_and_changes_nothing(
    history: Callable[[ActionQueue], None], operation: str, state: str, advice: str, trail: Trail
) -> None:
    queue = ActionQueue()
    history(queue)
    before = (repr(queue), queue.state, queue.report.as_dict())
    calls: dict[Any, Any] = {
        ADD: lambda: queue.add(Scripted("b", trail)),
        EXECUTE: queue.execute,
        ROLL_BACK: queue.rollback,
    }
    with pytest.raises(IllegalOperation) as caught:
        calls[operation]()
    assert isinstance(caught.value, AssertionError)
    assert str(caught.value).startswith(f"cannot {operation}: {state}; {advice}")
    assert (caught.value.operation, caught.value.state) == (operation, state)
    assert (repr(queue), queue.state, queue.report.as_dict()) == before
    assert trail == []


def test_an_empty_queue_that_was_executed_too_early_still_works(trail: Trail) -> None:
    queue = ActionQueue()
    with pytest.raises(IllegalOperation):
        queue.execute()
    queue.add(Scripted("a", trail))
    with pytest.raises(IllegalOperation):
        queue.rollback()
    queue.execute()
    assert trail == ["do a"]


@pytest.mark.parametrize("operation", ["add", "execute", "rollback"])
def test_an_action_cannot_add_to_execute_or_roll_back_the_queue_it_runs_in(operation: str, trail: Trail) -> None:
    class Meddling(Scripted):
        def execute(self) -> None:
            super().execute()
            call = getattr(queue, operation)
            with pytest.raises(IllegalOperation, match="it is being executed"):
                call(*([Scripted("late", trail)] if operation == "add" else []))

    queue = queue_of(Scripted("a", trail), Meddling("b", trail), Scripted("c", trail))
    queue.execute()
    assert trail == ["do a", "do b", "do c"]
    assert queue.state == "execute complete"


def test_a_rollback_cannot_roll_back_the_queue_it_runs_in(trail: Trail) -> None:
    class Meddling(Scripted):
        def rollback(self) -> None:
            super().rollback()
            queue.rollback()

    queue = queue_of(Scripted("a", trail), Meddling("b", trail))
    queue.execute()
    queue.rollback()
    assert trail[2:] == ["undo b", "undo a"]
    assert [str(failure.error) for failure in queue.report.failures] == [
        "cannot roll back this queue: it is being rolled back; a queue is rolled back once"
    ]


MISUSE = """
from actionqueues import action, actionqueue, transaction
from actionqueues.aqstatemachine import AQStateMachine
assert False, "this line is not there without asserts"

def attempt(name, call, *args):
    try:
        call(*args)
    except AssertionError as error:
        print(type(error).__name__, name)

q = actionqueue.ActionQueue()
for name in "execute rollback add execute execute add rollback rollback execute add".split():
    attempt(name, getattr(q, name), *([action.Action()] if name == "add" else []))
attempt("machine", AQStateMachine().transition_to_rollback)
block = transaction()
attempt("early", block.execute)
with block:
    pass
attempt("again", block.__enter__)
attempt("decorate", block, print)
attempt("result", lambda: actionqueue.ActionQueue().add(print).result)
"""


@pytest.mark.parametrize("option", ["-O", "-OO"])
def test_misuse_is_refused_without_asserts_too(option: str) -> None:
    command = [sys.executable, option, "-W", "error", "-c", MISUSE]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.stderr == ""
    refused = "execute rollback execute add rollback execute add machine early again decorate result"
    assert done.stdout.splitlines() == [f"IllegalOperation {operation}" for operation in refused.split()]


class Lines:
    """Its methods would run nothing when they are called."""

    def execute(self) -> Iterator[str]:
        yield "never"

    def rollback(self) -> None: ...


class LinesBack:
    def execute(self) -> None: ...

    def rollback(self) -> Iterator[str]:
        yield "never"


@pytest.mark.parametrize(("made", "name"), [(Lines(), "Lines.execute"), (LinesBack(), "LinesBack.rollback")])
def test_an_action_object_whose_method_is_a_generator_function_is_refused_each_time(
    made: SupportsAction, name: str
) -> None:
    queue = ActionQueue()
    for _ in range(2):
        with pytest.raises(TypeError) as caught:
            queue.add(made)
        assert str(caught.value) == (
            f"{name} is a generator function: calling it would run nothing; use a plain function"
        )
    assert queue.state == "init"


async def undone_later() -> None:
    raise AssertionError("never awaited")


class Client:
    """As an async client has them: plain functions that return coroutines."""

    def execute(self) -> object:
        return undone_later()

    def rollback(self) -> None: ...


def test_an_action_object_that_returns_a_coroutine_fails_and_leaves_none_unawaited() -> None:
    queue = ActionQueue()
    queue.add(Client())
    with pytest.raises(CoroutineNotAwaited, match="^Client returned a coroutine of undone_later, which nobody awaits"):
        queue.execute()
    queue.rollback()
    assert queue.report.undone == ["Client"]
    with pytest.raises(CoroutineNotAwaited), transaction("order") as q:
        q.add(Client())
    assert q.report.undone == ["Client"]
