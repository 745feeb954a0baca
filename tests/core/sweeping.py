"""A tracer that interrupts the package at a chosen line of its own, and what must hold of the world after that."""

from __future__ import annotations

import dis
import gc
import linecache
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import cache
from types import CodeType, FrameType
from typing import Any, NamedTuple

import actionqueues
from actionqueues import ActionQueue, Transaction
from actionqueues.core import interrupts
from tests.inside import forget_context

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
    return Place(name, text_of(frame))


def text_of(frame: FrameType) -> str:
    """The line that is run; some instructions belong to none."""
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno or 0).strip()


def is_uninterruptible(frame: FrameType) -> bool:
    """Whether no signal can arrive at a line: the interpreter looks for them only at calls and where loops go back."""
    line = text_of(frame)
    if line in ("with block:", "async with block:") or (line.startswith("with ") and ".lock" in line):
        return True  # this line is come to again at the end of the block, where that is left, or a lock is released
    return line == "try:" and frame.f_code.co_filename.startswith(_GENERATED)


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


#: What `protected_from_start` protects, so that an interrupt may come at any instruction of it.
_PROTECTED = frozenset({Transaction.__exit__.__code__, ActionQueue.rollback.__code__})

#: What the interpreter looks for signals at, in all versions; elsewhere none arrives, as between a call and a store.
_LOOKS = ("RESUME", "CALL", "PRECALL", "CALL_FUNCTION_EX", "CALL_KW", "JUMP_BACKWARD", "SEND")


@cache
def _instructions(code: CodeType) -> dict[int, str]:
    return {instruction.offset: instruction.opname for instruction in dis.get_instructions(code)}


class InstructionTracer(Tracer):
    """Sends SIGINT at the n-th instruction at which one may arrive; in what is protected, that is any instruction."""

    def __call__(self, frame: FrameType, event: str, _arg: object) -> Any:
        if not is_own(frame):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._instruction

    def _instruction(self, frame: FrameType, event: str, _arg: object) -> Any:
        if event == "opcode" and self._may_arrive(frame):
            self._reached(frame)
        return self._instruction

    def _may_arrive(self, frame: FrameType) -> bool:
        if frame.f_code in _PROTECTED:
            return True
        return _instructions(frame.f_code).get(frame.f_lasti) in _LOOKS and not is_uninterruptible(frame)

    @classmethod
    def count(cls, scenario: Scenario) -> int:
        """How many there are, once the interpreter has come to tell of each: in 3.12 and 3.13 not at once."""
        counts = [0]
        while len(counts) < 3 or counts[-1] != counts[-2]:
            tracer = cls()
            with suppress(Exception), tracer.installed():
                scenario(World())
            counts.append(tracer.lines)
        return counts[-1]


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
    wrong += [f"{name} is still set" for name in forget_context()]
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
    forget_context()
    return Outcome(tracer.places, raised, world.committed, tracer.kept, world.disorder(lost), wrong, on_duty)


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


def _relieve() -> bool:
    """Whether a guard was left on duty; now there is none."""
    left = bool(interrupts._on_duty)
    interrupts._on_duty.clear()
    interrupts._before.clear()
    return left


def run_caught(scenario: Scenario, at: int, allowed: list[set[str]], *, kind: type[Tracer] = Tracer) -> Outcome:
    """The same where the scenario itself may catch the interrupt and go on: what may there be once it has committed?"""
    world, tracer, raised, given_back = _run(scenario, signal.default_int_handler, kind(at))
    on_duty = _relieve()
    wrong = world.disorder(set())
    if world.present not in (allowed if world.committed else [set()]):
        wrong.append(f"committed: {world.committed}, with {sorted(world.present)}")
    if not given_back:
        wrong.append("the handler of SIGINT has not been given back")
    wrong += [f"{name} is still set" for name in forget_context()]
    return Outcome(tracer.places, raised, world.committed, tracer.kept, world.disorder(set()), wrong, on_duty)


def reference_of(scenario: Scenario) -> World:
    """The same without an interrupt."""
    world = World()
    with suppress(Exception):
        scenario(world)
    assert world.disorder(set()) == []
    return world
