"""What a step costs does not grow with the number of steps: counted in lines of the package, not in time."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest

from actionqueues import ActionQueue, Step, action, current_step, transaction

from .sweeping import is_own


@pytest.fixture(autouse=True)
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged is kept by pytest, with its traceback."""
    monkeypatch.setattr(logging.getLogger("actionqueues"), "disabled", True)


class Broken(Exception):
    """What goes wrong."""


@action
def do(number: int) -> int:
    return number


@do.rollback
def undo(number: int) -> None: ...


@action
def know(number: int) -> None:
    current_step().save(number=number)


@know.rollback
def unknow(step: Step[None]) -> None: ...


@action
def fail(number: int) -> None:
    do(number)
    raise Broken


@fail.rollback
def mend(error: BaseException) -> None: ...


@action
def stay(number: int) -> None: ...


@stay.rollback
def unstay(number: int) -> None:
    raise Broken


@action
def call_all(step: Callable[[int], object], count: int, between: Callable[[], object]) -> None:
    for number in range(count):
        step(number)
        between()


def nothing() -> None: ...


Program = Callable[[int, bool], None]


def savepoints(count: int, fails: bool) -> None:
    with transaction() as q:
        for number in range(count):
            with q.savepoint():
                do(number)
        if fails:
            raise Broken


def failed_savepoints(count: int, fails: bool) -> None:
    with transaction() as q:
        for number in range(count):
            with suppress(Broken), q.savepoint():
                do(number)
                raise Broken
        if fails:
            raise Broken


def queued(count: int, fails: bool) -> None:
    with transaction() as q:
        for number in range(count):
            q.add(do, number)
        q.execute()
        if fails:
            raise Broken


def queued_in_a_step(count: int, fails: bool) -> None:
    with transaction() as q:
        call_all(do, count, lambda: q.add(do, 1))
        q.execute()
        if fails:
            raise Broken


def in_a_step(count: int, fails: bool) -> None:
    with transaction():
        call_all(do, count, nothing)
        if fails:
            raise Broken


def in_a_step_that_asks_for_itself(count: int, fails: bool) -> None:
    with transaction():
        call_all(do, count, current_step)
        if fails:
            raise Broken


def that_ask_for_themselves_in_a_step(count: int, fails: bool) -> None:
    with transaction():
        call_all(know, count, nothing)
        if fails:
            raise Broken


def failed(count: int, fails: bool) -> None:
    with transaction():
        for number in range(count):
            with suppress(Broken):
                fail(number)
        if fails:
            raise Broken


def that_cannot_be_undone(count: int, fails: bool) -> None:
    with transaction():
        for number in range(count):
            stay(number)
        if fails:
            raise Broken


def by_hand(count: int, fails: bool) -> None:
    with transaction() as q:
        for number in range(count):
            q.on_rollback(nothing)
            do(number)
        if fails:
            raise Broken


def hooks(count: int, fails: bool) -> None:
    with transaction() as q:
        for number in range(count):
            do(number)
            q.on_commit(nothing)
        if fails:
            raise Broken


def classic(count: int, fails: bool) -> None:
    queue = ActionQueue()
    for number in range(count):
        queue.add(do, number)
    queue.execute()
    if fails:
        queue.rollback()


def in_a_step_where_both_ask(count: int, fails: bool) -> None:
    with transaction():
        call_all(know, count, current_step)
        if fails:
            raise Broken


def hooks_after_steps_that_ask(count: int, fails: bool) -> None:
    with transaction() as q:
        for number in range(count):
            know(number)
            q.on_commit(nothing)
        if fails:
            raise Broken


def lines(program: Program, count: int, fails: bool) -> int:
    """How many lines of the package a program runs."""
    counted = 0

    def line(_frame: FrameType, _event: str, _arg: object) -> Any:
        nonlocal counted
        counted += 1
        return line

    def call(frame: FrameType, _event: str, _arg: object) -> Any:
        return line if is_own(frame) else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        with suppress(Broken):
            program(count, fails)
    finally:
        sys.settrace(before)
    return counted


PROGRAMS = [
    (savepoints, 2000),
    (failed_savepoints, 1000),
    (queued, 5000),
    (queued_in_a_step, 1000),
    (in_a_step, 5000),
    (in_a_step_that_asks_for_itself, 1000),
    (that_ask_for_themselves_in_a_step, 1000),
    (failed, 1000),
    (that_cannot_be_undone, 1000),
    (by_hand, 1000),
    (hooks, 1000),
    (classic, 2000),
    (in_a_step_where_both_ask, 500),
    (hooks_after_steps_that_ask, 500),
]


@pytest.mark.parametrize("fails", [False, True], ids=["commits", "rolled back"])
@pytest.mark.parametrize(("program", "count"), PROGRAMS)
def test_twice_as_many_take_twice_as_much(program: Program, count: int, fails: bool) -> None:
    half, whole = lines(program, count // 2, fails), lines(program, count, fails)
    assert half > count // 2
    assert whole < 2.2 * half
