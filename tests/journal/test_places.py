"""A program that changes its working directory goes on in the file that it has begun with."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

from actionqueues import transaction
from actionqueues.journal import Journal, set_default_journal, shared_journal

from . import actions


@pytest.fixture(autouse=True)
def two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "one")
    yield
    for name in ("one", "two"):
        Journal(tmp_path / name / "x.db").close()


def count(path: Path) -> int:
    return len(Journal(path).transactions()) if path.exists() else 0


@pytest.mark.parametrize("name", ["x.db", "./x.db", "../one/x.db"])
def test_a_relative_path_means_what_it_meant_when_it_was_first_used(name: str, tmp_path: Path) -> None:
    for folder in ("one", "two", "one"):
        with chdir(tmp_path / folder), transaction(journal=name):
            actions.put("a")
    assert (count(tmp_path / "one/x.db"), count(tmp_path / "two/x.db")) == (3, 0)


def test_names_for_one_place_are_one_name(tmp_path: Path) -> None:
    with transaction(journal="x.db"):
        actions.put("a")
    with chdir(tmp_path / "two"), transaction(journal=Path("./x.db")):
        actions.put("b")
    assert (count(tmp_path / "one/x.db"), count(tmp_path / "two/x.db")) == (2, 0)


def test_the_journal_that_the_program_has_made_is_meant(tmp_path: Path) -> None:
    journal = Journal("x.db", redact=("name",))
    with chdir(tmp_path / "two"):
        assert shared_journal("x.db") is journal
    assert shared_journal(tmp_path / "one/x.db") is journal


def test_the_default_journal_is_where_it_was_set(tmp_path: Path) -> None:
    set_default_journal("x.db")
    try:
        with chdir(tmp_path / "two"), transaction():
            actions.put("a")
    finally:
        set_default_journal(None)
    assert (count(tmp_path / "one/x.db"), count(tmp_path / "two/x.db")) == (1, 0)


def test_a_journal_that_is_made_elsewhere_is_another_one_and_then_the_one_that_is_meant(tmp_path: Path) -> None:
    first = Journal("x.db")
    with chdir(tmp_path / "two"):
        second = Journal("x.db")
    assert (first.path, second.path) == (str(tmp_path / "one/x.db"), str(tmp_path / "two/x.db"))
    assert shared_journal("x.db") is second


def test_once_it_is_closed_the_name_is_looked_up_again(tmp_path: Path) -> None:
    with transaction(journal="x.db"):
        actions.put("a")
    Journal(tmp_path / "one/x.db").close()
    with chdir(tmp_path / "two"), transaction(journal="x.db"):
        actions.put("b")
    assert (count(tmp_path / "one/x.db"), count(tmp_path / "two/x.db")) == (1, 1)


def test_a_journal_without_a_name_is_refused_as_ever() -> None:
    with pytest.raises(ValueError, match="takes the name of a file"):
        shared_journal("")
    nothings: list[Any] = [3, Journal]
    for nothing in nothings:
        with pytest.raises(TypeError, match="takes a Journal or the path of one"):
            transaction(journal=nothing)


def test_the_directory_is_recorded_with_the_transaction(tmp_path: Path) -> None:
    journal = Journal("x.db")
    with transaction(journal=journal):
        actions.put("a")
    with chdir(tmp_path / "two"), transaction(journal=journal):
        actions.put("b")
    rows = journal.store.read("SELECT directory FROM transactions ORDER BY id")
    assert rows == [(str(tmp_path / "one"),), (str(tmp_path / "two"),)]


@pytest.mark.skipif(sys.platform != "linux", reason="others have no such names, or remove no working directory")
def test_a_directory_that_cannot_be_told_is_not_recorded(tmp_path: Path) -> None:
    journal = Journal("x.db")
    (tmp_path / "gone").mkdir()
    with chdir(tmp_path / "gone"), pytest.raises(FileNotFoundError):  # `chdir` does not find its way back
        os.chdir(tmp_path / "gone")
        os.rmdir(tmp_path / "gone")
        with transaction(journal=journal):
            actions.put("a")
        os.getcwd()
    odd = os.path.join(os.fsencode(tmp_path), b"\xff")
    os.mkdir(odd)
    with chdir(odd), transaction(journal=journal):
        actions.put("b")
    assert journal.store.read("SELECT directory FROM transactions") == [(None,), (None,)]
