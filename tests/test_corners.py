"""Rare ways through a block: what no program means to do, and what has to be well defined all the same."""

from __future__ import annotations

import signal
from collections.abc import Generator
from typing import Any

import pytest

from actionqueues import IllegalOperation, action, transaction

from .inside import SET_HANDLER


class Boom(Exception):
    """What makes a block fail."""


trail: list[str] = []


@pytest.fixture(autouse=True)
def new_trail() -> None:
    trail.clear()


@action
def put(name: str) -> None:
    trail.append(f"+{name}")


@put.rollback
def take(name: str) -> None:
    trail.append(f"-{name}")


def test_a_savepoint_that_is_left_by_a_handler_of_the_block_around_it_is_undone_with_that_block() -> None:
    def generate() -> Generator[None, None, None]:
        with transaction("inside"):
            put("b")
            yield

    with pytest.raises(Boom), transaction() as q:
        put("a")
        generator = generate()
        next(generator)
        q.on_rollback(generator.close)
        raise Boom
    assert trail == ["+a", "+b", "-b", "-a"]


def test_a_step_that_ends_its_own_block_is_told_so() -> None:
    q = transaction("ended")

    @action
    def end() -> None:
        q.__exit__(None, None, None)

    with pytest.raises(IllegalOperation) as caught, q:
        put("a")
        end()
    assert str(caught.value) == (
        "cannot leave the transaction 'ended': it is committed; leave the block once, where it was entered; "
        "to undo everything, raise an exception"
    )
    assert trail[:1] == ["+a"]


def test_an_interrupt_that_comes_while_ctrl_c_is_given_back_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def late(number: int, handler: Any) -> Any:
        if handler is signal.default_int_handler and pressed == []:
            pressed.append(number)
            signal.raise_signal(signal.SIGINT)
        return signal.signal(number, handler)

    pressed: list[int] = []
    try:
        monkeypatch.setattr(SET_HANDLER, late)
        with pytest.raises(KeyboardInterrupt), transaction():
            put("a")
            raise Boom
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert pressed == [signal.SIGINT]
    assert trail == ["+a", "-a"]
