"""A small world of effects, and a tracer that interrupts the package at a chosen line of its own."""

from __future__ import annotations

import linecache
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, NamedTuple

import actionqueues
from actionqueues import RollbackConflict, TransactionState, action
from actionqueues.owner import current, undoing

_PACKAGE = os.path.dirname(os.path.abspath(actionqueues.__file__)) + os.sep
_GENERATED = "<actionqueues"


class Place(NamedTuple):
    """A line of the package, as a person finds it."""

    function: str
    text: str


@dataclass
class World:
    """What the steps have done, and whether their undos came in the right order, once each."""

    present: set[str] = field(default_factory=set)
    started: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    hooks: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    block: Any = None
    attempts: Counter[str] = field(default_factory=Counter)
    _stack: list[str] = field(default_factory=list)

    def start(self, name: str) -> None:
        self.attempts[name] += 1
        if name not in self.started:
            self.started.append(name)
            self._stack.append(name)
        self.present.add(name)

    def undo(self, name: str) -> None:
        if name in self.undone:
            self.wrong.append(f"{name} was undone twice")
        self.undone.append(name)
        if name in self._stack:
            if self._stack[-1] != name:
                self.wrong.append(f"{name} was undone before {self._stack[-1]}")
            self._stack.remove(name)
        self.present.discard(name)

    @property
    def committed(self) -> bool:
        return self.block is not None and self.block.state is TransactionState.COMMITTED

    def differences(self, reference: World) -> list[str]:
        """What is not as it must be after an interrupt, given the same run without one."""
        wrong = list(self.wrong)
        if self.committed:
            if self.present != reference.present:
                wrong.append(f"committed, but there is {self.present}")
            if self.undone != reference.undone:
                wrong.append(f"committed, but {self.undone} were undone")
            if self.hooks != reference.hooks:
                wrong.append(f"committed, but of the hooks ran {self.hooks}")
        else:
            if self.present:
                wrong.append(f"not undone: {self.present}")
            if missing := set(self.started) - set(self.undone):
                wrong.append(f"no undo was called for {missing}")
            if self.hooks:
                wrong.append(f"not committed, but the hooks {self.hooks} ran")
        return wrong


@action
def put(world: World, name: str) -> str:
    world.start(name)
    return name


@put.rollback
def take(world: World, name: str) -> None:
    world.undo(name)


@action
def make(world: World, name: str) -> str:
    world.start(name)
    return name


@make.rollback
def unmake(world: World, result: str) -> None:
    world.undo(result)


@action
def fail(world: World, name: str) -> None:
    world.start(name)
    raise LookupError(name)


@fail.rollback
def mend(world: World, name: str, error: BaseException | None) -> None:
    world.undo(name)


@action
def nest(world: World, name: str, depth: int) -> None:
    world.start(name)
    if depth:
        nest(world, f"{name}.{depth}", depth - 1)


@nest.rollback
def unnest(world: World, name: str) -> None:
    world.undo(name)


@action(retry=lambda attempt, error: 0.0 if attempt < 3 else None)
def flaky(world: World, name: str) -> str:
    world.start(name)
    if world.attempts[name] < 3:
        raise ConnectionError(name)
    return name


@flaky.rollback
def unflaky(world: World, name: str) -> None:
    world.undo(name)


@action
def stubborn(world: World, name: str) -> None:
    world.start(name)


@stubborn.rollback(retry=lambda attempt, error: 0.0 if attempt < 3 else None)
def unstubborn(world: World, step: actionqueues.Step[None]) -> None:
    step.saved["tries"] = step.saved.get("tries", 0) + 1
    if step.saved["tries"] == 2:  # the last but one, and the one that has an effect
        world.undo(step.args[1])
        return
    raise ConnectionError(step.name)


@action
def hopeless(world: World, name: str) -> None:
    world.start(name)


@hopeless.rollback
def unhopeless(world: World, name: str) -> None:
    world.undo(name)
    raise OSError(name)


@action
def contested(world: World, name: str) -> None:
    world.start(name)


@contested.rollback
def uncontested(world: World, name: str) -> None:
    world.undo(name)
    raise RollbackConflict(name)


class Shop:
    """A class whose undo a subclass overrides."""

    @action
    def sell(self, world: World, name: str) -> None:
        world.start(name)

    @sell.rollback
    def buy_back(self, world: World, name: str) -> None:
        world.wrong.append("the undo of the base class was called")


class Corner(Shop):
    def buy_back(self, world: World, name: str) -> None:
        world.undo(name)


def is_own(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return name.startswith((_PACKAGE, _GENERATED))


def place_of(frame: FrameType) -> Place:
    name = frame.f_code.co_qualname
    if frame.f_code.co_filename.startswith(_GENERATED):
        name = "the frame of a step"
    return Place(name, linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip())


class Tracer:
    """Sends SIGINT at the n-th line of the package's own code, and again some lines later if that is wanted."""

    def __init__(self, *at: int) -> None:
        self.at = at
        self.lines = 0
        self.places: list[Place] = []

    def __call__(self, frame: FrameType, event: str, _arg: object) -> Any:
        return self._line if is_own(frame) else None

    def _line(self, frame: FrameType, event: str, _arg: object) -> Any:
        if event == "line":
            self.lines += 1
            if self.lines in self.at:
                self.places.append(place_of(frame))
                signal.raise_signal(signal.SIGINT)
        return self._line

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
    def installed(self) -> Iterator[None]:
        before, profile = sys.gettrace(), sys.getprofile()
        if len(self.at) > 1:
            sys.setprofile(self._again)
        sys.settrace(self)
        try:
            yield
        finally:
            sys.setprofile(profile)
            sys.settrace(before)


class Outcome(NamedTuple):
    """One run of a scenario."""

    places: list[Place]
    raised: BaseException | None
    wrong: list[str]
    lines: int


Scenario = Callable[[World], None]
Handler = Callable[[int, FrameType | None], object]


def run(scenario: Scenario, reference: World, *at: int, handler: Handler = signal.default_int_handler) -> Outcome:
    """Run a scenario with interrupts at these lines; what is wrong afterwards, and set it right for the next run."""
    world = World()
    raised: BaseException | None = None
    tracer = Tracer(*at)
    signal.signal(signal.SIGINT, handler)
    try:
        with tracer.installed():
            try:
                scenario(world)
            except BaseException as error:
                raised = error
        wrong = world.differences(reference) if tracer.places else list(world.wrong)
        if tracer.places and type(raised) not in (KeyboardInterrupt, Stop):
            wrong.append(f"what came out is {raised!r}")
        if signal.getsignal(signal.SIGINT) is not handler:
            wrong.append("the handler of SIGINT has not been given back")
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if current.get() is not None:
        wrong.append("the block is still the current one")
        current.set(None)
    if undoing.get() is not None:
        wrong.append("a rollback is still the current one")
        undoing.set(None)
    return Outcome(tracer.places, raised, wrong, tracer.lines)


class Stop(Exception):
    """What a signal handler of the program's own raises."""


def reference_of(scenario: Scenario) -> World:
    """The same without an interrupt."""
    world = World()
    try:
        scenario(world)
    except Exception as error:
        world.attempts[repr(error)] += 1
    assert not world.wrong
    return world
