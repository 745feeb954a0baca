"""What a sweep calls a bug, where that hangs on how the handler is written or on what the world looks like."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from actionqueues import Action, ActionQueue, Retry, RollbackConflict, Step, action, current_step, transaction
from actionqueues.testing import Bug, memory, playing, sweep

world: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def empty_world() -> None:
    world.clear()


def bugs(scenario: Callable[[], object], **options: Any) -> list[tuple[str, Bug]]:
    found = sweep(scenario, state=memory(world), **options)
    return [(outcome.id, outcome.finding.bug) for outcome in found if outcome.finding is not None]


def locking(undo: Callable[..., object]) -> Callable[[], None]:
    @action
    def lock(name: str) -> None:
        world[name] = "locked"

    lock.rollback(undo)

    def scenario() -> None:
        with transaction():
            lock("door")

    return scenario


def test_an_undo_that_suppresses_its_error_swallows_it() -> None:
    def unlock(name: str) -> None:
        with contextlib.suppress(KeyError):
            world.pop(name.upper())

    assert bugs(locking(unlock))[0] == ("after@lock", Bug.SWALLOWED)


def test_an_undo_that_lets_out_what_it_catches_swallows_nothing() -> None:
    def unlock(name: str) -> None:
        try:
            world.get(name)
        except KeyError as error:
            raise LookupError(name) from error

    assert bugs(locking(unlock))[0] == ("after@lock", Bug.INCOMPLETE)


def test_an_undo_that_adds_something_is_told_so_and_not_that_it_has_removed_what_was_there() -> None:
    def unlock(name: str) -> None:
        world.pop(name, None)
        world["audit"] = "unlocked"

    [outcome] = sweep(locking(unlock), state=memory(world))
    assert "lock: its undo has made something that was not there before" in outcome.message


def test_what_fails_because_an_undo_was_kept_back_is_neither_accused_nor_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @action
    def make(name: str) -> None:
        if name in world:
            raise FileExistsError(name)
        world[name] = True

    @make.rollback
    def remove(name: str, error: BaseException | None) -> None:
        if isinstance(error, FileExistsError):
            return
        if world.get(f"{name}/file"):
            raise OSError("not empty")
        world.pop(name, None)

    def scenario() -> None:
        with transaction():
            make("folder")
            make("folder/file")

    assert "undo@make#2" in [outcome.id for outcome in sweep(scenario, state=memory(world)).check().outcomes]
    assert caplog.records == []


def test_an_undo_that_fails_is_not_called_a_second_time() -> None:
    def unlock(name: str) -> None:
        if world.pop(name, None):
            raise LookupError(name)

    assert ("twice@lock", Bug.UNDO_FAILED) in bugs(locking(unlock))


def test_what_an_inner_step_has_left_is_not_put_down_to_the_step_that_has_called_it() -> None:
    @action
    def inner() -> None:
        world["inner"] = True

    @action
    def outer() -> None:
        world["outer"] = True
        inner()

    @outer.rollback
    def close() -> None:
        world.pop("outer", None)

    def scenario() -> None:
        with transaction():
            outer()

    made = sweep(scenario, state=memory(world), reset=world.clear)
    found = {outcome.id: outcome.finding for outcome in made}["after@outer"]
    assert found is not None
    assert (found.step, found.bug) == ("inner", Bug.NO_UNDO)


def test_an_undo_whose_source_is_not_there_is_judged_by_what_it_leaves() -> None:
    made: dict[str, Any] = {"world": world}
    exec("def unlock(name): world.get(name)", made)
    assert bugs(locking(made["unlock"]))[0] == ("after@lock", Bug.INCOMPLETE)


@pytest.mark.parametrize("others", ["replace", "shorten"])
@pytest.mark.parametrize("careful", [True, False])
def test_an_undo_that_overwrites_a_place_in_a_list_is_found(careful: bool, others: str) -> None:
    world["names"] = ["ada", "bob"]

    @action
    def rename(place: int, name: str) -> None:
        current_step().save(before=list(world["names"]))
        world["names"][place] = name

    @rename.rollback
    def rename_back(place: int, name: str, step: Step[Any]) -> None:
        before = step.saved.get("before", world["names"])
        if careful and world["names"] not in (before, [*before[:place], name, *before[place + 1 :]]):
            raise RollbackConflict("renamed by somebody else")
        world["names"] = list(before)

    def disturb(step: Step[Any]) -> Any:
        ours = list(world["names"])
        if others == "replace":
            world["names"][1] = "eve"
        else:
            world["names"].pop()
        return lambda: world.update(names=ours)

    def scenario() -> None:
        with transaction():
            rename(1, "bea")

    found = bugs(scenario, disturb=disturb)
    assert found == ([] if careful else [("stale@rename", Bug.OVERWRITTEN)])


def test_somebody_who_changes_nothing_harms_nobody() -> None:
    def scenario() -> None:
        with transaction():
            lock("door")

    @action
    def lock(name: str) -> None:
        world[name] = "locked"

    @lock.rollback
    def unlock(name: str) -> None:
        world.pop(name, None)

    found = list(sweep(scenario, state=memory(world), disturb=lambda _: None, faults=["stale"]))
    assert [(outcome.id, outcome.finding) for outcome in found] == []


def test_an_undo_that_replaces_what_somebody_has_changed_inside_is_found() -> None:
    world["cart"] = {"tea": 1}

    @action
    def empty() -> None:
        current_step().save(before=dict(world["cart"]))
        world["cart"]["tea"] = 0

    @empty.rollback
    def fill(step: Step[Any]) -> None:
        if "before" in step.saved:
            known = world["cart"] in ({"tea": 0}, step.saved["before"])
            world["cart"] = step.saved["before"] if known else None

    def disturb(step: Step[Any]) -> Any:
        world["cart"]["milk"] = 1
        return lambda: world.update(cart={"tea": 1})

    def scenario() -> None:
        with transaction():
            empty()

    assert bugs(scenario, disturb=disturb) == [("stale@empty", Bug.OVERWRITTEN)]


def test_an_undo_that_fails_over_an_argument_that_was_changed_is_told_so() -> None:
    @action
    def put(names: list[str]) -> None:
        world.update(dict.fromkeys(names, True))

    @put.rollback
    def take(names: list[str]) -> None:
        for name in names:
            if world:
                del world[name]

    def scenario() -> None:
        names = ["ada"]
        with transaction():
            put(names)
            names[0] = "bob"

    [first, *_] = sweep(scenario, state=memory(world), reset=world.clear, faults=["commit"])
    assert (first.id, first.bug) == ("commit@transaction", Bug.MUTATED)
    assert "put: its undo raised KeyError('bob'); names was changed after the call" in first.message


class User:
    def __init__(self, name: str) -> None:
        self.name, self.seen = name, 0


class Slotted:
    __slots__ = ("name", "seen")

    def __init__(self, name: str) -> None:
        self.name, self.seen = name, 0


@pytest.mark.parametrize("kind", [User, Slotted])
def test_what_an_undo_reads_of_an_object_that_was_changed_since_is_named_for_every_fault(kind: Any) -> None:
    @action
    def put(user: Any, *more: dict[str, str]) -> None:
        world.update(dict.fromkeys([user.name, *(each["name"] for each in more)], True))
        user.seen += 1

    @put.rollback
    def take(user: Any, *more: dict[str, str]) -> None:
        for name in [user.name, *(each["name"] for each in more)]:
            world.pop(name, None)

    def scenario() -> None:
        user, more = kind("ada"), {"name": "eve"}
        with transaction():
            put(user, more)
            user.name, user.seen, more["name"] = "bob", 7, "ann"

    found = list(sweep(scenario, state=memory(world), reset=world.clear, faults=["commit", "undo", "twice"]))
    assert [(outcome.id, outcome.bug) for outcome in found] == [
        ("commit@transaction", Bug.MUTATED),
        ("undo@put", Bug.MUTATED),
        ("twice@put", Bug.MUTATED),
    ]
    assert all("user.name, more was changed after the call" in outcome.message for outcome in found)


def test_what_an_undo_does_not_read_of_an_object_is_not_named() -> None:
    @action
    def put(user: Any) -> None:
        world[user.name] = world["more"] = True

    @put.rollback
    def take(user: Any) -> None:
        world.pop(user.name, None)

    def scenario() -> None:
        user = User("ada")
        with transaction():
            put(user)
            user.seen += 1

    [first, *_] = sweep(scenario, state=memory(world), reset=world.clear, faults=["commit"])
    assert first.bug == Bug.INCOMPLETE


@pytest.mark.parametrize("whole", [True, False])
def test_an_undo_that_removes_what_was_there_before_is_found_where_it_runs(whole: bool) -> None:
    world.update(ada="old", bob="old")

    @action
    def put(name: str) -> str:
        world[name] = "new"
        return name

    @put.rollback
    def take(result: str) -> None:
        if whole:
            world.clear()
        world.pop(result, None)

    def scenario() -> None:
        with transaction():
            put("carol" if whole else "ada")

    def reset() -> None:
        world.clear()
        world.update(ada="old", bob="old")

    assert ("commit@transaction", Bug.TOO_MUCH) in bugs(scenario, reset=reset)


def test_a_step_without_undo_is_named_where_what_others_did_beside_it_is_not_known() -> None:
    @action
    async def leak(key: str) -> None:
        await asyncio.sleep(0)
        world[key] = True
        await asyncio.sleep(0)

    async def scenario() -> None:
        async with transaction():
            await asyncio.gather(leak("a"), leak("b"))

    found = bugs(scenario, reset=world.clear)
    assert {bug for _, bug in found} == {Bug.NO_UNDO}
    assert {"after@leak", "after@leak#2", "commit@transaction"} <= {place for place, _ in found}


class Put(Action):
    def execute(self) -> None:
        world["put"] = True

    def rollback(self) -> None:
        world.pop("put", None)


def test_a_classic_queue_that_nobody_rolls_back_is_found() -> None:
    def scenario() -> None:
        q = ActionQueue()
        q.add(Put())
        q.execute()

    [before, first, *_] = sweep(scenario, state=memory(world), reset=world.clear)
    assert (before.id, before.ok) == ("before@Put", True)
    assert (first.id, first.bug) == ("after@Put", Bug.INCOMPLETE)
    assert "its undo was not called; a classic queue is rolled back by who has executed it" in first.message


def test_a_thread_that_outlives_the_scenario_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playing, "PATIENCE", 0.01)
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="straggler")

    def scenario() -> None:
        with transaction():
            world["put"] = True
            q = transaction()
            del q
            del world["put"]
            note("a")
            if not thread.is_alive() and not end.is_set():
                thread.start()

    @action
    def note(name: str) -> None: ...

    try:
        found = list(sweep(scenario, state=memory(world), faults=["commit", "after"]))
    finally:
        end.set()
        thread.join()
    assert [outcome.bug for outcome in found if not outcome.ok] == [Bug.STILL_RUNNING]
    assert "straggler still ran when the scenario had ended; join your threads" in found[-1].message


def test_a_transaction_that_is_entered_again_for_ever_is_found() -> None:
    @action
    def put() -> None:
        world["put"] = True

    @put.rollback
    def take() -> None:
        world.pop("put", None)

    @transaction("again", retry=Retry(attempts=None, timeout=None, wait_initial=0, wait_jitter=0))
    def scenario() -> None:
        put()

    made = sweep(scenario, state=memory(world))
    assert [(outcome.id, outcome.bug) for outcome in made] == [("before@put", Bug.ENDLESS)]
    assert made.stopped == "each run would be as endless; give the retry policy of the transaction a bound first"


def test_an_undo_that_is_tried_for_ever_does_not_hold_up_the_sweep() -> None:
    @action
    def put() -> None:
        world["put"] = True

    @put.rollback(retry=Retry(attempts=None, timeout=None, wait_initial=0, wait_jitter=0))
    def take() -> None:
        world.pop("put", None)

    def scenario() -> None:
        with transaction():
            put()

    assert bugs(scenario, faults=["undo"]) == []


def test_an_async_undo_whose_second_call_fails_is_not_idempotent() -> None:
    @action
    async def put() -> None:
        world["put"] = True

    @put.rollback
    async def take(step: Step[Any]) -> None:
        await asyncio.sleep(0)
        if step.state == "done":
            del world["put"]
        else:
            world.pop("put", None)

    async def scenario() -> None:
        async with transaction():
            await put()

    assert bugs(scenario, faults=["twice"]) == [("twice@put", Bug.NOT_IDEMPOTENT)]
