"""Pictures of directories, databases and objects: what they hold, and what differs between two of them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from actionqueues.testing import database, directory, memory
from actionqueues.testing.differences import compare, render
from actionqueues.testing.snapshots import frozen, picture


def lines(before: object, after: object, *ignore: Any) -> list[str]:
    return [str(change) for change in compare(frozen(before), frozen(after), ignore)]


def test_what_was_added_removed_and_changed_is_told_by_its_path() -> None:
    before = {"db": {"users": {"1": {"name": "ada"}}}, "list": [1, 2]}
    after = {"db": {"users": {"1": {"name": "eve"}, "2": {}}}, "list": [1]}
    assert lines(before, after) == ["~ db.users[1].name: 'ada' -> 'eve'", "+ db.users[2]: {}", "- list[1]: 2"]


def test_a_name_dotted_names_or_a_predicate_may_differ() -> None:
    def is_n(path: tuple[str, ...]) -> bool:
        return path[-1] == "n"

    before, after = {"db": {"seen": 1, "n": 1}}, {"db": {"seen": 2, "n": 2}}
    assert lines(before, after, "seen") == ["~ db.n: 1 -> 2"]
    assert lines(before, after, "db.*") == []
    assert lines(before, after, is_n) == ["~ db.seen: 1 -> 2"]


def test_values_that_cannot_be_compared_are_compared_by_what_they_show() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise TypeError

        def __hash__(self) -> int:
            return 0

        def __repr__(self) -> str:
            return "odd"

    assert lines([Odd()], [Odd()]) == []


def test_a_long_difference_is_cut() -> None:
    shown = render(compare({}, frozen(dict.fromkeys(range(30)))))
    assert (len(shown), shown[-1]) == (21, "  ... and 10 more")


def test_a_picture_is_not_reached_by_later_changes() -> None:
    @dataclass
    class Cart:
        items: list[str]

    class Shop:
        def __init__(self) -> None:
            self.carts = {"ada": Cart(["tea"])}
            self.tags = {"b", "a"}
            self.raw = bytearray(b"x")
            self.shop = self

    shop = Shop()
    take = memory(shop)
    before = take()
    assert compare(before, take()) == []
    shop.carts["ada"].items.append("milk")
    shop.tags.add("c")
    assert [change.path for change in compare(before, take())] == [("carts", "ada", "items", "[1]"), ("tags", "'c'")]


def test_memory_takes_one_thing_or_several_by_name() -> None:
    assert memory(a=[1], b={})() == {"a": [1], "b": {}}
    with pytest.raises(TypeError, match="several by name"):
        memory([], [])


def test_a_state_that_is_none_is_refused_with_what_would_do() -> None:
    wrong: list[Any] = [{"db": 1}, []]
    with pytest.raises(TypeError, match=r"there are memory\(thing\), directory\(path\) and database\(connection\)"):
        picture(wrong[0])
    with pytest.raises(TypeError, match="state must be a function"):
        picture(wrong[1])


def test_a_directory_shows_content_mode_and_links(tmp_path: Path) -> None:
    take = directory(tmp_path / "home")
    assert take() == {}
    (tmp_path / "home" / "in").mkdir(parents=True)
    (tmp_path / "home" / "in" / "file").write_bytes(b"1")
    (tmp_path / "home" / "in" / "file").chmod(0o640)
    (tmp_path / "home" / "link").symlink_to("in")
    os.mkfifo(tmp_path / "home" / "pipe")
    found = take()
    assert list(found) == ["in", "in/file", "link", "pipe"]
    assert str(found["in/file"]) == "File(mode='640', content=b'1')"
    assert str(found["link"]) == "Link(target='in')"
    assert str(found["pipe"]).startswith("Special(mode='prw")


def test_a_database_shows_the_rows_of_each_table_by_their_key(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    assert database(path)() == {}
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE log (line TEXT);"
            "INSERT INTO users VALUES (7, 'ada'); INSERT INTO log VALUES ('x'), ('x');"
        )
        shown = {
            "log": {"('x',)": {"line": "x"}, "('x',) again, 2": {"line": "x"}},
            "users": {"7": {"id": 7, "name": "ada"}},
        }
        assert database(db)() == database(path)() == database(lambda: sqlite3.connect(path))() == shown
        assert database(db, tables=["users"], keys={"users": "name"})() == {
            "users": {"'ada'": {"id": 7, "name": "ada"}}
        }


class OtherDatabase:
    """A DB-API connection that is not sqlite3's, over one that is: `information_schema` is a table of it."""

    def __init__(self) -> None:
        self.real = sqlite3.connect(":memory:")
        self.real.execute("ATTACH ':memory:' AS information_schema")
        self.real.execute("CREATE TABLE information_schema.tables (table_name, table_type, table_schema)")
        self.real.execute("INSERT INTO tables VALUES ('users', 'BASE TABLE', 'public'), ('v', 'VIEW', 'public')")
        self.real.execute("CREATE TABLE users (name)")
        self.real.execute("INSERT INTO users VALUES ('ada')")

    def cursor(self) -> Any:
        return self.real.cursor()


def test_any_other_database_is_asked_by_its_information_schema() -> None:
    db = OtherDatabase()
    assert database(db)() == {"users": {"('ada',)": {"name": "ada"}}}
    db.real.close()
