"""Random programs of overlapping steps, and the partial order in which they have to be undone (R20b)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionqueues import action, current_step, current_transaction, transaction
from tests.async_library import Library, Trio
from tests.async_stage import Boom

#: From when to when each step runs, and how many turns its undo takes.
spans = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 8), st.integers(0, 5)), min_size=1, max_size=7)


@pytest.mark.parametrize("library", [Library(), Trio()], ids=repr)
@given(plan=spans)
@settings(deadline=None, max_examples=40)
def test_an_undo_begins_once_all_have_ended_of_steps_that_began_after_its_own_had_ended_and_waits_for_no_other(
    library: Library, plan: list[tuple[int, int, int]]
) -> None:
    clock = iter(range(10_000))
    began: dict[int, int] = {}
    ended: dict[int, int] = {}
    undone: dict[int, tuple[int, int]] = {}
    waiting: dict[int, Any] = {}

    @action
    async def step(number: int, turns: int) -> None:
        began[number] = next(clock)
        await library.checkpoint(turns)
        ended[number] = next(clock)

    @step.rollback
    async def undo(number: int) -> None:
        start = next(clock)
        await waiting[number].wait()
        undone[number] = start, next(clock)

    def builds_on(later: int, earlier: int) -> bool:
        return ended[earlier] < began[later]

    async def main() -> None:
        begun: set[int] = set()

        async def run(number: int, delay: int, turns: int) -> None:
            await library.checkpoint(delay)
            await step(number, turns)

        async def let_go() -> None:
            """Let the undos end in some order, each only once all have begun that need not wait for it."""
            rest = set(range(len(plan)))
            while rest:
                await library.checkpoint(20)
                free = {one for one in rest if not any(builds_on(other, one) for other in rest)}
                assert begun == free, (begun, free)
                number = min(free, key=lambda one: (plan[one][2], one))
                waiting[number].set()
                rest.discard(number)
                begun.discard(number)

        class Event:
            def __init__(self, number: int) -> None:
                self.number, self.event = number, library.event()

            def set(self) -> None:
                self.event.set()

            async def wait(self) -> None:
                begun.add(self.number)
                await self.event.wait()

        waiting.update((number, Event(number)) for number in range(len(plan)))
        async with library.group() as start:
            with pytest.raises(Boom):
                async with transaction(undo_concurrently=True):
                    async with library.group() as start_step:
                        for number, (delay, turns, _) in enumerate(plan):
                            start_step(run, number, delay, turns)
                    start(let_go)
                    raise Boom

    library.run(main)
    assert set(undone) == set(range(len(plan)))
    for one in undone:
        for other in undone:
            if builds_on(other, one):
                assert undone[other][1] < undone[one][0]


# -- what contains others


@dataclass
class Node:
    """A step or a savepoint, and what it contains, one after the other or at the same time."""

    kind: str
    together: bool
    delay: int
    turns: int
    contents: list[Node]
    ran: list[int] = field(default_factory=list[int])
    undone: list[int] = field(default_factory=list[int])

    def all(self) -> Iterator[Node]:
        """Itself, and all that it contains."""
        yield self
        for each in self.contents:
            yield from each.all()

    def span(self) -> list[int]:
        """From when to when it has run: a savepoint, from the first step in it to the last."""
        return self.ran if self.kind != "savepoint" else [at for each in self.contents for at in each.span()]

    def undoing(self) -> list[int]:
        """When it, and what it contains, was undone."""
        return [at for each in self.all() for at in each.undone]


def nodes(contents: st.SearchStrategy[list[Node]], kinds: list[str]) -> st.SearchStrategy[list[Node]]:
    turns = st.integers(0, 4)
    node = st.builds(Node, st.sampled_from(kinds), st.booleans(), turns, turns, contents)
    return st.lists(node, min_size=1, max_size=3)


leaves = nodes(st.builds(list[Node]), ["step", "sync", "by hand"])
trees = st.recursive(leaves, lambda inner: nodes(inner, ["step", "savepoint"]), max_leaves=12)
roots = st.builds(Node, st.just("savepoint"), st.booleans(), st.just(0), st.just(0), trees)


@pytest.mark.parametrize("library", [Library(), Trio()], ids=repr)
@given(root=roots, back=st.booleans())
@settings(deadline=None, max_examples=40)
def test_what_an_entry_contains_is_undone_with_it_as_one_and_before_it(
    library: Library, root: Node, back: bool
) -> None:
    clock = count()

    @action
    async def step(node: Node) -> None:
        node.ran.append(next(clock))
        await contents_of(node)
        await library.checkpoint(node.turns)
        node.ran.append(next(clock))

    @step.rollback
    async def undo(node: Node) -> None:
        node.undone.append(next(clock))
        await library.checkpoint(node.delay)
        assert current_step().arguments["node"] is node
        node.undone.append(next(clock))

    @action
    def sync(node: Node) -> None:
        node.ran += [next(clock), next(clock)]

    @sync.rollback
    def undo_sync(node: Node) -> None:
        node.undone += [next(clock), next(clock)]

    async def run(node: Node) -> None:
        await library.checkpoint(node.delay)
        if node.kind == "step":
            await step(node)
        elif node.kind == "savepoint":
            async with transaction():
                await contents_of(node)
        elif node.kind == "sync":
            sync(node)
        else:
            node.ran.append(next(clock))
            current_transaction().on_rollback(undo_sync, node)

    async def contents_of(node: Node) -> None:
        if node.together:
            async with library.group() as start:
                for each in node.contents:
                    start(partial(run, each))
        else:
            for each in node.contents:
                await run(each)

    async def main() -> None:
        async with transaction(undo_concurrently=True) as q:
            mark = q.mark()
            await contents_of(root)
            await (q.rollback(to=mark) if back else q.rollback())
            assert q.report.clean

    library.run(main)
    for node in root.all():
        assert len(node.undone) == (2 if node.kind != "savepoint" else 0)
        for inner in node.contents:
            if node.kind == "step":
                assert max(inner.undoing()) < min(node.undone)
            for other in node.contents:
                if max(inner.span()) < min(other.span()):
                    assert max(other.undoing()) < min(inner.undoing())
