"""A small world of effects, and steps of every kind that leave their traces in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from actionqueues import AsyncTransaction, RollbackConflict, Step, Transaction, TransactionState, action


@dataclass
class World:
    """What the steps have done, and when it was undone."""

    present: set[str] = field(default_factory=set[str])
    events: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    hooks: list[str] = field(default_factory=list[str])
    attempts: Counter[str] = field(default_factory=Counter[str])
    block: Transaction | AsyncTransaction | None = None

    def start(self, name: str) -> None:
        self.attempts[name] += 1
        if self.attempts[name] == 1:
            self.events.append(("do", name))
        self.present.add(name)

    def undo(self, name: str) -> None:
        self.events.append(("undo", name))
        self.present.discard(name)

    def names(self, what: str) -> list[str]:
        return [name for event, name in self.events if event == what]

    @property
    def committed(self) -> bool:
        return self.block is not None and self.block.state is TransactionState.COMMITTED

    def disorder(self, lost: set[str]) -> list[str]:
        """What was undone twice, or before something that had been started after it."""
        wrong: list[str] = []
        stack: list[str] = []
        seen: set[str] = set()
        for event, name in self.events:
            if event == "do":
                stack.append(name)
                continue
            if name in seen:
                wrong.append(f"{name} was undone twice")
            seen.add(name)
            if name in stack:  # otherwise its body never ran, though it was about to
                if after := set(stack[stack.index(name) + 1 :]) - lost:
                    wrong.append(f"{name} was undone before {after}")
                stack.remove(name)
        return wrong

    def differences(self, reference: World | None, lost: set[str]) -> list[str]:
        """What is not as it must be after an interrupt; if it committed, given the same run without one."""
        wrong = self.disorder(lost)
        if self.committed:
            if reference is None:
                return wrong
            if self.present != reference.present:
                wrong.append(f"committed, but there is {sorted(self.present)}")
            if self.names("undo") != reference.names("undo"):
                wrong.append(f"committed, but {self.names('undo')} were undone")
            if self.hooks != reference.hooks:
                wrong.append(f"committed, but of the hooks ran {self.hooks}")
        else:
            if left := self.present - lost:
                wrong.append(f"not undone: {sorted(left)}")
            if missing := set(self.names("do")) - set(self.names("undo")) - lost:
                wrong.append(f"no undo was called for {sorted(missing)}")
            if self.hooks:
                wrong.append(f"not committed, but the hooks {self.hooks} ran")
        return wrong

    def lost(self) -> set[str]:
        """The one step whose undo was hit by an interrupt that could not be kept, if it is reported."""
        reported = [] if self.block is None else [failure.step.args for failure in self.block.report.failures]
        hit = set(self.names("do")) - set(self.names("undo"))
        return hit if len(hit) == 1 and any(hit & set(map(str, args)) for args in reported) else set()


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
def unstubborn(world: World, step: Step[None]) -> None:
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
        raise AssertionError("the subclass has another one")


class Corner(Shop):
    def buy_back(self, world: World, name: str) -> None:
        world.undo(name)
