"""Blocks and the workflows that DBOS runs for the one around them: children, threads and tasks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbos", reason="pip install 'actionqueues[dbos]'")

from dbos import DBOS

from actionqueues import IllegalOperation, transaction
from actionqueues.engines.dbos import DBOSEngine

from .on_dbos import Started, names_of, put, put_async, world

pytestmark = pytest.mark.usefixtures("dbos_launched")


@pytest.fixture(autouse=True)
def new_world(tmp_path: Path) -> None:
    world.path, world.die_at, world.lucky = tmp_path / "trail", "", False


# -- a child workflow has a block of its own


@DBOS.workflow()
def child(fails: bool) -> str:
    with transaction("child", engine=DBOSEngine()):
        put("of the child")
        if fails:
            raise ValueError("child")
    return "child"


@DBOS.workflow()
async def child_async(fails: bool) -> str:
    async with transaction("child", engine=DBOSEngine()):
        await put_async("of the child")
        if fails:
            raise ValueError("child")
    return "child"


@DBOS.workflow()
def parent(how: str, fails: bool) -> None:
    with transaction("parent", engine=DBOSEngine()):
        put("a")
        if how == "called":
            child(fails)
        else:
            DBOS.start_workflow(child, fails).get_result(polling_interval_sec=0.05)
        put("b")
        raise ValueError("parent")


@DBOS.workflow()
async def parent_async(how: str, fails: bool) -> None:
    async with transaction("parent", engine=DBOSEngine()):
        await put_async("a")
        if how == "called":
            await child_async(fails)
        elif how == "in a thread":
            await asyncio.to_thread(child, fails)
        else:
            handle = await DBOS.start_workflow_async(child_async, fails)
            await handle.get_result(polling_interval_sec=0.05)
        await put_async("b")
        raise ValueError("parent")


ways = pytest.mark.parametrize(
    ("flow", "how"),
    [
        (parent, "called"),
        (parent, "started"),
        (parent_async, "called"),
        (parent_async, "started"),
        (parent_async, "in a thread"),
    ],
)


@ways
def test_what_a_child_workflow_has_committed_in_a_block_of_its_own_stays(flow: Any, how: str) -> None:
    with pytest.raises(ValueError, match="parent"):
        Started(flow, how, False).result()
    assert world.names == ["+a", "+of the child", "+b", "-b", "-a"]


@ways
def test_a_child_workflow_that_fails_undoes_its_own_block_and_then_that_of_its_parent_is_undone(
    flow: Any, how: str
) -> None:
    with pytest.raises(ValueError, match="child"):
        Started(flow, how, True).result()
    assert world.names == ["+a", "+of the child", "-of the child", "-a"]


@DBOS.workflow()
def without_a_block() -> None:
    put("b")


@DBOS.workflow()
def parent_of_none() -> None:
    with transaction("parent", engine=DBOSEngine()):
        put("a")
        without_a_block()


def test_a_step_in_a_child_workflow_that_has_no_block_is_refused_with_the_way_out() -> None:
    with pytest.raises(IllegalOperation, match=r"called in another workflow, .*-3, .*give that a block of its own"):
        Started(parent_of_none).result()
    assert world.names == ["+a", "-a"]


# -- threads and tasks


@DBOS.workflow()
async def elsewhere() -> None:
    async with transaction("order", engine=DBOSEngine()):
        await asyncio.to_thread(put, "in a thread")
        await asyncio.create_task(put_async("in a task"))
        raise ValueError("fails")


def test_a_step_in_a_thread_that_asyncio_has_started_and_one_in_a_task_are_recorded_and_undone() -> None:
    started = Started(elsewhere)
    with pytest.raises(ValueError, match="fails"):
        started.result()
    assert world.names == ["+in a thread", "+in a task", "-in a task", "-in a thread"]
    assert names_of(started.id) == ["put", "put_async", "rolling back", "undo put_async", "undo put"]
