"""Blocks inside blocks: what belongs to whom, and that nothing is undone twice or out of order."""

from __future__ import annotations

import random
from typing import Any

import pytest

from actionqueues import (
    NestedTransaction,
    Retry,
    Transaction,
    TransactionClosed,
    TransactionDoomed,
    action,
    current_transaction,
    transaction,
)

from .world import Boom, World


@pytest.fixture
def w() -> World:
    return World()


@pytest.fixture(params=["nested", "by name"])
def spelling(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def inside(q: Transaction, spelling: str, name: str = "inner") -> Transaction:
    """A savepoint of `q`, in each spelling."""
    return q.savepoint(name) if spelling == "by name" else transaction(name)


def test_a_savepoint_that_succeeds_is_released_and_its_report_joins_the_outer_one(spelling: str, w: World) -> None:
    with transaction("outer") as q:
        with inside(q, spelling) as inner:
            with w.caught():
                w.define("a", fails=[Boom("a")])()
            assert current_transaction() is inner
            w.define("b", undo=False)()
        assert (inner.state, inner.report.state) == ("released", "released")
        assert current_transaction() is q
    assert (q.state, q.report.undone, inner.report.undone) == ("committed", ["a"], ["a"])


def test_what_a_released_savepoint_did_is_told_once_in_the_report_of_the_outer_block(spelling: str, w: World) -> None:
    with pytest.raises(Boom), transaction() as q:
        with inside(q, spelling):
            with w.caught():
                w.define("a", fails=[Boom("a")])()
            w.define("b")()
        w.define("c")()
        raise Boom("body")
    assert w.trail == ["+a", "-a", "!Boom", "+b", "+c", "-c", "-b"]
    assert q.report.undone == ["a", "c", "b"]


def test_an_undone_savepoint_is_not_undone_again_with_the_outer_block(spelling: str, w: World) -> None:
    with pytest.raises(Boom, match="outer"), transaction() as q:
        w.define("a")()
        with w.caught(), inside(q, spelling) as inner:
            w.define("b")()
            raise Boom("inner")
        assert (inner.state, inner.report.undone, q.report.undone) == ("rolled back", ["b"], ["b"])
        raise Boom("outer")
    assert w.trail == ["+a", "+b", "-b", "!Boom", "-a"]
    assert q.report.undone == ["b", "a"]


def test_an_exception_that_goes_through_several_blocks_is_the_same_everywhere(spelling: str, w: World) -> None:
    error = Boom("deep")
    seen: list[BaseException] = []
    with pytest.raises(Boom) as caught, transaction() as q:
        try:
            with inside(q, spelling, "middle") as middle:
                try:
                    with inside(middle, spelling, "deep"):
                        w.define("a")()
                        raise error
                except Boom as passing:
                    seen.append(passing)
                    raise
        except Boom as passing:
            seen.append(passing)
            raise
    assert seen == [error, error]
    assert (caught.value, error.__context__, w.trail) == (error, None, ["+a", "-a"])


def test_savepoints_one_after_the_other_are_undone_in_reverse(spelling: str, w: World) -> None:
    with pytest.raises(Boom), transaction() as q:
        for first in range(3):
            with inside(q, spelling):
                w.define(f"a{first}")()
                w.define(f"b{first}")()
            w.define(f"c{first}")()
        raise Boom("body")
    assert w.trail[9:] == ["-c2", "-b2", "-a2", "-c1", "-b1", "-a1", "-c0", "-b0", "-a0"]


def test_an_empty_savepoint_leaves_nothing_behind(spelling: str) -> None:
    with transaction("outer") as q:
        with inside(q, spelling):
            pass
        assert repr(q) == "<Transaction 'outer' open, 0 steps>"
    assert q.state == "committed"


@pytest.mark.parametrize("before", ["", "s"])
def test_a_step_that_fails_leaves_the_savepoint_just_before_it_alone(before: str, spelling: str, w: World) -> None:
    with transaction() as q:
        for name in before:
            w.define(name)()
        with inside(q, spelling):
            w.define("a")()
        with w.caught():
            w.define("b", fails=[Boom("b")])()
    assert w.trail[len(before) :] == ["+a", "+b", "-b", "!Boom"]
    assert q.report.undone == ["b"]


# ---------------------------------------------------------------- in the body of a step


def test_a_savepoint_in_the_body_of_a_step_is_undone_before_that_step(w: World) -> None:
    async def body(_: Any) -> None:
        with transaction("inner"):
            w.define("b")()
            w.define("c")()

    with pytest.raises(Boom), transaction():
        w.define("a", body=body)()
        raise Boom("body")
    assert w.trail == ["+a", "+b", "+c", "-c", "-b", "-a"]


def test_a_savepoint_of_a_failed_attempt_is_undone_before_the_next_one(w: World) -> None:
    async def body(_: Any) -> None:
        with transaction("inner"):
            w.define("b")()

    retry = Retry(attempts=2, wait_initial=0, wait_jitter=0)
    with pytest.raises(Boom), transaction() as q:
        w.define("a", body=body, fails=[Boom("1")], retry=retry)()
        raise Boom("body")
    assert w.trail == ["+a", "+b", "-b", "+a", "+b", "-b", "-a"]
    assert q.report.undone == ["b", "b", "a"]


def test_a_failed_savepoint_that_a_step_catches_is_undone_once(w: World) -> None:
    async def body(_: Any) -> None:
        with w.caught(), transaction("inner"):
            w.define("b")()
            raise Boom("inner")

    with pytest.raises(Boom), transaction():
        w.define("a", body=body)()
        raise Boom("body")
    assert w.trail == ["+a", "+b", "-b", "!Boom", "-a"]


def test_a_step_that_fails_after_its_savepoint_undoes_that_at_once(w: World) -> None:
    async def body(_: Any) -> None:
        with transaction("inner"):
            w.define("b")()
        raise Boom("a")

    with transaction():
        with w.caught():
            w.define("a", body=body)()
        w.define("c")()
    assert w.trail == ["+a", "+b", "-b", "-a", "!Boom", "+c"]


def test_a_block_opened_by_a_handler_commits_by_itself(w: World) -> None:
    blocks: list[Transaction] = []

    async def undo(_: Any) -> None:
        with transaction("in the undo") as q:
            blocks.append(q)
            q.on_commit(w.say, "hook")
            w.define("b")()

    with pytest.raises(Boom), transaction():
        w.define("a", undo=undo)()
        raise Boom("body")
    assert w.trail == ["+a", "-a", "+b", "hook"]
    assert blocks[0].state == "committed"


# ---------------------------------------------------------------- dooming


def test_a_failed_undo_in_a_savepoint_keeps_every_outer_block_from_committing(spelling: str, w: World) -> None:
    with pytest.raises(TransactionDoomed) as caught, transaction("outer") as q:
        with inside(q, spelling, "middle") as middle:
            with w.caught(), inside(middle, spelling, "deep"):
                w.define("a", undo_fails=[Boom("stuck")])()
                raise Boom("deep")
            w.define("b")()
        w.define("c")()
    assert caught.value.transaction == "the savepoint 'middle'"
    assert [repr(failure) for failure in caught.value.failures] == ["Boom('stuck')"]
    assert caught.value.steps == ("a",)
    assert w.trail == ["+a", "-a", "!Boom", "+b", "-b"]
    assert [failure.step.name for failure in q.report.failures] == ["a"]


def test_what_is_doomed_stays_doomed_after_it_was_caught(w: World) -> None:
    with pytest.raises(TransactionDoomed, match="the transaction 'outer' was rolled back"), transaction("outer"):
        with pytest.raises(TransactionDoomed, match="the savepoint 'inner' was"), transaction("inner"), w.caught():
            w.define("a", fails=[Boom("a")], undo_fails=[Boom("stuck")])()
        w.define("b")()
    assert w.trail == ["+a", "-a", "!Boom", "+b", "-b"]


def test_a_failed_undo_in_an_independent_block_dooms_only_that(w: World) -> None:
    with transaction("outer") as outer:
        w.define("a")()
        apart = transaction("apart", independent=True)
        with pytest.raises(TransactionDoomed, match="the transaction 'apart'"), apart, w.caught():
            w.define("b", fails=[Boom("b")], undo_fails=[Boom("stuck")])()
    assert (outer.state, outer.report.failures) == ("committed", [])
    assert w.trail == ["+a", "+b", "-b", "!Boom"]


@pytest.mark.parametrize("stuck", [False, True])
def test_a_savepoint_that_is_undone_while_open_tells_how_that_ended(stuck: bool, spelling: str, w: World) -> None:
    with w.caught(), transaction() as q, inside(q, spelling) as inner:
        w.define("a", undo_fails=[Boom("stuck")] if stuck else [])()
        q.rollback()
    end = "rolled back with failures" if stuck else "rolled back"
    assert (w.trail[:2], q.state, inner.state) == (["+a", "-a"], end, end)


# ---------------------------------------------------------------- independent, outermost, by name


def test_an_independent_block_that_fails_undoes_only_its_own_steps(w: World) -> None:
    with transaction("outer") as outer:
        w.define("a")()
        with w.caught(), transaction("apart", independent=True) as apart:
            w.define("b")()
            raise Boom("apart")
        w.define("c")()
    assert w.trail == ["+a", "+b", "-b", "!Boom", "+c"]
    assert (outer.report.undone, apart.report.undone, outer.state) == ([], ["b"], "committed")


def test_a_block_inside_an_independent_one_is_a_savepoint_of_that(w: World) -> None:
    with pytest.raises(Boom), transaction("outer"):
        with transaction("apart", independent=True):
            w.define("a")()
            with transaction("inner") as inner:
                w.define("b")()
            assert inner.state == "released"
        w.define("c")()
        raise Boom("outer")
    assert w.trail == ["+a", "+b", "+c", "-c"]


def test_an_outermost_block_runs_where_there_is_none_around_it(w: World) -> None:
    with transaction("only", outermost=True) as q:
        w.define("a")()
    assert q.state == "committed"


def test_an_outermost_block_that_was_refused_has_run_nothing_and_can_be_entered_elsewhere(w: World) -> None:
    inner = transaction("inner", outermost=True)
    with transaction("outer") as outer:
        with pytest.raises(NestedTransaction) as caught, inner:
            w.say("never")
        assert (caught.value.name, caught.value.outer) == ("the transaction 'inner'", "the transaction 'outer'")
        assert (inner.state, current_transaction()) == ("new", outer)
    with inner:
        w.define("a")()
    assert (inner.state, w.trail) == ("committed", ["+a"])


def test_a_savepoint_by_name_belongs_to_the_block_that_made_it(w: World) -> None:
    savepoints: list[Transaction] = []
    with pytest.raises(Boom), transaction("outer") as outer:
        savepoints.append(outer.savepoint("mine"))
        with transaction("apart", independent=True):
            with savepoints[0]:
                w.define("a")()
            w.define("b")()
        raise Boom("outer")
    assert w.trail == ["+a", "+b", "-a"]
    assert [(savepoint.name, savepoint.state) for savepoint in savepoints] == [("mine", "released")]


def test_a_savepoint_made_and_never_entered_is_nothing(w: World) -> None:
    with transaction("outer") as outer:
        outer.savepoint("unused")
        w.define("a")()
    assert (outer.state, w.trail) == ("committed", ["+a"])


@pytest.mark.parametrize("end", ["committed", "rolled back"])
def test_a_savepoint_cannot_be_entered_after_its_block_has_ended(end: str, w: World) -> None:
    with transaction("outer") as outer:
        savepoint = outer.savepoint("late")
        if end == "rolled back":
            outer.rollback()
    how = "is committed" if end == "committed" else r"was rolled back by q\.rollback\(\)"
    with pytest.raises(TransactionClosed, match=f"'late' came too late: the transaction 'outer' {how}, and"), savepoint:
        w.say("never")
    assert w.trail == []
    with transaction() as q:  # nothing of the refused one is left
        assert current_transaction() is q


@pytest.mark.parametrize("name", [None, "by name"])
def test_a_savepoint_has_a_name_of_its_own(name: str | None) -> None:
    with transaction("outer") as outer, outer.savepoint(name) as savepoint:
        assert savepoint.name == (name or "savepoint")


# ---------------------------------------------------------------- all shapes


class Shape:
    """A random tree of steps and blocks, run for real and by a model of a few lines."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.trail: list[str] = []
        self.expected: list[str] = []
        self.count = 0

    def block(self, depth: int, kind: str) -> list[str]:
        """Run a part, and return the names of the steps that it leaves to be undone, in order of start."""
        mine: list[str] = []
        for _ in range(self.random.randint(0, 3)):
            if depth and self.random.random() < 0.6:
                mine += self.part(depth - 1)
            else:
                mine += self.step(lambda: None)
        if self.random.random() < 0.3:
            self.expected += [f"-{name}" for name in reversed(mine)]
            raise Boom(kind)
        return mine

    def part(self, depth: int) -> list[str]:
        left: list[str] = []
        try:
            if self.random.random() < 0.5:
                with transaction():
                    left = self.block(depth, "block")
            else:
                left = self.step(lambda: self.block(depth, "step"))
        except Boom:
            return []
        return left

    def step(self, body: Any) -> list[str]:
        name = f"s{self.count}"
        self.count += 1
        inner: list[str] = []

        @action
        def run() -> None:
            self.trail.append(f"+{name}")
            inner.extend(body() or ())

        @run.rollback
        def undo() -> None:
            self.trail.append(f"-{name}")

        self.expected.append(f"+{name}")
        try:
            run()
        except Boom:
            self.expected.append(f"-{name}")
            raise
        return [name, *inner]


@pytest.mark.parametrize("seed", range(150))
def test_a_tree_of_steps_and_blocks_is_undone_in_reverse_and_once(seed: int) -> None:
    shape = Shape(seed)
    left: list[str] = []
    with pytest.raises(Boom, match="root"), transaction() as q:
        with transaction():
            for _ in range(4):
                left += shape.part(4)
        assert shape.trail == shape.expected
        raise Boom("root")
    assert shape.trail == [*shape.expected, *(f"-{name}" for name in reversed(left))]
    assert len(q.report.undone) == sum(word.startswith("-") for word in shape.trail)
