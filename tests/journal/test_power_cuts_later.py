"""What a power cut cannot lose either: that a step is tried again, what it has saved, hooks, and a recovery."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from actionqueues import Retry, action, current_step, transaction
from actionqueues.journal import Journal, durable

power = pytest.importorskip("tests.journal.power", reason="apsw, of which the file layer is made, is not installed")

recorder: Any = None


@action(retry=Retry(attempts=2, wait_initial=0, wait_jitter=0))
def flaky(name: str) -> str:
    step = current_step()
    recorder.mark(f"attempt {step.attempts}")
    step.save(attempt=step.attempts)
    recorder.mark(f"saved {step.attempts}")
    if step.attempts == 1:
        raise ConnectionError(name)
    return name


@action
def put(name: str) -> str:
    return name


@put.rollback
def take(name: str) -> None:
    recorder.mark(f"undo {name}")


@durable
def tell(name: str) -> None:
    recorder.mark("hook")


def leave(db: sqlite3.Connection) -> None:
    """What a dead process has left, in the middle of its second step."""
    db.execute("INSERT INTO owners VALUES (99, 1, 'dead', '2026')")
    db.execute("INSERT INTO transactions (id, name, state, owner, started) VALUES (9, 'left', 'open', 99, '2026')")
    for number, state in ((1, "done"), (2, "running")):
        db.execute(
            "INSERT INTO steps (tx, number, kind, name, arguments, state, attempts, key, started) "
            "VALUES (9, ?, 'action', ?, ?, ?, 1, 'key', '2026')",
            (number, f"{__name__}:put", f'{{"name": "{number}"}}', state),
        )


def record(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    global recorder
    recorder = power.Recorder()
    try:
        with monkeypatch.context() as patched:
            patched.setattr(sqlite3, "connect", recorder.connect)
            journal = Journal(path)
            with transaction("tries again", journal=journal) as q:
                q.on_commit(tell, "a")
                flaky("a")
            recorder.mark("ended")
            journal.store.write(leave, sync=True)
            assert [one.state for one in journal.recover()] == ["rolled back"]
            recorder.mark("recovered")
            journal.close()
    finally:
        recorder.close()
    events: list[Any] = recorder.events
    return events


def lost(seen: list[str], journal: Journal) -> list[str]:
    """What has been done before the power cut, and is not in the file as it has to be."""
    found = {entry.name: journal.show(entry.id) for entry in journal.transactions()}
    undos = dict(journal.store.read("SELECT number, count(*) FROM undos WHERE tx = 9 GROUP BY number"))
    wrong: list[str] = []
    tried = found["tries again"]
    (step,) = tried.steps
    saved = journal.values.read_saved(step.saved).get("attempt")
    wrong += [f"what attempt {n} has saved" for n in (1, 2) if f"saved {n}" in seen and saved not in (n, 2)]
    if "attempt 2" in seen and (step.attempts, step.state) not in ((2, "running"), (2, "done")):
        wrong.append("that it is tried again")
    if "hook" in seen and (tried.state, tried.hooks[0].attempts) != ("committed", 1):
        wrong.append("that the hook is called")
    left = found.get("left")
    undone = {step.number: step.undo for step in left.steps} if left is not None else {}
    begun = [number for number in (2, 1) if f"undo {number}" in seen]
    wrong += [f"that step {n} is undone" for n in begun if left is None or left.state == "open" or undos.get(n) != 1]
    if "undo 1" in seen and undone.get(2) != "undone":
        wrong.append("that step 2 has been undone")
    if "recovered" in seen and (left is None or (left.state, undone[1]) != ("rolled back", "undone")):
        wrong.append("the end of the recovery")
    return wrong


@pytest.mark.parametrize("name", ["nothing", "some", "torn"])
def test_a_power_cut_loses_nothing_of_what_has_begun(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = record(tmp_path / "actions.db", monkeypatch)
    marks = [place for place, event in enumerate(events) if event.what == "mark"]
    assert [events[place].file for place in marks] == [
        "attempt 1", "saved 1", "attempt 2", "saved 2", "hook", "ended", "undo 2", "undo 1", "recovered",
    ]  # fmt: skip
    wrong: dict[int, list[str]] = {}
    for cut in range(marks[0] + 1, len(events) + 1):
        folder = tmp_path / str(cut)
        folder.mkdir()
        for file, content in power.disk_after(events[:cut], power.CHOICES[name], random.Random(cut)).items():
            if file in ("actions.db", "actions.db-wal"):
                (folder / file).write_bytes(content)
        with Journal(folder / "actions.db") as journal:
            if problems := lost([event.file for event in events[:cut] if event.what == "mark"], journal):
                wrong[cut] = problems
    assert wrong == {}
