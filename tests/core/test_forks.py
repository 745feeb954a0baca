"""A forked child does not own what its parent has open: it undoes nothing of it, and has transactions of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from actionqueues import (
    ActionQueue,
    NoTransaction,
    TransactionClosed,
    action,
    current_step,
    current_transaction,
    transaction,
)
from tests.inside import as_if_forked, left_in_context

from .test_threads import Trail, put, undos

can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

_PROGRAM = """
import os
from actionqueues import TransactionClosed, action, transaction

who = "parent"

def say(*words):
    os.write(1, " ".join([who, *words]).encode() + b"\\n")

@action
def do(name):
    say("do", name)

@do.rollback
def undo(name):
    say("undo", name)

def child():
    do("plain")
    try:
        with transaction("own", outermost=True):
            do("own")
            raise LookupError
    except LookupError:
        say("went on")
    for use in (q.rollback, q.savepoint, lambda: q.add(do, "never")):
        try:
            use()
        except TransactionClosed:
            say("refused")

def fork(leave):
    global who
    pid = os.fork()
    if pid:
        say("saw", str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
    else:
        who = "child"
        child()
        leave()

def leave_by_exit():
    raise SystemExit(3)

def leave_normally():
    pass

try:
    with transaction() as q:
        do("a")
        with q.savepoint():
            do("b")
            fork({leave})
        if who == "child":
            raise SystemExit(3)
        raise LookupError
except LookupError:
    say("went on")
"""


def run(program: str) -> list[str]:
    """The lines of what a program and its children say."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@can_fork
@pytest.mark.parametrize("leave", ["leave_by_exit", "leave_normally"])
def test_a_forked_child_undoes_nothing_of_its_parent_and_has_a_transaction_of_its_own(leave: str) -> None:
    assert run(_PROGRAM.replace("{leave}", leave)) == [
        "parent do a",
        "parent do b",
        "child do plain",
        "child do own",
        "child undo own",
        "child went on",
        *["child refused"] * 3,
        "parent saw 3",
        "parent undo b",
        "parent undo a",
        "parent went on",
    ]


_IN_A_STEP = """
import os
from actionqueues import action, transaction

@action
def do(name):
    pid = os.fork()
    if pid == 0:
        raise SystemExit(3)
    os.write(1, f"saw {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\\n".encode())

@do.rollback
def undo(name):
    os.write(1, f"undo {name}\\n".encode())

try:
    with transaction():
        do("a")
        raise LookupError
except LookupError:
    pass
"""


@can_fork
def test_a_child_that_is_forked_in_the_body_of_a_step_does_not_undo_that_step_either() -> None:
    assert run(_IN_A_STEP) == ["saw 3", "undo a"]


_IN_AN_UNDO_AT_ONCE = """
import os
from actionqueues import action, transaction

@action
def do(name):
    pass

@do.rollback
def undo(name):
    os.write(1, f"undo {name}\\n".encode())

@action
def fail():
    raise LookupError

@fail.rollback
def fork():
    pid = os.fork()
    if pid == 0:
        raise SystemExit(3)
    os.write(1, f"saw {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\\n".encode())

with transaction():
    do("a")
    try:
        fail()
    except LookupError:
        pass
"""


@can_fork
def test_a_child_that_is_forked_while_a_failed_step_is_undone_undoes_nothing_of_its_block() -> None:
    assert run(_IN_AN_UNDO_AT_ONCE) == ["saw 3"]


_IN_A_HANDLER = """
import os
from actionqueues import action, transaction

@action
def do(name):
    pass

@do.rollback
def undo(name):
    os.write(1, f"undo {name}\\n".encode())
    if name == "b":
        pid = os.fork()
        if pid == 0:
            raise SystemExit(3)
        os.waitpid(pid, 0)

try:
    with transaction():
        do("a")
        do("b")
        raise LookupError
except LookupError:
    pass
"""


@can_fork
def test_a_child_that_is_forked_in_a_rollback_handler_does_not_go_on_with_the_rollback() -> None:
    assert run(_IN_A_HANDLER) == ["undo b", "undo a"]


_AMONG_OTHERS = """
import asyncio, os
from actionqueues import action, transaction

@action
async def do(name, *inner):
    await asyncio.gather(*(do(each) for each in inner))

@do.rollback
async def undo(name):
    if name == "d":
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where asyncio complains of an exit out of a second task
            raise SystemExit(3)
        os.write(1, f"saw {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\\n".encode())
    await asyncio.sleep(0)
    os.write(1, f"undo {name}\\n".encode())

async def main():
    async with transaction(undo_concurrently=True):
        await do("a")
        await asyncio.gather(do("b"), do("c", "d", "e"))
        raise LookupError

try:
    asyncio.run(main())
except LookupError:
    pass
"""


@can_fork
def test_a_child_that_is_forked_in_one_of_several_undos_goes_on_with_none_and_ends() -> None:
    said = run(_AMONG_OTHERS)
    assert sorted(said) == ["saw 3", "undo a", "undo b", "undo c", "undo d", "undo e"]


def test_what_is_open_in_a_forked_child_takes_nothing_and_undoes_nothing_there() -> None:
    trail: Trail = []
    with pytest.raises(LookupError), transaction("outer") as outer:
        put(trail, "a")
        with outer.savepoint() as inner:
            put(trail, "b")
            as_if_forked()
            for use in (current_step, current_transaction):
                with pytest.raises(NoTransaction):
                    use()
            put(trail, "plain")
            with pytest.raises(ZeroDivisionError), transaction(outermost=True):
                put(trail, "own")
                raise ZeroDivisionError
            for block in (outer, inner):
                with pytest.raises(TransactionClosed):
                    block.add(put, trail, "never")
        raise LookupError
    assert trail == ["do a", "do b", "do plain", "do own", "undo own"]
    assert left_in_context() == {}


def test_a_queue_that_is_being_executed_in_a_block_is_not_current_in_a_forked_child_either() -> None:
    trail: Trail = []

    @action
    def fork() -> None:
        as_if_forked()
        put(trail, "plain")

    with pytest.raises(LookupError), transaction() as outer:
        put(trail, "a")
        queue = ActionQueue()
        queue.add(fork)
        queue.execute()
        raise LookupError
    assert undos(trail) == []
    assert outer.report.undone == []
    assert left_in_context() == {}


def test_a_block_that_shares_nothing_with_the_one_whose_savepoint_is_in_it_is_the_parents_too() -> None:
    trail: Trail = []
    with pytest.raises(LookupError), transaction("outer") as outer:
        put(trail, "a")
        with transaction("own", independent=True):
            put(trail, "b")
            with outer.savepoint():
                put(trail, "c")
                as_if_forked()
            raise LookupError
    assert undos(trail) == []
    assert left_in_context() == {}
