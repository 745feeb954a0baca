"""What is no number of a transaction, step or hook is refused, and nothing has happened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actionqueues import transaction
from actionqueues.journal import Journal

from . import actions
from .actions import trail
from .leaving import leave
from .undoings import committed

CALLS: dict[str, Callable[[Journal, Any], object]] = {
    "recover": lambda journal, given: journal.recover(given),
    "recover_async": lambda journal, given: asyncio.run(journal.recover_async(given)),
    "undo": lambda journal, given: journal.undo(given),
    "undo_async": lambda journal, given: asyncio.run(journal.undo_async(given)),
    "undo_plan": lambda journal, given: journal.undo_plan(given),
    "show": lambda journal, given: journal.show(given),
    "resolve": lambda journal, given: journal.resolve(given, 1, undone=True),
    "resolve_hook": lambda journal, given: journal.resolve_hook(given, 1),
    "abandon": lambda journal, given: journal.abandon(given),
}


@pytest.mark.parametrize("call", CALLS)
def test_what_is_no_number_of_a_transaction(path: Path, call: str) -> None:
    """A text is none: SQLite would take it for one, and a recovery beside it would not."""
    leave(path, lambda q: actions.put("a"))
    journal = committed(path, lambda q: actions.put("b"))
    with transaction() as q:
        pass
    for given in ("1", "2", 2.0, True, None, b"2", [1, 2], q, journal.show(2), q.report):
        with pytest.raises(TypeError, match=r"the number of a transaction is an int, such as q\.report\.id, or") as no:
            CALLS[call](journal, given)
        assert repr(given)[:80] in str(no.value)
    assert [entry.state for entry in journal.transactions()] == ["open", "committed"]
    assert trail == []


@pytest.mark.parametrize("call", CALLS)
def test_a_number_that_no_file_can_hold(path: Path, call: str) -> None:
    journal = committed(path, lambda q: actions.put("a"))
    with pytest.raises(LookupError, match=f"there is no transaction {1 << 64}$"):
        CALLS[call](journal, 1 << 64)


def test_what_is_no_number_of_a_step_or_a_hook(path: Path) -> None:
    journal = committed(path, lambda q: actions.put("a"))
    with pytest.raises(
        TypeError, match=r"of a step is an int, such as .* journal\.show\(\.\.\.\)\.steps, and not 'put'"
    ):
        journal.resolve(1, "put", undone=True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="of a hook is an int"):
        journal.resolve_hook(1, "tell")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_what_behaves_like_a_number_is_one(path: Path) -> None:
    class One:
        def __index__(self) -> int:
            return 1

    number: Any = One()
    assert committed(path, lambda q: actions.put("a")).undo(number).id == 1


@pytest.mark.parametrize("given", ["no", 0, None])
def test_a_decision_is_true_or_false(path: Path, given: Any) -> None:
    journal = committed(path, lambda q: (actions.put("a"), actions.irreversible()))
    with pytest.raises(TypeError, match=r"journal\.undo\(partly=\.\.\.\) must be True or False, not "):
        journal.undo(1, partly=given)
    with pytest.raises(TypeError, match=r"journal\.resolve\(undone=\.\.\.\) must be True or False, not "):
        journal.resolve(1, 1, undone=given)
    assert (journal.show(1).state, trail) == ("committed", [])
