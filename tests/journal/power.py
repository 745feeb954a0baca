"""A power cut, simulated: what SQLite writes and syncs is recorded, and replayed to any point, less what was unsynced.

SQLite runs here with a file layer of our own (`apsw` lets Python be one).  A disk may have done any of the writes since
the last sync of a file, and half of one.
"""

from __future__ import annotations

import random
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import apsw

__all__ = ["Event", "Recorder", "disk_after"]


class Event(NamedTuple):
    """What happened: ``write``, ``truncate``, ``sync``, ``delete`` of a file, or a ``mark`` of the program."""

    what: str
    file: str
    place: int = 0
    data: bytes = b""


class _File(apsw.VFSFile):
    recorder: Recorder

    def __init__(self, recorder: Recorder, name: Any, flags: list[int]) -> None:
        self.recorder = recorder
        path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        self.file = Path(path).name
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        self.recorder.events.append(Event("write", self.file, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self.recorder.events.append(Event("truncate", self.file, newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self.recorder.events.append(Event("sync", self.file))
        super().xSync(flags)


class _Layer(apsw.VFS):
    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        super().__init__("recorded", "")

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802
        return _File(self.recorder, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self.recorder.events.append(Event("delete", Path(filename).name))
        super().xDelete(filename, syncdir)


class _Result:
    """What `sqlite3` returns from `execute`."""

    def __init__(self, db: apsw.Connection, rows: list[Any]) -> None:
        self.rows = rows
        self.lastrowid = db.last_insert_rowid()
        self.rowcount = db.changes()

    def fetchone(self) -> Any:
        return self.rows[0] if self.rows else None

    def fetchall(self) -> list[Any]:
        return self.rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self.rows)


class _Connection:
    """An `apsw` connection that looks like one of `sqlite3`, as far as a journal looks at it."""

    def __init__(self, path: str) -> None:
        self.db = apsw.Connection(path, vfs="recorded")
        self.db.set_busy_timeout(1000)

    def execute(self, statement: str, parameters: Any = ()) -> _Result:
        try:
            return _Result(self.db, list(self.db.execute(statement, parameters)))
        except apsw.Error as error:
            raise sqlite3.OperationalError(str(error)) from error

    def executemany(self, statement: str, rows: Any) -> None:
        self.db.executemany(statement, rows)

    @property
    def in_transaction(self) -> bool:
        return self.db.in_transaction

    def close(self) -> None:
        self.db.close()


class Recorder:
    """Records all that SQLite does to its files."""

    def __init__(self, events: list[Event] | None = None) -> None:
        self.events: list[Event] = [] if events is None else events
        self.layer = _Layer(self)

    def connect(self, path: str, **_: Any) -> Any:
        return _Connection(path.removeprefix("file://").removesuffix("?mode=rw"))

    def mark(self, text: str) -> None:
        self.events.append(Event("mark", text))

    def close(self) -> None:
        self.layer.unregister()


Choice = Callable[[random.Random, Event], "bool | None"]

#: What a disk may have done with what was not synced: nothing, all, or any part of it, half of a write included.
CHOICES: dict[str, Choice] = {
    "nothing": lambda _random, _event: False,
    "everything": lambda _random, _event: True,
    "some": lambda random, _event: random.random() < 0.5,
    "torn": lambda random, _event: random.choice([True, False, None]),
}


def disk_after(events: list[Event], choice: Choice, chance: random.Random) -> dict[str, bytes]:
    """The files after a power cut behind the last of these events."""
    synced: dict[str, int] = defaultdict(int)
    for place, event in enumerate(events):
        if event.what == "sync":
            synced[event.file] = place
    files: dict[str, bytearray] = defaultdict(bytearray)
    for place, event in enumerate(events):
        kept = True if place < synced[event.file] else choice(chance, event)
        if event.what in ("mark", "sync") or kept is False:
            continue
        if event.what == "delete":
            files.pop(event.file, None)
            continue
        content = files[event.file]
        if event.what == "truncate":
            del content[event.place :]
            continue
        data = event.data if kept else event.data[: len(event.data) // 2]
        if len(content) < event.place:
            content.extend(bytes(event.place - len(content)))
        content[event.place : event.place + len(data)] = data
    return {name: bytes(content) for name, content in files.items()}
