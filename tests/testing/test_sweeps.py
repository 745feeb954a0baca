"""A sweep finds the steps by itself, injects each fault once, and leaves the world as a committed run does."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actionqueues import (
    Action,
    ActionQueue,
    CommitHookFailed,
    Retry,
    Step,
    action,
    current_step,
    transaction,
)
from actionqueues.core.watch import SEAM
from actionqueues.testing import Bug, Injected, SweepError, SweepFailed, database, directory, memory, sweep

from .world import Taken, claim, free, put, take, world


def ids(made: Any) -> list[str]:
    return [outcome.id for outcome in made.check().outcomes]


def two() -> None:
    with transaction("two"):
        put("a")
        put("b")


def test_each_fault_is_injected_at_each_step_and_the_committed_run_comes_last() -> None:
    assert ids(sweep(two, state=memory(world))) == [
        "before@put",
        "after@put",
        "interrupt@put",
        "before@put#2",
        "after@put#2",
        "interrupt@put#2",
        "commit@two",
        "undo@put",
        "twice@put",
        "undo@put#2",
        "twice@put#2",
        "taken@put",
        "taken@put#2",
    ]
    assert world == {"a": True, "b": True}


def test_one_fault_can_be_run_alone_by_its_id() -> None:
    assert ids(sweep(two, state=memory(world), only=["after@put#2"])) == ["after@put#2"]
    assert world == {}


def test_an_id_that_is_not_reached_is_refused_with_the_steps_there_are() -> None:
    with pytest.raises(SweepError, match="after@put#3 was not reached; the steps of this run were put, put#2"):
        sweep(two, state=memory(world), only=["after@put#3"]).check()


@pytest.mark.parametrize("text", ["after", "after@", "never@put", "after@put>after@", "after@put "])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no id of a fault"):
        sweep(two, state=memory(world), only=[text])


def test_only_the_chosen_kinds_are_tried() -> None:
    assert ids(sweep(two, state=memory(world), faults=["interrupt"])) == ["interrupt@put", "interrupt@put#2"]


def test_a_kind_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no fault 'sideways'; there are after"):
        sweep(two, state=memory(world), faults=["sideways"])


def test_a_scenario_without_steps_is_refused() -> None:
    with pytest.raises(SweepError, match=r"nothing was injected: no step was made \(0 transactions were entered\)"):
        sweep(lambda: put("a"), state=memory(world)).check()


def test_a_scenario_that_fails_by_itself_is_refused() -> None:
    def fails() -> None:
        with transaction():
            put("a")
            raise LookupError("lost")

    with pytest.raises(SweepError, match=r"fails by itself, with nothing injected: LookupError\('lost'\)"):
        sweep(fails, state=memory(world)).check()


def test_steps_on_a_path_that_only_a_fault_leads_to_are_found() -> None:
    def plan() -> None:
        with transaction("plan"):
            try:
                put("a")
            except Exception:
                put_other("b")

    @action
    def put_other(key: str) -> None:
        claim(key)

    @put_other.rollback
    def take_other(key: str, error: BaseException | None) -> None:
        free(key, error)

    name = "test_steps_on_a_path_that_only_a_fault_leads_to_are_found.<locals>.put_other"
    found = ids(sweep(plan, state=memory(world)))
    other = next(each.partition("@")[2].partition("@")[2] for each in found if ">" in each)
    assert f"before@put>after@{other}" in found
    assert f"before@put>twice@{other}" in found
    assert other in name
    assert world == {"a": True}


def test_a_path_that_two_faults_lead_to_is_found() -> None:
    def named(name: str) -> Callable[[str], None]:
        @action(name=name)
        def put_so(key: str) -> None:
            claim(key)

        put_so.rollback(take)
        return put_so

    first, second, third = map(named, ("first", "second", "third"))

    def scenario() -> None:
        with transaction():
            try:
                first("a")
            except Injected:
                try:
                    second("b")
                except Injected:
                    third("c")

    assert "before@first>before@second>after@third" in ids(sweep(scenario, state=memory(world)))


def test_a_retried_step_also_fails_twice_and_then_works() -> None:
    reached: list[int] = []

    @action(retry=Retry(attempts=5, on=ConnectionError))
    def call() -> None:
        reached.append(current_step().attempts)
        world[current_step().key] = True

    @call.rollback
    def hang_up(step: Step[Any]) -> None:
        world.pop(step.key, None)

    def scenario() -> None:
        with transaction():
            call()

    attempts: dict[str, list[int]] = {}
    for outcome in sweep(scenario, state=memory(world)):
        assert outcome.ok
        attempts[outcome.fault] = [*reached]
        reached.clear()
    assert list(attempts)[:6] == ["before", "before-twice", "before-always", "after", "after-twice", "after-always"]
    assert list(attempts.values())[:6] == [[2], [3], [], [1, 2], [1, 2, 3], [1, 2, 3, 4, 5]]


def test_a_fault_that_lasts_meets_the_later_calls_of_the_action_and_not_the_earlier_ones() -> None:
    reached: list[str] = []

    @action
    def note(key: str) -> None:
        reached.append(key)
        world[key] = True

    @note.rollback
    def forget(key: str) -> None:
        world.pop(key, None)

    def scenario() -> None:
        with transaction():
            for key in "abc":
                try:
                    note(key)
                except Injected:
                    pass

    found: dict[str, str] = {}
    for outcome in sweep(scenario, state=memory(world)):
        found[outcome.id] = "".join(reached)
        reached.clear()
    assert (found["before@note#2"], found["before-always@note#2"]) == ("ac", "a")


def test_an_undo_with_a_policy_also_fails_once() -> None:
    @action
    def call() -> None:
        world["call"] = True

    @call.rollback(retry=Retry(attempts=3, on=TimeoutError))
    def hang_up() -> None:
        world.pop("call", None)

    made: list[Any] = []

    def scenario() -> None:
        with transaction() as q:
            made.append(q)
            put("a")
            call()

    failed = {outcome.id: [*made[-1].report.failures] for outcome in sweep(scenario, state=memory(world))}
    assert failed["undo-once@call"] == []
    assert len(failed["undo@call"]) == 1


def test_savepoints_queued_steps_and_undos_by_hand_are_swept() -> None:
    def scenario() -> None:
        with transaction() as q:
            with q.savepoint():
                put("a")
            q.add(put, "b")
            world["c"] = True
            q.on_rollback(take, "c")

    found = ids(sweep(scenario, state=memory(world)))
    assert {"after@put", "after@put#2", "twice@take"} <= set(found)
    assert world == {"a": True, "b": True, "c": True}


@action
def note() -> None:
    world["audited"] = True


@note.rollback
def unnote() -> None:
    world.pop("audited", None)


def test_what_shares_nothing_with_the_transaction_may_stay() -> None:
    def scenario() -> None:
        with transaction():
            with transaction(independent=True):
                note()
            put("a")

    assert "after@put" in ids(sweep(scenario, state=memory(world), faults=["before", "after", "commit"]))


def test_a_reset_may_take_away_what_shares_nothing_with_the_transaction() -> None:
    def scenario() -> None:
        with transaction() as q:
            with transaction(independent=True):
                note()
            put("a")
            q.on_commit(world.setdefault, "told", True)

    found = ids(sweep(scenario, state=memory(world), reset=world.clear, faults=["before", "after", "hook"]))
    assert found[-1] == "hook@dict.setdefault"


class Put(Action):
    def __init__(self, key: str) -> None:
        self.key = key

    def execute(self) -> None:
        world[self.key] = True

    def rollback(self) -> None:
        world.pop(self.key, None)


def test_a_classic_queue_is_swept() -> None:
    def classic() -> None:
        q = ActionQueue()
        q.add(Put("a"))
        q.add(Put("b"))
        try:
            q.execute()
        except BaseException:
            q.rollback()
            raise

    found = ids(sweep(classic, state=memory(world)))
    assert {"before@Put", "after@Put#2", "interrupt@Put#2", "twice@Put", "undo@Put#2"} <= set(found)
    assert SEAM.observe is None
    assert world == {"a": True, "b": True}


def test_a_classic_queue_in_an_undo_is_a_part_of_that() -> None:
    @action
    def put_by_hand() -> None:
        claim("a")

    @put_by_hand.rollback
    def take_by_a_queue(error: BaseException | None) -> None:
        if isinstance(error, Taken):
            return
        q = ActionQueue()
        q.add(world.pop, "a", None)
        q.execute()

    def scenario() -> None:
        with transaction():
            put_by_hand()

    made = sweep(scenario, state=memory(world)).check()
    assert {outcome.fault for outcome in made.outcomes} == {
        "before",
        "after",
        "interrupt",
        "commit",
        "undo",
        "twice",
        "taken",
    }


def leaking() -> None:
    @action
    def leak() -> None:
        world["leak"] = True

    with transaction():
        leak()
        put("a")


def test_a_leak_stops_the_sweep_that_has_no_reset() -> None:
    made = sweep(leaking, state=memory(world))
    with pytest.raises(SweepFailed, match="has no undo") as caught:
        made.check()
    assert made.stopped == "the world is not as it was; to go on after that, give reset="
    assert [outcome.bug for outcome in caught.value.outcomes] == [Bug.NO_UNDO]


def test_with_reset_a_sweep_goes_on_after_a_leak() -> None:
    made = sweep(leaking, state=memory(world), reset=world.clear)
    with pytest.raises(SweepFailed) as caught:
        made.check()
    assert made.stopped is None
    assert len(caught.value.outcomes) > 3


def test_a_reset_that_does_not_is_refused() -> None:
    with pytest.raises(SweepError, match="reset= does not put the world back"):
        sweep(leaking, state=memory(world), reset=lambda: None).check()


def test_hooks_fail_where_the_world_can_be_reset() -> None:
    def scenario() -> None:
        with transaction() as q:
            put("a")
            q.on_commit(put, "told")

    made = sweep(scenario, state=memory(world), reset=world.clear)
    assert any(each.startswith("hook@put") for each in ids(made))
    with pytest.raises(SweepFailed, match="must not undo or repeat it"):
        sweep(lambda: swallowing(scenario), state=memory(world), reset=world.clear).check()


def swallowing(scenario: Any) -> None:
    try:
        scenario()
    except CommitHookFailed:
        world.clear()


def test_files_and_a_database_are_compared_by_name(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "db", isolation_level=None)
    db.execute("CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT)")
    homes = tmp_path / "homes"
    homes.mkdir()

    @action
    def create(email: str) -> None:
        db.execute("INSERT INTO users (email) VALUES (?)", (email,))

    @create.rollback
    def delete(email: str) -> None:
        db.execute("DELETE FROM users WHERE email = ?", (email,))

    @action
    def home(name: str) -> None:
        (homes / name).mkdir()

    def scenario() -> None:
        with transaction():
            create("ada@example.com")
            home("ada")

    made = sweep(scenario, state={"db": database(db), "homes": directory(homes)}, ignore=["sqlite_sequence"])
    with pytest.raises(SweepFailed, match=r"\+ homes.ada: Folder\(mode='7"):
        made.check()
    db.close()


def test_what_is_left_after_an_injected_failure_is_told_by_the_outcomes_and_not_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = sweep(leaking, state=memory(world), reset=world.clear)
    with pytest.raises(SweepFailed, match="has no undo"):
        made.check()
    assert caplog.messages == []
    world.clear()
    with pytest.raises(LookupError), transaction():
        leaking()
        raise LookupError
    assert len(caplog.messages) == 1
    assert "not undone: " in caplog.messages[0]
