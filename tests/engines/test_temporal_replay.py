"""Recorded histories are replayed as they were: a block decides the same again, in this version as in those before.

How they are recorded: see `temporal_histories`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("temporalio", reason="pip install 'actionqueues[temporal]'")

from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, WorkflowReplayResult
from temporalio.workflow import NondeterminismError

from actionqueues.engines.temporal import ActionQueuesPlugin

from .temporal_histories import FOLDER, RUNS
from .temporal_running import runner
from .temporal_scene import WORKFLOWS

HISTORIES = sorted(FOLDER.glob("*/*.json"))


def replayed(text: str, name: str, *, sandboxed: bool) -> WorkflowReplayResult:
    """What comes of a replay; raises if it goes another way."""
    replayer = Replayer(
        workflows=WORKFLOWS, plugins=[ActionQueuesPlugin()], workflow_runner=runner(sandboxed=sandboxed)
    )
    return asyncio.run(replayer.replay_workflow(WorkflowHistory.from_json(name, text)))


def test_each_run_is_recorded_for_each_version() -> None:
    versions = {path.parent for path in HISTORIES}
    assert versions
    for version in versions:
        assert {path.stem for path in version.glob("*.json")} == set(RUNS)


@pytest.mark.parametrize("sandboxed", [True, False], ids=["sandboxed", "unsandboxed"])
@pytest.mark.parametrize("history", HISTORIES, ids=[f"{path.parent.name}-{path.stem}" for path in HISTORIES])
def test_a_history_is_replayed_and_nothing_is_done_again(
    history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandboxed: bool
) -> None:
    monkeypatch.chdir(tmp_path)  # where effects would be
    result = replayed(history.read_text(encoding="utf-8"), history.stem, sandboxed=sandboxed)
    assert result.replay_failure is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "recorded", "other"),
    [
        ("failed-in-its-last-step", '"undo charge"', '"undo book"'),
        ("done", '"ship"', '"charge"'),
    ],
)
def test_a_history_that_another_version_would_not_make_is_noticed(name: str, recorded: str, other: str) -> None:
    (history,) = (path for path in HISTORIES if path.stem == name)
    text = history.read_text(encoding="utf-8")
    assert recorded in text
    with pytest.raises(NondeterminismError):
        replayed(text.replace(recorded, other), name, sandboxed=False)
