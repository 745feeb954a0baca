"""A journal that records a step once its body has run knows nothing of what died in between."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from actionqueues import action, transaction
from actionqueues.core.requests import Request
from actionqueues.testing import Bug, directory
from tests.testing.log import FileLog
from tests.testing.sagas.crashes import recovering

from .saga import Saga

FOUND = ("crash@write.attempted", "write", Bug.NOT_RECOVERED)


class LateLog(FileLog):
    """Writes a step down after its body."""

    def attempting(self, step: Any) -> Request | None:
        return None

    def attempted(self, step: Any, result: object, error: BaseException | None) -> Request:
        return self.write("start", step.name, step.args)


def make(mended: bool) -> Saga:
    """The saga."""
    folder = Path(tempfile.mkdtemp(prefix="saga-"))
    log = (FileLog if mended else LateLog)(folder / "log")

    @action
    def write(name: str) -> None:
        (folder / name).write_text("hello")

    @write.rollback
    def erase(name: str) -> None:
        (folder / name).unlink(missing_ok=True)

    def scenario() -> None:
        with transaction():
            write("a.txt")

    return recovering(log, scenario, {"write": erase}, directory(folder))
