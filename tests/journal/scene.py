"""A program that starts steps whose effects are files, and that is killed: run as a script, in a process of its own.

    python -m tests.journal.scene COMMAND FOLDER [AT]

Each effect is a file in FOLDER/world, each call a line in FOLDER/calls.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import actionqueues
from actionqueues import Retry, Step, action, current_step, transaction
from actionqueues.journal import Journal, Recovered, current_hook_key, durable, schema

from .killing import Killer

FOLDER = Path(sys.argv[2]) if __name__ == "__main__" else Path()


def call(*words: object) -> None:
    """Write one line, in one system call."""
    fd = os.open(FOLDER / "calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(fd, (" ".join(map(str, words)) + "\n").encode())
    finally:
        os.close(fd)


def make(name: str) -> None:
    call("do", name)
    (FOLDER / "world" / name).touch()


def remove(name: str) -> None:
    call("undo", name)
    (FOLDER / "world" / name).unlink(missing_ok=True)


@action
def put(name: str) -> str:
    make(name)
    return name


@put.rollback
def take(name: str) -> None:
    remove(name)


tried: set[str] = set()


@action(retry=Retry(attempts=2, wait_initial=0, wait_jitter=0))
def flaky(name: str) -> str:
    current_step().save(name=name)
    make(name)
    if name not in tried:
        tried.add(name)
        raise ConnectionError(name)
    return name


@flaky.rollback(retry=Retry(attempts=3, wait_initial=0, wait_jitter=0))
def unflaky(step: Step[str]) -> None:
    call("undo-key", step.undo_key)
    if "name" in step.saved:
        remove(step.saved["name"])


@action
def broken(name: str) -> None:
    make(name)
    raise LookupError(name)


@broken.rollback
def mend(name: str, error: BaseException | None) -> None:
    assert error is None or isinstance(error, LookupError)
    remove(name)


before_undoing: list[Callable[[], object]] = []


@durable
def clean(name: str) -> None:
    if before_undoing:
        before_undoing.pop()()
    remove(name)


@durable
def tell(name: str) -> None:
    call("hook", name, current_hook_key())


@action
def die(name: str) -> None:
    make(name)
    os.kill(os.getpid(), signal.SIGKILL)


@die.rollback
def undie(name: str, step: Step[None]) -> None:
    call("state", step.state)
    remove(name)


@action
def deadly(name: str) -> None:
    make(name)


@deadly.rollback
def undeadly(name: str) -> None:
    remove(name)
    if not (FOLDER / "killed").exists():
        (FOLDER / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)


@action
def wait(name: str) -> None:
    make(name)
    print("waiting", flush=True)
    time.sleep(60)


@wait.rollback
def unwait(name: str) -> None:
    remove(name)


def body(q: Any) -> None:
    q.on_commit(tell, "first")
    put("a")
    flaky("b")
    try:
        with q.savepoint():
            put("c")
            broken("d")
    except LookupError:
        pass
    make("by-hand")
    q.on_rollback(clean, "by-hand")
    with q.savepoint():
        put("e")
    q.add(put, "f")
    q.on_commit(tell, "second")


def journal(**options: Any) -> Journal:
    return Journal(FOLDER / "actions.db", **options)


def run(at: int, *, fails: bool) -> None:
    killer = Killer(at)
    killer.at_statements()
    try:
        with transaction("scene", journal=journal()) as q:
            body(q)
            if fails:
                raise KeyError("fails")
    except KeyError:
        pass
    print(killer.count)


class _Deadly(list[Any]):
    """What SQLite has done to its files; something kills the process before it is done."""

    def __init__(self, killer: Killer) -> None:
        super().__init__()
        self.killer = killer

    def append(self, event: Any) -> None:
        self.killer()


def files(at: int, *, fails: bool) -> None:
    """Run, forget what has ended, and close: killed before SQLite writes, syncs, cuts or deletes a file."""
    from .power import Recorder

    killer = Killer(at)
    recorder = Recorder(_Deadly(killer))
    sqlite3.connect = recorder.connect  # type: ignore[assignment] # a process of its own
    opened = journal()
    try:
        with transaction("scene", journal=opened) as q:
            body(q)
            if fails:
                raise KeyError("fails")
    except KeyError:
        pass
    call("ended")
    opened.prune()
    opened.close()
    print(killer.count)


def migrate(at: int) -> None:
    """Make the file newer, likewise."""
    from .power import Recorder

    schema.VERSION += 2  # type: ignore[misc] # a process of its own
    schema.MIGRATIONS[schema.VERSION - 1] = "ALTER TABLE steps ADD COLUMN place TEXT;\nUPDATE steps SET place = 'here';"
    schema.MIGRATIONS[schema.VERSION] = "CREATE TABLE more (x);\nINSERT INTO more SELECT count(*) FROM steps;"
    killer = Killer(at)
    recorder = Recorder(_Deadly(killer))
    connect = sqlite3.connect
    sqlite3.connect = recorder.connect  # type: ignore[assignment] # likewise
    opened = journal()
    opened.open().close()
    sqlite3.connect = connect
    with closing(sqlite3.connect(FOLDER / "actions.db")) as db:
        rows = db.execute("SELECT x, (SELECT count(*) FROM steps WHERE place = 'here') FROM more").fetchall()
    print(killer.count, *rows[0], len(rows))


def recover(at: int) -> None:
    opened = journal().open()
    killer = Killer(at)
    killer.at_lines()
    done = opened.recover()
    waiting = [each.id for each in done if each.state == "waiting"]
    if waiting:
        done = asyncio.run(opened.recover_async(*waiting))
    sys.settrace(None)
    print(killer.count, *(each.state for each in done))


def undo() -> Recovered:
    return journal().undo(1, partly=True, by="ada")


def undo_at(at: int) -> None:
    """Undo what has committed, killed before a line of the package."""
    killer = Killer(at)
    killer.at_lines()
    one = undo()
    sys.settrace(None)
    print(killer.count, one.state)


def race_undo() -> None:
    """The same as soon as it is told to."""
    journal().open()
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        print(undo().state)
    except actionqueues.IllegalOperation as refused:
        print(refused)


def race(count: int) -> None:
    """Start new transactions, some of which fail, on a file that others recover."""
    opened = journal()
    for number in range(count):
        with transaction(f"new {number}", journal=opened):
            put(f"new-{number}")
        try:
            with transaction(f"failing {number}", journal=opened):
                put(f"failing-{number}")
                raise KeyError
        except KeyError:
            pass


@action
async def upload(name: str, steps: int) -> str:
    make(name)
    for _ in range(steps):
        await asyncio.sleep(0)
    return name


@upload.rollback
async def take_down(name: str, step: Step[str]) -> None:
    call("state", name, step.state)
    await asyncio.sleep(0)
    remove(name)


@action(timeout=0.01)
async def too_slow(name: str) -> None:
    make(name)
    await asyncio.sleep(60)


@too_slow.rollback
async def undo_too_slow(name: str, step: Step[None]) -> None:
    call("state", name, step.state)
    remove(name)


@action(read_only=True)
async def die_async(after: str, running: str) -> None:
    while f"done {after}" not in (FOLDER / "calls").read_text() or not (FOLDER / "world" / running).exists():
        await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGKILL)


async def concurrent() -> None:
    """Steps run at the same time; when some have ended and some have not, the process is killed."""
    async with transaction("concurrent", journal=journal()):
        put("first")
        try:
            await too_slow("slow")
        except TimeoutError:
            pass

        async def follow() -> None:
            await upload("short", 1)
            call("done", "short")

        await asyncio.gather(upload("long", 10**9), follow(), die_async("short", "long"))


def started(name: str, step: Callable[[str], object]) -> None:
    with transaction("waits", journal=journal()):
        put("a")
        step(name)


def savepoints() -> None:
    with transaction("savepoints", journal=journal()) as q:
        body(q)
        die("last")


def marks() -> None:
    """Killed while it goes back to a mark."""
    with transaction("marks", journal=journal()) as q:
        put("a")
        first = q.mark()
        put("b")
        q.rollback(to=first)
        put("c")
        second = q.mark()
        put("d")
        deadly("e")
        put("f")
        q.rollback(to=second)


def forked() -> None:
    """A child outlives its parent, which dies in a transaction."""
    with transaction("forks", journal=journal()):
        put("a")
        if os.fork() == 0:
            with transaction("child", journal=journal()):
                put("child")
            print("child", flush=True)
            sys.stdin.read()
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)


COMMANDS: dict[str, Callable[[int], None]] = {
    "commit": lambda at: run(at, fails=False),
    "fail": lambda at: run(at, fails=True),
    "recover": recover,
    "files": lambda at: files(at, fails=False),
    "files-fail": lambda at: files(at, fails=True),
    "migrate": migrate,
    "race": lambda at: race(at),
    "undo": undo_at,
    "race-undo": lambda _: race_undo(),
    "async": lambda _: asyncio.run(concurrent()),
    "savepoints": lambda _: savepoints(),
    "marks": lambda _: marks(),
    "die": lambda _: started("b", die),
    "wait": lambda _: started("b", wait),
    "fork": lambda _: forked(),
}

if __name__ == "__main__":
    (FOLDER / "world").mkdir(exist_ok=True)
    COMMANDS[sys.argv[1]](int(sys.argv[3]) if len(sys.argv) > 3 else 0)
