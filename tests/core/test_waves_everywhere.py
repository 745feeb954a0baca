"""Undos that run at the same time, hit at every third line of what lets them by a time limit of the program's own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from itertools import count
from types import CodeType, FrameType
from typing import Any

import pytest

from actionqueues import AsyncTransaction, transaction
from actionqueues.core import drivers, tasks, waves
from tests.async_library import Library, Trio, raised_together
from tests.async_stage import Boom, Stage, Stop, nest, put

from .test_waves import together

_OURS: Any = (drivers._together, drivers._begin, tasks.Group.run, tasks.Group.spawn, tasks.Group._alone)


def codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from codes(each)


WATCHED = {code for function in _OURS for code in codes(function.__code__)}


def interrupted_at(line: int, library: Library, main: Any) -> tuple[bool, BaseException | None]:
    """Run `main`, and raise `Stop` at the so-manyth line; whether there was one, and what came out."""
    reached = 0

    def look(_frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal reached
        reached += event == "line"
        if event == "line" and reached == line:
            raise Stop("a limit that the program has set")
        return look

    def trace(frame: FrameType, _event: str, _arg: object) -> Any:
        return look if frame.f_code in WATCHED or frame.f_code.co_filename == waves.__file__ else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        library.run(main)
    except BaseException as raised:
        return reached >= line, raised
    finally:
        sys.settrace(before)
    return reached >= line, None


def found(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, and what it was raised from or with."""
    while error is not None:
        yield error
        inside = raised_together(error)
        for each in inside if inside != (error,) else ():
            yield from found(each)
        error = error.__context__


@pytest.mark.parametrize("library", [Library(), Trio()], ids=repr)
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("back", [False, True])
def test_a_limit_of_the_programs_own_loses_no_undo_and_is_not_lost_wherever_it_hits(
    library: Library, back: bool
) -> None:
    for line in count(1, 3):
        stage, blocks = Stage(library), list[AsyncTransaction]()

        async def main(stage: Stage, blocks: list[AsyncTransaction]) -> None:
            async with transaction(undo_concurrently=True) as q:
                blocks.append(q)
                await put(stage, "a")
                mark = q.mark()
                async with library.group() as start:
                    start(nest, stage, "b", partial(together, stage, "x", "y"))
                    start(put, stage, "c")
                async with q.savepoint():
                    await together(stage, "d", "e")
                if back:
                    await q.rollback(to=mark)
                raise Boom

        reached, error = interrupted_at(line, library, partial(main, stage, blocks))
        if not reached:
            assert line > 500
            return
        report = blocks[0].report
        failures = [failure.step.arguments["name"] for failure in report.failures]
        assert len(set(stage.trail)) == len(stage.trail), line
        assert stage.present <= set(failures), line
        assert any(isinstance(each, Stop) for each in [*found(error), *(each.error for each in report.failures)]), line
