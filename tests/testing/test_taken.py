"""What a step is about to make is there already, made by somebody else: that must be there unchanged afterwards."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from actionqueues import Retry, RollbackConflict, Step, action, current_step, transaction
from actionqueues.journal import Journal
from actionqueues.testing import Bug, Sweep, SweepError, database, directory, memory, sweep

from .world import Taken, claim, free, put, world

ONLY = ["taken"]


def told(made: Sweep) -> list[tuple[str, Bug | None]]:
    return [(outcome.id, outcome.bug) for outcome in made]


def once(step: Callable[..., Any], *arguments: Any) -> Callable[[], None]:
    """A scenario of one step."""

    def scenario() -> None:
        with transaction():
            step(*arguments)

    return scenario


# -- what it finds


def exists(name: str, step: Step[None]) -> None:
    if name in world:  # so it is there; but who has made it?
        del world[name]


def test_an_undo_that_removes_what_the_step_did_not_make_is_found_with_the_way_out() -> None:
    @action
    def make(name: str) -> None:
        claim(name)

    make.rollback(exists)
    [outcome] = sweep(once(make, "bob"), state=memory(world), faults=ONLY)
    assert (outcome.id, outcome.bug) == ("taken@make", Bug.NOT_ITS_OWN)
    assert outcome.message == (
        "taken@make: not its own\n"
        "what is not as it was (+ added, - removed, ~ changed):\n"
        "  - bob: True\n"
        "make: its undo exists took back what this step did not make: somebody else had made it before; let the step "
        "save what it has made (`current_step().save`) or mark it with `step.key`, and the undo look at that"
    )


def test_an_undo_that_asks_what_this_step_has_made_stands() -> None:
    @action
    def make(name: str) -> None:
        claim(name)
        current_step().save(made=True)

    @make.rollback
    def remove(name: str, step: Step[None]) -> None:
        if "made" in step.saved:
            free(name)

    made = sweep(once(make, "bob"), state=memory(world)).check()
    assert ("taken@make", None) in told(made)
    assert made.untried == []
    assert world == {"bob": True}  # of the run that has committed


def test_what_a_step_puts_in_the_place_of_what_was_there_is_found_where_somebody_else_writes_something_else() -> None:
    @action
    def write(name: str) -> None:
        current_step().save(made=name not in world)
        world[name] = "mine"

    @write.rollback
    def erase(name: str, step: Step[None]) -> None:
        if step.saved.get("made"):
            del world[name]

    def disturb(step: Step[Any]) -> Callable[[], object]:
        world[step.args[0]] = "bob's"
        return lambda: None

    [outcome] = sweep(once(write, "a"), state=memory(world), faults=ONLY, disturb=disturb)
    assert outcome.bug is Bug.REPLACED
    assert "~ a: \"bob's\" -> 'mine'" in outcome.message
    assert 'or save it first (`if "old" not in step.saved: step.save(old=...)`)' in outcome.message


def test_a_step_that_keeps_the_old_content_puts_that_back() -> None:
    @action(retry=Retry(attempts=3, on=ConnectionError))
    def write(name: str) -> None:
        step = current_step()
        if "old" not in step.saved:
            step.save(old=world.get(name))
        world[name] = "mine"

    @write.rollback
    def restore(name: str, step: Step[None]) -> None:
        if step.saved.get("old") is not None:
            world[name] = step.saved["old"]
        elif "old" in step.saved:
            world.pop(name, None)

    def disturb(step: Step[Any]) -> Any:
        if step.has_result and step.state == "done":
            ours, world["a"] = world["a"], "bob's"
            return lambda: world.update(a=ours)
        return None

    faults = ["taken", "before", "after", "commit"]
    assert all(bug is None for _, bug in told(sweep(once(write, "a"), state=memory(world), faults=faults)))
    world.clear()
    made = sweep(once(write, "a"), state=memory(world), faults=ONLY, disturb=disturb)
    assert told(made) == [("taken@write", None)]


def test_an_undo_that_raises_over_what_it_did_not_make_is_found() -> None:
    @action
    def make(name: str) -> None:
        claim(name)

    @make.rollback
    def remove(name: str, error: BaseException | None) -> None:
        if isinstance(error, Taken):
            raise OSError("not empty")
        free(name)

    [outcome] = sweep(once(make, "a"), state=memory(world), faults=ONLY)
    assert outcome.bug is Bug.UNDO_FAILED
    assert "OSError('not empty'); what it makes was there already, made by somebody else" in outcome.message


def test_an_undo_that_says_it_is_somebody_elses_stands(caplog: pytest.LogCaptureFixture) -> None:
    @action
    def make(name: str) -> None:
        claim(name)

    @make.rollback
    def remove(name: str, error: BaseException | None) -> None:
        if isinstance(error, Taken):
            raise RollbackConflict("it is not mine")
        free(name)

    assert all(bug is None for _, bug in told(sweep(once(make, "a"), state=memory(world), faults=ONLY)))
    assert caplog.records == []


def test_the_steps_in_a_step_are_made_and_taken_back_with_it() -> None:
    @action
    def outer() -> None:
        put("inner")
        current_step().save(made=True)
        world["outer"] = True

    @outer.rollback
    def undo_outer(step: Step[None]) -> None:
        if "made" in step.saved:
            world.pop("outer", None)

    made = sweep(once(outer), state=memory(world), faults=ONLY, reset=world.clear)
    assert told(made) == [("taken@outer", None), ("taken@put", None)]


def test_a_transaction_that_is_tried_again_is_judged_by_its_first_attempt() -> None:
    @transaction("again", retry=Retry(attempts=2, wait_initial=0, wait_jitter=0))
    def scenario() -> None:
        put("a")

    made = sweep(scenario, state=memory(world), faults=ONLY)
    assert told(made) == [("taken@put", None), ("taken@put#2", None)]


def test_steps_that_only_a_fault_leads_to_and_steps_in_savepoints_are_tried() -> None:
    @action
    def other() -> None:
        world["other"] = True

    @other.rollback
    def undo_other() -> None:
        world.pop("other", None)

    def scenario() -> None:
        with transaction() as q:
            try:
                with q.savepoint():
                    put("a")
            except Exception:
                other()

    made = sweep(scenario, state=memory(world), faults=["taken", "before"])
    assert told(made)[-2:] == [("taken@put", None), ("before@put>taken@other", Bug.NOT_ITS_OWN)]


# -- async


@action
async def make_async(name: str) -> None:
    await asyncio.sleep(0)
    claim(name)


@make_async.rollback
async def remove_async(name: str, error: BaseException | None) -> None:
    await asyncio.sleep(0)
    free(name, error if name == "careful" else None)


@action
async def make_in_trio(name: str) -> None:
    await trio.lowlevel.checkpoint()
    claim(name)


@make_in_trio.rollback
async def remove_in_trio(name: str, error: BaseException | None) -> None:
    await trio.lowlevel.checkpoint()
    free(name, error if name == "careful" else None)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("name", ["careful", "careless"])
def test_async_steps_are_tried_too(backend: Any, name: str) -> None:
    step = make_async if backend == "asyncio" else make_in_trio

    async def scenario() -> None:
        async with transaction():
            await step(name)
            put("sync")

    made = sweep(scenario, state=memory(world), faults=ONLY, backend=backend, reset=world.clear)
    found = None if name == "careful" else Bug.NOT_ITS_OWN
    assert told(made) == [(f"taken@{step.__name__}", found), ("taken@put", None)]


def test_what_nobody_else_can_do_first_is_told_in_async_code_as_well() -> None:
    @action
    async def fails_first() -> None:
        await asyncio.sleep(0)
        if len(calls) == 1:
            raise OSError("not now")
        world["made"] = True

    @fails_first.rollback
    async def undo() -> None:
        world.pop("made", None)

    calls: list[int] = []

    async def scenario() -> None:
        calls.clear()
        async with transaction():
            calls.append(1)
            try:
                await fails_first()
            except OSError:
                calls.append(2)
                raise

    async def counting() -> None:
        try:
            await scenario()
        except OSError:
            calls.append(3)

    made = sweep(counting, state=memory(world), faults=ONLY, only=["taken@fails_first"])
    with pytest.raises(SweepError, match=r"somebody else could not do it first: OSError\('not now'\)"):
        made.check()


def test_what_nobody_else_can_do_first_is_told() -> None:
    @action
    def fails_first() -> None:
        if not calls:
            calls.append(1)
            raise OSError("not now")

    @fails_first.rollback
    def undo() -> None: ...

    calls: list[int] = []
    made = sweep(once(fails_first), state=memory(world), only=["taken@fails_first"])
    with pytest.raises(SweepError, match=r"somebody else could not do it first: OSError\('not now'\)"):
        made.check()


# -- where it does not apply


def named(name: str, body: Callable[..., Any], undo: Callable[..., Any]) -> Any:
    def call(*arguments: Any) -> Any:
        return body(*arguments)

    call.__qualname__ = name
    made = action(call)
    made.rollback(undo)
    return made


def nothing(*arguments: Any, **named: Any) -> None: ...


@pytest.mark.parametrize(
    ("body", "argument", "why"),
    [
        (nothing, lambda: "a", "done by somebody else, it changes nothing that state= shows"),
        (nothing, lambda: iter("ab"), "one of its arguments can be read only once"),
    ],
)
def test_a_step_that_is_not_tried_is_told_with_the_reason(body: Any, argument: Any, why: str) -> None:
    step = named("step", body, nothing)

    def scenario() -> None:
        with transaction():
            put("a")
            step(argument())

    made = sweep(scenario, state=memory(world), faults=ONLY, reset=world.clear)
    assert told(made) == [("taken@put", None)]
    assert made.untried == [f"taken was not tried at step: {why}"]


class User:
    def __init__(self, number: int) -> None:
        self.number = number


@pytest.mark.parametrize(
    "result",
    [
        "number",
        "pair",
        "dict",
        "object",
    ],
)
def test_what_is_called_with_what_an_earlier_step_has_made_is_not_tried(result: str) -> None:
    numbers = iter(range(100, 1000))

    def create_user(name: str) -> Any:
        number = next(numbers)
        return {"number": number, "pair": (number, name), "dict": {"id": number}, "object": User(number)}[result]

    def index_user(user: int) -> None:
        world["index"] = user

    create = named("create", create_user, nothing)
    index = named("index", index_user, lambda: world.pop("index", None))

    def number_of(made: Any) -> Any:
        return {
            "number": lambda: made,
            "pair": lambda: made[0],
            "dict": lambda: made["id"],
            "object": lambda: made.number,
        }[result]()

    def scenario() -> None:
        with transaction():
            index(number_of(create("ada")))

    made = sweep(scenario, state=memory(world), faults=ONLY, reset=world.clear)
    assert told(made) == []
    assert "taken was not tried at index: it is called with the result of create, which nobody else has" in made.untried


def test_a_result_that_was_an_argument_belongs_to_everybody() -> None:
    @action
    def first(name: str) -> str:
        claim(f"first {name}")
        return name

    @first.rollback
    def undo(name: str, error: BaseException | None) -> None:
        free(f"first {name}", error)

    def scenario() -> None:
        with transaction():
            put(first("a"))

    assert told(sweep(scenario, state=memory(world), faults=ONLY)) == [("taken@first", None), ("taken@put", None)]


def test_steps_without_undo_undos_by_hand_and_action_objects_have_nothing_to_take_for_their_own() -> None:
    class Put:
        def execute(self) -> None:
            world["object"] = True

        def rollback(self) -> None:
            world.pop("object", None)

    bare = action(lambda: None)

    def scenario() -> None:
        with transaction() as q:
            q.add(Put())
            bare()
            world["by hand"] = True
            q.on_rollback(world.pop, "by hand", None)

    made = sweep(scenario, state=memory(world), faults=ONLY)
    assert (told(made), made.untried) == ([], [])


def test_it_is_left_out_where_others_run_beside_a_step_or_no_picture_can_be_taken() -> None:
    locked: list[int] = []

    def state() -> object:
        if locked:
            raise OSError("locked")
        return dict(world)

    lock = named("lock", lambda: locked.append(1), lambda: locked.clear())

    def scenario() -> None:
        try:
            with transaction():
                lock()
                put("a")
        finally:
            locked.clear()

    made = sweep(scenario, state=state, faults=ONLY)
    assert told(made) == []
    assert len([why for why in made.untried if "nobody could tell what somebody else had made" in why]) == 1


def test_a_kind_with_a_minus_is_left_out() -> None:
    kinds = {outcome.fault for outcome in sweep(once(put, "a"), state=memory(world), faults=["-taken", "-undo"])}
    assert kinds == {"before", "after", "interrupt", "commit", "twice"}
    world.clear()
    kinds = {outcome.fault for outcome in sweep(once(put, "a"), state=memory(world), faults=["after", "undo", "-undo"])}
    assert kinds == {"after"}


def test_what_disturb_raises_is_told() -> None:
    def disturb(step: Step[Any]) -> None:
        raise LookupError("disturbed")

    with pytest.raises(SweepError, match=r"disturb=, or what takes that back, raised LookupError\('disturbed'\)"):
        sweep(once(put, "a"), state=memory(world), faults=ONLY, disturb=disturb).check()


def test_a_signal_that_comes_meanwhile_goes_out(capsys: pytest.CaptureFixture[str]) -> None:
    interrupting: list[int] = []

    def interrupted(*arguments: Any) -> None:
        interrupting.append(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(once(named("step", interrupted, nothing)), state=memory(world), only=["taken@step"]).check()
    assert interrupting == [1]

    async def interrupted_async() -> None:
        interrupted()

    step = action(interrupted_async)

    @step.rollback
    async def undo() -> None: ...

    async def scenario() -> None:
        async with transaction():
            await step()

    with pytest.raises(KeyboardInterrupt):
        sweep(scenario, state=memory(world), only=["taken@interrupted_async"]).check()


def test_where_it_cannot_be_taken_back_the_sweep_stops_unless_the_world_can_be_put_back() -> None:
    @action
    def leave() -> None:
        claim("a")

    @leave.rollback
    def half(cause: BaseException | None, error: BaseException | None) -> None:
        if str(cause) != "taken back":  # as of a connection that somebody else has closed by now
            free("a", error)

    def scenario() -> None:
        with transaction():
            leave()

    made = sweep(scenario, state=memory(world), faults=ONLY)
    assert told(made) == [("taken@leave", None)]
    assert made.stopped == "the world is not as it was; to go on after that, give reset="
    world.clear()
    made = sweep(scenario, state=memory(world), faults=ONLY, reset=world.clear)
    assert told(made) == [("taken@leave", None)]
    assert made.stopped is None


def test_a_database_that_rolls_back_by_itself_and_takes_it_along_is_not_blamed_on_the_step() -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT UNIQUE)")

        @action
        def insert(email: str) -> None:
            try:
                db.execute("INSERT INTO users (email) VALUES (?)", (email,))
            except sqlite3.Error:
                db.rollback()
                raise
            current_step().save(made=True)

        @insert.rollback
        def delete(email: str, step: Step[None]) -> None:
            if "made" in step.saved:
                db.execute("DELETE FROM users WHERE email = ?", (email,))

        def whole() -> None:
            with db, transaction():  # the database rolls back as a whole, once the steps have been undone
                insert("ada")

        assert told(sweep(once(insert, "ada"), state=database(db), faults=ONLY)) == [("taken@insert", None)]
        db.execute("DELETE FROM users")
        db.commit()
        assert told(sweep(whole, state=database(db), faults=ONLY)) == [("taken@insert", None)]


# -- with a process that dies


@pytest.fixture
def homes(tmp_path: Path) -> Path:
    folder = tmp_path / "homes"
    folder.mkdir()
    return folder


def shop_of(homes: Path, way: str) -> Any:
    """A step that makes a folder, and tells what it has made from what was there in one way or another."""

    @action(name=f"make_home_{way}_{homes}")
    def make_home(name: str) -> None:
        (homes / name).mkdir()
        current_step().save(made=True)

    @make_home.rollback
    def remove_home(name: str, step: Step[None], error: BaseException | None) -> None:
        mine = "made" in step.saved if way == "saved" else not isinstance(error, FileExistsError)
        if mine and (homes / name).exists():
            (homes / name).rmdir()

    return make_home


@pytest.mark.parametrize("way", ["saved", "error"])
def test_a_recovery_that_removes_what_the_dead_process_did_not_make_is_found(homes: Path, way: str) -> None:
    journal = Journal(homes.parent / "journal.db", durability="process")
    make_home = shop_of(homes, way)

    def scenario() -> None:
        with transaction("sign-up", journal=journal):
            make_home("bob")

    def recover() -> None:
        list(journal.recover())

    options: Any = {"state": directory(homes), "recover": recover, "reset": partial(_empty, homes)}
    try:
        found = dict(told(sweep(scenario, faults=["taken", "crash"], **options)))
        _empty(homes)
        place = make_home.__name__ if way == "none" else f"make_home_{way}_{homes}"
        first = f"taken@{place}>crash@{place}.attempting+"
        assert found[f"taken@{place}"] is None
        assert found[first] == (None if way == "saved" else Bug.NOT_ITS_OWN)
        assert (f"taken@{place}>crash@{place}.attempted" in found) == (way == "saved")  # the rest after a first find
        alone = sweep(scenario, only=[first], **options)
        assert told(alone) == [(first, found[first])]
        nowhere = sweep(scenario, only=["taken@nobody>crash@nobody.attempting+"], **options)
        with pytest.raises(SweepError, match="taken@nobody: it was not reached"):
            nowhere.check()
    finally:
        journal.close()


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.rmdir()


def test_an_async_step_is_taken_back_after_the_processes_that_died(homes: Path) -> None:
    journal = Journal(homes.parent / "journal.db", durability="process")
    name = f"make_home_async_{homes}"

    @action(name=name)
    async def make_home(home: str) -> None:
        await asyncio.sleep(0)
        (homes / home).mkdir()
        current_step().save(made=True)

    @make_home.rollback
    async def remove_home(home: str, step: Step[None]) -> None:
        await asyncio.sleep(0)
        if "made" in step.saved and (homes / home).exists():
            (homes / home).rmdir()

    async def scenario() -> None:
        async with transaction("sign-up", journal=journal):
            await make_home("bob")

    def recover() -> None:
        asyncio.run(_recovered(journal))

    try:
        made = sweep(scenario, state=directory(homes), recover=recover, faults=["taken", "crash"]).check()
        assert [outcome.id for outcome in made.outcomes][-1] == f"taken@{name}>crash@{name}.attempted+"
        assert made.stopped is None
    finally:
        journal.close()


@pytest.mark.parametrize("way", ["sync", "async"])
def test_what_cannot_be_taken_back_after_the_processes_that_died_is_put_back(homes: Path, way: str) -> None:
    """The undo refuses what another process has made, so nobody can undo what somebody else was."""
    journal = Journal(homes.parent / "journal.db", durability="process")
    disturbed: list[str] = []

    def make(home: str) -> None:
        (homes / home).mkdir()
        current_step().save(made=home)

    def remove(step: Step[None], cause: BaseException | None) -> None:
        if "made" in step.saved and cause is None and current_step() is step and not step.error:
            raise OSError("not today")
        if "made" in step.saved and (homes / step.saved["made"]).exists():
            (homes / step.saved["made"]).rmdir()

    async def make_async(home: str) -> None:
        make(home)

    async def remove_async(step: Step[None], cause: BaseException | None) -> None:
        remove(step, cause)

    name = f"make_{way}_{homes}"
    step: Any = action(name=name)(make if way == "sync" else make_async)
    step.rollback(remove if way == "sync" else remove_async)

    async def in_a_loop() -> None:
        async with transaction("sign-up", journal=journal):
            await step("bob")

    def in_a_thread() -> None:
        with transaction("sign-up", journal=journal):
            step("bob")

    def disturb(step: Step[Any]) -> Callable[[], object]:
        (homes / "bob").chmod(0o700)
        return lambda: disturbed.append(step.key)

    def recover() -> None:
        list(journal.recover()) if way == "sync" else asyncio.run(_recovered(journal))

    options: Any = {"state": directory(homes), "recover": recover, "reset": partial(_empty, homes), "disturb": disturb}
    try:
        made = sweep(in_a_thread if way == "sync" else in_a_loop, faults=["taken", "crash"], **options)
        found = dict(told(made))
        assert found[f"taken@{name}>crash@{name}.attempting+"] is None
        assert made.stopped is None
        assert len(disturbed) >= 2
    finally:
        journal.close()


async def _recovered(journal: Journal) -> None:
    await journal.recover_async()
