"""An undo removes the file, and leaves the directories that were made for it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from actionqueues import action, transaction
from actionqueues.testing import Bug, directory

from .saga import Saga

FOUND = ("after@upload", "upload", Bug.INCOMPLETE)


def make(mended: bool) -> Saga:
    """The saga."""
    root = Path(tempfile.mkdtemp())

    @action
    def upload(name: str) -> None:
        (root / "2026" / "01").mkdir(parents=True, exist_ok=True)
        (root / "2026" / "01" / name).write_text("x")

    @upload.rollback
    def remove(name: str) -> None:
        (root / "2026" / "01" / name).unlink(missing_ok=True)
        for folder in (root / "2026" / "01", root / "2026") if mended else ():
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()

    def scenario() -> None:
        with transaction():
            upload("a")
            upload("b")

    return Saga(scenario, directory(root))
