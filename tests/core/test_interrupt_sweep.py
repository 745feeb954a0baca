"""SIGINT at every line of the package's own code: nothing is left behind, nothing is undone twice, nothing is lost."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from contextlib import suppress
from functools import cache
from types import FrameType

import pytest

from actionqueues import Action, ActionQueue, IllegalOperation, current_transaction, transaction
from tests.marks import slow_but

from .sweeping import Outcome, Scenario, SignalHandler, Stop, reference_of, run, run_with
from .swept_world import Corner, World, contested, fail, flaky, hopeless, make, nest, put, stubborn


def commits(world: World) -> None:
    with transaction() as q:
        world.block = q
        put(world, "a")
        make(world, "b")
        Corner().sell(world, "c")


def fails(world: World) -> None:
    with transaction() as q:
        world.block = q
        put(world, "a")
        make(world, "b")
        Corner().sell(world, "c")
        stubborn(world, "d")
        put(world, "e")
        raise LookupError


def savepoints(world: World) -> None:
    with transaction() as q:
        world.block = q
        put(world, "a")
        with q.savepoint():
            put(world, "b")
            with transaction():
                make(world, "c")
        try:
            with transaction():
                put(world, "d")
                put(world, "e")
                raise LookupError
        except LookupError:
            put(world, "f")
        with transaction() as inner:
            put(world, "g")
            inner.rollback()
        put(world, "h")


def savepoints_then_fails(world: World) -> None:
    with transaction() as q:
        world.block = q
        put(world, "a")
        with q.savepoint():
            put(world, "b")
            with transaction():
                make(world, "c")
            put(world, "d")
        put(world, "e")
        raise LookupError


def savepoint_then_caught(world: World) -> None:
    with transaction() as q:
        world.block = q
        with q.savepoint():
            put(world, "a")
        try:
            fail(world, "b")
        except LookupError:
            put(world, "c")


def queued(world: World) -> None:
    with transaction() as q:
        world.block = q
        q.add(put, world, "a")
        q.add(make, world, "b")
        q.execute()
        q.on_rollback(world.undo, "c")
        world.start("c")
        q.add(make, world, "d")


def queued_fails(world: World) -> None:
    with transaction() as q:
        world.block = q
        put(world, "a")
        q.add(make, world, "b")
        q.add(fail, world, "c")
        q.add(put, world, "d")


def caught(world: World) -> None:
    with transaction() as q:
        world.block = q
        put(world, "a")
        try:
            fail(world, "b")
        except LookupError:
            put(world, "c")


def doomed(world: World) -> None:
    with transaction() as q:
        world.block = q
        put(world, "a")
        with transaction():
            hopeless(world, "b")
            put(world, "c")
            raise LookupError


def retried(world: World) -> None:
    with transaction() as q:
        world.block = q
        put(world, "a")
        flaky(world, "b")
        put(world, "c")


def hooks(world: World) -> None:
    with transaction() as q:
        world.block = q
        q.on_commit(world.hooks.append, "first")
        put(world, "a")
        with q.savepoint() as inner:
            inner.on_commit(world.hooks.append, "second")
        q.on_commit(world.hooks.append, "third")


def explicit(world: World) -> None:
    with transaction() as q:
        world.block = q
        put(world, "a")
        make(world, "b")
        q.rollback()


def marked(world: World) -> None:
    with transaction() as q:
        world.block = q
        q.on_commit(world.hooks.append, "first")
        put(world, "a")
        first = q.mark("first")
        q.on_commit(world.hooks.append, "second")
        put(world, "b")
        second = q.mark("second")
        q.add(make, world, "c")
        with q.savepoint():
            Corner().sell(world, "d")
        q.execute()
        q.rollback(to=second)
        stubborn(world, "e")
        q.rollback(to=first)
        q.rollback(to=first)
        put(world, "f")


def marked_once(world: World) -> None:
    with transaction() as q:
        world.block = q
        put(world, "a")
        mark = q.mark()
        put(world, "b")
        make(world, "c")
        q.rollback(to=mark)


def marked_fails(world: World) -> None:
    with transaction() as q:
        world.block = q
        put(world, "a")
        mark = q.mark()
        put(world, "b")
        hopeless(world, "c")
        put(world, "d")
        q.rollback(to=mark)


def nested(world: World) -> None:
    with transaction() as q:
        world.block = q
        nest(world, "a", 3)
        put(world, "b")


def nested_fails(world: World) -> None:
    with transaction() as q:
        world.block = q
        nest(world, "a", 2)
        raise LookupError


def undos_fail(world: World) -> None:
    with transaction() as q:
        world.block = q
        put(world, "a")
        hopeless(world, "b")
        contested(world, "c")
        put(world, "d")
        raise LookupError


@transaction
def decorated(world: World) -> None:
    world.block = current_transaction()
    put(world, "a")
    make(world, "b")


class Work(Action):
    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name

    def execute(self) -> None:
        self.world.start(self.name)

    def rollback(self) -> None:
        self.world.undo(self.name)


def classic(world: World) -> None:
    queue = ActionQueue()
    queue.add(Work(world, "a"))
    queue.add(Work(world, "b"))
    queue.add(put, world, "c")
    try:
        queue.execute()
        raise LookupError
    except BaseException:
        with suppress(IllegalOperation):  # interrupted before it was executed
            queue.rollback()
        raise


SCENARIOS: list[Scenario] = [
    commits,
    fails,
    savepoints,
    savepoints_then_fails,
    savepoint_then_caught,
    queued,
    queued_fails,
    caught,
    doomed,
    retried,
    hooks,
    explicit,
    marked,
    marked_once,
    marked_fails,
    nested,
    nested_fails,
    undos_fail,
    decorated,
    classic,
]


@pytest.fixture(autouse=True)
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of undos fail here, and each is logged."""
    monkeypatch.setattr(logging.getLogger("actionqueues"), "disabled", True)


@cache
def sweep(scenario: Scenario) -> list[Outcome]:
    """One run for each line, with an interrupt there."""
    reference = reference_of(scenario)
    outcomes: list[Outcome] = []
    while (outcome := run(scenario, reference, len(outcomes) + 1)).places:
        outcomes.append(outcome)
    return outcomes


def told(outcomes: list[Outcome]) -> list[str]:
    return [f"{' and '.join(f'{p.function}: {p.text}' for p in o.places)} -> {'; '.join(o.wrong)}" for o in outcomes]


@pytest.mark.parametrize("scenario", slow_but(SCENARIOS, commits, fails, marked_once, classic))
def test_an_interrupt_at_any_line_undoes_each_started_step_once_and_comes_out(scenario: Scenario) -> None:
    outcomes = sweep(scenario)
    assert len(outcomes) > 40
    assert told([o for o in outcomes if o.wrong]) == []


def test_no_interrupt_keeps_the_other_threads_from_going_on() -> None:
    assert all(sweep(scenario) for scenario in (commits, fails, caught))
    other = World()
    thread = threading.Thread(target=savepoint_then_caught, args=(other,), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "it waits for something that an interrupt has left locked"
    assert other.present == {"a", "c"}


def test_the_block_that_would_commit_is_interrupted_on_both_sides_of_the_commit() -> None:
    raised = [o for o in sweep(commits) if isinstance(o.raised, KeyboardInterrupt) and not o.wrong]
    assert {o.committed for o in raised} == {False, True}


@pytest.mark.parametrize(
    "scenario",
    slow_but([fails, commits, savepoints, queued_fails, caught, retried, explicit, marked_once, undos_fail], fails),
)
@pytest.mark.parametrize("every", slow_but([7, 3], 7))
def test_a_second_interrupt_never_undoes_anything_twice_or_out_of_order(scenario: Scenario, every: int) -> None:
    reference = reference_of(scenario)
    lines = len(sweep(scenario))
    both = 0
    for first in range(1, lines, every):
        for later in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89):
            outcome = run(scenario, reference, first, first + later)
            both += len(outcome.places) == 2
            assert outcome.disorder == []
            if outcome.kept:
                # It came while something was being undone.  Otherwise it may have hit what deals with the first one.
                assert told([outcome] if outcome.wrong else []) == []
    assert both * every > 3 * lines


def _raise_interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _raise_stop(_signum: int, _frame: FrameType | None) -> None:
    raise Stop


@pytest.mark.parametrize("own", [_raise_interrupt, _raise_stop])
@pytest.mark.parametrize("scenario", slow_but([s for s in SCENARIOS if s is not classic], fails, caught))
def test_a_handler_of_the_programs_own_that_raises_costs_at_most_the_undo_that_it_hits(
    scenario: Scenario, own: SignalHandler
) -> None:
    wrong: list[Outcome] = []
    line = 1
    while (outcome := run_with(own, scenario, line)).places:
        if outcome.wrong:
            wrong.append(outcome)
        line += 1
    assert told(wrong) == []


def test_the_sweep_leaves_a_trace_function_as_it_was() -> None:
    seen: list[str] = []

    def tracer(_frame: FrameType, event: str, _arg: object) -> None:
        seen.append(event)

    def called() -> None: ...

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        run(commits, World(), 1)
        assert sys.gettrace() is tracer
        called()
    finally:
        sys.settrace(before)
    assert "call" in seen
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
