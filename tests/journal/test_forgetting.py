"""A file does not grow for ever, whoever uses it, and forgets nothing that is not old enough."""

from __future__ import annotations

import os
import signal
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from actionqueues import transaction
from actionqueues.journal import Journal, resolving

from .actions import put, trail
from .leaving import leave


@pytest.mark.parametrize("age", [timedelta.max, timedelta(days=365 * 1500), timedelta(days=365 * 2000)])
def test_what_is_to_be_kept_for_ages_is_kept(age: timedelta, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actionqueues.journal.journal._EVERY", 1)
    with Journal(path, keep=age) as journal:
        for _ in range(2):
            with transaction(journal=journal):
                put("a")
        assert journal.prune(age) == 0
        assert [entry.state for entry in journal.transactions()] == ["committed"] * 2


def test_processes_that_make_one_transaction_each_forget_by_themselves(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actionqueues.journal.journal._EVERY", 4)
    for _ in range(10):
        pid = os.fork()
        if pid == 0:
            with transaction(journal=Journal(path, keep=timedelta(0))):
                put("a")
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    with Journal(path) as journal:
        assert [entry.id for entry in journal.transactions()] == [9, 10]
        assert journal.store.read("SELECT id FROM owners") == [(8,), (9,), (10,)]  # the 8th lived when it looked


def test_who_lives_or_owns_something_is_not_forgotten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "_AT_ONCE", 2)
    for _ in range(5):
        leave(path, lambda q: put("a"))
    with Journal(path) as journal:
        mine = journal.store.owner
        journal.recover(1, 2, 3)
        assert journal.prune() == 3
        assert journal.store.read("SELECT id FROM owners") == [(4,), (5,), (mine,)]
        assert [one.state for one in journal.recover()] == ["rolled back"] * 2
        assert journal.prune() == 2
        assert journal.store.read("SELECT id FROM owners") == [(mine,)]


def test_ctrl_c_while_a_commit_forgets_what_is_old_does_not_undo_the_commit(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actionqueues.journal.journal._EVERY", 1)
    prune: Any = resolving.prune

    def interrupted(store: Any, before: Any, write: Any) -> Any:
        def writing(work: Any, *, sync: bool) -> None:
            def pressed(db: Any) -> None:
                os.kill(os.getpid(), signal.SIGINT)
                work(db)

            write(pressed, sync=sync)

        return prune(store, before, writing)

    monkeypatch.setattr("actionqueues.journal.journal.prune", interrupted)
    trail.clear()
    with Journal(path, keep=timedelta(days=1)) as journal:
        with pytest.raises(KeyboardInterrupt), transaction(journal=journal):
            put("a")
        states = [entry.state for entry in journal.transactions()]
    assert (states, trail) == (["committed"], ["+a"])


def test_an_event_loop_goes_on_while_what_is_old_is_forgotten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setattr("actionqueues.journal.journal._EVERY", 1)
    threads: list[threading.Thread] = []

    def forget(*_: object) -> None:
        threads.append(threading.current_thread())

    monkeypatch.setattr("actionqueues.journal.journal.prune", forget)

    async def main(journal: Journal) -> None:
        async with transaction(journal=journal):
            put("a")
        with pytest.raises(LookupError):
            async with transaction(journal=journal):
                put("b")
                raise LookupError

    with Journal(path) as journal:
        asyncio.run(main(journal))
    assert len(threads) == 2
    assert threading.main_thread() not in threads
