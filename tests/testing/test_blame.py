"""Who is blamed: the caller who has changed an argument, the database that has rolled back, and no innocent step."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from actionqueues import Retry, Step, action, current_step, transaction
from actionqueues.testing import Bug, Sweep, database, memory, sweep

from .world import free, put, world

# -- an argument that the caller has changed


class Batch:
    def __init__(self, *names: str) -> None:
        self.items = list(names)


def names_in(batch: Any) -> list[str]:
    return list(batch.items if isinstance(batch, Batch) else batch)


@action
def put_all(batch: Any) -> None:
    world.update(dict.fromkeys(names_in(batch), True))


@put_all.rollback
def take_all(batch: Any) -> None:
    for name in names_in(batch):
        free(name)


@action
def put_strictly(batch: Any) -> None:
    put_all(batch)


@put_strictly.rollback
def take_strictly(batch: Any) -> None:
    if not names_in(batch):
        raise LookupError("an empty batch")


def clear(batch: Any) -> None:
    (batch.items if isinstance(batch, Batch) else batch).clear()


@pytest.mark.parametrize("make", [list, set, deque, Batch], ids=lambda make: make.__name__)
@pytest.mark.parametrize("step", [put_all, put_strictly], ids=["returns", "raises"])
def test_an_argument_that_the_caller_has_changed_is_named_for_every_fault(make: Any, step: Any) -> None:
    def scenario() -> None:
        batch = make("a") if make is Batch else make(["a"])
        with transaction():
            step(batch)
            clear(batch)
            put("b")

    made = sweep(
        scenario, state=memory(world), reset=world.clear, faults=["-taken"], disturb=lambda step: put_beside(step)
    )
    own = ("before", "after", "interrupt")  # of the step itself: the batch is cleared later
    late = [each for each in made if not (each.fault in own and each.place.startswith("put_"))]
    assert late
    found = {outcome.id: outcome.bug for outcome in late if outcome.bug is not Bug.MUTATED}
    assert found == {}
    assert all("batch was changed after the call" in outcome.message for outcome in late)


def put_beside(step: Step[Any]) -> Callable[[], object]:
    world["beside"] = True
    return lambda: world.pop("beside")


def test_what_a_step_works_on_is_no_argument_that_somebody_has_changed() -> None:
    """It is given the whole world, changes it, and others do; and its undo forgets something."""

    @action
    def fill(shop: dict[str, Any], name: str) -> None:
        shop[name] = "full"
        shop[f"{name}'s lid"] = "on"

    @fill.rollback
    def empty(shop: dict[str, Any], name: str) -> None:
        shop.pop(name, None)

    def scenario() -> None:
        with transaction():
            fill(world, "jar")
            put("b")

    bugs = {outcome.bug for outcome in sweep(scenario, state=memory(world), reset=world.clear, faults=["before"])}
    assert bugs == {None, Bug.INCOMPLETE}


# -- a database that rolls back by itself


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT UNIQUE)")
        yield connection


def inserting(db: sqlite3.Connection) -> Any:
    @action
    def insert(email: str) -> None:
        db.execute("INSERT INTO users (email) VALUES (?)", (email,))
        current_step().save(made=True)

    @insert.rollback
    def delete(email: str, step: Step[None]) -> None:
        if "made" in step.saved and not db.execute("DELETE FROM users WHERE email = ?", (email,)).rowcount:
            raise LookupError(email)

    return insert


def told(made: Sweep) -> list[tuple[str, Bug, str]]:
    return [(each.id, each.finding.bug, each.finding.step) for each in made if each.finding is not None]


def test_rows_that_were_not_committed_before_and_go_with_a_rollback_are_no_steps_doing(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO users (email) VALUES ('base')")
    insert = inserting(db)

    def scenario() -> None:
        with db, transaction():
            put("a")
            insert("ada")

    made = sweep(scenario, state={"db": database(db), "world": memory(world)})
    assert told(made) == [("before@put", Bug.TAKEN_ALONG, "")]
    assert "no step has removed this, and no undo has: if a database has rolled back by itself" in str(made.failures[0])


def test_a_step_whose_rows_a_rollback_of_the_database_has_taken_along_is_told_so(db: sqlite3.Connection) -> None:
    insert = inserting(db)

    def scenario() -> None:
        with transaction():
            try:
                insert("ada")
                insert("bob")
            except BaseException:
                db.rollback()
                raise

    made = sweep(
        scenario, state=database(db), faults=["before", "after"], reset=lambda: db.execute("DELETE FROM users")
    )
    found = told(made)
    assert found == [(f"{when}@insert#2", Bug.TAKEN_ALONG, "insert") for when in ("before", "after")]
    assert "insert: its undo raised LookupError('ada'): what it had made was gone" in made.failures[0].message


# -- what a failed attempt has written


@pytest.mark.parametrize("by", ["saved", "result"])
def test_an_undo_that_restores_what_its_own_failed_attempt_wrote_is_told_how_to_keep_what_was_before(by: str) -> None:
    world["page"] = "old"

    @action(retry=Retry(attempts=3, on=ConnectionError))
    def publish(name: str) -> Any:
        before = world[name]
        if by == "saved":
            current_step().save(before=before)
        world[name] = "new"
        return before

    @publish.rollback
    def restore(name: str, step: Step[Any], result: Any = None) -> None:
        before = step.saved.get("before") if by == "saved" else result
        if before is not None:
            world[name] = before

    def scenario() -> None:
        with transaction():
            publish("page")

    made = sweep(scenario, state=memory(world), faults=["after"], reset=lambda: world.update(page="old"))
    first = next(outcome for outcome in made if not outcome.ok)
    assert (first.id, first.bug) == ("after@publish", Bug.REPEATED)
    name = "before" if by == "saved" else "old"
    assert "its undo restore restores what its own failed attempt wrote" in first.message
    assert f'keep that once, `if "{name}" not in step.saved: step.save({name}=...)`' in first.message
