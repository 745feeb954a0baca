"""A block in a workflow of Temporal: each attempt and each undo is an activity, and what fails is undone in order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("temporalio", reason="pip install 'actionqueues[temporal]'")

from temporalio.client import WorkflowUpdateFailedError

from actionqueues.engines.temporal import ActionQueuesPlugin
from actionqueues.engines.temporal.worker import Resources

from .servers import Server
from .temporal_running import Place, activities_in, outcome, ran, runs

Sandboxed = pytest.mark.parametrize("sandboxed", [True, False], ids=["sandboxed", "unsandboxed"])


@Sandboxed
def test_a_block_that_succeeds_runs_each_step_once(temporal_server: Server, tmp_path: Path, sandboxed: bool) -> None:
    done = ran(temporal_server, tmp_path, "Order", sandboxed=sandboxed)
    assert (done.status, done.result) == ("completed", "room 7, 900")
    assert done.trail == ["did book 1.1", "did charge 1.2", "did ship 1.3"]


@Sandboxed
@pytest.mark.parametrize(
    ("fails", "trail"),
    [
        ("between", "did book 1.1, undid book 1.1"),
        ("charge", "did book 1.1, did charge 1.2, undid charge 1.2, undid book 1.1"),
        (
            "ship",
            "did book 1.1, did charge 1.2, did ship 1.3, undid ship 1.3, undid charge 1.2, undid book 1.1",
        ),
    ],
)
def test_a_failure_at_any_step_undoes_it_and_those_before_it_and_fails_the_workflow(
    temporal_server: Server, tmp_path: Path, sandboxed: bool, fails: str, trail: str
) -> None:
    done = ran(temporal_server, tmp_path, "Order", fails, sandboxed=sandboxed)
    assert (done.status, done.failure.type) == ("failed", "CardDeclined")
    assert ", ".join(done.trail) == trail


def test_steps_undos_and_hooks_are_activities_by_their_names(temporal_server: Server, tmp_path: Path) -> None:
    async def run(place: Place) -> list[list[str]]:
        async with place.worker():
            failing, hooks = await place.start("Order", "charge"), await place.start("Several", "hooks")
            for each in (failing, hooks):
                await outcome(place, each)
        return [await activities_in(failing), await activities_in(hooks)]

    names = runs(run, temporal_server, tmp_path)
    assert names == [["book", "charge", "undo charge", "undo book"], ["book", "function", "on commit"]]


@Sandboxed
def test_an_exception_with_a_constructor_of_its_own_comes_back_as_itself(
    temporal_server: Server, tmp_path: Path, sandboxed: bool
) -> None:
    done = ran(temporal_server, tmp_path, "Several", "caught", sandboxed=sandboxed)
    assert done.result == ["CardDeclined", "card-1", 900, "card-1 declined for 900", "committed"]
    assert done.trail == ["did charge 1.1", "undid charge 1.1", "did charge 1.2"]


@Sandboxed
def test_a_sync_action_runs_in_a_thread_of_the_worker(temporal_server: Server, tmp_path: Path, sandboxed: bool) -> None:
    done = ran(temporal_server, tmp_path, "Several", "sync_steps", sandboxed=sandboxed)
    assert done.result == "twice in actionqueues"
    assert done.trail == ["did note 1.1", "did note 1.2"]


def test_the_undo_of_a_sync_action_is_told_why(temporal_server: Server, tmp_path: Path) -> None:
    done = ran(temporal_server, tmp_path, "Several", "sync_steps_undone")
    assert done.trail == ["did note 1.1", "undid note 1.1 because of CardDeclined"]


def test_a_policy_makes_each_attempt_an_activity_and_what_was_saved_outlives_attempts(
    temporal_server: Server, tmp_path: Path
) -> None:
    done = ran(temporal_server, tmp_path, "Several", "retried")
    assert done.result == 3
    assert done.trail == ["did flaky/1 1.1", "did flaky/2 1.1", "did flaky/3 1.1"]


def test_an_undo_that_fails_is_tried_again_as_its_policy_says(temporal_server: Server, tmp_path: Path) -> None:
    done = ran(temporal_server, tmp_path, "Several", "undo_retried")
    assert (done.status, done.failure.type) == ("failed", "CardDeclined")
    assert done.trail == [
        "did flaky/1 1.1",
        "did flaky/2 1.1",
        "undid flaky after 2 1.1",
        "undid flaky after 2 1.1",
    ]


def test_an_undo_that_keeps_failing_is_counted_once_and_told_and_stops_no_other(
    temporal_server: Server, tmp_path: Path
) -> None:
    done = ran(temporal_server, tmp_path, "Several", "undo_fails")
    error, state, *notes = done.result
    assert (error, state) == ("attempt 3", "rolled back with failures")
    assert any("undo 3" in note for note in notes), notes
    assert [line for line in done.trail if "undid flaky" in line] == ["undid flaky after 3 1.2"] * 3
    assert done.trail[-1] == "undid book 1.1"


def test_a_result_that_cannot_be_carried_is_undone_where_it_is_and_once(
    temporal_server: Server, tmp_path: Path
) -> None:
    done = ran(temporal_server, tmp_path, "Several", "unencodable")
    assert done.result[:2] == ["NotCarried", "rolled back"]
    assert done.trail == ["did book 1.1", "did make 1.2", "undid make with its Unencodable 1.2", "undid book 1.1"]


@Sandboxed
def test_resources_are_supplied_by_the_worker_and_never_sent(
    temporal_server: Server, tmp_path: Path, sandboxed: bool
) -> None:
    made: list[str] = []

    def connect() -> str:
        made.append("db")
        return f"connection {len(made)}"

    done = ran(
        temporal_server,
        tmp_path,
        "Several",
        "resources",
        sandboxed=sandboxed,
        plugin=ActionQueuesPlugin(resources={"db": connect}),
    )
    assert done.trail == ["did insert by connection 1 1.1", "undid insert by connection 1 1.1"]
    assert made == ["db"]


@Sandboxed
def test_savepoints_and_marks_undo_their_part(temporal_server: Server, tmp_path: Path, sandboxed: bool) -> None:
    done = ran(temporal_server, tmp_path, "Several", "savepoints", sandboxed=sandboxed)
    assert (done.status, done.result) == ("completed", "committed")
    assert done.trail == [
        "did book 1.1",
        "did charge 1.2",
        "did ship 1.3",
        "undid ship 1.3",
        "undid charge 1.2",
        "did charge 1.4",
        "did ship 1.5",
        "undid ship 1.5",
    ]


@Sandboxed
def test_hooks_and_plain_functions_run_in_a_worker(temporal_server: Server, tmp_path: Path, sandboxed: bool) -> None:
    done = ran(temporal_server, tmp_path, "Several", "hooks", sandboxed=sandboxed)
    assert (done.result, done.trail) == ("committed", ["did book 1.1", "added by hand", "told by hand"])


def test_an_undo_by_hand_runs_in_a_worker_and_no_hook_does(temporal_server: Server, tmp_path: Path) -> None:
    done = ran(temporal_server, tmp_path, "Several", "by_hand_undone")
    assert (done.status, done.trail) == ("failed", ["undone by hand"])


def test_q_rollback_undoes_and_the_workflow_goes_on(temporal_server: Server, tmp_path: Path) -> None:
    done = ran(temporal_server, tmp_path, "Several", "explicit")
    assert (done.status, done.result) == ("completed", "rolled back")
    assert done.trail == ["did book 1.1", "undid book 1.1"]


def test_a_failing_step_cancels_what_runs_beside_it_and_all_is_undone(temporal_server: Server, tmp_path: Path) -> None:
    done = ran(temporal_server, tmp_path, "Several", "beside")
    assert (done.status, done.failure.type) == ("failed", "CardDeclined")
    assert sorted(done.trail[:3]) == ["did book 1.1", "did wait 1.2", "did wait 1.3"]
    assert done.trail[3] == "did charge 1.5"
    assert "undid wait, begun: True 1.2" in done.trail
    assert "undid wait, begun: True with 'done all the same' 1.3" in done.trail
    assert "undid charge 1.5" in done.trail
    assert done.trail[-1] == "undid book 1.1"
    assert len(done.trail) == 8


def test_what_ran_at_the_same_time_can_be_undone_at_the_same_time(temporal_server: Server, tmp_path: Path) -> None:
    done = ran(temporal_server, tmp_path, "Several", "undone_concurrently", max_cached_workflows=0)
    assert (done.status, done.failure.type) == ("failed", "CardDeclined")
    assert sorted(done.trail[:3]) == ["did book 1.1", "did charge 1.2", "did ship 1.3"]
    assert done.trail[3:5] == ["did book 1.4", "undid book 1.4"]
    assert sorted(done.trail[5:]) == ["undid book 1.1", "undid charge 1.2", "undid ship 1.3"]


def test_each_block_of_a_workflow_has_keys_of_its_own(temporal_server: Server, tmp_path: Path) -> None:
    done = ran(temporal_server, tmp_path, "Several", "two_blocks_at_once")
    assert sorted(done.trail) == [f"did book {block}.1" for block in range(1, 5)]


def test_a_block_in_a_signal_handler_is_one_too(temporal_server: Server, tmp_path: Path) -> None:
    async def run(place: Place) -> list[str]:
        async with place.worker():
            handle = await place.start("Told")
            await handle.signal("order", place.trail)
            return (await outcome(place, handle)).trail

    assert runs(run, temporal_server, tmp_path) == [
        "did book 1.1",
        "did charge 1.2",
        "undid charge 1.2",
        "undid book 1.1",
    ]


def test_the_engine_can_be_given_other_time_outs(temporal_server: Server, tmp_path: Path) -> None:
    done = ran(temporal_server, tmp_path, "Bounded")
    assert (done.status, done.result) == ("completed", "room 1")


@pytest.mark.parametrize("command", [["-m", "tests.engines.temporal_script"], ["tests/engines/temporal_script.py"]])
def test_a_program_in_one_file_finds_its_actions_and_exceptions_in_the_sandbox(
    temporal_server: Server, command: list[str]
) -> None:
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, *command, temporal_server.target, f"script-{len(command)}"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (0, "a room in free\n"), ended.stderr


def test_a_block_in_an_update_handler_fails_the_update_and_the_workflow_goes_on(
    temporal_server: Server, tmp_path: Path
) -> None:
    async def run(place: Place) -> list[Any]:
        async with place.worker():
            handle: Any = await place.start("Told")
            with pytest.raises(WorkflowUpdateFailedError) as failed:
                await handle.execute_update("change", place.trail)
            await handle.signal("order", place.trail)
            done = await outcome(place, handle)
            return [getattr(failed.value.cause, "type", None), done.result, done.trail[:4]]

    assert runs(run, temporal_server, tmp_path) == [
        "CardDeclined",
        "told",
        ["did book 1.1", "did charge 1.2", "undid charge 1.2", "undid book 1.1"],
    ]


def test_a_workflow_that_continues_as_new_inside_its_block_undoes_that_first(
    temporal_server: Server, tmp_path: Path
) -> None:
    done = ran(temporal_server, tmp_path, "Several", "continued")
    assert (done.status, done.result) == ("completed", "done")
    assert done.trail == ["did book 1.1", "undid book 1.1", "did book 1.1"]


def test_resources_are_made_when_they_are_needed_and_once() -> None:
    made: list[str] = []
    resources = Resources({"db": lambda: made.append("db"), "mailer": lambda: made.append("mailer")})
    assert (len(resources), [*resources], made) == (2, ["db", "mailer"], [])
    assert [resources.get(name) for name in ("db", "db", "card")] == [None, None, None]
    assert made == ["db"]
