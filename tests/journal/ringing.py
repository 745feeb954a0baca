"""Lets a signal handler of the program's own raise at a chosen moment; and what must hold of the journal then."""

from __future__ import annotations

import asyncio
import gc
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest

from actionqueues import IllegalOperation, Retry, action, current_step, transaction
from actionqueues.core import interrupts
from actionqueues.journal import Journal, JournalError, durable
from tests.core.sweeping import CallTracer, Place, Tracer, text_of
from tests.inside import forget_context

world: set[str] = set()
told: list[str] = []


@action
def put(name: str) -> str:
    world.add(name)
    return name


@put.rollback
def take(name: str) -> None:
    world.discard(name)


tried: set[str] = set()


@action(retry=Retry(attempts=2, wait_initial=0, wait_jitter=0, on=ConnectionError))
def flaky(name: str) -> None:
    current_step().save(name=name)
    world.add(name)
    if name not in tried:
        tried.add(name)
        raise ConnectionError


@flaky.rollback(retry=Retry(attempts=3, wait_initial=0, wait_jitter=0))
def unflaky(name: str) -> None:
    world.discard(name)


@action
async def upload(name: str) -> None:
    world.add(name)
    await asyncio.sleep(0)


@upload.rollback
async def take_down(name: str) -> None:
    await asyncio.sleep(0)
    world.discard(name)


@durable
def clean(name: str) -> None:
    world.discard(name)


@durable
def tell(name: str) -> None:
    told.append(name)


Scenario = Callable[[Journal], None]


def body(q: Any) -> None:
    put("a")
    flaky("b")
    q.on_rollback(clean, "c")
    world.add("c")
    with q.savepoint():
        put("d")
    q.add(put, "e")


def commits(journal: Journal) -> None:
    with transaction("hit", journal=journal) as q:
        body(q)


def commits_with_a_hook(journal: Journal) -> None:
    with transaction("hit", journal=journal) as q:
        q.on_commit(tell, "committed")
        put("a")


def closes(journal: Journal) -> None:
    with transaction("hit", journal=journal):
        put("a")
    journal.close()


def fails(journal: Journal) -> None:
    try:
        with transaction("hit", journal=journal) as q:
            body(q)
            q.execute()
            raise LookupError
    except LookupError:
        pass


def fails_inside(journal: Journal) -> None:
    with transaction("hit", journal=journal) as q:
        try:
            with q.savepoint():
                put("a")
                raise LookupError
        except LookupError:
            put("b")


def leave_behind(journal: Journal) -> None:
    """What a dead process has left: one transaction with steps, and one with a hook."""
    commits(journal)
    with transaction("hooked", journal=journal) as q:
        q.on_commit(tell, "hooked")
        put("next")

    def work(db: sqlite3.Connection) -> None:
        dead = 1_000_000
        db.execute("UPDATE transactions SET state = 'open', ended = NULL, owner = ? WHERE name = 'hit'", (dead,))
        db.execute("UPDATE transactions SET ended = NULL, owner = ? WHERE name = 'hooked'", (dead,))
        db.execute("UPDATE hooks SET ended = NULL")

    journal.store.write(work, sync=False)
    told.clear()


def undoes(journal: Journal) -> None:
    journal.undo(journal.transactions()[-1].id)


def undoes_async(journal: Journal) -> None:
    asyncio.run(journal.undo_async(journal.transactions()[-1].id))


def recovers(journal: Journal) -> None:
    journal.recover()


def recovers_async(journal: Journal) -> None:
    asyncio.run(journal.recover_async())


def commits_async(journal: Journal) -> None:
    async def main() -> None:
        async with transaction("hit", journal=journal):
            put("a")
            await asyncio.gather(upload("b"), upload("c"))

    asyncio.run(main())


def fails_async(journal: Journal) -> None:
    async def main() -> None:
        async with transaction("hit", journal=journal):
            await upload("a")
            put("b")
            raise LookupError

    try:
        asyncio.run(main())
    except LookupError:
        pass


ASYNC = (commits_async, fails_async, recovers_async, undoes_async)


def commits_beside_a_thread(journal: Journal) -> None:
    """The main thread waits for what another one writes, and the other way round."""

    def beside() -> None:
        for _ in range(3):
            with transaction("beside", journal=journal):
                put("beside")

    thread = threading.Thread(target=beside)
    thread.start()
    try:
        commits(journal)
    finally:
        thread.join(60)
        assert not thread.is_alive(), "the other thread waits for ever"


#: What an interrupt at any moment may leave behind: it costs nothing but a warning.
lost_coroutines = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
lost_connections = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Limit(TimeoutError):
    """What a time limit raises: an `OSError`, as those of the system."""


class Stop(BaseException):
    """What an application server raises."""


#: None of these may come of it.
_WRONG = (JournalError, sqlite3.Error, AttributeError, IndexError, KeyError, TypeError, AssertionError)


class Outcome(NamedTuple):
    places: list[Place]
    wrong: list[str]


class _OwnLines:
    """Leaves out lines at which no signal can arrive: those that only come back to a `with`, to leave it."""

    def _line(self: Any, frame: FrameType, event: str, _arg: object) -> Any:
        if event == "line" and not text_of(frame).startswith(("with ", "async with ", "try:")):
            self._reached(frame)
        return self._line


class LineAlarm(_OwnLines, Tracer):
    """At the n-th line."""


def moments(scenario: Scenario, journal: Journal, kind: type[Tracer]) -> int:
    """How many there are."""
    _prepared(scenario, journal)
    counting = kind()
    with counting.installed():
        scenario(journal)
    _settled(journal)
    journal.prune()
    return counting.lines


def _prepared(scenario: Scenario, journal: Journal) -> None:
    world.clear()
    told.clear()
    tried.clear()
    if scenario in (recovers, recovers_async):
        leave_behind(journal)
    elif scenario is undoes:
        commits(journal)
    elif scenario is undoes_async:
        commits_async(journal)
    journal.close()


def _settled(journal: Journal) -> None:
    forget_context()
    interrupts._on_duty.clear()
    interrupts._before.clear()


def play(scenario: Scenario, journal: Journal, at: int, kind: type[Tracer], error: type[BaseException]) -> Outcome:
    """Run it, with the handler raising at that moment; what is wrong afterwards."""
    _prepared(scenario, journal)
    return _play(scenario, journal, kind(at), error)


def _play(scenario: Scenario, journal: Journal, tracer: Tracer, error: type[BaseException]) -> Outcome:
    def ring(_signum: int, _frame: FrameType | None) -> None:
        raise error

    raised: BaseException | None = None
    before = signal.signal(signal.SIGINT, ring)
    collecting = gc.isenabled()
    gc.disable()  # what is raised in a finalizer is lost, as Python wants it
    try:
        with tracer.installed():
            try:
                scenario(journal)
            except BaseException as caught:
                raised = caught.with_traceback(None)
    finally:
        signal.signal(signal.SIGINT, before)
        if collecting:
            gc.enable()
    _settled(journal)
    refused = isinstance(raised, IllegalOperation) and f"{error.__name__}()" in str(raised)  # what cannot be read
    wrong = [f"what came out is {raised!r}"] if isinstance(raised, _WRONG) and not refused else []
    raised = None
    return Outcome(tracer.places, wrong + differences(journal, dies=scenario in ASYNC))


def differences(journal: Journal, *, dies: bool) -> list[str]:
    """What is wrong with the journal, and with the world."""
    wrong: list[str] = []
    with transaction("next", journal=journal):  # this process goes on
        put("next")
    with closing(sqlite3.connect(journal.path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # another one is not locked out
    journal.recover()
    if dies:
        journal.store.unfinished.clear()  # as if the process had died: where an event loop was hit, tasks are lost
        journal.close()
        asyncio.run(journal.recover_async())
    open_ones = [entry for entry in journal.transactions() if entry.ended is None]
    if open_ones:
        wrong.append(f"not ended: {[(each.name, each.state, each.reason) for each in open_ones]}")
        journal.store.write(lambda db: db.execute("UPDATE transactions SET ended = ''"), sync=False)
        journal.store.unfinished.clear()
    if journal.store.unfinished or journal.store.late or journal.store._queue:
        wrong.append(f"kept: {journal.store.unfinished}, {journal.store.late}, {journal.store._queue}")
    hit = [entry for entry in journal.transactions() if entry.name == "hit"]
    committed = bool(hit) and hit[-1].state == "committed"
    left = world - {"next", "beside"}
    if not committed and left:
        wrong.append(f"not committed, but there is {sorted(left)}")
    hooked = [entry for entry in journal.transactions() if entry.name == "hooked"]
    if hooked and "hooked" not in told:
        wrong.append("a hook was not called")
    if "committed" in told and not committed:
        wrong.append("not committed, but its hook was called")
    if committed:
        steps = [step for step in journal.show(hit[-1].id).steps if step.undo is None and step.state != "never run"]
        wrong += [f"committed, with {sorted(left)} of {len(steps)} steps"] if len(left) != len(steps) else []
    journal.prune()
    return wrong


def swept(
    scenario: Scenario, journal: Journal, places: Any, kind: type[Tracer], error: type[BaseException]
) -> list[str]:
    found: list[str] = []
    for at in places:
        outcome = play(scenario, journal, at, kind, error)
        if outcome.wrong:
            found.append(f"{at}: {[tuple(place) for place in outcome.places]}: {outcome.wrong}")
    return found


if __name__ == "__main__":  # for whoever looks for what is wrong: python -m tests.journal.ringing NAME [CallTracer]
    import logging
    import tempfile

    logging.disable(logging.CRITICAL)
    scenario = globals()[sys.argv[1]]
    kind = CallTracer if "calls" in sys.argv else LineAlarm
    error = Stop if "stop" in sys.argv else Limit
    step = int(sys.argv[-1]) if sys.argv[-1].isdigit() else 1
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "actions.db", durability="process")
        count = moments(scenario, journal, kind)
        print(count)
        for line in swept(scenario, journal, range(1, count + 1, step), kind, error):
            print(line)
