"""Whatever is wrong with a value, the step that needs it recorded is refused by name, and no other."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from actionqueues import action, current_step, transaction
from actionqueues.journal import Journal, NotRecordable, Serializer

from .actions import failing, put, tell, trail
from .faulty import put as put_and_ask


@dataclass
class Unfinished:
    number: int
    never_set: int = field(init=False)


class Unsure:
    def __actionqueues_reference__(self) -> int:
        raise KeyError("which of them")


class ToNothing(Serializer):
    def encode(self, value: Any) -> Any:
        return value  # whatever it is: JSON does not know it then


@action
def makes_anything(value: Any) -> Any:
    return Unfinished(1)


@action
def fails_with(*args: Any) -> None:
    raise LookupError(*args)


@action
def saves(name: str) -> None:
    step = current_step()
    step.save(name=name, other=Unfinished(1))


WRONG: list[Any] = [Unfinished(1), [{"a": Unfinished(1)}], Unsure()]


@pytest.mark.parametrize("value", WRONG)
def test_a_value_that_cannot_be_looked_at_is_refused_by_name(value: Any, path: Path) -> None:
    with pytest.raises(NotRecordable, match=r"'name' of put.*(never_set|which of them)"), transaction(journal=path):
        put(value)
    with pytest.raises(NotRecordable, match="'name' of tell"), transaction(journal=path) as q:
        q.on_commit(tell, value)
    assert trail == []


def test_a_serializer_that_makes_no_json_is_told_of_by_name(path: Path) -> None:
    journal = Journal(path, serializer=ToNothing())
    with pytest.raises(NotRecordable, match=r"'name' of put.*not JSON serializable"), transaction(journal=journal):
        put(object())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - which is the case
    assert trail == []


def test_a_result_that_cannot_be_looked_at_is_not_needed_by_everyone(path: Path) -> None:
    with transaction(journal=path):
        makes_anything(1)
    (step,) = Journal(path).show(1).steps
    assert (step.state, step.result) == ("done", None)


def test_what_is_saved_and_cannot_be_looked_at_is_refused_by_name(path: Path) -> None:
    with pytest.raises(NotRecordable, match="'other' of what saves saves"), transaction(journal=path):
        saves("a")


@pytest.mark.parametrize("args", [(Unfinished(1),), (Unsure(), 2)])
def test_an_error_that_cannot_be_looked_at_is_recorded_as_text(args: tuple[Any, ...], path: Path) -> None:
    failing["+a"] = LookupError()
    failing["+a"].args = args
    journal = Journal(path)
    with pytest.raises(LookupError), transaction(journal=journal):
        put("a")
    (step,) = journal.show(1).steps
    assert set(json.loads(step.error or "")) == {"type", "text"}


def test_a_huge_and_a_strange_value_are_recorded(path: Path) -> None:
    values: list[Any] = [-0.0, 10**400, "\ud800\0\u2028", {None: float("inf")}, {1: 2, (1,): 3}]
    journal = Journal(path)
    with transaction(journal=journal):
        for value in values:
            put_and_ask(value)
    back = [journal.values.read_value(step.result or "") for step in journal.show(1).steps]
    assert repr(back) == repr(values)
