"""An undo needs the live connection of the process that has died."""

from __future__ import annotations

import tempfile
from pathlib import Path

from actionqueues import action, transaction
from actionqueues.testing import Bug, directory
from tests.testing.log import FileLog
from tests.testing.sagas.crashes import recovering

from .saga import Saga

FOUND = ("crash@write.attempting+", "write", Bug.RECOVERY_FAILED)


def make(mended: bool) -> Saga:
    """The saga."""
    folder = Path(tempfile.mkdtemp(prefix="saga-"))
    log = FileLog(folder / "log")
    connections: dict[str, Path] = {}

    @action
    def write(name: str) -> None:
        (folder / name).write_text("hello")

    @write.rollback
    def erase(name: str) -> None:
        home = folder if mended else connections["home"]  # each run of the program makes its own
        (home / name).unlink(missing_ok=True)

    def scenario() -> None:
        connections["home"] = folder
        try:
            with transaction():
                write("a.txt")
        finally:
            connections.clear()

    return recovering(log, scenario, {"write": erase}, directory(folder))
