"""Random programs of steps, queued steps, savepoints and marks, compared with a model that is a list of lists."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.world import WORLDS, Boom, World

#: What is done; a tuple is a savepoint: what is done in it, and whether it fails.
LEAVES = st.one_of(
    st.sampled_from(["step", "step", "fails", "add", "execute", "by hand", "mark", "mark"]),
    st.integers(0, 5),  # back to one of the marks
)
OPS = st.recursive(
    st.lists(LEAVES, max_size=9),
    lambda inner: st.lists(st.one_of(LEAVES, st.tuples(inner, st.booleans())), max_size=9),
    max_leaves=30,
)


@dataclass
class Model:
    """A block: what was started in it, in order: names, lists of them for savepoints, marks, and what was queued."""

    entries: list[Any] = field(default_factory=list[Any])
    queue: list[str] = field(default_factory=list[str])

    def undo(self, place: int) -> list[str]:
        """Undo what stands from this place on; returns what that leaves in the trail."""
        undone, self.entries[place:] = self.entries[place:], []
        self.queue = [name for name in self.queue if ("queued", name) not in undone]
        return [f"-{name}" for name in reversed(flat(undone))]


def flat(entries: list[Any]) -> list[str]:
    """The names in it."""
    found: list[str] = []
    for entry in entries:
        kind = cast("type[object]", type(entry))
        found += [entry] if kind is str else flat(entry) if kind is list else []
    return found


@dataclass
class Play:
    """Plays a program in a world, and in the model."""

    w: World
    expected: list[str] = field(default_factory=list[str])
    count: int = 0

    def name(self) -> str:
        self.count += 1
        return f"s{self.count}"

    async def block(self, q: Any, ops: list[Any], model: Model) -> None:
        for op in ops:
            kind = cast("type[object]", type(op))
            if kind is tuple:
                await self.savepoint(q, op, model)
            elif kind is int:
                places: list[int] = [
                    place for place, entry in enumerate(model.entries) if type(entry).__name__ == "Mark"
                ]
                if places:
                    place: int = places[int(op) % len(places)]
                    self.expected += model.undo(place + 1)
                    await q.rollback(to=model.entries[place])
            else:
                await self.leaf(q, op, model)
            assert self.w.trail == self.expected

    async def leaf(self, q: Any, op: str, model: Model) -> None:
        name = self.name()
        if op == "mark":
            model.entries.append(q.mark())
        elif op == "add":
            q.add(self.w.define(name))
            model.entries.append(("queued", name))
            model.queue.append(name)
        elif op == "by hand":
            q.on_rollback(self.w.say, f"-{name}")
            model.entries.append(name)
        elif op == "execute":
            self.run_queued(model)
            await q.execute()
        elif op == "fails":
            self.expected += [f"+{name}", f"-{name}", "!Boom"]
            with self.w.caught():
                await self.w.step(name, fails=[Boom(name)])
        else:
            self.expected.append(f"+{name}")
            model.entries.append(name)
            await self.w.step(name)

    def run_queued(self, model: Model) -> None:
        self.expected += [f"+{name}" for name in model.queue]
        model.entries += model.queue
        model.queue = []

    async def savepoint(self, q: Any, op: tuple[list[Any], bool], model: Model) -> None:
        ops, fails = op
        inner = Model()
        try:
            async with q.savepoint("inner") as savepoint:
                await self.block(savepoint, ops, inner)
                if fails:
                    self.expected += inner.undo(0)
                    raise Boom
                self.run_queued(inner)
        except Boom:
            return
        model.entries.append(flat(inner.entries))


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
@pytest.mark.parametrize("trace", [False, True])
@given(ops=OPS, fails=st.booleans())
@settings(max_examples=20, deadline=None)
def test_a_program_with_marks_leaves_the_trail_that_the_model_does(
    world: type[World], trace: bool, ops: list[Any], fails: bool
) -> None:
    w = world()
    play, model = Play(w), Model()

    async def program(_: World) -> None:
        async with w.block("block", trace=trace) as q:
            await play.block(q, ops, model)
            if fails:
                raise Boom
            play.run_queued(model)

    error = w.play(program)
    if fails:
        play.expected += model.undo(0)
    assert w.trail == play.expected
    assert isinstance(error, Boom) if fails else error is None
    report = w.blocks[0].report
    assert report.clean
    assert len(report.undone) == sum(word[0] == "-" for word in w.trail)
