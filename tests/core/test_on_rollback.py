"""`q.on_rollback`: an undo for something that was done by hand, in its place among the steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from actionqueues import ActionRetryException, Step, action, transaction
from tests.world import Boom, World


@pytest.fixture
def w() -> World:
    return World()


def test_an_undo_by_hand_is_called_with_its_arguments() -> None:
    calls: list[Any] = []

    def undo(*args: Any, **kwargs: Any) -> None:
        calls.append((args, kwargs))

    with pytest.raises(Boom), transaction() as q:
        q.on_rollback(undo)
        q.on_rollback(undo, 1, two=2)
        raise Boom("body")
    assert calls == [((1,), {"two": 2}), ((), {})]
    assert q.report.undone == ["undo", "undo"]


@pytest.mark.parametrize("fails", [False, True])
def test_an_undo_by_hand_is_called_only_if_the_block_fails(fails: bool, w: World) -> None:
    with w.caught(), transaction() as q:
        q.on_rollback(w.say, "undo")
        if fails:
            raise Boom("body")
    assert w.trail == (["undo", "!Boom"] if fails else ["!nothing"])


def test_an_undo_registered_in_a_step_that_fails_is_called_before_the_handler_of_that(w: World) -> None:
    with transaction() as q:

        async def body(_: Any) -> None:
            q.on_rollback(w.say, "by hand")
            raise Boom("a")

        with pytest.raises(Boom):
            w.define("a", body=body)()
        w.say("caught")
    assert w.trail == ["+a", "by hand", "-a", "caught"]


def test_an_undo_by_hand_may_be_an_action_which_then_is_called_once(w: World) -> None:
    with pytest.raises(Boom), transaction() as q:
        q.on_rollback(w.define("a"))
        raise Boom("body")
    assert w.trail == ["+a"]
    assert q.report.undone == ["a"]


def test_an_undo_by_hand_that_fails_is_reported_under_its_name() -> None:
    def unlink() -> None:
        raise Boom("unlink")

    with pytest.raises(Boom, match="body") as caught, transaction() as q:
        q.on_rollback(unlink)
        raise Boom("body")
    assert caught.value.__notes__ == ["actionqueues: the undo of unlink failed: Boom('unlink')"]
    assert [failure.step.name for failure in q.report.failures] == ["unlink"]


def test_an_undo_recorded_for_an_outer_block_inside_an_inner_one_has_its_place_in_the_order(w: World) -> None:
    with pytest.raises(Boom), transaction() as outer:
        with transaction():
            w.define("a")()
            outer.on_rollback(w.say, "by hand")
            w.define("b")()
        raise Boom("body")
    assert w.trail == ["+a", "+b", "-b", "by hand", "-a"]


# ---------------------------------------------------------------- on_rollback, in the innermost block


@pytest.mark.parametrize("caught", [True, False])
def test_an_undo_by_hand_belongs_to_the_innermost_block_whoever_it_is_given_to(caught: bool, w: World) -> None:
    with pytest.raises(Boom, match="outer"), transaction() as q:
        w.define("a")()
        with w.caught(), q.savepoint():
            w.define("b")()
            q.on_rollback(w.say, "by hand")
            w.define("c")()
            if caught:
                raise Boom("inner")
            w.say("released")
            raise Boom("outer")
        raise Boom("outer")
    undone = ["-c", "by hand", "-b"]
    assert w.trail == ["+a", "+b", "+c", *([] if caught else ["released"]), *undone, "!Boom", "-a"]


def test_an_undo_by_hand_in_a_block_that_shares_nothing_belongs_to_the_block_that_it_was_given_to(w: World) -> None:
    with pytest.raises(Boom, match="outer"), transaction() as q:
        with w.caught(), transaction(independent=True):
            w.define("b")()
            q.on_rollback(w.say, "by hand")
            raise Boom("apart")
        assert w.trail == ["+b", "-b", "!Boom"]
        raise Boom("outer")
    assert w.trail == ["+b", "-b", "!Boom", "by hand"]


@pytest.mark.parametrize("asks_for", ["nothing", "an argument", "the step"])
def test_an_undo_that_asks_for_another_attempt_is_called_again_whatever_it_is_given(asks_for: str) -> None:
    calls: list[str] = []

    @action
    def make(name: str) -> None: ...

    def undo() -> None:
        calls.append(asks_for)
        if len(calls) < 3:
            raise ActionRetryException

    def undo_of(name: str) -> None:
        undo()

    def undo_with(step: Step) -> None:
        undo()

    handlers: dict[str, Callable[..., None]] = {"nothing": undo, "an argument": undo_of, "the step": undo_with}
    make.rollback(handlers[asks_for])
    with pytest.raises(Boom), transaction() as q:
        make("a")
        raise Boom
    assert calls == [asks_for] * 3
    assert q.report.undone == ["make"]
