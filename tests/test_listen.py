"""Listeners: what they are told, in which order and where, and that they change nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from actionqueues import (
    ActionQueue,
    CommitHookFailed,
    Listening,
    NotLanded,
    RollbackConflict,
    action,
    current_transaction,
    events,
    listen,
    transaction,
    watch,
)
from actionqueues.core.watch import SEAM
from actionqueues.journal import Journal

from . import scenarios, scenarios_of_ends, scenarios_of_marks
from .ear import Ear, heard
from .journal.actions import tell
from .journal.leaving import die, leave
from .scripted import Scripted, Trail
from .world import AT_ONCE, SCENARIOS, WORLDS, Boom, Scenario, Stop, World

LISTS = {scenarios.__name__, scenarios_of_ends.__name__, scenarios_of_marks.__name__}

pytestmark = pytest.mark.usefixtures("nobody_else")


@pytest.fixture
def nobody_else() -> Any:
    assert SEAM.listeners == ()
    yield
    assert SEAM.listeners == ()


@action
def put(name: str = "") -> str:
    return name


@put.rollback
def take() -> None:
    """Take it away again."""


# ---------------------------------------------------------------- the order of events

Told = Callable[[World], Awaitable[None]]
TOLD: list[tuple[Told, list[str]]] = []


def told(*words: str) -> Callable[[Told], Told]:
    """Register a program, and what listeners are told of it."""

    def register(program: Told) -> Told:
        TOLD.append((program, list(words)))
        return program

    return register


@told("opened", "a started", "a done", "b started", "b done", "committed", "ended")
async def a_commit(w: World) -> None:
    async with w.block():
        await w.step("a")
        await w.step("b")


@told(
    "opened", "a started", "a done", "rolling back Boom", "a undoing", "a undone", "rolled back Boom", "ended",
)  # fmt: skip
async def a_rollback(w: World) -> None:
    async with w.block():
        await w.step("a")
        raise Boom


@told("opened", "a started", "a failed Boom", "a undoing", "a undone", "rolling back Boom", "rolled back Boom", "ended")
async def a_step_that_fails(w: World) -> None:
    async with w.block():
        await w.step("a", fails=[Boom("a")])


@told("opened", "a started", "a retried 2 Boom", "a retried 3 Boom", "a done", "committed", "ended")
async def a_step_that_is_tried_again(w: World) -> None:
    async with w.block():
        await w.step("a", fails=[Boom("1"), Boom("2")], retry=AT_ONCE)


@told(
    "opened", "a started", "b started", "b done", "b undoing", "b undone", "a retried 2 Boom", "b started", "b done",
    "a done", "committed", "ended",
)  # fmt: skip
async def what_an_attempt_has_made_is_undone_before_the_next_one(w: World) -> None:
    async with w.block():
        await w.step("a", body=lambda _: w.step("b"), fails=[Boom("1")], retry=AT_ONCE)


@told(
    "opened", "a started", "a done", "rolling back Boom", "a undoing", "a undoing 2", "a undone", "rolled back Boom",
    "ended",
)  # fmt: skip
async def an_undo_that_is_tried_again(w: World) -> None:
    async with w.block():
        await w.step("a", undo_fails=[Boom("1")], undo_retry=AT_ONCE)
        raise Boom


@told(
    "opened", "a started", "a done", "b started", "b done", "rolling back Boom", "b undoing", "b left Boom",
    "a undoing", "a left RollbackConflict", "stuck Boom", "ended",
)  # fmt: skip
async def undos_that_fail(w: World) -> None:
    async with w.block():
        await w.step("a", undo_fails=[RollbackConflict("theirs")])
        await w.step("b", undo_fails=[Boom("stuck")])
        raise Boom


@told("opened", "a started", "a done", "rolling back Boom", "a left", "rolled back Boom", "ended")
async def what_nothing_undoes(w: World) -> None:
    async with w.block():
        await w.step("a", undo=False)
        raise Boom


@told("opened", "a started", "a done", "rolling back Boom", "rolled back Boom", "ended")
async def a_step_that_only_reads_needs_no_undo(w: World) -> None:
    async with w.block():
        await w.step("a", undo=False, read_only=True)
        raise Boom


@told(
    "opened", "a queued", "b queued", "a started", "a done", "b started", "b done", "committed", "ended",
)  # fmt: skip
async def a_queue_that_is_run(w: World) -> None:
    async with w.block() as q:
        q.add(w.define("a"))
        q.add(w.define("b"))


@told("opened", "a queued", "rolling back Boom", "rolled back Boom", "ended")
async def a_queue_that_is_dropped(w: World) -> None:
    async with w.block() as q:
        q.add(w.define("a"))
        raise Boom


@told("opened", "a started", "a done", "rolling back", "a undoing", "a undone", "rolled back", "ended")
async def a_rollback_by_hand(w: World) -> None:
    async with w.block() as q:
        await w.step("a")
        await q.rollback()


@told(
    "opened", "a started", "a done", "b started", "b done", "b undoing", "b undone", "c started", "c done", "committed",
    "ended",
)  # fmt: skip
async def a_savepoint_has_no_events_but_those_of_its_steps(w: World) -> None:
    async with w.block():
        await w.step("a")
        with w.caught():
            async with w.block("inner"):
                await w.step("b")
                raise Boom
        async with w.block("second"):
            await w.step("c")


@told("opened", "take done", "rolling back Boom", "take undoing", "take undone", "rolled back Boom", "ended")
async def what_is_done_by_hand(w: World) -> None:
    async with w.block() as q:
        q.on_rollback(take)
        raise Boom


@told("opened", "a started", "a done", "committed", "one called", "two called", "ended")
async def hooks(w: World) -> None:
    def one() -> None: ...
    def two() -> None: ...

    async with w.block() as q:
        q.on_commit(one)
        q.on_commit(two)
        await w.step("a")


@told("opened", "committed", "hook called Boom", "other called", "ended")
async def a_hook_that_fails(w: World) -> None:
    def hook() -> None:
        raise Boom

    def other() -> None: ...

    async with w.block() as q:
        q.on_commit(hook)
        q.on_commit(other)


@pytest.mark.parametrize("kind", WORLDS, ids=lambda world: world.__name__)
@pytest.mark.parametrize(("program", "expected"), TOLD, ids=[program.__name__ for program, _ in TOLD])
def test_events_come_in_order(program: Any, expected: list[str], kind: type[World]) -> None:
    with heard() as ear:
        kind().play(program)
    assert ear.words == expected
    assert len({id(event.report) for event in ear.events}) == 1
    times = [event.at for event in ear.events]
    assert times == sorted(times)


@pytest.mark.parametrize("kind", WORLDS, ids=lambda world: world.__name__)
@pytest.mark.parametrize("expected", SCENARIOS, ids=lambda expected: expected.run.__name__)
def test_of_whatever_happens_it_tells_a_whole_story_and_changes_nothing(expected: Scenario, kind: type[World]) -> None:
    assert expected.run.__module__ in LISTS
    world, ear = kind(), Ear()
    with listen(ear):
        world.play(expected.run)
    assert world.trail == expected.trail
    of_reports: dict[int, list[events.Event]] = {}
    for event in ear.events:
        of_reports.setdefault(id(event.report), []).append(event)
    for story in of_reports.values():
        kinds = [type(event) for event in story]
        assert kinds[0] is events.TransactionOpened
        assert kinds[-1] is events.TransactionEnded
        ends = {events.TransactionCommitted, events.TransactionRolledBack, events.TransactionStuck}
        assert [kind in ends for kind in kinds].count(True) == 1
        of_steps: dict[int, list[type[events.Event]]] = {}
        for event in story:
            if isinstance(event, events.StepEvent):
                of_steps.setdefault(id(event.step), []).append(type(event))
        for told_of in of_steps.values():
            bodies = [kind for kind in told_of if kind in (events.StepDone, events.StepFailed)]
            assert len(bodies) == (events.StepStarted in told_of or told_of[0] is events.StepDone)
            undone = [kind for kind in told_of if kind in (events.StepUndone, events.StepLeft)]
            assert len(undone) <= 1
            assert events.StepUndoing not in told_of or len(undone) == 1


def test_the_state_of_the_report_is_that_of_the_event() -> None:
    states: list[tuple[str, str]] = []
    with heard(lambda event: states.append((type(event).__name__, str(event.report.state)))):
        with transaction():
            pass
        with pytest.raises(Boom), transaction():
            raise Boom
    assert states == [
        ("TransactionOpened", "open"),
        ("TransactionCommitted", "committed"),
        ("TransactionEnded", "committed"),
        ("TransactionOpened", "open"),
        ("TransactionRollingBack", "rolling back"),
        ("TransactionRolledBack", "rolled back"),
        ("TransactionEnded", "rolled back"),
    ]


def test_the_report_and_the_steps_are_those_of_the_program() -> None:
    with heard() as ear, transaction("order") as q:
        put()
    assert all(event.report is q.report for event in ear.events)
    started, done = ear.of(events.StepEvent)
    assert started.step is done.step
    assert done.step is q.report.steps[0]
    assert done.step.parent is None


def test_what_a_step_contains_knows_it() -> None:
    @action
    def outer() -> None:
        put("inner")

    with heard() as ear, transaction():
        outer()
        with transaction("part"):
            put("in the savepoint")
    found = {event.step.name: event.step.parent for event in ear.of(events.StepStarted)}
    assert found["outer"] is None
    parents = [event.step.parent for event in ear.of(events.StepStarted) if event.step.name == "put"]
    assert [parent and parent.name for parent in parents] == ["outer", "part"]


# ---------------------------------------------------------------- other things than blocks


def test_a_classic_queue_that_fails_and_is_rolled_back() -> None:
    trail: Trail = []
    with heard() as ear:
        queue = ActionQueue()
        queue.add(Scripted("a", trail))
        queue.add(Scripted("b", trail, execute=[Boom()]))
        queue.add(Scripted("c", trail))
        with pytest.raises(Boom):
            queue.execute()
        assert ear.words[-1] == "Scripted failed Boom"
        queue.rollback()
    assert ear.words == [
        *["Scripted queued"] * 3,
        "opened",
        *["Scripted started", "Scripted done", "Scripted started", "Scripted failed Boom"],
        "rolling back Boom",
        *["Scripted undoing", "Scripted undone"] * 2,
        "rolled back Boom",
        "ended",
    ]
    assert {event.report.kind for event in ear.events} == {"queue"}
    assert [str(step.state) for step in queue.report.steps] == ["done", "failed", "dropped"]


def test_a_classic_queue_that_succeeds_and_is_rolled_back_all_the_same() -> None:
    with heard() as ear:
        queue = ActionQueue()
        queue.add(put, "a")
        queue.execute()
        assert ear.words[-2:] == ["committed", "ended"]
        assert str(ear.events[-1].report.state) == "execute complete"
        queue.rollback()
    assert ear.words[6:] == ["rolling back", "put undoing", "put undone", "rolled back", "ended"]
    assert queue.report.state == "rollback complete"


def test_an_independent_transaction_has_a_story_of_its_own() -> None:
    with heard() as ear, transaction("outer"), transaction("audit", independent=True):
        put()
    assert [(event.report.name, word) for event, word in zip(ear.events, ear.words, strict=True)] == [
        ("outer", "opened"),
        *[("audit", word) for word in ("opened", "put started", "put done", "committed", "ended")],
        ("outer", "committed"),
        ("outer", "ended"),
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_recovery_tells_what_it_undoes(tmp_path: Path) -> None:
    path = tmp_path / "actions.db"
    leave(path, lambda _q: put("a"))
    with heard() as ear, Journal(path) as journal:
        journal.recover()
    assert ear.words == [
        "opened", "rolling back RecordedError", "put undoing", "put undone", "rolled back RecordedError", "ended",
    ]  # fmt: skip
    report = ear.events[0].report
    assert (report.kind, report.name, report.id) == ("recovery", "left", 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_recovery_that_calls_hooks_tells_of_these(tmp_path: Path) -> None:
    path = tmp_path / "actions.db"

    def body(q: Any) -> None:
        q.on_commit(die)
        q.on_commit(tell, "x")
        q.__exit__(None, None, None)

    leave(path, body)
    with heard() as ear, Journal(path) as journal:
        journal.recover()
    assert ear.words == ["opened", "actions:tell called", "ended"]


def test_a_third_ctrl_c_leaves_the_rest() -> None:
    def press() -> None:
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)

    with heard() as ear, pytest.raises(KeyboardInterrupt), transaction() as q:
        put("a")
        q.on_rollback(press)
        raise Boom
    assert ear.words[-4:] == ["press left KeyboardInterrupt", "put left", "stuck Boom", "ended"]
    assert (q.report.steps[0].undo, q.report.steps[0].reason) == (
        "abandoned",
        "a third Ctrl-C has cut the rollback short",
    )


def test_what_has_failed_before_a_third_ctrl_c_is_told_once() -> None:
    def press() -> None:
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)

    def break_down() -> None:
        raise Boom

    with heard() as ear, pytest.raises(KeyboardInterrupt), transaction() as q:
        q.on_rollback(press)
        q.on_rollback(break_down)
        raise Boom
    assert ear.words.count("break_down left Boom") == 1
    assert [step.undo for step in q.report.steps] == ["undo failed", "undo failed"]


def test_what_its_probe_says_has_never_happened_is_neither_undone_nor_left() -> None:
    @action(timeout=0.001)
    async def slow() -> None:
        await asyncio.sleep(3600)

    @slow.rollback
    async def undo() -> None: ...

    @slow.landed
    async def landed() -> bool:
        raise NotLanded

    async def main() -> None:
        async with transaction():
            await slow()

    with heard() as ear, pytest.raises(TimeoutError):
        asyncio.run(main())
    assert ear.words == [
        "opened", "slow started", "slow failed TimeoutError", "rolling back TimeoutError", "rolled back TimeoutError",
        "ended",
    ]  # fmt: skip


def test_what_is_added_from_a_transaction_that_shares_nothing_belongs_to_its_own(tmp_path: Path) -> None:
    with heard() as ear, transaction("order") as q:
        with transaction("audit", independent=True):
            q.add(put, "a")
        with transaction("nothing"):
            pass
    (queued,) = ear.of(events.StepQueued)
    assert (queued.report, queued.step.parent) == (q.report, None)
    assert [step.name for step in q.report.steps] == ["put"]


def test_a_journal_gives_the_transaction_its_number(tmp_path: Path) -> None:
    numbers: list[int | None] = []
    journal = Journal(tmp_path / "actions.db")
    with heard(lambda event: numbers.append(event.report.id)), journal, transaction(journal=journal):
        put()
    assert numbers == [None, 1, 1, 1, 1]


# ---------------------------------------------------------------- tasks and threads


def test_it_is_called_in_the_thread_and_the_task_in_which_it_happens() -> None:
    where: dict[str, tuple[int, object]] = {}

    def note(event: events.Event) -> None:
        if isinstance(event, events.StepEvent):
            where[f"{type(event).__name__} {event.step.arguments}"] = (threading.get_ident(), asyncio.current_task())

    async def child(name: str) -> object:
        await fetch(name)
        return asyncio.current_task()

    @action
    async def fetch(name: str) -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        async with transaction(), asyncio.TaskGroup() as group:
            tasks = [group.create_task(child(name)) for name in "ab"]
        for name, task in zip("ab", tasks, strict=True):
            for what in ("StepStarted", "StepDone"):
                assert where[f"{what} name='{name}'"] == (threading.get_ident(), task)

    with heard(note):
        asyncio.run(main())


def test_threads_tell_each_their_own_steps() -> None:
    threads: dict[str, set[int]] = {}
    both = threading.Barrier(2, timeout=60)

    def note(event: events.Event) -> None:
        if isinstance(event, events.StepEvent):
            threads.setdefault(event.step.arguments, set()).add(threading.get_ident())

    @action
    def work(name: str) -> int:
        both.wait()
        return threading.get_ident()

    with heard(note) as ear, ThreadPoolExecutor(2) as pool, transaction() as q:
        ran = [pool.submit(q.run, work, name) for name in "ab"]
        found = [each.result() for each in ran]
    assert threads == {f"name='{name}'": {thread} for name, thread in zip("ab", found, strict=True)}
    assert ear.words.count("work done") == 2


# ---------------------------------------------------------------- listeners that do harm


def test_one_that_raises_is_logged_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: events.Event) -> None:
        raise LookupError(type(event).__name__)

    with listen(broken), heard() as ear, pytest.raises(Boom), transaction("order") as q:
        put()
        raise Boom
    assert q.report.undone == ["put"]
    assert ear.words[-1] == "ended"
    assert [record.levelname for record in caplog.records] == ["ERROR"] * len(ear.words)
    assert caplog.records[0].getMessage() == (
        "a listener failed on TransactionOpened: broken: LookupError('TransactionOpened')"
    )
    assert caplog.records[0].transaction == "order"  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


@pytest.mark.parametrize("journal", [False, True])
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, Stop])
@pytest.mark.parametrize("moment", ["put started", "put done", "put undoing", "put undone", "rolling back Boom",
                                    "rolled back Boom", "ended"])  # fmt: skip
def test_an_interrupt_in_one_gets_out_and_nothing_is_told_twice(
    moment: str, interrupt: type[BaseException], journal: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    def press(event: events.Event) -> None:
        if ear.words[-1] == moment:
            raise interrupt

    at = Journal(tmp_path / "actions.db") if journal else None
    after = Ear()
    block = transaction(journal=at or False)
    with heard(press) as ear, listen(after), pytest.raises((interrupt, Boom)) as caught, block as q:
        put()
        raise Boom
    if at is not None:
        at.close()
    assert caught.type is interrupt
    assert q.report.undone == ["put"]
    assert q.report.state == "rolled back"
    assert len(set(ear.words)) == len(ear.words)
    assert after.words == ear.words
    assert ear.words[0] == "opened"
    assert ear.words[-1] == "ended"


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, Stop])
def test_an_interrupt_before_the_first_line_keeps_it_from_being_entered(interrupt: type[BaseException]) -> None:
    left = [interrupt()]

    def press(event: events.Event) -> None:
        if isinstance(event, events.TransactionOpened) and left:
            raise left.pop()

    q = transaction()
    with heard(press) as ear:
        with pytest.raises(interrupt), q:
            raise AssertionError
        assert ear.words == ["opened", "ended"]
        with q:  # which nothing has been done in
            put()
    assert ear.words[2:] == ["opened", "put started", "put done", "committed", "ended"]


@pytest.mark.parametrize("moment", ["committed", "hook called"])
def test_an_interrupt_after_the_commit_undoes_nothing(moment: str) -> None:
    def hook() -> None: ...

    def press(event: events.Event) -> None:
        if ear.words[-1] == moment:
            raise KeyboardInterrupt

    with heard(press) as ear, pytest.raises(KeyboardInterrupt), transaction() as q:
        q.on_commit(hook)
        put()
    assert q.report.state == "committed"
    assert ear.words == ["opened", "put started", "put done", "committed", "hook called", "ended"]


def test_one_may_open_a_transaction_of_its_own() -> None:
    kept: list[str] = []

    @action
    def note(text: str) -> None:
        kept.append(text)

    @note.rollback
    def forget() -> None:
        kept.clear()

    def audit(event: events.Event) -> None:
        if isinstance(event, events.StepDone) and event.report.name == "order":
            with transaction("audit", independent=True):
                note(event.step.name)

    with heard(audit) as ear, pytest.raises(Boom), transaction("order"):
        put()
        raise Boom
    assert kept == ["put"]
    names = [event.report.name for event in ear.of(events.TransactionOpened)]
    assert names == ["order", "audit"]


def test_one_may_begin_and_stop_others() -> None:
    second = Ear()
    handles: list[Listening] = []

    def first(event: events.Event) -> None:
        if isinstance(event, events.StepStarted):
            handles.append(listen(second))
        if isinstance(event, events.StepDone):
            handles.pop().stop()

    with listen(first), transaction():
        put("a")
    assert (
        second.words == []
    )  # who begins in the middle of an event is told of the next, and the next one has stopped it


# ---------------------------------------------------------------- listen() itself


def test_an_object_is_told_what_it_has_methods_for() -> None:
    class Bell:
        def __init__(self) -> None:
            self.told: list[str] = []

        def step_done(self, event: events.StepDone) -> None:
            self.told.append(f"done {event.step.name}")

        def transaction_ended(self, event: events.TransactionEnded) -> None:
            self.told.append("ended")

        def step_count(self) -> int:  # which is like no event
            return len(self.told)

    bell = Bell()
    with listen(bell), transaction():
        put()
    assert bell.told == ["done put", "ended"]
    assert bell.step_count() == 2


def test_each_event_has_a_method() -> None:
    names = [name for name in events.__all__ if name not in ("Event", "StepEvent")]
    heard_of: list[str] = []

    class All:
        pass

    for name in names:
        method = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)[1:]
        setattr(All, method, lambda _self, event: heard_of.append(type(event).__name__))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]

    def hook() -> None: ...

    with listen(All()):
        with transaction() as q:
            q.on_commit(hook)
            q.add(action(retry=AT_ONCE)(partial_of([Boom()])))
        with pytest.raises(Boom), transaction():
            put()
            World().define("stuck", undo_fails=[Boom()])()
            World().define("bad", fails=[Boom()])()
        with pytest.raises(Boom), transaction():
            raise Boom
    assert set(heard_of) == set(names)


def partial_of(failures: list[BaseException]) -> Callable[[], None]:
    def flaky() -> None:
        if failures:
            raise failures.pop()

    return flaky


async def deaf(event: events.Event) -> None: ...


class AsyncMethod:
    async def step_done(self, event: events.StepDone) -> None: ...


class AsyncCall:
    async def __call__(self, event: events.Event) -> None: ...


@pytest.mark.parametrize(
    "listener", [deaf, partial(deaf), AsyncMethod(), AsyncCall()], ids=lambda each: type(each).__name__
)
def test_an_async_one_is_refused(listener: object) -> None:
    with pytest.raises(TypeError, match="takes no async function, .* let a plain function put the event into a queue"):
        listen(listener)


class Prefixed:
    def on_step_done(self, event: events.StepDone) -> None: ...


class Misspelt:
    def step_don(self, event: events.StepDone) -> None: ...

    def step_failed(self, event: events.StepFailed) -> None: ...


class Forgetful:
    def step_done(self) -> None: ...


@pytest.mark.parametrize(
    ("listener", "told"),
    [
        (
            None,
            "a function of one event, or an object with methods of events; None is neither. The methods are ",
        ),
        (object(), "is neither. The methods are transaction_opened, "),
        (Prefixed(), "is neither: it has 'on_step_done' (did you mean 'step_done'?). The methods are "),
        (Misspelt, "Misspelt is a class: make one, as in listen(Misspelt())"),
        (Misspelt(), "there is no event 'step_don' (did you mean 'step_done'?)"),
        (Forgetful(), "Forgetful.step_done cannot be called with one argument, the event"),
        (lambda: 1, "<lambda> cannot be called with one argument, the event"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_listen_is_refused(listener: object, told: str) -> None:
    with pytest.raises(TypeError) as caught:
        listen(listener)
    assert told in str(caught.value)


def test_it_ends_when_it_is_stopped_also_in_the_middle() -> None:
    ear = Ear()
    handle = listen(ear)
    with transaction():
        put()
        handle.stop()
        put()
    assert ear.words == ["opened", "put started", "put done"]
    handle.stop()
    with transaction():
        put()
    assert len(ear.words) == 3


def test_who_begins_in_the_middle_is_not_told_of_what_nobody_watches() -> None:
    with transaction(), heard() as ear:
        put()
    assert ear.words == []
    with watch(), transaction(), heard() as ear:
        put()
    assert ear.words == ["put started", "put done"]


def test_several_are_told_in_the_order_in_which_they_began() -> None:
    order: list[str] = []

    def first(event: events.Event) -> None:
        order.append("first")

    def second(event: events.Event) -> None:
        order.append("second")

    with listen(first), listen(second), transaction():
        pass
    assert order == ["first", "second"] * 3


def test_a_handle_shows_what_listens() -> None:
    handle = listen(print)
    shown = [repr(handle)]
    handle.stop()
    with watch() as watching:
        shown += [repr(handle), repr(watching)]
    assert shown == ["<Listening: listen print>", "<Listening: listen print, stopped>", "<Listening: watch>"]


def test_a_hook_that_fails_comes_with_its_error() -> None:
    def hook() -> None:
        raise Boom("hook")

    with heard() as ear, pytest.raises(CommitHookFailed), transaction():
        current_transaction().on_commit(hook)
    (called,) = ear.of(events.HookCalled)
    assert str(called.error) == "hook"


def test_what_does_not_tell_what_it_takes_may_listen() -> None:
    listen(max).stop()  # it is written in C, and tells nothing
