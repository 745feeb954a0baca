"""Pictures of databases: the rows of each table, by their key.

Stands on the DB-API.  Used by scenarios, as ``state=``.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, cast

from actionqueues.core.options import known_options

from .snapshots import unused_key

__all__ = ["database"]


@known_options("database()")
def database(
    connection: Any, *, tables: Iterable[str] | None = None, keys: Mapping[str, str] | None = None
) -> Callable[[], dict[str, object]]:
    """Pictures of a database: the rows of each table, as dicts, by their key.

    Args:
        connection: an open connection of `sqlite3` or of any other DB-API module; or a function that opens one, which
            is closed after each picture; or the path of an SQLite file, which need not exist.  An open connection that
            the scenario does not use itself may go on showing what it has seen first: let a function open one.
        tables: which tables, ``"orders"`` or ``"schema.orders"``; all of them, where the database can be asked (SQLite,
            with what is attached, or ``information_schema``).
        keys: the column that identifies a row, by table; the primary key in SQLite; otherwise the whole row does.

    Raises:
        TypeError: for what is no connection, and opens none.
    """
    if not (callable(connection) or hasattr(connection, "cursor") or isinstance(connection, str | os.PathLike)):
        raise TypeError(
            "database() takes a DB-API connection, which has a method cursor, a function that opens one, or the path "
            f"of an SQLite file, not {connection!r}"
        )
    chosen = None if tables is None else (tables,) if isinstance(tables, str) else tuple(tables)
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


class _Table(NamedTuple):
    schema: str  # or empty
    name: str

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


def _tables(db: Any, chosen: Sequence[str] | None, keys: Mapping[str, str]) -> dict[str, object]:
    cursor = db.cursor()
    try:
        is_sqlite = isinstance(db, sqlite3.Connection)
        if is_sqlite:
            cursor.row_factory = None
        mark = "`" if re.search("mysql|maria", type(db).__module__, re.IGNORECASE) else '"'
        if chosen is None:
            tables = dict(_all_sqlite(cursor) if is_sqlite else _all_others(cursor))
        else:
            parted = [name.rpartition(".") for name in chosen]
            tables = {name: _Table(schema, last) for name, (schema, _, last) in zip(chosen, parted, strict=True)}
        return {label: _rows(cursor, table, keys.get(label), is_sqlite, mark) for label, table in tables.items()}
    finally:
        cursor.close()


def _fetched(cursor: Any) -> list[tuple[Any, ...]]:
    """All rows as tuples, whatever the connection makes of them."""
    rows: list[Any] = cursor.fetchall()
    return [tuple(cast("Mapping[str, Any]", row).values() if isinstance(row, Mapping) else row) for row in rows]


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _all_sqlite(cursor: Any) -> Iterator[tuple[str, _Table]]:
    cursor.execute("PRAGMA database_list")
    for _, schema, _ in _fetched(cursor):
        quoted = _quoted(_text(schema), '"')
        cursor.execute(f"SELECT name FROM {quoted}.sqlite_master WHERE type = 'table' ORDER BY name")  # noqa: S608 - quoted
        for (name,) in _fetched(cursor):
            table = _Table(_text(schema), _text(name))
            yield (table.name if table.schema == "main" else table.label), table


def _all_others(cursor: Any) -> Iterator[tuple[str, _Table]]:
    cursor.execute(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND"
        " table_schema NOT IN ('information_schema', 'pg_catalog', 'mysql', 'performance_schema', 'sys')"
        " ORDER BY table_name, table_schema"
    )
    tables = [_Table(_text(schema), _text(name)) for schema, name in _fetched(cursor)]
    count = Counter(table.name for table in tables)
    yield from ((table.name if count[table.name] == 1 else table.label, table) for table in tables)


def _quoted(name: str, mark: str) -> str:
    return mark + name.replace(mark, mark * 2) + mark


def _rows(cursor: Any, table: _Table, key: str | None, is_sqlite: bool, mark: str) -> dict[str, object]:
    within = f"{_quoted(table.schema, mark)}." if table.schema else ""
    name = _quoted(table.name, mark)
    primary = [key] if key is not None else []
    if is_sqlite and not primary:
        cursor.execute(f"PRAGMA {within}table_info({name})")
        primary = [_text(row[1]) for row in _fetched(cursor) if row[5]]
    cursor.execute(f"SELECT * FROM {within}{name}")  # noqa: S608 - the name of a table, quoted
    columns = [_text(column[0]) for column in cursor.description]
    if key is not None and key not in columns:
        raise ValueError(f"keys=: {table.name} has no column {key!r}; it has {', '.join(columns)}")
    found: dict[str, object] = {}
    for values in _fetched(cursor):
        row = dict(zip(columns, values, strict=True))
        identity = ", ".join(repr(row[column]) for column in primary) if primary else repr(values)
        found[unused_key(identity, found)] = row
    return dict(sorted(found.items()))
