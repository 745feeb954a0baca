"""How the journal is built: what `tests/test_house.py` does not say of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import actionqueues.journal as package

PUBLIC = sorted(package.__all__)


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.glob("*.py")), ids=lambda path: path.name)
def test_a_file_of_its_tests_is_under_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 400


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_class_says_the_name_that_users_import(name: str) -> None:
    public = getattr(package, name)
    assert not isinstance(public, type) or public.__module__ == "actionqueues.journal"


def test_an_error_survives_pickling() -> None:
    import pickle

    for error in (
        package.JournalError("a.db", "why"),
        package.JournalCorrupt("a.db", "why"),
        package.NotRecordable("a.db", "why", "what", "type"),
        package.NotRestorable("a.db", "why"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), "journal 'a.db': why", vars(error))
