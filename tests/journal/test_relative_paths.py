"""Recovery from another working directory follows no relative path, unless it goes back to the directory of then."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from actionqueues import Step, action, current_step, transaction
from actionqueues.journal import Journal, durable
from actionqueues.journal.places import Place

from .actions import trail
from .leaving import Body, edit, leave, leave_async, recovered
from .test_cli import run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")


@action
def make(name: Any) -> None:
    current_step()
    Path(name).touch()


@make.rollback
def remove(name: Any) -> None:
    Path(name).unlink(missing_ok=True)
    trail.append(f"-{name}")


@action
def make_some(*names: Any, **more: Any) -> None: ...


@make_some.rollback
def remove_some(*names: Any, **more: Any) -> None:
    trail.append(f"-{names} {more}")


@action
def make_for(user: str, file: str) -> str:
    current_step().save(copy=f"{file}.copy")
    return f"{file}.made"


@make_for.rollback
def remove_for(user: str) -> None:
    trail.append(f"-{user}")


@action
def make_by_step(user: str, file: str) -> str:
    current_step().save(copy=f"{file}.copy")
    return f"{file}.made"


@make_by_step.rollback
def remove_by_step(step: Step[str]) -> None:
    trail.append(step.arguments["user"])
    if step.arguments["user"] == "result":
        trail.append(step.result)
    if step.arguments["user"] == "saved":
        trail.append(step.saved["copy"])
    if step.arguments["user"] == "file":
        trail.append(step.arguments["file"])


@action
async def make_async(name: str) -> None:
    Path(name).touch()


@make_async.rollback
async def remove_async(name: str) -> None:
    await asyncio.sleep(0)
    Path(name).unlink()
    trail.append(f"-{name}")


@dataclass
class Settings:
    owner: str
    file: str


@dataclass
class Copying:
    """An action object."""

    source: str

    def execute(self) -> None: ...

    def rollback(self) -> None:
        trail.append(f"-{self.source}")


@durable
def publish(name: str) -> None:
    trail.append(f"!{name}")


@durable
def by_hand(name: str) -> None:
    trail.append(f"-{name}")


@pytest.fixture
def then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the process that dies; the tests are in it, too, until they go to another one."""
    for name in ("then", "now"):
        (tmp_path / name / "folder").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path / "then")
    return tmp_path / "then"


@pytest.fixture
def now(then: Path) -> Path:
    """The directory of the recovery."""
    return then.parent / "now"


# -- the case


def test_a_file_of_that_name_here_is_left_alone_and_the_other_one_waits(path: Path, then: Path, now: Path) -> None:
    (now / "x.txt").touch()
    leave(path, lambda q: make("x.txt"))
    os.chdir(now)
    one = recovered(path)
    assert (one.state, trail) == ("stuck", [])
    assert (one.reason or "").endswith(
        f"the undo of make needs 'name': 'x.txt' is relative to {str(then)!r}, where it was recorded, and this is "
        f"{str(now)!r}; use --chdir, in a program chdir=True, or do it from there"
    )
    assert [(folder / "x.txt").exists() for folder in (then, now)] == [True, True]
    (two,) = Journal(path).recover(chdir=True)
    assert (two.state, trail, os.getcwd()) == ("rolled back", ["-x.txt"], str(now))
    assert [(folder / "x.txt").exists() for folder in (then, now)] == [False, True]


def test_from_there_it_is_as_ever(path: Path, then: Path) -> None:
    leave(path, lambda q: make("x.txt"))
    assert (recovered(path).state, trail) == ("rolled back", ["-x.txt"])


def test_the_command_has_a_way_out(path: Path, then: Path, now: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave(path, lambda q: make("x.txt"))
    leave_async(path, lambda q: make_async("y.txt"))
    os.chdir(now)
    status, lines = run(capsys, "recover", str(path))
    assert (status, trail) == (1, [])
    assert all("use --chdir" in line for line in lines[:2])
    assert run(capsys, "recover", str(path), "--chdir")[0] == 0
    assert (trail, os.getcwd()) == (["-x.txt", "-y.txt"], str(now))


def test_each_transaction_is_undone_in_its_own_directory(path: Path, then: Path, now: Path) -> None:
    leave(path, lambda q: make("x.txt"))
    os.chdir(now)
    leave(path, lambda q: make("x.txt"))
    os.chdir(path.parent)
    assert [one.state for one in Journal(path).recover()] == ["stuck", "stuck"]
    assert [one.state for one in Journal(path).recover(chdir=True)] == ["rolled back", "rolled back"]
    assert [(folder / "x.txt").exists() for folder in (then, now)] == [False, False]


def test_an_event_loop_has_the_same_way_out(path: Path, then: Path, now: Path) -> None:
    leave_async(path, lambda q: make_async("x.txt"))
    os.chdir(now)
    journal = Journal(path)
    assert [one.state for one in asyncio.run(journal.recover_async())] == ["stuck"]
    assert [one.state for one in asyncio.run(journal.recover_async(chdir=True))] == ["rolled back"]
    assert (trail, os.getcwd()) == (["-x.txt"], str(now))


def test_it_comes_back_whatever_an_undo_raises(path: Path, then: Path, now: Path) -> None:
    leave(path, lambda q: make("x.txt"))
    (then / "x.txt").unlink()
    (then / "x.txt").mkdir()
    os.chdir(now)
    (one,) = Journal(path).recover(chdir=True)
    assert (one.state, os.getcwd()) == ("stuck", str(now))


# -- a directory that is not there


def test_a_directory_that_has_gone_leaves_what_may_be_a_path_stuck(path: Path, then: Path, now: Path) -> None:
    def body(q: Any) -> None:
        for name in ("x.txt", "folder/x", "apple", "ada@example.com"):
            make_some(name)
        make_some(Path("plum"))

    leave(path, body)
    os.chdir(now)
    then.rename(then.parent / "moved")
    for chdir in (False, True):
        (one,) = Journal(path).recover(chdir=chdir)
        assert one.state == "stuck"
        assert (
            f"'plum' is relative to {str(then)!r}, where it was recorded, and which is not there any more; make that"
            in (one.reason or "")
        )
    assert trail == ["-('ada@example.com',) {}", "-('apple',) {}"]
    (then.parent / "moved").rename(then)
    (one,) = Journal(path).recover(chdir=True)
    assert one.state == "rolled back"


def test_a_directory_that_nobody_knows_stops_nothing(path: Path, then: Path, now: Path) -> None:
    leave(path, lambda q: make("x.txt"))
    edit(path, "UPDATE transactions SET directory = NULL")
    os.chdir(now)
    assert (recovered(path).state, trail) == ("rolled back", ["-x.txt"])


def test_whoever_has_no_directory_follows_no_relative_path(path: Path, then: Path, now: Path) -> None:
    leave(path, lambda q: make("x.txt"))
    (now / "folder").rmdir()
    os.chdir(now)
    now.rmdir()
    try:
        one = recovered(path)
        assert one.state == "stuck"
        assert "where it was recorded, and this one has been removed; use --chdir" in (one.reason or "")
        (one,) = Journal(path).recover(chdir=True)
        assert (one.state, trail) == ("rolled back", ["-x.txt"])
    finally:
        os.chdir(then)


# -- what counts as a path

PATHS: list[Any] = [
    "here.txt",
    "there.txt",
    "folder",
    "folder/new.txt",
    "./new",
    "../then/any",
    ".",
    Path("anything"),
    ["ada", "there.txt"],
    {"there.txt": 1},
    {"file": "there.txt"},
    ({"a": ["b", {"c": ("there.txt",)}]},),
    Settings("ada", "there.txt"),
    {Path("anything"), Path("/absolute")},
    b"there.txt",
    "there",
    "archive.tar",
]
OTHERS: list[Any] = [
    "ada",
    "",
    "ada@example.com",
    "https://example.com/folder/there.txt",
    "text/html",
    "2026-11-29",
    "/absolute/there.txt",
    "x" * 5000,
    "a line\nand another",
    Path("/absolute"),
    PurePosixPath("anything"),
    b"ada",
    3 + 4j,
    b"\xff\x00",
    "archive.ta",
    1,
    None,
    Settings("ada", "lovelace"),
]


@pytest.mark.parametrize("value", PATHS, ids=range(len(PATHS)))
def test_this_counts_as_a_relative_path(value: Any, path: Path, then: Path, now: Path) -> None:
    (now / "here.txt").touch()
    (then / "there.txt").touch()
    (then / "archive.tar.gz").touch()
    leave(path, lambda q: make_some(value))
    os.chdir(now)
    assert (recovered(path).state, trail) == ("stuck", [])


@pytest.mark.parametrize("value", OTHERS, ids=range(len(OTHERS)))
def test_this_does_not(value: Any, path: Path, then: Path, now: Path) -> None:
    (then / "there.txt").touch()
    (then / "archive.tar.gz").touch()
    leave(path, lambda q: make_some(value))
    os.chdir(now)
    assert recovered(path).state == "rolled back"
    assert len(trail) == 1


def test_what_an_undo_is_not_given_may_be_any_path(path: Path, then: Path, now: Path) -> None:
    (then / "x.txt").touch()
    leave(path, lambda q: make_for("ada", "x.txt"))
    os.chdir(now)
    assert (recovered(path).state, trail) == ("rolled back", ["-ada"])


@pytest.mark.parametrize("what", ["result", "saved", "file"])
def test_what_it_reads_from_its_step_is_what_it_is_given(what: str, path: Path, then: Path, now: Path) -> None:
    for name in ("x.txt", "x.txt.made", "x.txt.copy"):
        (then / name).touch()
    leave(path, lambda q: make_by_step(what, "x.txt"))
    os.chdir(now)
    one = recovered(path)
    assert (one.state, trail) == ("stuck", [what])
    assert f"is relative to {str(then)!r}" in (one.reason or "")
    (two,) = Journal(path).recover(chdir=True)
    assert (two.state, len(trail)) == ("rolled back", 3)


def test_one_that_reads_no_path_is_called(path: Path, then: Path, now: Path) -> None:
    (then / "x.txt").touch()
    leave(path, lambda q: make_by_step("ada", "x.txt"))
    os.chdir(now)
    assert (recovered(path).state, trail) == ("rolled back", ["ada"])


WAYS: dict[str, Body] = {
    "keyword": lambda q: make_some(name="x.txt"),
    "object": lambda q: (q.add(Copying("x.txt")), q.execute()),
    "by hand": lambda q: q.on_rollback(by_hand, "x.txt"),
    "by hand, by name": lambda q: q.on_rollback(by_hand, name="x.txt"),
}


@pytest.mark.parametrize("way", WAYS)
def test_so_is_what_is_given_in_another_way(way: str, path: Path, then: Path, now: Path) -> None:
    (then / "x.txt").touch()
    leave(path, WAYS[way])
    os.chdir(now)
    assert (recovered(path).state, trail) == ("stuck", [])
    (one,) = Journal(path).recover(chdir=True)
    assert (one.state, len(trail)) == ("rolled back", 1)


def test_a_durable_hook_follows_no_relative_path_either(path: Path, then: Path, now: Path) -> None:
    (then / "x.txt").touch()
    with transaction(journal=path) as q:
        q.on_commit(publish, "x.txt")
    edit(path, "UPDATE transactions SET ended = NULL")
    edit(path, "UPDATE hooks SET ended = NULL")
    trail.clear()
    os.chdir(now)
    one = recovered(path)
    assert (one.state, trail) == ("stuck", [])
    assert "'x.txt' is relative to" in (one.reason or "")
    (two,) = Journal(path).recover(chdir=True)
    assert (two.state, trail) == ("committed", ["!x.txt"])


def test_damaged_data_are_no_paths(then: Path, now: Path) -> None:
    os.chdir(now)
    place = Place(str(then))
    wrong: list[Any] = [{"$bytes": 3}, {"$bytes": "x"}]
    wrong += (
        {"$path": 3},
        {"$nonsense": None},
        {"$bytes": 3},
        {"$bytes": "x"},
        {},
        [],
        {"$dataclass": ["a:B", {"file": "nothing"}]},
    )
    for data in wrong:
        assert place.refusal(data) is None, json.dumps(data)
