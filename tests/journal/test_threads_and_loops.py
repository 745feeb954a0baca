"""One journal serves many threads, event loops and processes; a disk that is slow stalls no event loop."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trio

from actionqueues import Retry, action, current_step, transaction
from actionqueues.journal import Journal, JournalError
from actionqueues.journal.store import Commit, Store

from . import actions
from .actions import trail


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    trail.clear()
    actions.failing.clear()
    with Journal(tmp_path / "actions.db") as made:
        yield made


class Gate:
    """Holds back commits that are synced."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()
        self.sizes: list[int] = []
        commit: Any = Store._commit

        def held(store: Store, works: list[Any], sync: bool) -> None:
            self.reached.set()
            assert self.open.wait(30)
            self.sizes.append(len(works))
            commit(store, works, sync)

        monkeypatch.setattr(Store, "_commit", held)


@pytest.mark.parametrize("runner", [asyncio.run, trio.run])
def test_an_event_loop_goes_on_while_the_disk_syncs(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, runner: Callable[..., Any]
) -> None:
    gate = Gate(monkeypatch)
    went_on: list[bool] = []

    async def main() -> None:
        async with transaction(journal=journal):
            if runner is trio.run:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(actions.put_async, "a")
                    while not gate.reached.is_set():
                        await trio.sleep(0)
                    went_on.append(not gate.open.is_set())
                    gate.open.set()
            else:
                task = asyncio.create_task(actions.put_async("a"))
                while not gate.reached.is_set():
                    await asyncio.sleep(0)
                went_on.append(not gate.open.is_set())
                gate.open.set()
                await task

    runner(main) if runner is trio.run else runner(main())
    assert (went_on, trail) == ([True], ["+a"])
    assert [entry.state for entry in journal.transactions()] == ["committed"]


def test_what_waits_together_shares_a_commit(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    actions_before = journal.store.owner
    assert actions_before
    gate = Gate(monkeypatch)
    statement = "INSERT INTO owners (pid, program, started) VALUES (?, 'x', 'x')"

    def write(number: int) -> None:
        journal.store.write(lambda db: db.execute(statement, (number,)), sync=True)

    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(write, 0)
        assert gate.reached.wait(30)
        rest = [pool.submit(write, number) for number in range(1, 9)]
        while len(journal.store._queue) < 9:
            threading.Event().wait(0.001)
        gate.open.set()
        for each in (first, *rest):
            each.result()
    assert gate.sizes == [1, 8]
    assert journal.store.read("SELECT count(*) FROM owners WHERE program = 'x'") == [(9,)]


def test_what_is_wrong_with_one_is_no_fault_of_the_others(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert journal.store.owner
    gate = Gate(monkeypatch)
    good = "INSERT INTO owners (pid, program, started) VALUES (?, 'x', 'x')"

    def write(number: int) -> None:
        statement = "nonsense" if number == 3 else good
        journal.store.write(lambda db: db.execute(statement, (number,) if number != 3 else ()), sync=False)

    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(write, 0)
        assert gate.reached.wait(30)
        rest = [pool.submit(write, number) for number in range(1, 6)]
        while len(journal.store._queue) < 6:
            threading.Event().wait(0.001)
        gate.open.set()
        first.result()
        errors = [each.exception() for each in rest]
    assert [type(error) for error in errors if error is not None] == [JournalError]
    assert journal.store.read("SELECT count(*) FROM owners WHERE program = 'x'") == [(5,)]


class Rang(Exception):
    """What a signal handler of the program raises."""


def test_a_signal_handler_that_raises_while_a_commit_waits_is_obeyed_and_nobody_waits_for_ever(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert journal.store.owner
    gate = Gate(monkeypatch)
    statement = "INSERT INTO owners (pid, program, started) VALUES (?, 'x', 'x')"

    def write(number: int) -> None:
        journal.store.write(lambda db: db.execute(statement, (number,)), sync=True)

    def ring(_signum: int, _frame: object) -> None:
        gate.open.set()
        raise Rang

    def alarm() -> None:
        while len(journal.store._queue) < 2:
            threading.Event().wait(0.001)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, ring)
    try:
        with ThreadPoolExecutor(3) as pool:
            first = pool.submit(write, 1)
            assert gate.reached.wait(30)
            alarmed = pool.submit(alarm)
            with pytest.raises(Rang):
                write(2)  # in the main thread, behind the first
            alarmed.result()
            first.result()
            pool.submit(write, 3).result()
    finally:
        signal.signal(signal.SIGUSR1, before)
    found = journal.store.read("SELECT pid FROM owners WHERE program = 'x' ORDER BY pid")
    assert found == [(1,), (3,)], "what was interrupted is not written behind its back"


def test_ctrl_c_while_progress_is_saved_comes_once_it_is_in_the_file(journal: Journal) -> None:
    def press() -> None:  # in the middle of the next commit
        journal.store.owe(Commit(lambda db: signal.raise_signal(signal.SIGINT), sync=False))

    before_saving.append(press)
    with pytest.raises(KeyboardInterrupt), transaction(journal=journal):
        saves()
    assert journal.show(1).steps[0].saved == '{"part": 1}'
    assert trail == ["{'part': 1}"]


before_saving: list[Callable[[], None]] = []


@action
def saves() -> None:
    before_saving.pop()()
    current_step().save(part=1)


@saves.rollback
def unsave(step: Any) -> None:
    trail.append(str(step.saved))


def test_transactions_of_many_threads_are_all_recorded(journal: Journal) -> None:
    def work(number: int) -> None:
        with transaction(str(number), journal=journal):
            for step in range(5):
                actions.put(f"{number}.{step}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    found = journal.transactions()
    assert sorted(int(entry.name) for entry in found) == list(range(40))
    assert {(entry.state, entry.step_count) for entry in found} == {("committed", 5)}


def test_steps_of_many_threads_in_one_transaction_are_numbered_in_order_of_start(journal: Journal) -> None:
    with pytest.raises(LookupError), transaction(journal=journal) as q:
        with ThreadPoolExecutor(8) as pool:
            for each in [pool.submit(q.run, actions.put, str(number)) for number in range(50)]:
                each.result()
        raise LookupError
    entry = journal.show(1)
    assert [step.number for step in entry.steps] == list(range(1, 51))
    assert {step.undo for step in entry.steps} == {"undone"}
    assert entry.state == "rolled back"


def test_concurrent_async_steps_are_recorded(journal: Journal) -> None:
    async def main() -> None:
        async with transaction(journal=journal):
            await asyncio.gather(*(actions.put_async(str(number)) for number in range(20)))
            raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(main())
    assert sum(line.startswith("-") for line in trail) == 20
    assert journal.transactions()[0].state == "rolled back"


@action(retry=Retry(attempts=3, wait_initial=0, wait_jitter=0))
def third_time() -> None:
    step = current_step()
    step.save(**{f"attempt{step.attempts}": step.attempts})
    if step.attempts < 3:
        raise ConnectionError(step.attempts)


@third_time.rollback
def undo_third_time(step: Any) -> None:
    trail.append(str(step.saved))


def test_attempts_and_what_was_saved_are_in_the_file(journal: Journal) -> None:
    with transaction(journal=journal):
        third_time()
    (step,) = journal.show(1).steps
    assert (step.attempts, step.state, step.error) == (3, "done", None)
    assert step.saved == '{"attempt1": 1, "attempt2": 2, "attempt3": 3}'
    rows = journal.store.read("SELECT attempt, error FROM attempts ORDER BY attempt")
    assert rows == [(1, "ConnectionError(1)"), (2, "ConnectionError(2)")]


def test_what_is_saved_and_no_plain_data_fails_the_body(journal: Journal) -> None:
    with pytest.raises(JournalError, match="'thing' of what save_object saves"), transaction(journal=journal):
        save_object()
    assert "object object" in trail[0]  # the undo in this process has it


@action
def save_object() -> None:
    current_step().save(thing=object())


@save_object.rollback
def undo_save_object(step: Any) -> None:
    trail.append(str(step.saved))


def test_a_query_that_fails_names_the_file_and_the_next_one_works(journal: Journal) -> None:
    with pytest.raises(JournalError, match=f"{journal.path}.*no such column: nonsense"):
        journal.store.read("SELECT nonsense")
    assert journal.store.read("SELECT 1") == [(1,)]


def test_a_file_can_be_closed_and_used_again(journal: Journal) -> None:
    for _ in range(2):
        with transaction(journal=journal):
            actions.put("a")
        journal.close()
    assert [entry.state for entry in journal.transactions()] == ["committed"] * 2


def test_finished_transactions_are_pruned_in_pieces_and_the_rest_stays(journal: Journal) -> None:
    for number in range(250):
        with transaction(str(number), journal=journal):
            actions.put("a")
    journal.store.write(lambda db: db.execute("UPDATE transactions SET ended = NULL WHERE id = 7"), sync=False)
    assert journal.prune(3600) == 0
    assert journal.prune() == 249
    assert [entry.id for entry in journal.transactions()] == [7]
    assert journal.store.read("SELECT count(*) FROM steps") == [(1,)]


def test_a_service_forgets_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import timedelta

    from actionqueues.journal import journal as module

    monkeypatch.setattr(module, "_EVERY", 10)
    with Journal(tmp_path / "forgets.db", keep=timedelta(0), durability="process") as made:
        for _ in range(95):
            with transaction(journal=made):
                actions.put("a")
        assert len(made.transactions()) < 20
        ((pages,),) = made.store.read("PRAGMA page_count")
        for _ in range(400):
            with transaction(journal=made):
                actions.put("a")
        ((later,),) = made.store.read("PRAGMA page_count")
        assert later < 2 * pages  # five times as many have been recorded by now


def test_a_clock_that_jumps_back_changes_no_order(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    from actionqueues.journal import recording

    times = iter(f"{year}-01-01 00:00:00" for year in range(2030, 1990, -1))
    monkeypatch.setattr(recording, "now", lambda: next(times))
    with pytest.raises(LookupError), transaction(journal=journal):
        actions.put("a")
        actions.put("b")
        raise LookupError
    assert trail == ["+a", "+b", "-b", "-a"]
    assert journal.transactions()[0].state == "rolled back"


def test_reading_it_with_sqlite_makes_sense(journal: Journal) -> None:
    with transaction("sign-up", journal=journal):
        actions.put("ada")
    db = sqlite3.connect(journal.path)
    text = db.execute("SELECT sql FROM sqlite_master WHERE name = 'steps'").fetchone()[0]
    assert "-- from 1, in order of start" in text
    row = db.execute("SELECT name, arguments, state, result FROM steps").fetchone()
    assert row == ("tests.journal.actions:put", '{"name": "ada"}', "done", '"ada"')
    db.close()


def test_the_package_imports_no_sqlite_until_a_journal_is_used() -> None:
    import subprocess
    import sys

    program = (
        "import sys, actionqueues, actionqueues.cli; from actionqueues import transaction\n"
        "with transaction(): pass\nprint([m for m in sys.modules if 'sqlite' in m or 'journal' in m])"
    )
    import actionqueues

    package = str(Path(actionqueues.__file__).parent.parent)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env={"PYTHONPATH": package})
    assert (done.stdout, done.stderr) == ("[]\n", "")
