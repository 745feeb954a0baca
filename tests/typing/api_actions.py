"""The decorator, the classic names, handlers, steps and retry policies."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any, Literal, TypeVar, assert_type

import actionqueues.action
import actionqueues.action as action_module
import actionqueues.aqstatemachine
import actionqueues.exceptionfactory
from actionqueues import (
    Report,
    Retry,
    Step,
    StepState,
    action,
    actionqueue,
    bounded,
    current_step,
    exceptionfactory,
)
from actionqueues.action import Action
from actionqueues.action import action as action_again

T = TypeVar("T")


# ---- the decorator
@action
def create(x: int) -> str:
    return str(x)


@action(retry=Retry(attempts=3, on=(OSError, ValueError)), irreversible=True)
def create_with(x: int, *, flag: bool = False) -> str:
    return str(x)


@action()
def create_empty(x: int) -> str:
    return str(x)


@action(read_only=True)
def look(x: int) -> str:
    return str(x)


@action(transaction_required=True, retry=lambda attempt, error: 0.5 if attempt < 3 else None)
async def fetch(x: int) -> bytes:
    return b""


@action
async def fetch_plain(x: int) -> bytes:
    return b""


@action(timeout=3.0, retry=Retry(attempts=2))
async def fetch_timed(x: int) -> bytes:
    return b""


@action(timeout=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
def timeout_on_sync(x: int) -> bytes:
    return b""


@action
def identity(x: T) -> T:
    return x


@action
def many(a: int, b: str = "", *rest: float, key: bool = False, **more: bytes) -> list[int]:
    return []


@action
def positional(a: int, /, b: str) -> list[int]:
    return []


class Callee:
    def __call__(self, x: int) -> str:
        return ""


create_action: action[[int], str] = create
assert_type(create(1), str)
assert_type(create(x=1), str)
assert_type(create_with(x=1, flag=True), str)
assert_type(create_empty(x=1), str)
assert_type(look(x=1), str)
assert_type(identity(3), int)
assert_type(many(1, "b", 1.0, key=True, z=b""), list[int])
assert_type(positional(1, b=""), list[int])
assert_type(action(lambda: 3)(), int)
assert_type(action(Callee())(x=1), str)
assert_type(action(len)([]), int)
assert_type(action(partial(create_with, 1))(flag=True), str)
assert_type(create.__name__, str)
create("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
create(y=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # planted
create()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # planted
create_with(1, True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # planted
positional(a=1, b="")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # planted
many(1, z="")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
assert_type(action(create_with.__call__, undo=print)(1, flag=True), str)
assert_type(action(os.rmdir, undo=os.mkdir, name="remove", retry=Retry())("a"), None)
action(os.rmdir, undo=os.mkdir)(1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
action(os.rmdir, undo=3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]  # planted
action(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]  # planted
action("charge")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]  # planted
action(retries=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]  # planted
action(retry=3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]  # planted
action(timeout="3")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # planted
action(irreversible="yes")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]  # planted
action(read_only="yes")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]  # planted
wrong: action[[str], str] = create  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]  # planted
wrong_result: int = create(1)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]  # planted


async def await_it() -> None:
    assert_type(await fetch(1), bytes)
    assert_type(await fetch_plain(x=1), bytes)
    assert_type(await fetch_timed(x=1), bytes)
    await fetch_timed("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
    fetch(1)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]  # planted


takes_callable: Callable[[int], str] = create
takes_coroutine: Callable[[int], Coroutine[Any, Any, bytes]] = fetch
# Planted:
takes_wrong: Callable[[str], str] = create  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


# ---- the classic names
class Mine(action.Action):
    def execute(self) -> None: ...

    def rollback(self) -> None: ...


class Mine2(Action):
    pass


class Mine3(actionqueues.action.Action):
    pass


class Mine4(action_module.Action):
    pass


class NoRollback:
    def execute(self) -> None: ...


base: Action = Mine()
base2: action.Action = Mine2()
base3: type[Action] = action.Action
assert_type(action.Action(), Action)
classic = actionqueue.ActionQueue()
assert_type(classic, actionqueue.ActionQueue)
assert_type(actionqueues.ActionQueue(), actionqueue.ActionQueue)
assert_type(classic.add(Mine()), Step[None])
assert_type(classic.add(action=Mine()), Step[None])
assert_type(classic.add(create, 1), Step[str])
assert_type(classic.execute(), None)
assert_type(classic.rollback(), None)
assert_type(classic.report, Report)
classic.add(Mine3())
classic.add(Mine4())
classic.add(3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # planted
# Planted:
classic.add(NoRollback())  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
actionqueue.ActionRetryException(ms_backoff=5)
exceptionfactory.DoublingBackoffExceptionFactory(retries=3, ms_backoff_initial=500)
actionqueues.aqstatemachine.AQStateMachine().transition_to_add()


@action_again
def again(x: int) -> str:
    return ""


same: action[[int], str] = again


def raises() -> int:
    actionqueues.exceptionfactory.DoublingBackoffExceptionFactory().raise_exception(ValueError())
    return "not reached"  # type: ignore[unreachable]  # so it is known


# ---- handlers
@create.rollback
def uncreate(x: int, result: str) -> None: ...


@create.rollback(retry=Retry(attempts=20))
def uncreate2(step: Step[str], *, hard: bool = False) -> int:
    return 1


@fetch.rollback(retry=None)
async def unfetch(step: Step[bytes]) -> int:
    return 1


@create.rollback
def uncreate3(step: Step, error: BaseException | None = None) -> None:
    assert_type(step.result, Any)


assert_type(uncreate(x=1, result="x"), None)
assert_type(uncreate2(step=current_step(), hard=True), int)
uncreate("1", "x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
uncreate2(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted


@create.describe
def what_is_created(x: int) -> str:
    return f"make {x}"


assert_type(what_is_created(1), str)
create.describe()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # planted
create.describe(3)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]  # planted


@fetch.rollback(undo_timeout=2.5, retry=Retry(attempts=3))
async def unfetch_in_time(result: object) -> None: ...


unfetched: Callable[[object], Coroutine[Any, Any, None]] = unfetch_in_time


@fetch.rollback(undo_timeout=2.5)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]  # planted
def unfetch_sync() -> None: ...


fetch.rollback(undo_timeout="x")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]  # planted
create.rollback()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]  # planted
create.rollback(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]  # planted
create.rollback(retry="x")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]  # planted
create.rollback(irreversible=True)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]  # planted


async def await_handler() -> None:
    assert_type(await unfetch(current_step()), int)


# ---- steps
def steps(step: Step[int], bools: Step[bool]) -> None:
    assert_type(step.result, int)
    assert_type(step.later, int)
    assert_type(step.has_result, bool)
    assert_type(step.name, str)
    assert_type(step.args, tuple[Any, ...])
    assert_type(step.kwargs, dict[str, Any])
    assert_type(step.arguments["x"], Any)
    assert_type(step.saved, dict[str, Any])
    assert_type(step.state, StepState)
    assert_type(step.key, str)
    assert_type(step.undo_key, str)
    assert_type(step.attempts, int)
    assert_type(step.error, BaseException | None)
    assert_type(current_step(), Step[Any])
    step.save(id=3)
    wider: Step[int] = bools
    narrower: Step[bool] = step  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]  # planted
    step.key = "x"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]  # planted
    step.save(3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # planted
    del wider, narrower


# ---- retry policies
def policy(attempt: int, error: BaseException) -> float | None:
    return None


def int_policy(attempt: int, error: BaseException) -> Literal[1]:
    return 1


def bad_policy(attempt: str, error: BaseException) -> float | None:
    return None


for good in (Retry(), policy, int_policy, bounded(policy, attempts=3, timeout=1.5)):
    action(retry=good)
action(retry=lambda attempt, error: attempt / 2)
action(retry=bad_policy)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
action(retry=Retry)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
Retry(attempts=None, timeout=None, wait_initial=1, wait_max=2, wait_jitter=0, wait_exp_base=3)
Retry(on=lambda error: isinstance(error, OSError))
Retry(on=OSError)


def retry_after(error: Exception) -> float | timedelta:
    return timedelta(seconds=3) if isinstance(error, OSError) else 3


async def async_predicate(error: Exception) -> bool:
    return True


Retry(on=retry_after, on_result=lambda job: not job.ready)
Retry(on_result=lambda text: 0.5 if text == "" else False)
Retry(on_result=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
Retry(on=async_predicate)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
Retry(3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # planted
Retry(on=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
Retry(on=int)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
Retry(tries=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # planted
bounded(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # planted
