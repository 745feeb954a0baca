"""Annotations that are evaluated when somebody asks for them, and of names that only type checkers import."""

import inspect
import sys
from pathlib import Path
from typing import Any

import pytest

from actionqueues import transaction
from actionqueues.journal import Journal

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="annotations are evaluated when a function is defined before CPython 3.14"
)

PROGRAM = """
from actionqueues import action, transaction
from actionqueues.journal import durable

told = []

@action
def put(name: str, db: Database = None) -> Row:
    told.append(f"+{name}")

@put.rollback
def take(name: str, result: Row, *, db: Database):
    told.append(f"-{name}")

class Shop:
    @action
    def open(self, other: Shop, kind: Kind) -> Shop:
        told.append("+open")

    @open.rollback
    def close(self, kind: Kind):
        told.append("-close")

def by_hand(text: Text):
    told.append(text)

@durable
def hook(text: Text):
    told.append(text)

@transaction("decorated")
def call(q: Transaction) -> Row:
    put("d")

@transaction
async def acall(q: Transaction) -> Row:
    put("e")
"""


@pytest.fixture
def program() -> dict[str, Any]:
    """What it defines, as a module without ``from __future__ import annotations`` does."""
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(PROGRAM, __file__, "exec", dont_inherit=True), names)
    sys.modules[__name__].__dict__.update(put=names["put"], hook=names["hook"])  # a journal finds them by name
    return names


def test_steps_undos_and_hooks_may_be_annotated_with_names_that_are_not_there(program: dict[str, Any]) -> None:
    shop = program["Shop"]()
    with pytest.raises(KeyError), transaction() as q:
        program["put"]("a")
        shop.open(shop, 1)
        q.on_rollback(program["by_hand"], "-by hand")
        q.add(program["put"], "b")
        q.execute()
        raise KeyError
    assert program["told"] == ["+a", "+open", "+b", "-b", "-by hand", "-close", "-a"]
    program["call"](None)
    assert program["told"][-1] == "+d"
    assert inspect.iscoroutinefunction(program["acall"])


def test_arguments_that_do_not_fit_are_refused_all_the_same(program: dict[str, Any]) -> None:
    with transaction() as q, pytest.raises(TypeError, match="by_hand.*missing a required argument: 'text'"):
        q.on_rollback(program["by_hand"])


def test_they_go_into_a_journal(program: dict[str, Any], tmp_path: Path) -> None:
    with Journal(tmp_path / "actions.db") as journal:
        with transaction(journal=journal) as q:
            program["put"]("a")
            q.on_commit(program["hook"], "hook")
        assert journal.recover() == []
    assert program["told"] == ["+a", "hook"]


def test_evaluating_them_fails_as_for_the_function_itself(program: dict[str, Any]) -> None:
    with pytest.raises(NameError, match="Database"):
        assert program["put"].__annotations__
