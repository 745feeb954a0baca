"""The actions of the conformance suite: they leave effects, and fail as the plan that they are given says.

A plan is plain data, so that it can be brought anywhere: ``fails`` lists what the attempts at the body raise, one each,
and then it succeeds; ``undo_fails`` likewise for the undo; ``saves`` is what the step saves before it fails.

Each is there twice, `async def` for async blocks, and with ``_now`` behind its name for `with` blocks: an engine finds
actions again by their module and name.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

from actionqueues import ActionRetryException, Retry, RollbackConflict, action, current_step, on_commit
from actionqueues.journal import durable

from .effects import did, how_often, released

Plan: TypeAlias = "dict[str, Any]"
AT_ONCE = Retry(attempts=3, wait_initial=0, wait_jitter=0)


class Boom(Exception):
    """What goes wrong."""


class Busy(Exception):
    """What goes wrong for a moment."""


class Full(Exception):
    """An exception with a constructor of its own, which its `args` do not fit."""

    def __init__(self, hotel: str, *, free: int) -> None:
        super().__init__(f"{hotel} has {free} free")
        self.hotel, self.free = hotel, free


def error_of(kind: str, name: str) -> Exception:
    """What a plan names."""
    if kind == "Full":
        full = Full("Adlon", free=2)
        full.add_note("ask again in spring")
        full.__cause__ = Busy("reception")
        return full
    if kind == "again":
        return ActionRetryException()
    return {"Boom": Boom, "Busy": Busy, "conflict": RollbackConflict}[kind](name)


def put(run: str, name: str, plan: Plan, value: Any) -> Any:
    """The body of all of them."""
    did(run, f"+{name}" if value is None else f"+{name}({value})", name)
    if "saves" in plan:
        current_step().save(**plan["saves"])
    fails = plan.get("fails", [])[how_often(run, "+", name) - 1 :]
    if fails:
        raise error_of(fails[0], name)
    returns = plan.get("returns", name.upper())
    return object() if returns == "an object" else returns


def take(run: str, name: str, plan: Plan, *told: object) -> None:
    """The undo of all of them; `told` is what a handler knows, for those that tell."""
    did(run, " ".join([f"-{name}", *map(str, told)]), name)
    fails = plan.get("undo_fails", [])[how_often(run, "-", name) - 1 :]
    if fails:
        raise error_of(fails[0], name)


# -- undone whatever became of it


@action
async def do(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    return put(run, name, plan, value)


@do.rollback
async def undo(run: str, name: str, plan: Plan) -> None:
    take(run, name, plan)


@action
def do_now(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    return put(run, name, plan, value)


@do_now.rollback
def undo_now(run: str, name: str, plan: Plan) -> None:
    take(run, name, plan)


# -- retried, and its undo as well


@action(retry=AT_ONCE)
async def retried(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    return put(run, name, plan, value)


@retried.rollback(retry=AT_ONCE)
async def undo_retried(run: str, name: str, plan: Plan) -> None:
    take(run, name, plan)


@action(retry=AT_ONCE)
def retried_now(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    return put(run, name, plan, value)


@retried_now.rollback(retry=AT_ONCE)
def undo_retried_now(run: str, name: str, plan: Plan) -> None:
    take(run, name, plan)


# -- retried on one class, with a wait between attempts

BUSY = Retry(attempts=3, wait_initial=0.01, wait_jitter=0.01, on=Busy)


@action(retry=BUSY)
async def patient(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    return put(run, name, plan, value)


@patient.rollback
async def undo_patient(run: str, name: str, plan: Plan) -> None:
    take(run, name, plan)


@action(retry=BUSY)
def patient_now(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    return put(run, name, plan, value)


@patient_now.rollback
def undo_patient_now(run: str, name: str, plan: Plan) -> None:
    take(run, name, plan)


# -- polled: retried until its result says so

POLLING = Retry(attempts=4, wait_initial=0, wait_jitter=0, on_result=lambda result: result < 3)


def poll(run: str, name: str) -> int:
    did(run, f"+{name}", name)
    return how_often(run, "+", name)


@action(retry=POLLING)
async def polled(run: str, name: str, plan: Plan, value: Any = None) -> int:
    return poll(run, name)


@polled.rollback
async def undo_polled(run: str, name: str, plan: Plan, result: int) -> None:
    take(run, name, plan, result)


@action(retry=POLLING)
def polled_now(run: str, name: str, plan: Plan, value: Any = None) -> int:
    return poll(run, name)


@polled_now.rollback
def undo_polled_now(run: str, name: str, plan: Plan, result: int) -> None:
    take(run, name, plan, result)


# -- undone only if there is a result


@action
async def needing(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    return put(run, name, plan, value)


@needing.rollback
async def undo_needing(run: str, name: str, plan: Plan, result: Any) -> None:
    take(run, name, plan, result)


@action
def needing_now(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    return put(run, name, plan, value)


@needing_now.rollback
def undo_needing_now(run: str, name: str, plan: Plan, result: Any) -> None:
    take(run, name, plan, result)


# -- with a handler that tells all it knows


def known(step: Any, value: Any, result: Any, error: BaseException | None, cause: BaseException | None) -> list[str]:
    """What a handler knows, in one word each."""
    seen = {
        "value": value,
        "result": result,
        "error": error,
        "cause": cause,
        "state": str(step.state),
        "attempts": step.attempts,
        "saved": dict(step.saved),
        "argument": step.arguments["value"],
    }
    return [f"{what}={told!r}" for what, told in seen.items()]


@action(retry=BUSY)
async def telling(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    return put(run, name, plan, value)


@telling.rollback
async def undo_telling(
    run: str, name: str, plan: Plan, value: Any, step: Any, error: Any, cause: Any, result: Any = None
) -> None:
    take(run, name, plan, *known(step, value, result, error, cause))


@action(retry=BUSY)
def telling_now(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    return put(run, name, plan, value)


@telling_now.rollback
def undo_telling_now(
    run: str, name: str, plan: Plan, value: Any, step: Any, error: Any, cause: Any, result: Any = None
) -> None:
    take(run, name, plan, *known(step, value, result, error, cause))


# -- with nothing that undoes it


@action
async def bare(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    return put(run, name, plan, value)


@action
def bare_now(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    return put(run, name, plan, value)


@action(irreversible=True)
async def final(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    return put(run, name, plan, value)


@action(irreversible=True)
def final_now(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    return put(run, name, plan, value)


@action(read_only=True)
async def look(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    return put(run, name, plan, value)


@action(read_only=True)
def look_now(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    return put(run, name, plan, value)


# -- that registers a hook


@action
async def registering(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    put(run, name, plan, value)
    on_commit(hook, run, "hook")


@registering.rollback
async def undo_registering(run: str, name: str, plan: Plan) -> None:
    take(run, name, plan)


@action
def registering_now(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    put(run, name, plan, value)
    on_commit(hook, run, "hook")


@registering_now.rollback
def undo_registering_now(run: str, name: str, plan: Plan) -> None:
    take(run, name, plan)


# -- that calls another one


@action
async def outer(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    put(run, name, plan, value)
    return await do(run, "inner", {})


@outer.rollback
async def undo_outer(run: str, name: str, plan: Plan) -> None:
    take(run, name, plan)


@action
def outer_now(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    put(run, name, plan, value)
    return do_now(run, "inner", {})


@outer_now.rollback
def undo_outer_now(run: str, name: str, plan: Plan) -> None:
    take(run, name, plan)


# -- that last: until the test lets them go on, or they are cancelled


@action
async def lasting(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    put(run, name, plan, value)
    while not released(run).is_set():
        await asyncio.sleep(0.005)
    return name.upper()


@lasting.rollback
async def undo_lasting(run: str, name: str, plan: Plan) -> None:
    take(run, name, plan)


@action
def lasting_now(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    put(run, name, plan, value)
    released(run).wait(60)
    return name.upper()


@lasting_now.rollback
def undo_lasting_now(run: str, name: str, plan: Plan) -> None:
    take(run, name, plan)


@action
async def long_undone(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    return put(run, name, plan, value)


@long_undone.rollback
async def undo_long_undone(run: str, name: str, plan: Plan) -> None:
    take(run, name, plan)
    while not released(run).is_set():
        await asyncio.sleep(0.005)


@action
def long_undone_now(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    return put(run, name, plan, value)


@long_undone_now.rollback
def undo_long_undone_now(run: str, name: str, plan: Plan) -> None:
    take(run, name, plan)
    released(run).wait(60)


@action(timeout=0.3)
async def limited(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    put(run, name, plan, value)
    await asyncio.sleep(60)


@limited.rollback
async def undo_limited(run: str, name: str, plan: Plan) -> None:
    take(run, name, plan)


async def begun(run: str, name: str) -> None:
    """Wait until that step has begun."""
    while not how_often(run, "+", name):
        await asyncio.sleep(0.005)


@action
async def following(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    await begun(run, value)
    return put(run, name, plan, None)


@following.rollback
async def undo_following(run: str, name: str, plan: Plan) -> None:
    take(run, name, plan)


@action(read_only=True)
async def watching(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    await begun(run, value)
    return put(run, name, plan, None)


# -- that gives back what it is given


@action
async def echo(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    did(run, f"+{name}", name)
    return value


@echo.rollback
async def undo_echo(run: str, name: str, plan: Plan, value: Any, result: Any) -> None:
    take(run, name, plan, repr(value), repr(result))


@action
def echo_now(run: str, name: str, plan: Plan, value: Any = None) -> Any:
    did(run, f"+{name}", name)
    return value


@echo_now.rollback
def undo_echo_now(run: str, name: str, plan: Plan, value: Any, result: Any) -> None:
    take(run, name, plan, repr(value), repr(result))


# -- that waits for the commit


@action(irreversible=True, when="commit")
async def mail(run: str, name: str, plan: Plan, value: Any = None) -> None:
    did(run, f"+{name}")


@action(irreversible=True, when="commit")
def mail_now(run: str, name: str, plan: Plan, value: Any = None) -> None:
    did(run, f"+{name}")


# -- hooks, and undos by hand: plain functions of this module


def hook(run: str, word: object) -> None:
    """A commit hook."""
    did(run, str(word))


def failing_hook(run: str, word: str) -> None:
    """One that fails."""
    did(run, word)
    raise Boom(word)


@durable
def by_hand(run: str, word: str) -> None:
    """What undoes something that was done by hand."""
    did(run, word)
