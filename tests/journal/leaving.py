"""Processes that die in a transaction, and what the tests of recovery do with the file that they leave."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from actionqueues import transaction
from actionqueues.journal import Journal, Recovered

Body = Callable[[Any], object]


def die() -> None:
    """End this process as nothing can prevent it."""
    os.kill(os.getpid(), signal.SIGKILL)


def died(pid: int) -> None:
    """Wait for a child that dies in the middle of its transaction."""
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def leave(path: Path, body: Body, **options: Any) -> None:
    """Let a process run a body in a transaction, and die in it."""
    pid = os.fork()
    if pid == 0:
        try:
            with transaction("left", journal=Journal(path, **options)) as q:
                body(q)
                die()
        finally:
            os._exit(1)
    died(pid)


def leave_async(path: Path, body: Callable[[Any], Any]) -> None:
    pid = os.fork()
    if pid == 0:

        async def main() -> None:
            async with transaction("left", journal=Journal(path)) as q:
                await body(q)
                die()

        try:
            asyncio.run(main())
        finally:
            os._exit(1)
    died(pid)


def close(path: Path) -> None:
    """Close the journal of a path, whatever could not be recorded in it."""
    journal = Journal(path)
    journal.store.late.clear()
    journal.close()


def edit(path: Path, statement: str, *values: Any) -> None:
    Journal(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement, values)
        db.commit()


def recovered(path: Path, **options: Any) -> Recovered:
    (one,) = Journal(path, **options).recover()
    return one
