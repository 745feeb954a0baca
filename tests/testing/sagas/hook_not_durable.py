"""A commit hook is lost if the process dies after the commit."""

from __future__ import annotations

import tempfile
from pathlib import Path

from actionqueues import action, transaction
from actionqueues.testing import Bug, directory
from tests.testing.log import FileLog
from tests.testing.sagas.crashes import recovering

from .saga import Saga

FOUND = ("crash@transaction.committing+", "transaction", Bug.HOOK_LOST)


def make(mended: bool) -> Saga:
    """The saga."""
    folder = Path(tempfile.mkdtemp(prefix="saga-"))
    log = FileLog(folder / "log")

    @action
    def write(name: str) -> None:
        (folder / name).write_text("hello")

    @write.rollback
    def erase(name: str) -> None:
        (folder / name).unlink(missing_ok=True)

    def tell() -> None:
        (folder / "told").write_text("told")

    def scenario() -> None:
        with transaction() as q:
            write("a.txt")
            q.on_commit(tell)

    return recovering(
        log, scenario, {"write": erase}, directory(folder), {"tell": tell} if mended else {}, reset=["a.txt", "told"]
    )
