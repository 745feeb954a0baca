"""Cancelling a workflow on DBOS so that everything is undone, and undoing one that DBOS has cancelled by itself."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbos", reason="pip install 'actionqueues[dbos]'")

from dbos import DBOS, DBOSClient
from dbos import error as errors

from actionqueues import IllegalOperation, Retry, action, current_step, transaction
from actionqueues.core.step import Step
from actionqueues.engines import WorkflowCancelled
from actionqueues.engines import dbos as adapter
from actionqueues.engines.dbos import DBOSEngine, cancel, cancel_async, undo, undo_async

from .on_dbos import (
    Started,
    a_loop,
    names_of,
    order,
    order_async,
    order_mixed,
    put,
    put_async,
    run,
    status_of,
    wait_until,
    world,
)

each_flow = pytest.mark.parametrize("flow", [order, order_async, order_mixed], ids=lambda flow: flow.__name__)


@pytest.fixture(autouse=True)
def new_world(tmp_path: Path, dbos_launched: str) -> None:
    world.path, world.die_at, world.lucky = tmp_path / "trail", "", False


def held(flow: Any, plan: list[str], **options: Any) -> Started:
    """A workflow that waits for the gate."""
    started = Started(flow, plan, **options)
    world.gate.wait_until_something_waits()
    return started


# -- cancel


@each_flow
def test_a_cancelled_workflow_undoes_what_it_has_done_and_runs_no_further_step(flow: Any) -> None:
    started = held(flow, ["a", "held", "b"])
    cancel(started.id, "the customer has called")
    world.gate.open()
    with pytest.raises(WorkflowCancelled, match="the workflow was cancelled: the customer has called"):
        started.result()
    assert world.names == ["+a", "+held", "-held", "-a"]
    assert [name.replace("_async", "") for name in names_of(started.id)] == [
        *["put"] * 3,
        "rolling back",
        *["undo put"] * 2,
    ]


@each_flow
def test_a_cancellation_is_noticed_until_the_commit(flow: Any) -> None:
    started = held(flow, ["a", "held"])
    cancel(started.id)
    world.gate.open()
    with pytest.raises(WorkflowCancelled, match="^the workflow was cancelled$"):
        started.result()
    assert world.names == ["+a", "+held", "-held", "-a"]


@each_flow
def test_a_cancellation_that_is_noticed_comes_back_from_the_records(flow: Any) -> None:
    started = held(flow, ["held", "b"])
    cancel(started.id, "so")
    world.gate.open()
    assert isinstance(started.ended(), WorkflowCancelled)
    DBOS.update_workflow_attributes(started.id, None)
    with pytest.raises(WorkflowCancelled, match="so"):
        DBOS.rewind_workflow(started.id, start_step=4).get_result(polling_interval_sec=0.05)
    assert world.names == ["+held", "-held", "-held"]


@DBOS.workflow()
def late() -> None:
    wait_until(world.gate.is_open, "the gate is open")
    with transaction("late", engine=DBOSEngine(notice_within=3600)):
        put("a")


def test_a_workflow_that_is_cancelled_before_its_block_begins_does_nothing() -> None:
    started = Started(late)
    world.gate.wait_until_something_waits()
    cancel(started.id)
    world.gate.open()
    assert isinstance(started.ended(), WorkflowCancelled)
    assert world.names == []


@DBOS.workflow()
def quick() -> None:
    with transaction("quick", engine=DBOSEngine(notice_within=3600)):
        for name in ("a", "held", "b"):
            put(name)


def test_a_block_looks_for_a_cancellation_no_more_often_than_it_is_told_to_but_always_before_it_commits() -> None:
    started = Started(quick)
    world.gate.wait_until_something_waits()
    cancel(started.id)
    world.gate.open()
    assert isinstance(started.ended(), WorkflowCancelled)
    assert world.names == ["+a", "+held", "+b", "-b", "-held", "-a"]


@DBOS.workflow()
async def swallowing() -> None:
    async with transaction("swallowing", engine=DBOSEngine()):
        await put_async("held")
        await asyncio.sleep(0.2)  # until it looks again
        for name in ("a", "b"):
            with contextlib.suppress(WorkflowCancelled):
                await put_async(name)


def test_once_it_was_noticed_no_further_step_runs_and_the_block_does_not_commit_though_the_code_catches_it() -> None:
    started = Started(swallowing)
    world.gate.wait_until_something_waits()
    cancel(started.id)
    world.gate.open()
    assert isinstance(started.ended(), WorkflowCancelled)
    assert world.names == ["+held", "-held"]


@action(retry=Retry(attempts=3, wait_initial=0.2, wait_jitter=0))
def flaky() -> None:
    world.effect("+", "flaky", current_step().key)
    cancel(DBOS.workflow_id or "")
    raise ConnectionError("half done")


@flaky.rollback
def steady(step: Step[Any]) -> None:
    world.effect("-", "flaky", step.key)


@DBOS.workflow()
def trying() -> None:
    with transaction("trying", engine=DBOSEngine()):
        flaky()


def test_what_is_noticed_between_two_attempts_undoes_the_first_one() -> None:
    started = Started(trying)
    assert isinstance(started.ended(), WorkflowCancelled)
    assert world.names == ["+flaky", "-flaky"]


@DBOS.workflow()
async def side_by_side() -> None:
    async def quick_and_then(name: str) -> None:
        await put_async(name)
        await put_async(f"{name} then")

    async with transaction("side by side", engine=DBOSEngine()):
        await asyncio.gather(quick_and_then("a"), put_async("held"))


def test_all_the_steps_that_were_in_flight_side_by_side_count_as_maybe_done() -> None:
    started = Started(side_by_side)
    wait_until(lambda: "+a then" in world.names, "both branches are far enough")
    wait_until(lambda: len(names_of(started.id)) == 2, "it is recorded")
    DBOS.cancel_workflow(started.id)
    handle = undo(started.id)
    world.gate.open()
    with pytest.raises(WorkflowCancelled):
        handle.get_result(polling_interval_sec=0.05)
    assert sorted(world.names) == ["+a", "+a then", "+held", "-a", "-a then", "-held"]


def test_a_program_that_does_not_run_dbos_cancels_by_a_client(dbos_launched: str) -> None:
    started = held(order, ["a", "held", "b"])
    code = (
        "import sys; from dbos import DBOSClient; from actionqueues.engines.dbos import cancel\n"
        "client = DBOSClient(system_database_url=sys.argv[1]); cancel(sys.argv[2], 'from afar', client=client)"
    )
    subprocess.run([sys.executable, "-c", code, dbos_launched, started.id], check=True)
    world.gate.open()
    with pytest.raises(WorkflowCancelled, match="from afar"):
        started.result()
    assert world.names == ["+a", "+held", "-held", "-a"]


def test_async_code_cancels_and_undoes_too() -> None:
    started = held(order_async, ["a", "held", "b"])

    async def both() -> None:
        with pytest.raises(IllegalOperation, match=r"await cancel_async\(workflow_id\)"):
            cancel(started.id)
        await cancel_async(started.id, "first")
        await DBOS.cancel_workflow_async(started.id)
        handle = await undo_async(started.id, "then")
        world.gate.open()
        with pytest.raises(WorkflowCancelled, match="then"):
            await handle.get_result(polling_interval_sec=0.05)

    asyncio.run_coroutine_threadsafe(both(), a_loop()).result(60)
    assert world.names == ["+a", "+held", "-held", "-a"]


def test_what_cannot_be_cancelled_is_refused_with_the_way_out() -> None:
    ended = Started(order, ["a"])
    ended.result()
    with pytest.raises(IllegalOperation, match=r"cannot cancel the workflow nobody: DBOS does not know it"):
        cancel("nobody")
    with pytest.raises(IllegalOperation, match=r"it has ended \(SUCCESS\)"):
        cancel(ended.id)
    with pytest.raises(IllegalOperation, match=r"it has ended \(SUCCESS\)"):
        undo(ended.id)
    running = held(order, ["b", "held"])
    with pytest.raises(IllegalOperation, match=r"it has not been cancelled \(PENDING\); cancel\(workflow_id\)"):
        undo(running.id)
    DBOS.cancel_workflow(running.id)
    with pytest.raises(IllegalOperation, match=r"\(CANCELLED\); undo\(workflow_id\) undoes it"):
        cancel(running.id)
    world.gate.open()
    wait_until(lambda: "+held" in world.names, "the step has ended")


# -- undo


@each_flow
def test_what_dbos_has_cancelled_in_the_middle_of_a_step_is_undone_once_that_has_ended(
    flow: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(adapter, "_LONG", 0.05)
    started = held(flow, ["a", "held", "b"])
    DBOS.cancel_workflow(started.id)
    handle = undo(started.id, "it was cancelled")
    wait_until(lambda: "to end, which an execution of the workflow" in caplog.text, "the step is waited for")
    assert world.names == ["+a"]
    world.gate.open()
    with pytest.raises(WorkflowCancelled, match="it was cancelled"):
        handle.get_result(polling_interval_sec=0.05)
    assert world.names == ["+a", "+held", "-held", "-a"]
    assert world.trail[1].key == world.trail[2].key
    assert status_of(started.id) == "ERROR"


@each_flow
def test_what_dbos_has_cancelled_between_two_steps_is_not_undone_before_it_is_asked_for(flow: Any) -> None:
    started = held(flow, ["a", "wait", "b"])
    DBOS.cancel_workflow(started.id)
    world.gate.open()
    assert isinstance(started.ended(), errors.DBOSAwaitedWorkflowCancelledError)
    assert world.names == ["+a"]
    with pytest.raises(WorkflowCancelled):
        undo(started.id).get_result(polling_interval_sec=0.05)
    assert world.names == ["+a", "-b", "-a"]  # nobody knows that b had not begun


@DBOS.workflow()
def sleeping() -> None:
    with transaction("order", engine=DBOSEngine()):
        put("a")
        wait_until(world.gate.is_open, "the gate is open")
        DBOS.sleep(0.01)


def test_where_the_workflow_s_own_code_finds_that_dbos_has_cancelled_it_nothing_is_undone() -> None:
    started = Started(sleeping)
    world.gate.wait_until_something_waits()
    DBOS.cancel_workflow(started.id)
    world.gate.open()
    assert isinstance(started.ended(), errors.DBOSAwaitedWorkflowCancelledError)
    assert world.names == ["+a"]


@each_flow
def test_what_has_timed_out_is_undone_by_a_client(flow: Any, dbos_launched: str) -> None:
    started = held(flow, ["a", "held", "b"], timeout=1.5)
    wait_until(lambda: status_of(started.id) == "CANCELLED", "its time is up")
    world.gate.open()
    assert isinstance(started.ended(), errors.DBOSAwaitedWorkflowCancelledError)
    client = DBOSClient(system_database_url=dbos_launched)
    try:
        with pytest.raises(WorkflowCancelled, match="its time was up"):
            undo(started.id, "its time was up", client=client).get_result()
    finally:
        client.destroy()
    assert world.names == ["+a", "+held", "-held", "-a"]


words = {1: "a", 2: "held", 3: "b"}


@DBOS.workflow()
def changed() -> None:
    with transaction("changed", engine=DBOSEngine()):
        for word in words.values():
            if word == "nothing":
                nothing()
            else:
                put(word)


@action
def nothing() -> None:
    """What another version of the code does."""


@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_workflow_has_left_whose_records_do_not_fit_its_code_is_undone_once_they_fit_again(
    is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = Started(changed)
    world.gate.wait_until_something_waits()
    DBOS.cancel_workflow(started.id)
    world.gate.open()
    wait_until(lambda: "+held" in world.names, "the step has ended")
    assert started.ended() is not None
    with monkeypatch.context() as patched:
        patched.setitem(words, 1, "nothing")
        with pytest.raises(errors.DBOSUnexpectedStepError):
            DBOS.resume_workflow(started.id).get_result(polling_interval_sec=0.05)
    assert (status_of(started.id), world.names) == ("ERROR", ["+a", "+held"])

    async def undone() -> None:
        handle = await undo_async(started.id, "so")
        await handle.get_result(polling_interval_sec=0.05)

    with pytest.raises(WorkflowCancelled, match="so"):
        if is_async:
            asyncio.run_coroutine_threadsafe(undone(), a_loop()).result(60)
        else:
            undo(started.id, "so").get_result(polling_interval_sec=0.05)
    assert world.names == ["+a", "+held", "-held", "-a"]
    with pytest.raises(IllegalOperation, match=r"it has ended \(ERROR\)"):
        undo(started.id)


def test_undoing_that_dbos_cancels_in_turn_goes_on_where_it_was() -> None:
    started = held(order, ["a", "holding its undo", "wait", "b"])
    DBOS.cancel_workflow(started.id)
    world.gate.open()
    assert isinstance(started.ended(), errors.DBOSAwaitedWorkflowCancelledError)
    handle = undo(started.id, "once")
    world.second.wait_until_something_waits()
    DBOS.cancel_workflow(started.id)
    world.second.open()
    with pytest.raises(errors.DBOSAwaitedWorkflowCancelledError):
        handle.get_result(polling_interval_sec=0.05)
    with pytest.raises(WorkflowCancelled, match="once"):
        undo(started.id, "again").get_result(polling_interval_sec=0.05)
    assert world.names[:2] == ["+a", "+holding its undo"]
    assert world.names[2:] == ["-b", *["-holding its undo"] * 2, "-a"]  # in flight when it was cancelled again


@pytest.mark.parametrize(("flow", "asked"), [(order, "list_workflows"), (order_async, "list_workflows_async")])
def test_where_dbos_cannot_be_asked_the_step_runs_and_the_next_one_looks_again(
    flow: Any, asked: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**options: Any) -> Any:
        raise ConnectionError("it is away")

    with monkeypatch.context() as patched:
        patched.setattr(DBOS, asked, fail)
        started = held(flow, ["a", "held", "b"])
        assert "DBOS could not be asked whether the workflow is to be cancelled: ConnectionError" in caplog.text
    cancel(started.id)
    world.gate.open()
    assert isinstance(started.ended(), WorkflowCancelled)
    assert world.names == ["+a", "+held", "-held", "-a"]


def test_a_step_that_succeeds_without_a_message_is_not_held_up_by_one_for_another_workflow() -> None:
    other = held(order, ["held"])
    cancel(other.id)
    assert run(order, ["a"]) == ["A"]
    world.gate.open()
    assert isinstance(other.ended(), WorkflowCancelled)
