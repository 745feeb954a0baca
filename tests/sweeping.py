"""A tracer that interrupts the package at a chosen line of its own, and what must hold of the world after that."""

from __future__ import annotations

import gc
import linecache
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import FrameType
from typing import Any, NamedTuple

import actionqueues
from actionqueues import TransactionState, interrupts
from actionqueues.block import Block
from actionqueues.frames import ASYNC_STEPS
from actionqueues.owner import current, undoing
from actionqueues.step import OWNER

from .swept_world import World

_PACKAGE = os.path.dirname(os.path.abspath(actionqueues.__file__)) + os.sep
_GENERATED = "<actionqueues"


class Place(NamedTuple):
    """A line of the package, as a person finds it."""

    function: str
    text: str


def is_own(frame: FrameType) -> bool:
    if frame.f_code.co_name == "__del__":
        return False  # of what an earlier run has left, which may be collected in a later one
    name = frame.f_code.co_filename
    return name.startswith((_PACKAGE, _GENERATED))


def place_of(frame: FrameType) -> Place:
    name = frame.f_code.co_qualname
    if frame.f_code.co_filename.startswith(_GENERATED):
        name = "the frame of a step"
    return Place(name, linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip())


def is_uninterruptible(frame: FrameType) -> bool:
    """Whether no signal can arrive at a line: the interpreter looks for them only at calls and where loops go back."""
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
    if line.startswith("with ") and ".lock" in line:
        return True  # this line is come to again at the end of the block, where a lock is released
    if frame.f_code not in ASYNC_STEPS:
        return False
    return line in ("try:", "log[0] -= 1", "log[BARRIER] -= 1")


class Tracer:
    """Sends SIGINT at the n-th line of the package's own code, and again some lines later if that is wanted."""

    def __init__(self, *at: int) -> None:
        self.at = at
        self.lines = 0
        self.places: list[Place] = []
        self.kept = False  # whether the package had taken over SIGINT when the last one was sent

    def __call__(self, frame: FrameType, event: str, _arg: object) -> Any:
        return self._line if is_own(frame) else None

    def _line(self, frame: FrameType, event: str, _arg: object) -> Any:
        if event == "line" and not is_uninterruptible(frame):
            self._reached(frame)
        return self._line

    def _reached(self, frame: FrameType) -> None:
        self.lines += 1
        if self.lines in self.at:
            self.places.append(place_of(frame))
            self.kept = signal.getsignal(signal.SIGINT) is interrupts._pressed and bool(interrupts._on_duty)
            signal.raise_signal(signal.SIGINT)

    def _again(self, frame: FrameType, event: str, _arg: object) -> None:
        """The interpreter drops a trace function that has raised: install it again at the next call or return."""
        if len(self.places) == len(self.at):
            sys.setprofile(None)
        elif sys.gettrace() is None:
            sys.settrace(self)
            inner: FrameType | None = frame
            while inner is not None:
                if is_own(inner):
                    inner.f_trace = self._line
                inner = inner.f_back

    @contextmanager
    def installed(self) -> Generator[None]:
        before, profile = sys.gettrace(), sys.getprofile()
        if len(self.at) > 1:
            sys.setprofile(self._again)
        sys.settrace(self)
        try:
            yield
        finally:
            sys.setprofile(profile)
            sys.settrace(before)


class CallTracer(Tracer):
    """Sends SIGINT before and after the n-th call of a function in C, which is where the interpreter looks for signals.

    It leaves the trace function alone, and with it what is measured through that.
    """

    def __call__(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "c_call" and getattr(arg, "__name__", None) == "__exit__":
            return  # between the last line of a `with` and this it looks for none, so that a lock is always released
        if event in ("c_call", "c_return") and is_own(frame):
            self._reached(frame)

    @contextmanager
    def installed(self) -> Generator[None]:
        before = sys.getprofile()
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(before)


class Outcome(NamedTuple):
    """One run of a scenario."""

    places: list[Place]
    raised: BaseException | None
    committed: bool
    kept: bool
    disorder: list[str]
    wrong: list[str]  # the disorder included
    on_duty: bool = False  # whether a guard has been left on duty, which would keep the next SIGTERM to itself


class Stop(Exception):
    """What a signal handler of the program's own raises."""


Scenario = Callable[[World], None]
SignalHandler = Callable[[int, FrameType | None], object]


def run(scenario: Scenario, reference: World, *at: int, kind: type[Tracer] = Tracer) -> Outcome:
    """Run a scenario with interrupts at these lines; what is wrong afterwards, and set it right for the next run."""
    world, tracer, raised, given_back = _run(scenario, signal.default_int_handler, kind(*at))
    on_duty = _relieve()
    wrong = world.differences(reference, set())
    if not isinstance(raised, KeyboardInterrupt):
        wrong.append(f"what came out is {raised!r}")
    if not given_back:
        wrong.append("the handler of SIGINT has not been given back")
    _give_up(world)
    if _clean_up(current):
        wrong.append("the block is still the current one")
    if _clean_up(undoing):
        wrong.append("a rollback is still the current one")
    return Outcome(tracer.places, raised, world.committed, tracer.kept, world.disorder(set()), wrong, on_duty)


def run_with(handler: SignalHandler, scenario: Scenario, at: int, *, kind: type[Tracer] = Tracer) -> Outcome:
    """The same with a handler of the program's own, which raises: no interrupt can be kept then."""
    world, tracer, raised, given_back = _run(scenario, handler, kind(at))
    on_duty = _relieve()
    lost = world.lost()
    wrong = world.differences(None, lost)
    if isinstance(raised, AttributeError | IndexError | TypeError | AssertionError):
        wrong.append(f"what came out is {raised!r}")
    if not given_back:
        wrong.append("the handler of SIGINT has been replaced")
    _give_up(world)
    _clean_up(current)
    _clean_up(undoing)
    return Outcome(tracer.places, raised, world.committed, tracer.kept, world.disorder(lost), wrong, on_duty)


def _give_up(world: World) -> None:
    """Let a block that an interrupt has left open be forgotten without a warning: that it is open has been seen."""
    left: list[Any] = [world.block]
    log = current.get()
    while log is not None:
        left.append(log[OWNER])
        log = log[OWNER].surrounding
    for block in left:
        if isinstance(block, Block) and block.state is TransactionState.OPEN:
            block._disown()


def _run(
    scenario: Scenario, handler: SignalHandler, tracer: Tracer
) -> tuple[World, Tracer, BaseException | None, bool]:
    world = World()
    raised: BaseException | None = None
    signal.signal(signal.SIGINT, handler)
    collecting = gc.isenabled()
    gc.disable()  # an interrupt that arrives in a finalizer of something else is lost, as Python wants it
    try:
        with tracer.installed():
            try:
                scenario(world)
            except BaseException as error:
                raised = error
    finally:
        given_back = signal.signal(signal.SIGINT, signal.default_int_handler) is handler
        if collecting:
            gc.enable()
    return world, tracer, raised, given_back


def _clean_up(variable: ContextVar[Any]) -> bool:
    """Whether something was left in a context variable; now it is not."""
    left = variable.get()
    variable.set(None)
    return left is not None


def _relieve() -> bool:
    """Whether a guard was left on duty; now there is none."""
    left = bool(interrupts._on_duty)
    interrupts._on_duty.clear()
    interrupts._before.clear()
    return left


def reference_of(scenario: Scenario) -> World:
    """The same without an interrupt."""
    world = World()
    with suppress(Exception):
        scenario(world)
    assert world.disorder(set()) == []
    return world
