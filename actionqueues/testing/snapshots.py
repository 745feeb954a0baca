"""Ready pictures of the world: directories, databases, objects in memory; and how a picture is kept.

Each of the three makes a function without arguments that takes a picture; so does any function of the user's own.  A
picture is *frozen*: made of dicts with text as keys, lists, and values that nobody changes afterwards.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import sqlite3
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from enum import Enum
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple, TypeAlias, cast

__all__ = [
    "File",
    "Folder",
    "Link",
    "Special",
    "State",
    "database",
    "directory",
    "frozen",
    "is_blank",
    "memory",
    "picture",
]

#: Takes a picture of the world; or several, by the name of the system that each shows.
State: TypeAlias = "Callable[[], object] | Mapping[str, Callable[[], object]]"


class File(NamedTuple):
    """A regular file."""

    mode: str  #: its permissions, such as ``"644"``
    content: bytes  #: all that is in it


class Folder(NamedTuple):
    """A directory."""

    mode: str  #: its permissions, such as ``"755"``


class Link(NamedTuple):
    """A symbolic link."""

    target: str  #: where it leads


class Special(NamedTuple):
    """Something else: a socket, a pipe, a device."""

    mode: str  #: its type and permissions, such as ``"prw-r--r--"``


def directory(path: str | os.PathLike[str]) -> Callable[[], dict[str, object]]:
    """Pictures of a directory: content, mode and links, by path relative to it; nothing where it does not exist."""
    root = Path(path)

    def take() -> dict[str, object]:
        found: dict[str, object] = {}
        pending = [root]
        while pending:
            folder = pending.pop()
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except (FileNotFoundError, NotADirectoryError):
                continue
            for entry in entries:
                where = Path(entry.path)
                found[where.relative_to(root).as_posix()] = _entry(where)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(where)
        return dict(sorted(found.items()))

    return take


def _entry(path: Path) -> object:
    status = path.lstat()
    mode = f"{stat.S_IMODE(status.st_mode):o}"
    if stat.S_ISLNK(status.st_mode):
        return Link(str(path.readlink()))
    if stat.S_ISDIR(status.st_mode):
        return Folder(mode)
    if stat.S_ISREG(status.st_mode):
        return File(mode, path.read_bytes())
    return Special(stat.filemode(status.st_mode))


def database(
    connection: Any, *, tables: Iterable[str] | None = None, keys: Mapping[str, str] | None = None
) -> Callable[[], dict[str, object]]:
    """Pictures of a database: the rows of each table, as dicts, by their key.

    Args:
        connection: an open connection of `sqlite3` or of any other DB-API module; or a function that opens one, which
            is closed after each picture; or the path of an SQLite file, which need not exist.
        tables: which tables; all of them, where the database can be asked (SQLite, or ``information_schema``).
        keys: the column that identifies a row, by table; the primary key in SQLite; otherwise the whole row does.
    """
    chosen = None if tables is None else tuple(tables)
    columns = dict(keys or {})

    def take() -> dict[str, object]:
        if isinstance(connection, str | os.PathLike):
            path = Path(cast("str", connection))
            if not path.exists():
                return {}
            with closing(sqlite3.connect(path)) as db:
                return _tables(db, chosen, columns)
        if callable(connection) and not hasattr(connection, "cursor"):
            opened: Any = connection()
            with closing(opened) as db:
                return _tables(db, chosen, columns)
        return _tables(connection, chosen, columns)

    return take


def _tables(db: Any, chosen: Sequence[str] | None, keys: Mapping[str, str]) -> dict[str, object]:
    cursor = db.cursor()
    try:
        is_sqlite = isinstance(db, sqlite3.Connection)
        names = _names(cursor, is_sqlite) if chosen is None else chosen
        return {name: _rows(cursor, name, keys.get(name), is_sqlite) for name in names}
    finally:
        cursor.close()


def _names(cursor: Any, is_sqlite: bool) -> list[str]:
    if is_sqlite:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    else:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND table_schema NOT IN"
            " ('information_schema', 'pg_catalog', 'mysql', 'performance_schema', 'sys') ORDER BY table_name"
        )
    return [str(row[0]) for row in cursor.fetchall()]


def _rows(cursor: Any, table: str, key: str | None, is_sqlite: bool) -> dict[str, object]:
    quoted = '"' + table.replace('"', '""') + '"'
    primary = [key] if key is not None else []
    if is_sqlite and not primary:
        cursor.execute(f"PRAGMA table_info({quoted})")
        primary = [str(row[1]) for row in cursor.fetchall() if row[5]]
    cursor.execute(f"SELECT * FROM {quoted}")  # noqa: S608 - the name of a table, quoted
    names = [str(column[0]) for column in cursor.description]
    found: dict[str, object] = {}
    for values in cursor.fetchall():
        row = dict(zip(names, values, strict=True))
        identity = ", ".join(repr(row[name]) for name in primary) if primary else repr(tuple(values))
        found[_unused(identity, found)] = row
    return dict(sorted(found.items()))


def _unused(key: str, taken: Mapping[str, object]) -> str:
    """A key like this one that is not taken: two rows may be the same."""
    number, unused = 1, key
    while unused in taken:
        number += 1
        unused = f"{key} again, {number}"
    return unused


def memory(*things: object, **named: object) -> Callable[[], object]:
    """Pictures of what dicts, lists and objects hold: one thing, or several by name."""
    if len(things) == 1 and not named:
        return lambda: frozen(things[0])
    if things:
        raise TypeError("memory() takes one thing, or several by name: memory(cart=cart, stock=stock)")
    return lambda: {name: frozen(thing) for name, thing in named.items()}


def picture(state: State) -> Callable[[], object]:
    """A function that takes a frozen picture of `state`.

    Raises:
        TypeError: if `state` is neither a function nor a mapping of names to functions.
    """
    systems: Any = state
    if isinstance(systems, Mapping):
        takes = dict(cast("Mapping[str, Any]", systems))
        wrong = [name for name, take in takes.items() if not callable(take)]
        if not wrong:
            return lambda: {name: frozen(take()) for name, take in takes.items()}
        systems = takes[wrong[0]]
    if not callable(systems):
        raise TypeError(
            f"state must be a function without arguments, or a dict of them by name, not {systems!r}; for a thing that "
            "is there already there are memory(thing), directory(path) and database(connection)"
        )
    take_all: Callable[[], object] = systems
    return lambda: frozen(take_all())


_ATOMS = (
    Enum,
    FunctionType,
    BuiltinFunctionType,
    MethodType,
    ModuleType,
    type,
    str,
    bytes,
    int,
    float,
    complex,
    type(None),
)


def frozen(value: object) -> Any:
    """A copy that later changes do not reach: dicts, lists and the fields of objects, through and through."""
    return _frozen(value, {})


def _frozen(value: Any, above: dict[int, str]) -> Any:
    given: Any = value
    if isinstance(value, _ATOMS):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(cast("bytearray", value))
    if id(value) in above:
        return above[id(value)]
    above[id(value)] = f"<{type(value).__name__}, which this is a part of>"
    try:
        if isinstance(value, File | Folder | Link | Special):
            return value
        if isinstance(value, Mapping):
            items = cast("Mapping[object, object]", value)
            return {_key(key): _frozen(item, above) for key, item in items.items()}
        if isinstance(value, AbstractSet):
            return {repr(item): item for item in sorted(cast("AbstractSet[object]", value), key=repr)}
        if isinstance(value, Sequence):
            return [_frozen(item, above) for item in cast("Sequence[object]", value)]
        fields = _fields(given)
        if fields is not None:
            return {name: _frozen(item, above) for name, item in fields.items()}
    finally:
        del above[id(given)]
    try:
        return copy.deepcopy(given)
    except Exception:  # a connection, a lock: the thing itself is all there is to compare
        return given


def is_blank(picture: object) -> bool:
    """Whether a frozen picture shows nothing: it is empty, or a thing that cannot be copied and so never differs."""
    if isinstance(picture, Mapping):
        return all(map(is_blank, cast("Mapping[str, object]", picture).values()))
    if isinstance(picture, list):
        return all(map(is_blank, cast("list[object]", picture)))
    if picture is None:
        return True
    try:
        copy.deepcopy(picture)
    except Exception:
        return True
    return False


def _key(key: object) -> str:
    return key if isinstance(key, str) else repr(key)


def _fields(value: Any) -> dict[str, object] | None:
    """What an object holds, where its class says nothing else about when two are equal."""
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    cls: Any = value.__class__
    if cls.__eq__ is not object.__eq__:
        return None
    held = getattr(value, "__dict__", None)
    # A dict of anything:
    return dict(held) if isinstance(held, dict) and not callable(value) else None  # pyright: ignore[reportUnknownArgumentType]
