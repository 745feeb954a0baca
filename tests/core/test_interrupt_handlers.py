"""SIGINT and SIGTERM during a rollback, where the package must not keep it or cannot, and in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from types import FrameType
from typing import Any

import pytest

from actionqueues import RollbackFailed, handle_signals, transaction

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


@pytest.fixture
def nothing_handled() -> Iterator[None]:
    """SIGTERM is as it was afterwards."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    assert signal.signal(signal.SIGTERM, before) is before


def terminate(times: int = 1) -> None:
    for _ in range(times):
        signal.raise_signal(signal.SIGTERM)


def test_sigterm_ends_a_block_by_an_exit_that_undoes_its_steps(world: World, nothing_handled: None) -> None:
    with pytest.raises(SystemExit) as caught, handle_signals(), transaction() as q:
        world.put("a")
        terminate()
    assert caught.value.code == 128 + signal.SIGTERM
    assert (world.undone, q.state) == (["a"], "rolled back")


@pytest.mark.parametrize("times", [1, 2])
def test_sigterm_during_a_rollback_ends_the_program_once_everything_is_undone(
    world: World, nothing_handled: None, times: int
) -> None:
    with pytest.raises(SystemExit), handle_signals(), transaction() as q:
        world.put("a")
        world.put("b", lambda: terminate(times))
        raise LookupError
    assert (world.undone, q.state) == (["b", "a"], "rolled back")


def test_sigterm_and_ctrl_c_are_counted_together_and_the_third_gets_out_at_once(
    world: World, nothing_handled: None
) -> None:
    def all_of_them() -> None:
        press()
        terminate(2)

    with pytest.raises(SystemExit), handle_signals(), transaction() as q:
        world.put("a")
        world.put("b", all_of_them)
        raise LookupError
    assert world.undone == []
    assert [step.args[1] for step in q.report.abandoned] == ["a"]


def test_the_end_of_the_handling_leaves_alone_what_somebody_else_has_installed_since(nothing_handled: None) -> None:
    def theirs(_signum: int, _frame: FrameType | None) -> None: ...

    before = signal.getsignal(signal.SIGTERM)
    handling = handle_signals(signal.SIGTERM)
    signal.signal(signal.SIGTERM, theirs)
    handling.restore()
    assert signal.signal(signal.SIGTERM, before) is theirs


def test_a_signal_that_is_named_twice_is_given_back_all_the_same(nothing_handled: None) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with handle_signals(signal.SIGTERM, signal.SIGTERM):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_if_one_of_the_signals_cannot_be_handled_none_of_them_is(nothing_handled: None) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(OSError, match="Invalid argument"):
        handle_signals(signal.SIGTERM, signal.SIGKILL)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_thread_that_passes_for_the_main_one_and_is_sent_no_signals_rolls_back_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    def work() -> None:
        # As in a subinterpreter, or where `threading` was imported by another thread than the main one.
        monkeypatch.setattr(threading, "main_thread", threading.current_thread)
        with pytest.raises(LookupError), transaction():
            world.put("a", lambda: seen.append(signal.getsignal(signal.SIGINT)))
            raise LookupError

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
    assert world.undone == ["a"]


_INTERPRETERS = next((name for name in ("_interpreters", "_xxsubinterpreters") if find_spec(name)), "")

_IN_A_SUBINTERPRETER = """
import os, sys
sys.path[:] = {path!r}
from actionqueues import action, transaction

undone = []

@action
def do(name): pass

@do.rollback
def undo(name):
    undone.append(name)

try:
    with transaction():
        do("a"); do("b")
        raise LookupError("original")
except LookupError:
    undone.append("went on")
os.write({end}, " ".join(undone).encode())
"""

_MAKE_A_SUBINTERPRETER = """
import os, sys
import {module} as interpreters

there, here = os.pipe()
program = sys.argv[1].format(path=sys.path, end=here)
made = interpreters.create()
failed = interpreters.run_string(made, program)
os.close(here)
print(os.read(there, 100).decode(), failed or "", flush=True)
os._exit(0)  # some releases of CPython 3.12 crash when they destroy one
"""


@pytest.mark.skipif(not _INTERPRETERS, reason="this interpreter has no others inside it")
def test_a_subinterpreter_which_no_signal_reaches_rolls_back_all_the_same() -> None:
    program = _MAKE_A_SUBINTERPRETER.format(module=_INTERPRETERS)
    environment = {**os.environ, "WRAPT_DISABLE_EXTENSIONS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, _IN_A_SUBINTERPRETER]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout.strip(), done.returncode, done.stderr) == ("b a went on", 0, "")


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
            with suppress(BrokenPipeError):  # a signal comes before what is written after it, and the third one ends it
                os.write(process.stdin.fileno(), b"\n")
            if number < 2:
                assert next(told) == "went on\n"
        out = list(told)
        err = process.stderr.read()
    assert [line[-2] for line in out if line.startswith("undone")] == list(undone[1:])
    assert "LookupError: original" in err
    # A thread logs that the rollback goes on, and nobody waits for it: that line may stand anywhere.
    assert any(line.startswith("KeyboardInterrupt") for line in err.splitlines())
    assert process.returncode == -signal.SIGINT
    if presses == 3:
        assert "actionqueues: the rollback was cut short by a third Ctrl-C; not undone: do" in err
