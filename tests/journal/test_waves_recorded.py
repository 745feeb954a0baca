"""Undos that run at the same time, with a journal: killed in the middle, and drawn."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import actionqueues
from actionqueues import action, current_step, transaction
from actionqueues.journal import Journal

world: dict[str, bool] = {}
undone: list[tuple[str, str]] = []
PACKAGE = str(Path(actionqueues.__file__).parent.parent)


@action(name="waves-upload")
async def upload(name: str) -> str:
    await asyncio.sleep(0)
    world[name] = True
    await asyncio.sleep(0)
    return name


@upload.rollback
async def remove(name: str) -> None:
    await asyncio.sleep(0)
    undone.append((name, current_step().undo_key))
    if name == os.environ.get("DIES_AT"):
        print(*(f"{each}={key}" for each, key in undone), flush=True)
        await asyncio.sleep(0.05)  # until what others have done has been recorded
        os._exit(9)
    await asyncio.sleep(0)
    world.pop(name, None)


async def together(journal: Any = None, names: str = "abc") -> None:
    async with transaction("load", journal=journal, undo_concurrently=True):
        await upload("first")
        await asyncio.gather(*(upload(name) for name in names))
        await upload("last")
        raise LookupError


def test_every_undo_is_recorded_as_ever(tmp_path: Path) -> None:
    with Journal(tmp_path / "actions.db") as journal:
        with pytest.raises(LookupError):
            asyncio.run(together(journal))
        (entry,) = journal.transactions()
        assert entry.state == "rolled back"
        assert [step.undo for step in journal.show(entry.id).report.steps] == ["undone"] * 5
        assert journal.recover() == []


def test_killed_in_the_middle_the_rest_is_undone_one_after_the_other_with_the_same_keys(tmp_path: Path) -> None:
    path = tmp_path / "actions.db"
    program = f"import asyncio; from {__name__} import *; asyncio.run(together({str(path)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": PACKAGE, "DIES_AT": "b"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 9, done.stderr
    tried = dict(each.split("=") for each in done.stdout.split())
    assert {"last", "b"} <= set(tried)
    assert "first" not in tried
    undone.clear()
    with Journal(path) as journal:
        (recovered,) = asyncio.run(journal.recover_async())
        assert recovered.state == "rolled back"
        assert journal.recover() == []
    again = [name for name, _ in undone]
    assert "last" not in again
    assert again == [*sorted(again[:-1], reverse=True), "first"]
    assert "b" in again
    assert all(tried.get(name, key) == key for name, key in undone)


def test_the_timeline_brackets_what_was_undone_at_the_same_time() -> None:
    async def main() -> str:
        meet = [asyncio.Event() for _ in range(2)]

        @action
        async def push(place: int) -> None:
            meet[place].set()
            await meet[1 - place].wait()

        @push.rollback
        async def pull(place: int) -> None:
            meet[place].clear()
            while meet[1 - place].is_set():
                await asyncio.sleep(0)
            await asyncio.sleep(0.002)

        async with transaction("load", trace=True, undo_concurrently=True) as q:
            await asyncio.gather(push(0), push(1))
            await q.rollback()
        first, second = sorted(q.report.steps, key=lambda step: step.undo_started or 0)
        assert second.undo_started is not None
        assert first.undo_ended is not None
        assert second.undo_started < first.undo_ended
        return q.report.to_text(width=60)

    text = asyncio.run(main())
    (first, second) = [line for line in text.splitlines() if "\u21b6" in line]
    assert first.startswith("\u250c \u21b6 push  place=1")
    assert second.startswith("\u2514 \u21b6 push  place=0")
