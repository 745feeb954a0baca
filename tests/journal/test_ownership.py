"""Recovery never touches what a live process is working on, and two recoveries undo each step once."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from actionqueues import action, transaction
from actionqueues.journal import Journal, JournalError
from actionqueues.journal.recovery import Recovery

from . import scene
from .leaving import close, edit
from .stage import calls, present, run, start


def waiting(folder: Path) -> subprocess.Popen[str]:
    process = start(folder, "wait")
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def states(folder: Path) -> list[str]:
    journal = Journal(folder / "actions.db")
    found = [entry.state for entry in journal.transactions()]
    journal.close()
    return found


def test_the_transaction_of_a_live_process_is_left_alone(tmp_path: Path) -> None:
    process = waiting(tmp_path)
    try:
        assert run(tmp_path, "recover").output[1:] == []
        assert (states(tmp_path), present(tmp_path)) == (["open"], {"a", "b"})
    finally:
        end(process)
    assert run(tmp_path, "recover").output[1:] == ["rolled", "back"]
    assert present(tmp_path) == set()


def test_recovering_beside_a_live_process_undoes_what_others_have_left(tmp_path: Path) -> None:
    assert run(tmp_path, "die").killed
    process = waiting(tmp_path)
    journal = Journal(tmp_path / "actions.db")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scene, "FOLDER", tmp_path)
            done = journal.recover()
        assert [(one.id, one.state) for one in done] == [(1, "rolled back")]
        assert [entry.state for entry in journal.transactions()] == ["rolled back", "open"]
    finally:
        end(process)
        journal.close()


def test_what_another_recovery_has_taken_meanwhile_is_left_to_it(tmp_path: Path) -> None:
    assert run(tmp_path, "die").killed
    with Journal(tmp_path / "actions.db") as journal:
        recovery = Recovery(journal, awaits=False)
        seen = journal.store.read("SELECT id, owner FROM transactions WHERE ended IS NULL")
        assert run(tmp_path, "recover").output[1:] == ["rolled", "back"]
        assert recovery._take(seen, journal.store.owner) == []


@pytest.mark.parametrize(
    "change",
    [
        "owner = owner + 1",  # another recovery is undoing it
        "owner = NULL, ended = '2026', state = 'rolled back'",  # has undone it
    ],
)
@pytest.mark.parametrize("owned", [True, False])
def test_what_is_another_recoverys_is_not_taken_however_far_it_is(change: str, owned: bool, tmp_path: Path) -> None:
    assert run(tmp_path, "die").killed
    with Journal(tmp_path / "actions.db") as journal:
        if not owned:
            journal.store.write(lambda db: db.execute("UPDATE transactions SET owner = NULL"), sync=True)
            change = change.replace("owner + 1", "7")
        seen = journal.store.read("SELECT id, owner FROM transactions WHERE ended IS NULL")
        assert (len(seen), seen[0][1] is not None) == (1, owned)
        journal.store.write(lambda db: db.execute(f"UPDATE transactions SET {change}"), sync=True)
        assert Recovery(journal, awaits=False)._take(seen, journal.store.owner) == []


def test_one_transaction_of_a_process_is_recovered_and_then_the_others(tmp_path: Path) -> None:
    assert run(tmp_path, "die").killed
    edit(
        tmp_path / "actions.db",
        "INSERT INTO transactions (id, name, state, owner, started, ended, error, reason) "
        "SELECT 2, 'other', state, owner, '', '', '', '' FROM transactions",
    )
    edit(tmp_path / "actions.db", "UPDATE transactions SET ended = NULL")
    with Journal(tmp_path / "actions.db") as journal, pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene, "FOLDER", tmp_path)
        assert [one.id for one in journal.recover(2)] == [2]
        assert [one.id for one in journal.recover()] == [1]


def test_a_stopped_process_is_alive(tmp_path: Path) -> None:
    process = waiting(tmp_path)
    try:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert run(tmp_path, "recover").output[1:] == []
        assert states(tmp_path) == ["open"]
    finally:
        end(process)


def test_a_new_transaction_can_start_while_old_ones_wait(tmp_path: Path) -> None:
    assert run(tmp_path, "die").killed
    run(tmp_path, "commit")
    assert states(tmp_path) == ["open", "committed"]


def test_a_process_of_the_same_number_does_not_keep_a_transaction_alive(tmp_path: Path) -> None:
    assert run(tmp_path, "die").killed
    db = sqlite3.connect(tmp_path / "actions.db")
    db.execute("UPDATE owners SET pid = ?", (os.getpid(),))
    db.commit()
    db.close()
    assert run(tmp_path, "recover").output[1:] == ["rolled", "back"]


def test_a_forked_child_does_not_own_its_parents_transaction(tmp_path: Path) -> None:
    process = start(tmp_path, "fork")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "child\n"
        process.wait()
        assert process.returncode == -signal.SIGKILL
        assert run(tmp_path, "recover").output[1:] == ["rolled", "back"]
        assert present(tmp_path) == {"child"}
        assert states(tmp_path) == ["rolled back", "committed"]
    finally:
        process.communicate("")  # the child reads to the end of it, and exits


def test_two_recoveries_at_once_undo_each_step_once(tmp_path: Path) -> None:
    for _ in range(4):
        assert run(tmp_path, "die").killed
    processes = [start(tmp_path, "recover") for _ in range(3)]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert states(tmp_path) == ["rolled back"] * 4
    assert sorted(words[1] for words in calls(tmp_path) if words[0] == "undo") == ["a"] * 4 + ["b"] * 4


def test_processes_that_open_one_new_file_at_once_all_use_it(tmp_path: Path) -> None:
    for round_ in range(6):
        folder = tmp_path / str(round_)
        folder.mkdir()
        read, write = os.pipe()
        children: list[int] = []
        for number in range(8):
            pid = os.fork()
            if pid == 0:
                try:
                    os.close(write)
                    os.read(read, 1)  # until all are there
                    with Journal(folder / "actions.db") as journal, transaction(str(number), journal=journal):
                        hold(str(folder))
                    os._exit(0)
                finally:
                    os._exit(1)
            children.append(pid)
        os.close(read)
        os.close(write)
        assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 8
        assert states(folder) == ["committed"] * 8


def test_recoveries_race_while_new_transactions_start(tmp_path: Path) -> None:
    for _ in range(3):
        assert run(tmp_path, "die").killed
    processes = [start(tmp_path, "race", 30), *(start(tmp_path, "recover") for _ in range(2))]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    run(tmp_path, "recover")  # what one of them found locked by the other
    assert states(tmp_path) == ["rolled back"] * 3 + ["committed", "rolled back"] * 30
    undone = [words[1] for words in calls(tmp_path) if words[0] == "undo"]
    assert sorted(name for name in undone if name in "ab") == ["a"] * 3 + ["b"] * 3
    assert [name for name in undone if name.startswith("new")] == []
    assert present(tmp_path) == {f"new-{number}" for number in range(30)}


trail: list[str] = []


@action
def hold(folder: str) -> None:
    trail.append("+")
    journal = Journal(Path(folder) / "actions.db")
    assert journal.recover() == []


@hold.rollback
def let_go(folder: str) -> None:
    trail.append("-")


def test_a_process_does_not_recover_what_it_is_doing_itself(tmp_path: Path) -> None:
    trail.clear()
    journal = Journal(tmp_path / "actions.db")
    with transaction(journal=journal):
        hold(str(tmp_path))
    assert trail == ["+"]
    journal.close()


def test_locks_that_have_been_removed_keep_a_step_from_starting(tmp_path: Path) -> None:
    trail.clear()
    journal = Journal(tmp_path / "actions.db")
    with pytest.raises(JournalError, match="file of locks"), transaction(journal=journal):
        hold(str(tmp_path))
        (tmp_path / "actions.db-owners").unlink()
        hold(str(tmp_path))
    assert trail == ["+", "-"]
    close(tmp_path / "actions.db")
