"""Histories of workflows, which each later version has to replay: ``python -m tests.engines.temporal_histories``.

That runs the workflows below on a server, with a worker in this process, and writes their histories into
``tests/engines/histories/VERSION``.  Do it when a version is released, and whenever the version that is not released
yet decides otherwise than it did.  Those of versions that were released stay as they are: workflows that have begun
with these may still be running.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from temporalio.client import Client

from .servers import TemporalServer
from .temporal_running import Place, outcome
from .temporal_scene import lines

FOLDER = Path(__file__).parent / "histories"

#: By the name of its file: the workflow and its arguments, and what is in the trail when it is cancelled, if it is.
RUNS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "done": ("Order", (), ""),
    "failed-in-its-own-code": ("Order", ("between",), ""),
    "failed-in-its-second-step": ("Order", ("charge",), ""),
    "failed-in-its-last-step": ("Order", ("ship",), ""),
    "caught": ("Several", ("caught",), ""),
    "retried": ("Several", ("retried",), ""),
    "undo-retried": ("Several", ("undo_retried",), ""),
    "undo-failed": ("Several", ("undo_fails",), ""),
    "result-not-carried": ("Several", ("unencodable",), ""),
    "beside": ("Several", ("beside",), ""),
    "undone-concurrently": ("Several", ("undone_concurrently",), ""),
    "savepoints-and-a-mark": ("Several", ("savepoints",), ""),
    "hooks": ("Several", ("hooks",), ""),
    "two-blocks-at-once": ("Several", ("two_blocks_at_once",), ""),
    "timed-out": ("Several", ("timed_out",), ""),
    "timed-out-in-the-block": ("Several", ("timed_out_in_the_block",), ""),
    "cancelled": ("Several", ("waiting",), "did wait"),
    "cancelled-and-not-heard": ("Several", ("waiting_returns",), "did wait"),
}


async def record(target: str, folder: Path) -> None:
    """Run them all, and write their histories."""
    client = await Client.connect(target, identity="recorder")
    for name, (workflow, args, cancelled_at) in RUNS.items():
        place = Place(client, "recorded", f"trail-{name}")
        async with place.worker():
            handle = await place.start(workflow, *args, id=name)
            if cancelled_at:
                await place.until(cancelled_at)
                await handle.cancel()
            await outcome(place, handle)
        history = await handle.fetch_history()
        text = json.dumps(json.loads(history.to_json(), object_hook=without_trace), indent=1)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        print(f"{name}: {len(history.events)} events, {len(lines(place.trail))} effects")


def without_trace(data: dict[str, Any]) -> dict[str, Any]:
    """An object without the traceback of a failure, in which there are paths of this machine."""
    return {name: value for name, value in data.items() if name != "stackTrace"}


def main() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folder = FOLDER / project["version"]
    folder.mkdir(parents=True, exist_ok=True)
    with TemporalServer() as server, tempfile.TemporaryDirectory() as here:
        os.chdir(here)
        asyncio.run(record(server.target, folder))
        os.chdir(folder)


if __name__ == "__main__":
    main()
