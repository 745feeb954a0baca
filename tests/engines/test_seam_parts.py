"""Savepoints and marks that are rolled back on an engine: that is in the records before the first undo."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from actionqueues import action, transaction
from actionqueues.engines import RolledBackBefore

from .memory import Evicted, MemoryEngine

trail: list[str] = []


@action
def put(name: str) -> None:
    trail.append(f"+{name}")


@put.rollback
def take(name: str) -> None:
    trail.append(f"-{name}")


@action
async def put_async(name: str) -> None:
    trail.append(f"+{name}")


@put_async.rollback
async def take_async(name: str) -> None:
    trail.append(f"-{name}")


class Unlucky(Exception):
    """Of the code around the steps, which does not come again."""


def in_a_savepoint(engine: MemoryEngine, lucky: bool, caught: bool = True) -> None:
    with transaction(engine=engine) as q:
        put("a")
        with contextlib.suppress(Unlucky) if caught else contextlib.nullcontext(), q.savepoint():
            put("b")
            put("c")
            if not lucky:
                raise Unlucky
            put("d")
        put("e")


def at_its_end(engine: MemoryEngine, lucky: bool) -> None:
    with transaction(engine=engine) as q:
        put("a")
        with contextlib.suppress(Unlucky), q.savepoint():
            put("b")
            put("c")
            if not lucky:
                raise Unlucky


def uncaught(engine: MemoryEngine, lucky: bool) -> None:
    in_a_savepoint(engine, lucky, caught=False)


def in_another(engine: MemoryEngine, lucky: bool) -> None:
    with transaction(engine=engine) as q, q.savepoint():
        put("a")
        with q.savepoint():
            put("b")
            put("c")
            if not lucky:
                raise Unlucky


def to_a_mark(engine: MemoryEngine, lucky: bool) -> None:
    with transaction(engine=engine) as q:
        put("a")
        mark = q.mark()
        put("b")
        put("c")
        if not lucky:
            q.rollback(to=mark)
        put("e")


def all_of_it(engine: MemoryEngine, lucky: bool) -> None:
    """What fails as a whole the first time, and only in a part the next time."""
    with transaction(engine=engine) as q:
        put("a")
        with contextlib.suppress(Unlucky), q.savepoint():
            put("b")
            put("c")
            if lucky:
                raise Unlucky
        if not lucky:
            raise Unlucky
        put("e")


each_flow = pytest.mark.parametrize("flow", [in_a_savepoint, at_its_end, uncaught, in_another, to_a_mark, all_of_it])


@pytest.fixture(autouse=True)
def new_trail() -> None:
    trail.clear()


def evicted_before(unit: int) -> MemoryEngine:
    """An engine that gives up its first execution before a unit of that number runs."""
    engine = MemoryEngine()

    def before(each: Any) -> None:
        if each.number == unit and not engine.slept:
            engine.slept.append(0.0)
            raise Evicted

    engine.before = before
    return engine


@each_flow
@pytest.mark.parametrize("unit", [5, 6])
def test_a_part_that_was_being_rolled_back_is_undone_with_all_the_rest_if_it_does_not_fail_any_more(
    flow: Callable[[MemoryEngine, bool], None], unit: int
) -> None:
    engine = evicted_before(unit)
    with pytest.raises(Evicted):
        flow(engine, False)
    assert engine.names[3] == "rolling back"
    with pytest.raises(RolledBackBefore):
        flow(engine, True)
    assert trail == ["+a", "+b", "+c", "-c", "-b", "-a"]
    done = dict(engine.records)
    for lucky in (True, False):
        with pytest.raises((RolledBackBefore, Unlucky)):
            flow(engine, lucky)
        assert len(trail) == 6
        assert engine.records == done


@pytest.mark.parametrize("flow", [in_another, uncaught])
def test_it_is_so_too_where_the_rest_was_being_rolled_back_already(
    flow: Callable[[MemoryEngine, bool], None],
) -> None:
    engine = evicted_before(8)
    with pytest.raises(Evicted):
        flow(engine, False)
    with pytest.raises(RolledBackBefore):
        flow(engine, True)
    assert trail == ["+a", "+b", "+c", "-c", "-b", "-a"]


@pytest.mark.parametrize("flow", [in_a_savepoint, to_a_mark])
def test_a_part_that_is_rolled_back_again_goes_on_from_the_records(flow: Callable[[MemoryEngine, bool], None]) -> None:
    engine = evicted_before(6)
    with pytest.raises(Evicted):
        flow(engine, False)
    flow(engine, False)
    assert trail == ["+a", "+b", "+c", "-c", "-b", "+e"]
    assert engine.names == ["put"] * 3 + ["rolling back", "undo put", "undo put", "put", "committing"]


def test_a_savepoint_with_nothing_in_it_needs_no_note() -> None:
    engine = MemoryEngine()
    with transaction(engine=engine) as q:
        with contextlib.suppress(Unlucky), q.savepoint():
            raise Unlucky
        put("a")
    assert engine.names == ["put", "committing"]


def deep(engine: MemoryEngine, lucky: bool) -> None:
    with transaction(engine=engine) as q:
        put("a")
        with q.savepoint():
            put("b")
            with q.savepoint():
                put("c")
                if not lucky:
                    raise Unlucky
        put("d")


def deep_async(engine: MemoryEngine, lucky: bool) -> None:
    async def main() -> None:
        async with transaction(engine=engine) as q:
            await put_async("a")
            async with q.savepoint():
                await put_async("b")
                async with q.savepoint():
                    await put_async("c")
                    if not lucky:
                        raise Unlucky
            await put_async("d")

    asyncio.run(main())


@pytest.mark.parametrize("flow", [deep, deep_async])
@pytest.mark.parametrize("unit", [5, 6, 7, 8, 9])
def test_notes_of_several_parts_are_met_by_an_execution_that_undoes_all_at_one_go(
    flow: Callable[[MemoryEngine, bool], None], unit: int
) -> None:
    engine = evicted_before(unit)
    with pytest.raises(Evicted):
        flow(engine, False)
    for lucky in (True, False, True):
        with pytest.raises((RolledBackBefore, Unlucky)):
            flow(engine, lucky)
        assert trail == ["+a", "+b", "+c", "-c", "-b", "-a"]
