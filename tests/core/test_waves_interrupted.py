"""What interrupts undos that run at the same time: a third Ctrl-C, and what is raised by others in their midst."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest

from actionqueues import AsyncTransaction, action, transaction
from actionqueues.core.interrupts import guard_on_duty
from tests.async_library import Library, everywhere, in_asyncio, raised_together
from tests.async_stage import Boom, Moment, Stage, Stop, mark, nest, put, work

from .test_waves import barrier, together


def press(times: int = 3) -> None:
    """Ctrl-C, as often as that."""
    for _ in range(times):
        guard = guard_on_duty()
        assert guard is not None
        guard.arrived(KeyboardInterrupt())


def pressed(stage: Stage, main: Callable[[list[AsyncTransaction]], Any]) -> AsyncTransaction:
    """Run what is cut short by a third Ctrl-C; returns the block."""
    blocks: list[AsyncTransaction] = []
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - a group in trio
        stage.library.run(partial(main, blocks))
    assert all(isinstance(each, KeyboardInterrupt) for each in raised_together(caught.value))
    return blocks[0]


def called(function: Callable[[], object]) -> None:
    function()


def names(steps: Any) -> str:
    return "".join(step.arguments["name"] for step in steps)


@everywhere
@pytest.mark.parametrize("turns", [0, 10])
def test_a_third_ctrl_c_in_one_undo_cuts_the_others_short_wherever_they_are(library: Library, turns: int) -> None:
    stage = Stage(library)

    async def main(blocks: list[AsyncTransaction]) -> None:
        async def third() -> None:
            await library.checkpoint(turns)
            press()

        stage.undoing.update(c=third, b=library.forever, a=library.forever)
        async with transaction(undo_concurrently=True) as q:
            blocks.append(q)
            await put(stage, "x")
            await together(stage, "a", "b", "c")
            raise Boom

    report = pressed(stage, main).report
    assert names(each.step for each in report.failures) == "cba"
    assert names(report.abandoned) == "x"
    assert {type(each.error) for each in report.failures} == {KeyboardInterrupt}
    assert "-x" not in stage.trail


@everywhere
def test_a_third_ctrl_c_in_a_sync_undo_lets_none_begin_any_more(library: Library) -> None:
    stage = Stage(library)

    @action
    async def note(stage: Stage, name: str, after: Moment) -> None:
        await after()

    @note.rollback
    def forget(name: str) -> None:
        if name == "b":
            press()
        stage.say(f"-{name}")

    async def main(blocks: list[AsyncTransaction]) -> None:
        async with transaction(undo_concurrently=True) as q:
            blocks.append(q)
            await together(stage, "a", "b", "c", step=note)
            raise Boom

    report = pressed(stage, main).report
    assert stage.told == "-c"
    assert names(each.step for each in report.failures) == "b"
    assert names(report.abandoned) == "a"


@everywhere
@pytest.mark.parametrize("inner", [True, False])
def test_a_third_ctrl_c_cuts_short_what_runs_together_inside_of_what_runs_together(
    library: Library, inner: bool
) -> None:
    stage = Stage(library)

    async def main(blocks: list[AsyncTransaction]) -> None:
        async def third() -> None:
            await library.checkpoint(10)
            press()

        stage.undoing.update(x=library.forever, y=library.forever, b=library.forever)
        stage.undoing["y" if inner else "b"] = third
        async with transaction(undo_concurrently=True) as q:
            blocks.append(q)
            meet = barrier(library, 2)
            async with library.group() as start:
                start(put, stage, "b", None, meet)
                await library.checkpoint(3)
                start(nest, stage, "a", lambda: together(stage, "x", "y"), meet)
            raise Boom

    report = pressed(stage, main).report
    assert names(each.step for each in report.failures) == "yxb"
    assert names(report.abandoned) == "a"


@everywhere
def test_the_first_ctrl_c_tells_how_many_are_left_with_those_that_are_being_undone(
    library: Library, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(library)
    monkeypatch.setattr("actionqueues.core.requests.in_another_thread", called)

    async def main(_: object) -> None:
        async def first() -> None:
            press(1)

        stage.undoing.update(b=first)
        async with transaction(undo_concurrently=True):
            await put(stage, "x")
            await together(stage, "a", "b", "c")
            raise Boom

    with caplog.at_level(logging.WARNING, "actionqueues"), pytest.raises(KeyboardInterrupt):
        library.run(partial(main, None))
    assert "transaction: undoing 4 steps; twice more to abandon them" in caplog.messages
    assert stage.present == set()


@everywhere
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_what_comes_out_of_one_undo_itself_costs_that_one_alone(library: Library, kind: str) -> None:
    stage = Stage(library)

    def policy(_attempt: int, _error: BaseException) -> float | None:
        raise Stop("the policy itself")

    @action
    async def odd(stage: Stage, name: str, after: Moment) -> str:
        async def inside() -> None: ...

        await nest(stage, f"in {name}", inside)
        await after()
        return name

    if kind == "sync":

        @odd.rollback(retry=policy)
        def fail(name: str) -> None:
            raise LookupError(name)

    else:

        @odd.rollback(retry=policy)
        async def fail_async(name: str) -> None:
            raise LookupError(name)

    async def main() -> None:
        with pytest.raises(Stop):
            async with transaction(undo_concurrently=True) as q:
                blocks.append(q)
                await together(stage, "a", "b", step=odd)
                await together(stage, "c", "d")
                raise Boom

    blocks: list[AsyncTransaction] = []
    library.run(main)
    assert names(each.step for each in blocks[0].report.failures) == "ba"
    assert set(stage.trail[-2:]) == {"-in a", "-in b"}
    assert stage.present == set()


@everywhere
def test_what_interrupts_them_before_the_first_has_begun_comes_after_all_of_them(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(library)

    def interrupted() -> None:
        monkeypatch.undo()
        raise Stop("a limit that the program has set")

    async def main() -> None:
        with pytest.raises(Stop):
            async with transaction(undo_concurrently=True):
                await together(stage, "a", "b")
                monkeypatch.setattr("actionqueues.core.drivers.Group", interrupted)
                raise Boom

    library.run(main)
    assert stage.told == "+a +b -b -a"


@everywhere
def test_what_hits_one_of_them_just_before_it_is_awaited_costs_that_one_alone(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(library)

    def interrupted(_: str, value: Any) -> Any:
        if type(value).__name__ == "_Begun" and len(stage.trail) == 3:
            stage.say("hit")
            raise Stop("a limit that the program has set")
        return value

    async def main() -> None:
        with pytest.raises(Stop):
            async with transaction(undo_concurrently=True) as q:
                blocks.append(q)
                await together(stage, "a", "b", "c")
                monkeypatch.setattr("actionqueues.core.drivers.cast", interrupted)
                raise Boom

    blocks: list[AsyncTransaction] = []
    library.run(main)
    assert names(each.step for each in blocks[0].report.failures) in tuple("abc")  # trio begins in any order
    assert len(stage.present) == 1


@in_asyncio
def test_what_interrupts_the_waiting_for_undos_comes_after_all_of_them(library: Library) -> None:
    stage = Stage(library)

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def interrupt() -> None:
            for task in asyncio.all_tasks():
                if "_in_own_task" in getattr(task.get_coro(), "__qualname__", ""):
                    loop.call_soon(task.cancel)  # a callback of the event loop, as of a time-out, can do that
            await library.checkpoint(5)

        stage.undoing.update(a=interrupt)
        with pytest.raises(asyncio.CancelledError):
            async with transaction(undo_concurrently=True):
                await put(stage, "x")
                await together(stage, "a", "b")
                raise Boom

    library.run(main)
    assert stage.present == set()
    assert stage.trail[-1] == "-x"


@in_asyncio
@pytest.mark.parametrize("first", ["the block", "an undo"])
def test_where_coroutines_are_closed_what_is_awaited_has_failed_and_the_rest_is_undone(
    library: Library, first: str
) -> None:
    stage = Stage(library)
    blocks: list[AsyncTransaction] = []

    async def main() -> None:
        stage.undoing.update(b=library.forever, c=library.forever)
        async with transaction(undo_concurrently=True) as q:
            blocks.append(q)
            await work(stage, "x")
            await together(stage, "a", "b", "c")
            mark(stage, "y")
            raise Boom

    loop = library.loop()
    coroutine = main()
    task: Any = loop.create_task(coroutine)
    for _ in range(30):
        loop.run_until_complete(asyncio.sleep(0))
    assert {"-b", "-c", "-a", "-y"} <= set(stage.trail)
    for each in asyncio.all_tasks(loop):
        if first == "an undo" and "_counted" in getattr(each.get_coro(), "__qualname__", ""):
            cast("Any", each.get_coro()).close()
        each._log_destroy_pending = False  # type: ignore[attr-defined]  # pyright: ignore
    del task, each
    loop.close()
    coroutine.close()
    assert sorted(names(each.step for each in blocks[0].report.failures)) == ["b", "c"]
    assert stage.trail[-1] == "-x"
