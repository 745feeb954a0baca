"""Units that are carried as text to whoever serves them: what is too long, comes too late, or cannot be read."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from types import ModuleType
from typing import Any

import pytest

from actionqueues import IllegalOperation, Transaction, action, current_step, transaction
from actionqueues.engines import NotCarried, WorkflowCancelled
from actionqueues.journal.modules import module_name

from .courier import CourierEngine, run_moving

trail: list[str] = []
begun, go_on = threading.Event(), threading.Event()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    trail.clear()
    begun.clear()
    go_on.clear()


@action
async def write(text: str, times: int = 1) -> str:
    trail.append("+write")
    return text * times


@write.rollback
async def erase(result: str) -> None:
    trail.append(f"-write {len(result)}")


@action
async def fail(size: int) -> None:
    raise LookupError("x" * size)


@action
def wait_in_a_thread() -> str:
    begun.set()
    assert go_on.wait(20)
    return "done"


@wait_in_a_thread.rollback
def unwait(result: str) -> None:
    trail.append(f"-{result}")


@action
async def pay() -> int:
    raise AssertionError("it is not run")


@pay.landed
async def paid() -> int:
    return 7


@pay.rollback
async def refund(result: int) -> None:
    trail.append(f"-pay {result}")


@action
async def nest(independent: bool) -> str:
    async with transaction("inner", independent=independent):
        return await write("a")


@action
async def half() -> None:
    current_step().save(part=1)
    current_step().save(more=2)
    raise ValueError("half")


@half.rollback
async def unhalf(step: Any) -> None:
    trail.append(f"-half {step.saved}")


def ran(engine: CourierEngine, *calls: tuple[Any, ...]) -> Transaction:
    """Run these in a block."""
    q: Any = transaction(engine=engine)

    async def main() -> None:
        async with q:
            for function, *args in calls:
                q.add(function, *args)

    run_moving(main())
    return q  # type: ignore[no-any-return]


def test_more_than_the_engine_takes_is_refused_before_it_is_done_and_undone_at_once_if_it_was() -> None:
    with pytest.raises(NotCarried, match=r"what .*write is given takes [\d,]+ bytes, and the courier is given 1,000"):
        ran(CourierEngine(longest=1000), (write, "long" * 1000))
    assert trail == []
    with pytest.raises(NotCarried, match="what .*write returns, with its arguments, takes"):
        ran(CourierEngine(longest=1000), (write, "long", 1000))
    assert trail == ["+write", "-write 4000"]


def test_of_an_error_that_is_too_long_class_and_text_are_carried() -> None:
    with pytest.raises(LookupError, match="xxx"):
        ran(CourierEngine(longest=1000), (fail, 700))
    text = "x" * 400  # which stands there twice: once as its argument
    with pytest.raises(LookupError, match=text):
        ran(CourierEngine(longest=1000), (fail, 400))


def test_a_step_that_has_ended_though_its_block_was_cancelled_is_undone_with_its_result() -> None:
    async def main() -> None:
        async with transaction(engine=CourierEngine()) as q:
            q.add(wait_in_a_thread)
            await q.execute()

    async def cancelled() -> None:
        block = asyncio.create_task(main())
        while not begun.is_set():
            await asyncio.sleep(0.005)
        block.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await block

    run_moving(cancelled())
    assert trail == ["-done"]


def test_a_probe_is_asked_where_the_steps_run() -> None:
    engine = CourierEngine(instead={pay.__name__: lambda unit: unit.cancelled("enough", maybe_done=True)})
    with pytest.raises(WorkflowCancelled, match="enough"):
        ran(engine, (pay,))
    assert [each["kind"] for each in engine.requests] == ["probe", "undo"]
    assert trail == ["-pay 7"]


def test_an_undo_that_the_engine_could_not_bring_to_its_end_is_told_as_failed() -> None:
    lost = TimeoutError("no worker has it")
    engine = CourierEngine(instead={"undo write": lambda unit: unit.failed(lost, 1.0)})
    q: Any = transaction(engine=engine)

    async def main() -> None:
        async with q:
            await write("a")
            raise ValueError("full")

    with pytest.raises(ValueError, match="full"):
        run_moving(main())
    assert [failure.error for failure in q.report.failures] == [lost]


def changed(engine: CourierEngine, number: int, **changes: Any) -> None:
    """Let a record hold what nobody can read."""
    engine.records[number] = json.dumps({**json.loads(engine.records[number]), **changes})


UNREADABLE = {"$missing": "it was a socket"}


def test_a_recorded_result_that_cannot_be_read_fails_the_step_by_its_name() -> None:
    engine = CourierEngine()
    ran(engine, (write, "a"))
    changed(engine, 1, result=UNREADABLE)
    with pytest.raises(NotCarried, match="the result of .*write cannot be read"):
        ran(engine, (write, "a"))


def test_a_recorded_argument_that_cannot_be_read_is_that_of_the_code() -> None:
    engine = CourierEngine()
    ran(engine, (write, "a"))
    changed(engine, 1, arguments={"text": UNREADABLE})
    ran(engine, (write, "a"))
    assert trail == ["+write"]


def test_a_block_in_a_step_that_is_served_elsewhere_is_refused_unless_it_shares_nothing_with_its_own() -> None:
    with pytest.raises(IllegalOperation, match=r"cannot enter .*'inner'.*leave that to it, or use independent=True"):
        ran(CourierEngine(), (nest, False))
    assert trail == []
    ran(CourierEngine(), (nest, True))
    assert trail == ["+write"]


def test_what_a_step_saves_is_known_at_once_and_where_it_is_undone() -> None:
    engine = CourierEngine()
    with pytest.raises(ValueError, match="half"):
        ran(engine, (half,))
    assert engine.kept == [{"part": 1}, {"part": 1, "more": 2}]
    assert trail == ["-half {'part': 1, 'more': 2}"]


def test_the_module_of_a_workflow_in_a_sandbox_is_the_script_that_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ModuleType("__main__")  # that of a worker of the tests has no file
    script.__file__ = "/srv/signup.py"
    monkeypatch.setitem(sys.modules, "__main__", script)
    assert module_name("__temporal_main__") == module_name("__main__") == "signup"
