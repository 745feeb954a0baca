"""What a power cut can lose in each mode: never the intent of a step that has run, and at most the last outcome."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actionqueues import action, transaction
from actionqueues.journal import Journal, JournalError

power = pytest.importorskip("tests.journal.power", reason="apsw, of which the file layer is made, is not installed")

recorder: Any = None


@action
def put(number: int) -> int:
    recorder.mark(f"body {number}")
    return number


@put.rollback
def take(number: int) -> None:
    recorder.mark(f"undo {number}")


def record(path: Path, durability: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    global recorder
    recorder = power.Recorder()
    try:
        with monkeypatch.context() as patched:
            patched.setattr(sqlite3, "connect", recorder.connect)
            journal = Journal(path, durability=durability)
            with transaction("commits", journal=journal) as q:
                q.on_commit(recorder.mark, "committed")
                for number in (1, 2, 3):
                    put(number)
                recorder.mark("committing")
            with pytest.raises(LookupError), transaction("fails", journal=journal):
                for number in (4, 5, 6):
                    put(number)
                raise LookupError
            recorder.mark("rolled back")
            journal.close()
    finally:
        recorder.close()
    events: list[Any] = recorder.events
    return events


def after(events: list[Any], name: str, folder: Path, seed: int) -> dict[str, Any] | None:
    """What the journal says after a power cut: the state of each step, and of each transaction."""
    path = folder / "actions.db"
    for file, content in power.disk_after(events, power.CHOICES[name], random.Random(seed)).items():
        if file in ("actions.db", "actions.db-wal"):
            (folder / file).write_bytes(content)
    if not path.exists() or path.stat().st_size == 0:
        return {"steps": {}, "transactions": {}}
    journal = Journal(path)
    try:
        entries = [journal.show(entry.id) for entry in journal.transactions()]
    finally:
        journal.close()
    return {
        "steps": {step.result or step.arguments: step for entry in entries for step in entry.steps},
        "by number": {int((s.arguments or "")[11:-1]): s for entry in entries for s in entry.steps},
        "transactions": {entry.name: entry.state for entry in entries},
    }


def marks(events: list[Any]) -> list[str]:
    return [event.file for event in events if event.what == "mark"]


def lost(events: list[Any], found: dict[str, Any]) -> list[str]:
    """What has been done before the power cut, and is not in the file as it has to be."""
    wrong: list[str] = []
    seen = marks(events)
    steps = found.get("by number", {})
    bodies = [int(mark[5:]) for mark in seen if mark.startswith("body")]
    undos = [int(mark[5:]) for mark in seen if mark.startswith("undo")]
    wrong += [f"the intent of step {number}" for number in bodies if number not in steps]
    if not undos:  # an outcome is on disk with the next intent
        wrong += [f"the outcome of step {n}" for n in bodies[:-1] if n in steps and steps[n].state != "done"]
    if "committed" in seen and found["transactions"].get("commits") != "committed":
        wrong.append("the commit")
    if "committing" not in seen and found["transactions"].get("commits") == "committed":
        wrong.append("it is said to be committed before it was")
    if undos and found["transactions"].get("fails") not in ("rolling back", "rolled back"):
        wrong.append("that it was being rolled back")
    wrong += [f"the undo of step {n}" for n in undos[:-1] if n in steps and steps[n].undo != "undone"]
    if "rolled back" in seen and found["transactions"].get("fails") != "rolled back":
        wrong.append("the end of the rollback")
    return wrong


def cuts(events: list[Any]) -> Iterator[int]:
    """After each event, from the first body on: before, there is nothing to lose."""
    first = next(place for place, event in enumerate(events) if event.what == "mark")
    return iter(range(first + 1, len(events) + 1))


@pytest.mark.parametrize("name", ["nothing", "everything", "some", "torn"])
def test_a_power_cut_loses_at_most_the_last_outcome(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = record(tmp_path / "actions.db", "power", monkeypatch)
    wrong: dict[int, list[str]] = {}
    for cut in cuts(events):
        folder = tmp_path / str(cut)
        folder.mkdir()
        found = after(events[:cut], name, folder, cut)
        assert found is not None
        if problems := lost(events[:cut], found):
            wrong[cut] = problems
    assert wrong == {}


def test_without_syncs_a_power_cut_loses_intents_and_a_killed_process_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = record(tmp_path / "actions.db", "process", monkeypatch)
    first = next(place for place, event in enumerate(events) if event.what == "mark")
    assert [event for event in events[first:] if event.what == "sync"] == []
    problems: dict[str, set[str]] = {"nothing": set(), "everything": set()}
    for name, found_problems in problems.items():
        for cut in cuts(events):
            folder = tmp_path / f"{name}-{cut}"
            folder.mkdir()
            try:
                found = after(events[:cut], name, folder, cut)
            except JournalError:
                found_problems.add("the file")
                continue
            assert found is not None
            found_problems |= set(lost(events[:cut], found))
    assert "the intent of step 1" in problems["nothing"]
    assert "the commit" in problems["nothing"]
    assert problems["everything"] == set()


def test_the_folder_of_a_new_file_is_on_disk_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def recorded(fd: int) -> None:
        sync(fd)
        recorder.mark(f"synced {os.path.realpath(f'/proc/self/fd/{fd}')}")

    monkeypatch.setattr(os, "fsync", recorded)
    for durability, expected in (("power", [f"synced {tmp_path}"]), ("process", [])):
        found = marks(record(tmp_path / f"{durability}.db", durability, monkeypatch))
        assert found[: found.index("body 1")] == expected


def test_a_step_costs_one_sync_and_an_undo_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = record(tmp_path / "actions.db", "power", monkeypatch)
    trail = [event.file if event.what == "mark" else "sync" for event in events if event.what in ("mark", "sync")]
    start = trail.index("body 1")
    assert trail[start : start + 8] == [
        "body 1", "sync", "body 2", "sync", "body 3", "committing", "sync", "committed",
    ]  # fmt: skip
    start = trail.index("body 6")
    assert trail[start : start + 9] == [
        "body 6", "sync", "sync", "undo 6", "sync", "undo 5", "sync", "undo 4", "sync",
    ]  # fmt: skip
