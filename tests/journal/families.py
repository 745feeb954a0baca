"""Programs that fork with a journal open, for `test_forking.py`: run as scripts, in a process of their own.

python -m tests.journal.families COMMAND JOURNAL
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable

from actionqueues import action, transaction
from actionqueues.journal import Journal


@action
def put(name: str) -> None:
    """Do nothing."""


@put.rollback
def take(name: str) -> None:
    print("undone", name, flush=True)


def said() -> str:
    return sys.stdin.readline().strip()


def leave(path: str, how: str) -> None:
    """A child is in a transaction while its parent, which had the journal open before, goes; both read what to do."""
    journal = Journal(path)
    with transaction("parent", journal=journal):
        put("of the parent")
    journal.transactions()
    go, step = os.pipe()
    pid = os.fork()
    if pid == 0:
        with transaction("child", journal=journal):
            put("first")
            os.write(step, b"1")
            assert said() == "go on"
            put("second")
            journal.show(2)
            print("second", flush=True)
            assert said() == "go on"
            put("third")
            print("third", flush=True)
            assert said() == "die"
            os.kill(os.getpid(), signal.SIGKILL)
    os.read(go, 1)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    journal.close()


def crowd(path: str) -> None:
    """Forks while other threads write and read; each child has a transaction of its own."""
    journal = Journal(path)
    ended = threading.Event()

    def write(number: int) -> None:
        while not ended.is_set():
            with transaction(f"thread {number}", journal=journal):
                put("of a thread")

    def read() -> None:
        while not ended.is_set():
            journal.store.check()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    threads += [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    children: list[int] = []
    for number in range(30):
        pid = os.fork()
        if pid == 0:
            with transaction(f"child {number}", journal=journal):
                put("of a child")
            os._exit(0)
        children.append(pid)
    codes = {os.waitpid(pid, 0)[1] for pid in children}
    ended.set()
    for thread in threads:
        thread.join()
    print(codes, flush=True)


def during(path: str) -> None:
    """A signal handler forks while this thread writes: the child does not touch what is half done."""
    journal = Journal(path)
    pids: list[int] = []

    def fork(*_: object) -> None:
        pids.append(os.fork())

    signal.signal(signal.SIGUSR1, fork)

    def work(db: sqlite3.Connection) -> None:
        row = (1, "x" * 1000, "then")
        for _ in range(6000):  # more than SQLite keeps in memory: a part is in its log already
            db.execute("INSERT INTO owners (pid, program, started) VALUES (?, ?, ?)", row)
        os.kill(os.getpid(), signal.SIGUSR1)
        if pids == [0]:
            os._exit(0)
        os.waitpid(pids[0], 0)
        print(db.execute("SELECT count(*) FROM owners").fetchone()[0])

    journal.store.write(work, sync=True)


def show(path: str) -> None:
    journal = Journal(path)
    for each in journal.recover():
        print(each, flush=True)
    for entry in journal.transactions():
        print(entry.name, entry.state, entry.step_count, flush=True)


COMMANDS: dict[str, Callable[[str], None]] = {
    "killed": lambda path: leave(path, "killed"),
    "ended": lambda path: leave(path, "ended"),
    "crowd": crowd,
    "during": during,
    "show": show,
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](sys.argv[2])


def start(command: str, path: object) -> subprocess.Popen[str]:
    """Run one of them; used by the tests."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-m", __name__, command, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
