"""Blocks on DBOS in one process: what is recorded, undone, brought back from the records, and refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbos", reason="pip install 'actionqueues[dbos]'")

from dbos import DBOS, SetWorkflowID
from dbos import error as errors

from actionqueues import IllegalOperation, Retry, action, current_step, transaction
from actionqueues.core.step import Step
from actionqueues.engines import NotCarried, RolledBackBefore
from actionqueues.engines.dbos import DBOSEngine

from .on_dbos import (
    ENGINE,
    Declined,
    Started,
    do,
    names_of,
    order,
    order_async,
    order_mixed,
    put,
    put_async,
    run,
    world,
)

pytestmark = pytest.mark.usefixtures("dbos_launched")

FLOWS = [order, order_async, order_mixed]
each_flow = pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)


@pytest.fixture(autouse=True)
def new_world(tmp_path: Path) -> None:
    world.path, world.die_at, world.lucky = tmp_path / "trail", "", False


def seen(workflow_id: str) -> list[str]:
    """What an operator sees, whatever the actions of the flow are called."""
    return [name.replace("_async", "") for name in names_of(workflow_id)]


def outcomes(workflow_id: str) -> list[Any]:
    """What has been recorded of each unit."""
    return [json.loads(str(each["output"])) for each in DBOS.list_workflow_steps(workflow_id)]


def again(workflow_id: str, start_step: int) -> Any:
    """Execute a workflow that has ended once more, of whose records only those before a step are left."""
    handle = DBOS.rewind_workflow(workflow_id, start_step=start_step)
    return handle.get_result(polling_interval_sec=0.05)


# -- what is run, and recorded


@each_flow
def test_a_block_that_succeeds_keeps_what_its_steps_have_done(flow: Any) -> None:
    started = Started(flow, ["a", "b"])
    assert started.result() == ["A", "B"]
    assert world.names == ["+a", "+b"]
    assert seen(started.id) == ["put", "put", "committing"]


@each_flow
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_failure_at_any_step_undoes_it_and_those_before_it_in_reverse_order(flow: Any, place: int) -> None:
    plan = ["a", "b", "c"]
    plan[place] = "declined"
    started = Started(flow, plan)
    with pytest.raises(Declined, match="declined with 402"):
        started.result()
    done = plan[: place + 1]
    assert world.names == [f"+{name}" for name in done] + [f"-{name}" for name in reversed(done)]
    undone_at_once = ["undo put", "rolling back"]
    assert seen(started.id) == ["put"] * len(done) + undone_at_once + ["undo put"] * place


@each_flow
def test_a_failure_of_the_workflow_s_own_code_undoes_every_step(flow: Any) -> None:
    started = Started(flow, ["a", "b", "raise"])
    with pytest.raises(ValueError, match="raise"):
        started.result()
    assert world.names == ["+a", "+b", "-b", "-a"]
    assert seen(started.id) == ["put", "put", "rolling back", "undo put", "undo put"]


@each_flow
def test_a_step_has_one_key_that_its_undo_has_too_and_that_no_other_step_has(flow: Any) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="raise"):
            run(flow, ["a", "a", "raise"])
    keys = [each.key for each in world.trail]
    assert keys[:2] == keys[3:1:-1]
    assert len(set(keys)) == 4


@each_flow
def test_a_failing_undo_is_tried_again_and_each_attempt_is_recorded(flow: Any) -> None:
    started = Started(flow, ["stubborn", "raise"])
    with pytest.raises(ValueError, match="raise"):
        started.result()
    assert world.names == ["+stubborn", *["-stubborn"] * 3]
    undos = ["undo put", "DBOS.sleep", "undo put", "DBOS.sleep", "undo put"]
    assert seen(started.id) == ["put", "rolling back", *undos]


@each_flow
def test_a_result_that_is_no_plain_data_is_undone_at_once_in_the_same_step(flow: Any) -> None:
    started = Started(flow, ["a", "socket", "b"])
    with pytest.raises(NotCarried, match="object"):
        started.result()
    assert world.names == ["+a", "+socket", "-socket", "-a"]
    assert seen(started.id) == ["put", "put", "rolling back", "undo put"]


@pytest.mark.parametrize("flow", [order, order_async], ids=lambda flow: flow.__name__)
def test_a_mark_is_rolled_back_to_and_the_block_goes_on(flow: Any) -> None:
    started = Started(flow, ["a", "mark", "b", "to mark", "c"])
    assert started.result() == ["A", "B", "C"]
    assert world.names == ["+a", "+b", "-b", "+c"]
    assert seen(started.id) == ["put", "put", "rolling back", "undo put", "put", "committing"]


@DBOS.workflow()
def two_blocks() -> None:
    for name in ("first", "second"):
        with transaction(name, engine=ENGINE):
            put(name)


def test_two_blocks_of_a_workflow_have_keys_of_their_own() -> None:
    run(two_blocks)
    assert world.names == ["+first", "+second"]
    assert len({each.key for each in world.trail}) == 2


hooked: list[str] = []


@DBOS.workflow()
def with_hooks(fails: bool) -> None:
    with transaction("order", engine=ENGINE) as q:
        put("a")
        q.on_commit(hooked.append, "hook")
        if fails:
            raise ValueError("fails")


def test_commit_hooks_are_recorded_steps_that_run_after_the_commit() -> None:
    hooked.clear()
    started = Started(with_hooks, False)
    assert started.result() is None
    assert hooked == ["hook"]
    assert seen(started.id) == ["put", "committing", "on commit list.append"]
    with pytest.raises(ValueError, match="fails"):
        run(with_hooks, True)
    assert hooked == ["hook"]


@DBOS.workflow()
async def gathered() -> list[Any]:
    async with transaction("order", engine=ENGINE):
        found = await asyncio.gather(*(put_async(name) for name in "abc"))
        raise ValueError(found)


def test_steps_that_run_at_the_same_time_are_numbered_and_undone_by_the_order_of_their_start() -> None:
    started = Started(gathered)
    with pytest.raises(ValueError, match=r"\['A', 'B', 'C'\]"):
        started.result()
    assert sorted(world.names[:3]) == ["+a", "+b", "+c"]
    assert world.names[3:] == ["-c", "-b", "-a"]
    assert [each["result"] for each in outcomes(started.id)[:3]] == ["A", "B", "C"]


@DBOS.workflow()
async def timed_out() -> list[str]:
    async with transaction("order", engine=ENGINE):
        await put_async("a")
        try:
            async with asyncio.timeout(0.01):
                await put_async("held")
        except TimeoutError:
            await put_async("instead")
        raise ValueError("fails")


def test_a_step_that_is_cancelled_by_a_time_out_is_recorded_as_that() -> None:
    started = Started(timed_out)
    with pytest.raises(ValueError, match="fails"):
        started.result()
    assert world.names == ["+a", "-held", "+instead", "-instead", "-a"]
    assert ["stopped" in each for each in outcomes(started.id)] == [False, True, *[False] * 5]


@DBOS.workflow()
async def sync_in_an_async_workflow() -> list[Any]:
    with transaction("order", engine=ENGINE):
        return [put("a"), put("b")]


def test_a_sync_block_runs_in_an_async_workflow() -> None:
    started = Started(sync_in_an_async_workflow)
    assert started.result() == ["A", "B"]
    assert seen(started.id) == ["put", "put", "committing"]


threads: list[int] = []


@action(retry=Retry(attempts=2, wait_initial=0.01, wait_jitter=0))
def where_it_runs() -> None:
    threads.append(threading.get_ident())
    if len(threads) == 1:
        raise ConnectionError("try again")


@DBOS.workflow()
async def in_its_thread() -> int:
    async with transaction("order", engine=ENGINE):
        where_it_runs()
    return threading.get_ident()


def test_a_sync_step_of_an_async_block_runs_in_the_thread_of_the_event_loop_each_time_it_is_tried() -> None:
    threads.clear()
    started = Started(in_its_thread)
    assert threads == [started.result()] * 2
    assert seen(started.id) == ["where_it_runs", "DBOS.sleep", "where_it_runs", "committing"]


# -- cancelled by the program itself


@action
async def cancelling() -> Any:
    """Cancel the workflow's task as soon as the body has ended, before that is recorded."""
    body, task = asyncio.current_task(), the_task[0]
    assert body is not None
    body.add_done_callback(lambda _: task.cancel())
    return do("late")


@cancelling.rollback
def uncancelling(step: Step[Any], result: str) -> None:
    world.effect("-", result.lower(), step.key)


the_task: list[asyncio.Task[Any]] = []


@DBOS.workflow()
async def cancelled(when: str) -> str:
    task = asyncio.current_task()
    assert task is not None
    the_task[:] = [task]
    try:
        async with transaction("order", engine=ENGINE):
            await put_async("a")
            if when == "late":
                await cancelling()
            else:
                task.cancel()
                await put_async(when)
    except asyncio.CancelledError:
        task.uncancel()
        return "cancelled"
    return "not cancelled"


def test_a_cancellation_between_the_end_of_a_step_and_its_record_takes_nothing_away() -> None:
    started = Started(cancelled, "late")
    assert started.result() == "cancelled"
    assert world.names == ["+a", "+late", "-late", "-a"]  # which needs its result
    assert outcomes(started.id)[1]["result"] == "LATE"


def test_a_cancellation_before_a_step_has_begun_is_delivered_where_that_first_waits() -> None:
    started = Started(cancelled, "held")
    assert started.result() == "cancelled"
    assert world.names == ["+a", "-held", "-a"]
    assert "stopped" in outcomes(started.id)[1]


def test_a_cancellation_before_a_step_that_waits_for_nothing_comes_after_that() -> None:
    started = Started(cancelled, "b")
    assert started.result() == "cancelled"
    assert world.names == ["+a", "+b", "-b", "-a"]
    assert outcomes(started.id)[1]["result"] == "B"


# -- what comes back from the records


@each_flow
def test_what_is_recorded_is_not_run_again(flow: Any) -> None:
    started = Started(flow, ["a", "b", "c"])
    started.result()
    assert again(started.id, 4) == ["A", "B", "C"]
    assert world.names == ["+a", "+b", "+c", "+c"]
    assert world.trail[2].key == world.trail[3].key


@pytest.mark.parametrize("flow", [order, order_async], ids=lambda flow: flow.__name__)
def test_an_exception_with_an_init_of_its_own_comes_back_from_the_records_as_itself(flow: Any) -> None:
    started = Started(flow, ["a", "caught", "b"])
    assert started.result() == ["A", "POOR", "B"]
    assert again(started.id, 6) == ["A", "POOR", "B"]  # its step and its undo are 3 and 4
    assert world.names == ["+a", "+caught", "-caught", "+poor", "+b", "+b"]


@each_flow
def test_a_rollback_goes_on_where_its_records_end(flow: Any) -> None:
    started = Started(flow, ["a", "b", "c", "raise"])
    with pytest.raises(ValueError, match="raise"):
        started.result()
    with pytest.raises(ValueError, match="raise"):
        again(started.id, 7)
    assert world.names == ["+a", "+b", "+c", "-c", "-b", "-a", "-b", "-a"]


@each_flow
def test_the_attempts_of_an_undo_are_counted_once_over_executions(flow: Any) -> None:
    started = Started(flow, ["stubborn", "raise"])
    with pytest.raises(ValueError, match="raise"):
        started.result()
    with pytest.raises(ValueError, match="raise"):
        again(started.id, 8)  # two attempts and the waits after them are recorded
    assert world.names == ["+stubborn", *["-stubborn"] * 3, "-stubborn"]


@each_flow
@pytest.mark.parametrize("start_step", [5, 6])
def test_a_failure_that_an_execution_after_it_does_not_repeat_is_rolled_back_all_the_same(
    flow: Any, start_step: int
) -> None:
    started = Started(flow, ["a", "b", "unlucky", "c"])
    with pytest.raises(ValueError, match="unlucky"):
        started.result()
    world.lucky = True
    with pytest.raises(RolledBackBefore, match=r"because of ValueError\('unlucky'\)"):
        again(started.id, start_step)
    assert world.names == ["+a", "+b", "-b", "-a", *(["-b", "-a"] if start_step == 5 else ["-a"])]
    assert seen(started.id) == ["put", "put", "rolling back", "undo put", "undo put"]


@each_flow
def test_a_failure_at_the_end_that_is_not_repeated_is_rolled_back_all_the_same(flow: Any) -> None:
    started = Started(flow, ["a", "unlucky"])
    with pytest.raises(ValueError, match="unlucky"):
        started.result()
    world.lucky = True
    with pytest.raises(RolledBackBefore):
        again(started.id, 4)
    assert world.names == ["+a", "-a", "-a"]


@DBOS.workflow()
def in_a_savepoint() -> None:
    with transaction("order", engine=ENGINE) as q:
        put("a")
        with contextlib.suppress(ValueError), q.savepoint():
            put("b")
            if not world.lucky:
                raise ValueError("unlucky")
        put("c")


@DBOS.workflow()
async def in_a_savepoint_async() -> None:
    async with transaction("order", engine=ENGINE) as q:
        await put_async("a")
        with contextlib.suppress(ValueError):
            async with q.savepoint():
                await put_async("b")
                if not world.lucky:
                    raise ValueError("unlucky")
        await put_async("c")


@pytest.mark.parametrize("flow", [in_a_savepoint, in_a_savepoint_async], ids=lambda flow: flow.__name__)
def test_so_it_is_with_a_failure_of_a_savepoint_that_was_being_rolled_back(flow: Any) -> None:
    started = Started(flow)
    started.result()
    assert seen(started.id) == ["put", "put", "rolling back", "undo put", "put", "committing"]
    world.lucky = True
    with pytest.raises(RolledBackBefore, match=r"because of ValueError\('unlucky'\)"):
        again(started.id, 5)
    assert world.names == ["+a", "+b", "-b", "+c", "-b", "-a"]
    assert seen(started.id) == ["put", "put", "rolling back", "undo put", "rolling back", "undo put"]
    world.lucky = False
    with pytest.raises(RolledBackBefore):
        again(started.id, 7)
    assert world.names[6:] == ["-a"]


@each_flow
def test_a_failure_that_was_not_recorded_may_be_forgotten_since_nothing_was_undone(flow: Any) -> None:
    started = Started(flow, ["a", "unlucky", "c"])
    with pytest.raises(ValueError, match="unlucky"):
        started.result()
    world.lucky = True
    assert again(started.id, 3) == ["A", "C"]


def test_a_workflow_that_was_forked_undoes_steps_by_the_keys_under_which_they_were_done() -> None:
    started = Started(order, ["a", "b", "unlucky"])
    with pytest.raises(ValueError, match="unlucky"):
        started.result()
    with pytest.raises(ValueError, match="unlucky"):
        DBOS.fork_workflow(started.id, 4).get_result(polling_interval_sec=0.05)
    assert [(str(each), each.key) for each in world.trail[4:]] == [(str(each), each.key) for each in world.trail[2:4]]


plan_of_today = ["a", "b"]


@DBOS.workflow()
def changing() -> None:
    with transaction("order", engine=ENGINE):
        for name in plan_of_today:
            put(name) if name != "other" else other()


@DBOS.workflow()
async def changing_async() -> None:
    async with transaction("order", engine=ENGINE):
        for name in plan_of_today:
            await (put_async(name) if name != "other" else other_async())


@action
def other() -> None:
    world.effect("+", "other", current_step().key)


@action
async def other_async() -> None:
    world.effect("+", "other", current_step().key)


def broken(flow: Any) -> str:
    """Execute a workflow again whose code has changed, so that its records are of no use; returns its id."""
    started = Started(flow)
    started.result()
    plan_of_today[1] = "other"
    try:
        with pytest.raises(errors.DBOSUnexpectedStepError, match="put(_async)? was recorded when other"):
            again(started.id, 4)
    finally:
        plan_of_today[1] = "b"
    return started.id


@pytest.mark.parametrize("flow", [changing, changing_async], ids=lambda flow: flow.__name__)
def test_control_flow_of_dbos_passes_through_the_block_without_any_undo(flow: Any) -> None:
    workflow_id = broken(flow)
    assert world.names == ["+a", "+b"]
    assert seen(workflow_id) == ["put", "put"]


@DBOS.workflow()
def waiting_for(workflow_id: str) -> None:
    with transaction("order", engine=ENGINE):
        put("a")
        result_of(workflow_id)


@action
def result_of(workflow_id: str) -> None:
    DBOS.retrieve_workflow(workflow_id).get_result(polling_interval_sec=0.05)


def test_the_control_flow_of_another_workflow_is_a_failure_of_the_work() -> None:
    with pytest.raises(errors.DBOSUnexpectedStepError):
        run(waiting_for, broken(changing))
    assert world.names == ["+a", "+b", "+a", "-a"]


# -- what is refused


def test_a_block_outside_a_workflow_is_refused_since_nothing_would_be_recorded() -> None:
    refused = pytest.raises(IllegalOperation, match=r"no DBOS workflow is around it.*@DBOS\.workflow\(\)")
    with refused, transaction("order", engine=ENGINE):
        put("a")
    assert world.names == []


def test_an_async_block_outside_a_workflow_is_refused_too() -> None:
    async def main() -> None:
        async with transaction("order", engine=ENGINE):
            await put_async("a")

    with pytest.raises(IllegalOperation, match="no DBOS workflow is around it"):
        asyncio.run(main())
    assert world.names == []


@DBOS.step()
def a_step_of_dbos() -> None:
    with transaction("order", engine=ENGINE):
        put("a")


@DBOS.workflow()
def calls_a_step_of_dbos() -> None:
    a_step_of_dbos()


@DBOS.step()
def another_step_of_dbos() -> None:
    put("b")


@DBOS.workflow()
def calls_a_step_of_dbos_in_a_block() -> None:
    with transaction("order", engine=ENGINE):
        put("a")
        another_step_of_dbos()


def test_a_step_inside_a_step_of_dbos_is_refused_and_the_block_is_rolled_back() -> None:
    with pytest.raises(IllegalOperation, match="cannot run the step put: a DBOS step is running here"):
        run(calls_a_step_of_dbos_in_a_block)
    assert world.names == ["+a", "-a"]


def test_a_block_inside_a_step_of_dbos_is_refused_since_its_steps_would_not_be_recorded() -> None:
    with pytest.raises(IllegalOperation, match="a DBOS step is around it"):
        run(calls_a_step_of_dbos)
    assert world.names == []


@DBOS.workflow()
def with_a_thread() -> list[str]:
    told: list[str] = []

    def elsewhere() -> None:
        try:
            put("b")
        except IllegalOperation as refused:
            told.append(str(refused))

    with transaction("order", engine=ENGINE) as q:
        put("a")
        thread = threading.Thread(target=q.run, args=(elsewhere,))
        thread.start()
        thread.join()
    return told


def test_a_thread_that_dbos_knows_nothing_of_is_refused() -> None:
    (told,) = run(with_a_thread)
    assert "cannot run the step put: DBOS does not know that this thread belongs to the workflow" in told
    assert world.names == ["+a"]


@action
def outer() -> None:
    put("inner")


@DBOS.workflow()
def a_step_in_a_step() -> None:
    with transaction("order", engine=ENGINE):
        outer()


def test_a_step_that_calls_another_one_is_refused_before_that_has_run() -> None:
    with pytest.raises(IllegalOperation, match=r"cannot run the step put: on DBOS outer"):
        run(a_step_in_a_step)
    assert world.names == []


def test_seconds_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match=r"notice_within=\.\.\.\) takes seconds, 0 or more, not -1"):
        DBOSEngine(notice_within=-1)


def test_two_engines_with_the_same_settings_are_one() -> None:
    assert DBOSEngine() == DBOSEngine(notice_within=0.1) != ENGINE


def test_a_workflow_whose_id_was_given_has_that_in_its_keys() -> None:
    with SetWorkflowID("order-17"):
        handle = DBOS.start_workflow(order, ["a"])
    handle.get_result()
    assert [each.key for each in world.trail] == ["order-17-1-1"]
