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


def test_what_is_not_a_number_is_as_it_was() -> None:
    assert compare([float("nan")], [float("nan")]) == []
    assert compare([float("nan")], [1.0]) != []


class Vector:
    """Compares by element, as arrays do, and shows the first one only."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers

    def __eq__(self, other: object) -> Any:
        raise ValueError("the truth value of an array is ambiguous")

    def __repr__(self) -> str:
        return f"Vector({self.numbers[0]}, ...)"


def test_values_that_cannot_be_compared_are_compared_by_all_they_hold() -> None:
    assert compare([Vector(1, 2)], [Vector(1, 2)]) == []
    assert compare([Vector(1, 2)], [Vector(1, 3)]) != []


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


class Slotted:
    __slots__ = ("__mine", "name", "unset")

    def __init__(self) -> None:
        self.name, self.__mine = "ada", [1]

    def add(self) -> None:
        self.__mine.append(2)


class More(Slotted):
    __slots__ = "more"  # noqa: PLC0205 - as Python allows

    def __init__(self) -> None:
        super().__init__()
        self.more = 1


def test_objects_with_slots_are_shown_by_what_they_hold() -> None:
    shown = {"name": "ada", "_Slotted__mine": [1]}
    thing, other = Slotted(), More()
    assert frozen(thing) == shown
    assert frozen(other) == {**shown, "more": 1}
    before = frozen(thing)
    thing.add()
    assert [change.path for change in compare(before, frozen(thing))] == [("_Slotted__mine", "[1]")]


def test_keys_that_look_alike_and_views_are_all_shown() -> None:
    assert frozen({1: "a", "1": "b"}) == {"1": "a", "1 again, 2": "b"}
    assert frozen({"x": 1, "y": 2}.values()) == [1, 2]


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
    assert list(found) == [".", "in", "in/file", "link", "pipe"]
    assert str(found["in/file"]) == "File(mode='640', content=b'1')"
    assert str(found["link"]) == "Link(target='in')"
    assert str(found["pipe"]).startswith("Special(mode='prw")


def test_a_directory_shows_itself_and_how_many_names_a_file_has(tmp_path: Path) -> None:
    take = directory(tmp_path / "home")
    before = take()
    (tmp_path / "home").mkdir(mode=0o755)
    assert [str(change) for change in compare(before, take())] == ["+ .: Folder(mode='755')"]
    (tmp_path / "home" / "a").write_bytes(b"1")
    one = frozen(take())
    (tmp_path / "home" / "b").hardlink_to(tmp_path / "home" / "a")
    assert [change.path for change in compare(one, frozen(take()))] == [("a",), ("b",)]
    assert str(take()["a"]).endswith("content=b'1', links=2)")


def test_a_file_that_is_gone_meanwhile_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"1")
    real = os.scandir
    seen = list(real(tmp_path))

    def late(path: object) -> list[os.DirEntry[str]]:
        return seen

    (tmp_path / "a").unlink()
    monkeypatch.setattr(os, "scandir", late)
    assert list(directory(tmp_path)()) == ["."]


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


def test_a_database_shows_what_is_attached_and_temporary_by_the_name_of_its_schema() -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(
            "ATTACH ':memory:' AS more; CREATE TABLE users (name); CREATE TABLE more.users (id INTEGER PRIMARY KEY);"
            'CREATE TEMP TABLE "a.b" (x); CREATE VIEW v AS SELECT 1; CREATE TABLE w (k TEXT PRIMARY KEY) WITHOUT ROWID;'
            "INSERT INTO more.users VALUES (7); INSERT INTO w VALUES ('x');"
        )
        more = {"7": {"id": 7}}
        shown = {"users": {}, "w": {"'x'": {"k": "x"}}, "temp.a.b": {}, "more.users": more}
        assert database(db)() == shown
        assert database(db, tables="more.users", keys={"more.users": "id"})() == {"more.users": more}


def as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


@pytest.mark.parametrize("factory", [None, sqlite3.Row, as_dict])
def test_a_database_is_shown_alike_whatever_its_connection_makes_of_rows_and_text(factory: Any) -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript("CREATE TABLE users (id INTEGER PRIMARY KEY, name); INSERT INTO users VALUES (1, x'00ff')")
        db.row_factory = factory
        db.text_factory = bytes
        assert database(db)() == {"users": {"1": {"id": 1, "name": b"\x00\xff"}}}


def test_what_is_no_database_and_what_is_no_key_are_refused() -> None:
    with pytest.raises(TypeError, match="takes a DB-API connection, which has a method cursor, .*, not 3"):
        database(3)
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE users (id, name)")
        with pytest.raises(ValueError, match="keys=: users has no column 'email'; it has id, name"):
            database(db, keys={"users": "email"})()


class OtherDatabase:
    """A DB-API connection that is not sqlite3's, over one that is: `information_schema` is a table of it."""

    def __init__(self) -> None:
        self.real = sqlite3.connect(":memory:")
        self.real.execute("ATTACH ':memory:' AS information_schema")
        self.real.execute("CREATE TABLE information_schema.tables (table_name, table_type, table_schema)")
        self.real.execute(
            "INSERT INTO tables VALUES ('users', 'BASE TABLE', 'main'), ('v', 'VIEW', 'main'), ('log', 'BASE TABLE',"
            " 'main'), ('log', 'BASE TABLE', 'old')"
        )
        self.real.execute("ATTACH ':memory:' AS old")
        self.real.executescript("CREATE TABLE log (line); CREATE TABLE old.log (line)")
        self.real.execute("CREATE TABLE users (name)")
        self.real.execute("INSERT INTO users VALUES ('ada')")

    def cursor(self) -> Any:
        return self.real.cursor()


def test_any_other_database_is_asked_by_its_information_schema() -> None:
    db = OtherDatabase()
    shown = {"main.log": {}, "old.log": {}, "users": {"('ada',)": {"name": "ada"}}}
    assert database(db)() == shown
    db.real.row_factory = as_dict
    assert database(db)() == shown
    db.real.close()


def test_names_are_quoted_as_mysql_has_them() -> None:
    asked: list[str] = []

    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, *parameters: Any) -> Cursor:
            asked.append(sql)
            return super().execute(sql, *parameters)

    class Connection(OtherDatabase):
        __module__ = "pymysql.connections"

        def cursor(self) -> Any:
            return self.real.cursor(Cursor)

    db = Connection()
    assert database(db, tables=["users"])() == {"users": {"('ada',)": {"name": "ada"}}}
    assert asked == ["SELECT * FROM `users`"]
    db.real.close()
