"""SIGINT during a rollback, where the package must not keep it or cannot, and in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from actionqueues import RollbackFailed, transaction

from .test_interrupts import World, press


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def own_handler() -> Iterator[Callable[[Callable[[], None]], list[int]]]:
    """Installs a handler of the program's own, and checks that it stays the one."""
    installed: list[Any] = []

    def install(act: Callable[[], None]) -> list[int]:
        calls: list[int] = []

        def handler(signum: int, _frame: FrameType | None) -> None:
            calls.append(signum)
            act()

        installed.append(handler)
        signal.signal(signal.SIGINT, handler)
        return calls

    yield install
    assert signal.signal(signal.SIGINT, signal.default_int_handler) is installed[0]


def test_in_another_thread_no_handler_is_installed(world: World) -> None:
    seen: list[object] = []

    def work() -> None:
        with pytest.raises(LookupError), transaction():
            world.put("a", lambda: seen.append(signal.getsignal(signal.SIGINT)))
            raise LookupError

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
    assert world.undone == ["a"]


def test_a_handler_of_the_programs_own_stays_and_is_called(
    world: World, own_handler: Callable[[Callable[[], None]], list[int]]
) -> None:
    calls = own_handler(lambda: None)
    with pytest.raises(LookupError), transaction():
        world.put("a", lambda: press(4))
        raise LookupError
    assert calls == [signal.SIGINT] * 4
    assert world.undone == ["a"]


class Stop(Exception):
    """What a program's own handler raises."""


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_a_handler_of_the_programs_own_raises_to_end_it_comes_out_after_the_other_undos(
    world: World, own_handler: Callable[[Callable[[], None]], list[int]], kind: type[BaseException]
) -> None:
    def act() -> None:
        raise kind

    own_handler(act)
    with pytest.raises(kind), transaction() as q:
        world.put("a")
        world.put("b", press)
        world.put("c", press)
        raise LookupError
    assert world.undone == ["a"]
    assert len(q.report.failures) == 2


def test_an_error_that_a_handler_of_the_programs_own_raises_counts_as_one_of_the_undo(
    world: World, own_handler: Callable[[Callable[[], None]], list[int]]
) -> None:
    def act() -> None:
        raise Stop

    own_handler(act)
    with pytest.raises(RollbackFailed) as caught, transaction() as q:
        world.put("a")
        world.put("b", press)
        q.rollback()
    assert [type(error) for error in caught.value.exceptions] == [Stop]
    assert world.undone == ["a"]


def test_a_handler_that_an_undo_installs_is_not_overwritten(world: World) -> None:
    def theirs(_signum: int, _frame: FrameType | None) -> None: ...

    with pytest.raises(LookupError), transaction():
        world.put("a")
        world.put("b", lambda: signal.signal(signal.SIGINT, theirs))
        raise LookupError
    assert signal.signal(signal.SIGINT, signal.default_int_handler) is theirs
    assert world.undone == ["b", "a"]


_PROGRAM = """
from actionqueues import action, transaction

@action
def do(name): pass

@do.rollback
def undo(name):
    print("undoing", name, flush=True)
    for _ in range({presses} if name == "b" else 0):
        input()
        print("went on", flush=True)
    print("undone", name, flush=True)

with transaction() as q:
    do("a"); do("b"); do("c")
    raise LookupError("original")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to whole groups of processes")
@pytest.mark.parametrize(("presses", "undone"), [(1, "cba"), (2, "cba"), (3, "c")])
def test_a_process_that_is_sent_sigint_during_its_rollback(presses: int, undone: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM.format(presses=presses)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        told = iter(process.stdout)
        assert "undoing b\n" in told  # reads up to there
        for number in range(presses):
            process.send_signal(signal.SIGINT)
            if number < 2:  # a signal comes before what is written after it; the third one ends the `input()`
                process.stdin.write("\n")
                process.stdin.flush()
                assert next(told) == "went on\n"
        out = list(told)
        err = process.stderr.read()
    assert [line[-2] for line in out if line.startswith("undone")] == list(undone[1:])
    assert "LookupError: original" in err
    assert err.rstrip().splitlines()[-1].startswith("KeyboardInterrupt")
    assert process.returncode == -signal.SIGINT
    if presses == 3:
        assert "actionqueues: the rollback was cut short by a third Ctrl-C; not undone: do" in err
