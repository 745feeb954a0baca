"""Scenarios as workflows of DBOS on PostgreSQL, in `with` blocks and in `async with` blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from dbos import DBOS, DBOSConfig, SetWorkflowID

from actionqueues.engines.dbos import DBOSEngine

from . import scenarios  # noqa: F401 # pyright: ignore[reportUnusedImport] - they are played by name
from .effects import release
from .stage import SCENARIOS, Stage, play, play_now


def on_dbos(name: str) -> Callable[[str], dict[str, Any]]:
    """The options of a scenario's blocks; each step of one that is cancelled looks for that."""
    engine = DBOSEngine(notice_within=0) if SCENARIOS[name].meddled else DBOSEngine()
    return lambda _: {"engine": engine}


@DBOS.workflow()
def in_a_with_block(name: str, run: str) -> dict[str, Any]:
    return play_now(name, Stage(run, on_dbos(name), awaits=False))


@DBOS.workflow()
async def in_an_async_with_block(name: str, run: str) -> dict[str, Any]:
    return await play(name, Stage(run, on_dbos(name), awaits=True))


@contextmanager
def launched(url: str) -> Generator[None]:
    """DBOS in this process, on a database of that url."""
    config: DBOSConfig = {
        "name": "conformance",
        "system_database_url": url,
        "application_version": "1",
        "executor_id": "tests",
        "console_log_level": "CRITICAL",
    }
    DBOS(config=config)
    DBOS.launch()
    try:
        yield
    finally:
        DBOS.destroy()


def played_on_dbos(name: str, run: str, awaits: bool) -> dict[str, Any]:
    """Play a scenario in a workflow whose id is the name of the run."""

    async def main() -> dict[str, Any]:
        with SetWorkflowID(run):
            handle = await DBOS.start_workflow_async(in_an_async_with_block, name, run)
        return await handle.get_result()

    if awaits:
        return asyncio.run(main())
    with SetWorkflowID(run):
        return DBOS.start_workflow(in_a_with_block, name, run).get_result()


@contextmanager
def playing_on_dbos(name: str, run: str, awaits: bool) -> Generator[Callable[[], dict[str, Any]]]:
    """The same, in a thread, while something is done to it; yields what gives what came of it, once this is left."""
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(played_on_dbos, name, run, awaits)
        try:
            yield told.result
        finally:
            release(run)
