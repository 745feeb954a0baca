"""SIGINT at every instruction at which it may arrive, the first one of what ends a block or a queue included."""

from __future__ import annotations

import _thread
import ctypes
import logging
import operator
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, cast

import pytest

from actionqueues import ActionQueue, IllegalOperation, Transaction, action, current_transaction, transaction
from actionqueues.core import exits
from tests.inside import forget_context
from tests.marks import slow_but

from .sweeping import InstructionTracer, Outcome, Scenario, SignalHandler, reference_of, run, run_caught, run_with
from .swept_world import World, flaky, make, nest, put
from .test_interrupt_sweep import (
    SCENARIOS,
    _raise_interrupt,
    _raise_stop,
    classic,
    commits,
    fails,
    told,
)


@pytest.fixture(autouse=True)
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of undos fail here, and each is logged."""
    monkeypatch.setattr(logging.getLogger("actionqueues"), "disabled", True)


@pytest.fixture
def untraced() -> Iterator[None]:
    """Without coverage, under which Python 3.11 takes what is raised at the first instruction for raised before it."""
    tracing = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracing)


def swept(scenario: Scenario, play: Callable[[int], Outcome]) -> list[Outcome]:
    """One run for each instruction, with an interrupt there."""
    count = InstructionTracer.count(scenario)
    outcomes = [outcome for outcome in map(play, range(1, count + 1)) if outcome.places]
    assert count > 50
    assert len(outcomes) > 0.5 * count, "the interpreter has hardly told of any"
    return outcomes


@pytest.mark.parametrize("scenario", slow_but(SCENARIOS, fails, classic))
def test_an_interrupt_at_any_instruction_undoes_each_started_step_once_and_comes_out(scenario: Scenario) -> None:
    reference = reference_of(scenario)
    outcomes = swept(scenario, lambda at: run(scenario, reference, at, kind=InstructionTracer))
    assert told([outcome for outcome in outcomes if outcome.wrong or outcome.on_duty]) == []


@pytest.mark.parametrize("own", [_raise_interrupt, _raise_stop])
@pytest.mark.parametrize("scenario", slow_but([s for s in SCENARIOS if s is not classic], commits))
def test_a_handler_of_the_programs_own_that_raises_at_any_instruction_costs_at_most_the_undo_that_it_hits(
    scenario: Scenario, own: SignalHandler
) -> None:
    outcomes = swept(scenario, lambda at: run_with(own, scenario, at, kind=InstructionTracer))
    assert told([outcome for outcome in outcomes if outcome.wrong]) == []


@action
def half(world: World, name: str) -> None:
    world.start(name)
    put(world, f"{name}, inside")
    raise LookupError


@half.rollback
def unhalf(world: World, name: str) -> None:
    world.undo(name)


Steps = Callable[[World], None]


def called(world: World) -> None:
    half(world, "b")


def called_in_a_step(world: World) -> None:
    nest(world, "a1", 0)
    called(world)


def called_in_a_savepoint(world: World) -> None:
    with transaction():
        put(world, "a1")
        half(world, "b")


def queued(world: World) -> None:
    q = current_transaction()
    assert isinstance(q, Transaction)
    q.add(half, world, "b")
    q.execute()


def tried_again(world: World) -> None:
    flaky(world, "a1")
    half(world, "b")


def gone_back(world: World) -> None:
    q = current_transaction()
    assert isinstance(q, Transaction)
    mark = q.mark()
    nest(world, "a1", 1)
    q.rollback(to=mark)
    raise LookupError


@pytest.mark.parametrize(
    "steps",
    slow_but([called, called_in_a_step, called_in_a_savepoint, queued, tried_again, gone_back], called),
)
def test_a_block_that_catches_an_interrupt_never_commits_half_a_step(steps: Steps) -> None:
    def scenario(world: World) -> None:
        with transaction() as world.block:
            put(world, "a")
            with suppress(LookupError, KeyboardInterrupt):
                steps(world)
            put(world, "c")

    allowed = [{*"ac"}, {"c"}, {"a1", *"ac"}]
    if steps is gone_back:  # all of that, or nothing
        allowed[-1].add("a1.1")
    outcomes = swept(scenario, lambda at: run_caught(scenario, at, allowed, kind=InstructionTracer))
    assert told([outcome for outcome in outcomes if outcome.wrong or outcome.on_duty]) == []
    assert {outcome.committed for outcome in outcomes} == {True, False}


def test_a_block_that_has_caught_what_kept_a_step_from_being_undone_says_why_it_does_not_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_args: object) -> None:
        raise KeyboardInterrupt

    world, q = World(), transaction()
    with pytest.raises(IllegalOperation, match="the undo of half was interrupted before it had begun; let the int"), q:
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(exits, "adopt", interrupted)
            half(world, "a")
        put(world, "b")
    assert world.names("undo") == ["b", "a, inside", "a"]
    assert q.state == "rolled back"


# What makes a signal wait without looking at what waits, as `signal.raise_signal` and `os.kill` would.
interrupts = [pytest.param(_thread.interrupt_main, id="simulated")]
if sys.platform != "win32":
    interrupts.append(pytest.param(partial(getattr(ctypes.CDLL(None), "raise"), signal.SIGINT), id="real"))

Interrupt = Callable[[], object]


def waiting_at_the_start_of(function: Callable[[], object], interrupt: Interrupt) -> None:
    """Call it while a signal waits, which it finds at its first instruction: from C, where nobody looks before."""
    with pytest.raises(KeyboardInterrupt):
        deque(map(operator.call, [interrupt, function]))


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("interrupt", interrupts)
@pytest.mark.parametrize("leaves", ["normally", "by an exception"])
@pytest.mark.parametrize("inside", ["nothing", "a savepoint"])
def test_a_signal_that_waits_at_the_end_of_a_block_rolls_it_back(
    interrupt: Interrupt, leaves: str, inside: str
) -> None:
    world, error = World(), LookupError()
    q = transaction()
    q.__enter__()
    put(world, "a")
    if inside == "a savepoint":
        with q.savepoint():
            make(world, "b")
    given = (None, None, None) if leaves == "normally" else (LookupError, error, None)
    waiting_at_the_start_of(partial(q.__exit__, *given), interrupt)
    assert world.present == set()
    assert q.state == "rolled back"
    assert forget_context() == {}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("interrupt", interrupts)
def test_a_signal_that_waits_at_the_end_of_a_savepoint_rolls_that_back_and_the_block_goes_on(
    interrupt: Interrupt,
) -> None:
    world = World()
    with transaction() as q:
        put(world, "a")
        inner = q.savepoint()
        inner.__enter__()
        put(world, "b")
        waiting_at_the_start_of(partial(inner.__exit__, None, None, None), interrupt)
        assert world.present == {"a"}
        put(world, "c")
    assert world.present == {"a", "c"}
    assert (q.state, inner.state, q.report.undone) == ("committed", "rolled back", ["put"])
    assert forget_context() == {}


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("interrupt", interrupts)
def test_a_signal_that_waits_when_a_queue_is_rolled_back_comes_out_once_that_is_done(interrupt: Interrupt) -> None:
    world = World()
    queue = ActionQueue()
    queue.add(put, world, "a")
    queue.add(make, world, "b")
    queue.execute()
    waiting_at_the_start_of(queue.rollback, interrupt)
    assert world.names("undo") == ["b", "a"]
    assert queue.state == "rollback complete"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("interrupt", interrupts)
@pytest.mark.parametrize("times", [2, 3])
def test_so_do_several_that_wait_which_count_as_one(interrupt: Interrupt, times: int) -> None:
    world = World()
    q = transaction()
    q.__enter__()
    put(world, "a")
    with pytest.raises(KeyboardInterrupt):
        calls: list[Any] = [*[interrupt] * times, partial(q.__exit__, None, None, None)]
        called: Any = map(cast("Any", operator.call), calls)
        deque(called)
    assert world.present == set()
    assert forget_context() == {}
