"""Steps and blocks near the limit of recursion, where even undoing may fail: nothing is undone twice or hidden."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from types import FrameType

import pytest

from actionqueues import IllegalOperation, Step, Transaction, TransactionDoomed, action, current_step, transaction
from tests.inside import forget_context, left_in_context
from tests.marks import slow_but


@pytest.fixture(autouse=True)
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged is kept by pytest, with its traceback."""
    monkeypatch.setattr(logging.getLogger("actionqueues"), "disabled", True)


@pytest.fixture(autouse=True)
def no_room_for_finalizers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Down there a finalizer has no room, whoever's it is, and what tells of that has none either."""
    gc.collect()
    gc.disable()
    monkeypatch.setattr(sys, "unraisablehook", list[object]().append)
    yield
    gc.enable()


@dataclass
class World:
    """What has been done and undone."""

    trail: list[int] = field(default_factory=list[int])

    @property
    def started(self) -> list[int]:
        return [number for number in self.trail if number > 0]

    @property
    def undone(self) -> list[int]:
        return [-number for number in self.trail if number < 0]


@action
def put(world: World, number: int) -> None:
    world.trail.append(number)


@put.rollback
def take(world: World, number: int) -> None:
    world.trail.append(-number)


@action
def fail(world: World, number: int) -> None:
    world.trail.append(number)
    raise LookupError(number)


@fail.rollback
def mend(world: World, number: int, error: BaseException) -> None:
    world.trail.append(-number)


@action
def down(world: World, number: int) -> None:
    """Goes down until there is no more room."""
    world.trail.append(number)
    down(world, number + 1)


@down.rollback
def up(world: World, number: int) -> None:
    world.trail.append(-number)


def frames_here() -> int:
    count = 0
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        count += 1
        frame = frame.f_back
    return count


def deeper(frames: int, call: Callable[[], None]) -> None:
    """Call it with so many frames above it."""
    if frames > 0:
        deeper(frames - 1, call)
    else:
        call()


def near_the_limit(room: int, call: Callable[[], None]) -> None:
    """Call it where there is room for about so many frames."""
    deeper(sys.getrecursionlimit() - frames_here() - room, call)


PADDINGS = pytest.mark.parametrize("padding", slow_but(range(12), 0, 5))


@PADDINGS
def test_steps_that_go_down_to_the_limit_are_each_undone_or_reported_in_order_and_once(padding: int) -> None:
    world = World()
    q = transaction()

    def body() -> None:
        with q:
            down(world, 1)

    with pytest.raises(RecursionError):
        deeper(padding, body)
    assert len(world.started) > 100
    assert world.undone == sorted(set(world.undone), reverse=True)
    reported = {failure.step.args[1] for failure in q.report.failures}
    assert set(world.started) - set(world.undone) <= reported
    assert len(reported) <= 8, "only the undo of the deepest steps has no room"
    assert left_in_context() == {}


def test_a_step_that_could_not_be_undone_for_lack_of_room_dooms_the_block() -> None:
    ends: set[str] = set()
    for room in range(2, 60):
        world = World()
        try:
            with transaction(), suppress(RecursionError, LookupError):
                near_the_limit(room, partial(fail, world, 1))
        except TransactionDoomed:
            assert world.undone == []
            ends.add("doomed")
        except IllegalOperation:
            assert set(world.started) <= set(world.undone)
            ends.add("undone at the end of the block")
        else:
            assert set(world.started) <= set(world.undone)
            ends.add("committed")
    assert ends == {"doomed", "undone at the end of the block", "committed"}


def commits(world: World) -> None:
    put(world, 1)
    put(world, 2)


def fails(world: World) -> None:
    put(world, 1)
    put(world, 2)
    raise LookupError


def undoes_at_once(world: World) -> None:
    put(world, 1)
    fail(world, 2)


def savepoints(world: World) -> None:
    put(world, 1)
    with transaction():
        put(world, 2)
    with transaction():
        put(world, 3)
        raise LookupError


def knows(world: World) -> None:
    put(world, 1)
    asks(world, 2)
    raise LookupError


@action
def asks(world: World, number: int) -> None:
    world.trail.append(number)
    current_step().save(number=number)


@asks.rollback
def unasks(world: World, step: Step[None]) -> None:
    world.trail.append(-step.args[1])


BODIES = pytest.mark.parametrize("body", [commits, fails, undoes_at_once, savepoints, knows])


@BODIES
def test_a_block_with_little_room_undoes_nothing_twice_and_nothing_in_the_wrong_order(
    body: Callable[[World], None],
) -> None:
    ends: set[str] = set()
    for room in range(2, 60):
        world = World()
        q = transaction()

        def block(q: Transaction = q, world: World = world) -> None:
            with q:
                body(world)

        with suppress(RecursionError, LookupError):
            near_the_limit(room, block)
        forget_context()  # where there was no room to call `__exit__`, nobody could
        assert world.undone == sorted(set(world.undone), reverse=True), room
        if q.state == "committed":
            assert world.undone == []
            assert body is commits
        elif q.state == "rolled back":
            assert sorted(world.undone) == sorted(world.started)
        elif q.state == "rolled back with failures":
            assert q.report.failures or q.report.abandoned, (
                "it says so, though what has no room to be undone may have none to be listed"
            )
        ends.add(str(q.state))
    assert ends & {"open", "rolling back"}, "there was too little room even to end it"
    assert ("committed" if body is commits else "rolled back") in ends, "there was room enough"


@pytest.mark.parametrize("caught", [False, True])
def test_what_had_no_room_to_be_undone_to_a_mark_is_undone_at_the_end_of_the_block_or_reported(caught: bool) -> None:
    ends: set[tuple[str, int]] = set()
    for room in range(2, 50):
        world = World()
        q = transaction()

        def go_back(q: Transaction = q, world: World = world, room: int = room) -> None:
            put(world, 1)
            mark = q.mark()
            put(world, 2)
            asks(world, 3)
            with suppress(RecursionError) if caught else nullcontext():
                near_the_limit(room, lambda: q.rollback(to=mark))

        with suppress(RecursionError, TransactionDoomed, IllegalOperation), q:
            go_back()
        assert world.undone == sorted(set(world.undone), reverse=True), room
        reported = {failure.step.args[1] for failure in q.report.failures}
        if q.state == "committed":
            assert world.undone in ([3, 2], []), "all of it, or it had not begun"
        else:
            assert {1, 2, 3} - set(world.undone) == reported
        ends.add((str(q.state), len(reported)))
    assert ("committed", 0) in ends
    assert ("rolled back with failures", 1) in ends
