"""Import some hundred invoices into a database and an archive, many at once; one of them is broken.

Each invoice is read, entered in SQLite, and copied to the archive in a worker thread. When one
cannot be read, all that the others have done until then is undone, also what was still on its way
in a thread. Without the broken one, everything goes in.

    python examples/fan_out.py

The exit status is 0 if the failed import has left nothing behind, and the second one is complete.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sqlite3
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionqueues import Step, action, current_step, transaction

COUNT = 300
BROKEN = 187
AT_ONCE = 24


class BadInvoice(Exception):
    """A file is not what it should be."""


# ---------------------------------------------------------------- the steps, each with its undo


@action
def enter(db: sqlite3.Connection, number: int, cents: int) -> None:
    with db:
        db.execute("INSERT INTO invoices (number, cents) VALUES (?, ?)", (number, cents))
    current_step().save(entered=True)


@enter.rollback
def strike_out(db: sqlite3.Connection, number: int, step: Step[None]) -> None:
    if "entered" in step.saved:  # otherwise that number is somebody else's
        with db:
            db.execute("DELETE FROM invoices WHERE number = ?", (number,))


@action
def archive(source: Path, target: Path) -> None:
    """Runs in a thread, which nothing can stop: so the end of the block waits for it."""
    with source.open("rb") as file, target.open("xb") as copy:  # which refuses what is there
        current_step().save(made=True)
        shutil.copyfileobj(file, copy)


@archive.rollback
def remove_copy(target: Path, step: Step[None]) -> None:
    if "made" in step.saved:
        target.unlink(missing_ok=True)


# ---------------------------------------------------------------- the job


@dataclass
class Books:
    """Where invoices go."""

    db: sqlite3.Connection
    folder: Path

    def count(self) -> tuple[int, int]:
        """How many are in the database, and how many in the archive."""
        (rows,) = self.db.execute("SELECT count(*) FROM invoices").fetchone()
        return rows, sum(1 for _ in self.folder.iterdir())


def read(source: Path) -> tuple[int, int]:
    try:
        invoice: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
        return int(invoice["number"]), int(invoice["cents"])
    except (ValueError, KeyError) as error:
        raise BadInvoice(f"{source.name}: {error}") from error


async def import_one(source: Path, books: Books, places: asyncio.Semaphore) -> None:
    async with places:
        number, cents = await asyncio.to_thread(read, source)
        enter(books.db, number, cents)
        await asyncio.to_thread(archive, source, books.folder / source.name)


async def import_all(sources: list[Path], books: Books) -> None:
    """All of them, or none."""
    places = asyncio.Semaphore(AT_ONCE)
    q = transaction("import")
    try:
        async with q, asyncio.TaskGroup() as group:
            for source in sources:
                group.create_task(import_one(source, books, places))
    finally:
        undone = len(q.report.undone)
        print(f"  {q.state}" + (f": {undone} steps undone" if undone else ""))


# ---------------------------------------------------------------- the program


def write_invoices(inbox: Path) -> list[Path]:
    """Make something to import; one file has been cut off."""
    inbox.mkdir()
    paths: list[Path] = []
    for number in range(1, COUNT + 1):
        text = json.dumps({"number": number, "cents": 100 + 7 * number, "to": f"customer {number}"})
        path = inbox / f"invoice-{number:04}.json"
        path.write_text(text[: len(text) // 2] if number == BROKEN else text, encoding="utf-8")
        paths.append(path)
    return paths


async def run(books: Books, sources: list[Path]) -> list[str]:
    """Import everything, then everything but the broken one; returns what is wrong."""
    wrong: list[str] = []
    print(f"{len(sources)} invoices, {AT_ONCE} at once, one of them cut off")
    try:
        await import_all(sources, books)
        wrong.append("the broken invoice was not noticed")
    except* BadInvoice as failed:
        print(f"  failed: {failed.exceptions[0]}")
    print("  left behind: {} rows and {} copies".format(*books.count()))
    if books.count() != (0, 0):
        wrong.append("the failed import has left something behind")

    good = [source for source in sources if source.name != f"invoice-{BROKEN:04}.json"]
    print(f"the {len(good)} others")
    await import_all(good, books)
    if books.count() != (len(good), len(good)):
        wrong.append("the second import is not complete")
    if {path.name for path in books.folder.iterdir()} != {path.name for path in good}:
        wrong.append("there are other copies than there should be")
    return wrong


def main() -> int:
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        folder = root / "archive"
        folder.mkdir()
        db = sqlite3.connect(root / "books.db")
        try:
            db.execute("CREATE TABLE invoices (number INTEGER PRIMARY KEY, cents INTEGER NOT NULL)")
            wrong = asyncio.run(run(Books(db, folder), write_invoices(root / "inbox")))
        finally:
            db.close()
    for complaint in wrong:
        print(f"WRONG: {complaint}")
    if wrong:
        return 1
    print(f"OK: nothing of the failed import is left, and {COUNT - 1} of {COUNT - 1} are in")
    return 0


if __name__ == "__main__":
    sys.exit(main())
