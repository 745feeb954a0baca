"""What the tests of recovery in rounds share: actions whose undos can be held, and the forms of `recover_every`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import trio

from actionqueues import action
from actionqueues.core.tasks import sleep
from actionqueues.journal import Journal

from .actions import note

began, go = Event(), Event()


@action
def held(name: str) -> None: ...


@held.rollback
def release(name: str) -> None:
    note(f"-{name} begun")
    began.set()
    until(go.is_set)  # and no lock: a signal just before that waits would wait as long
    note(f"-{name}")


@action
async def held_async(name: str) -> None: ...


@held_async.rollback
async def release_async(name: str) -> None:
    note(f"-{name} begun")
    began.set()
    while not go.is_set():
        await sleep(0.01)
    note(f"-{name}")


@action
def held_by_a_file(folder: str) -> None: ...


@held_by_a_file.rollback
def release_by_a_file(folder: str) -> None:
    (Path(folder) / "begun").touch()
    until((Path(folder) / "go").exists)


def until(that: Callable[[], object]) -> None:
    """Wait for something that another thread or process does."""
    end = time.monotonic() + 30
    while not that():
        assert time.monotonic() < end
        time.sleep(0.01)


def states(path: Path) -> list[str]:
    return [entry.state for entry in Journal(path).transactions()]


def in_thread(journal: Journal, script: Callable[[Any], object], seconds: float = 0.005) -> None:
    with journal.recover_every(seconds) as every:
        script(every)


def in_asyncio(journal: Journal, script: Callable[[Any], object], seconds: float = 0.005) -> None:
    async def main() -> None:
        async with journal.recover_every(seconds) as every:
            await asyncio.to_thread(script, every)

    asyncio.run(main())


def in_trio(journal: Journal, script: Callable[[Any], object], seconds: float = 0.005) -> None:
    async def main() -> None:
        async with journal.recover_every(seconds) as every:
            await trio.to_thread.run_sync(script, every)

    trio.run(main)


FORMS = [in_thread, in_asyncio, in_trio]
